"""One subject of a data set: what is kept of its observation, and the files that are made of it.

Runs inside a worker process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.code_version import code_version
from recon.colour import srgb_to_linear
from recon.data.subject import Licence, Photograph, Subject
from recon.errors import InputError
from recon.face_model.model import MorphableModel
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.images import write_png
from recon.release.layout import OBSERVED, RECORD, ReleaseFolder
from recon.release.licences import settled
from recon.rendering.compositing import over_background
from recon.rendering.export.gltf import write_glb
from recon.rendering.export.head import hashes
from recon.rendering.export.maps import write_albedo_exr
from recon.rendering.export.obj import write_obj
from recon.rendering.export.provenance import Provenance, face_model_name
from recon.rendering.export.surfaces import write_textures
from recon.rendering.sampling import padded
from recon.rendering.scene import Scene
from recon.rendering.views import render_view
from recon.runs.record import fit_summary, plain
from recon.runs.subject import clear
from recon.runs.views import camera_from_record
from recon.storage import read_json, write_json, write_npy, write_text
from recon.texture.database import TextureDatabase, open_database
from recon.texture.observation import Observation

METHOD = "capture"
"""What the albedo of a data set is called as a method: seen in the photograph, the rest completed."""

PREVIEW = (360, 450)
"""Width and height of each of the two views of a preview, pixels."""


def keep_observation(folder: Path, subject: Subject, photograph: Photograph, observation: Observation) -> None:
    """Writes what a texture database does not keep: vertices, fit and shares, to ``subjects/<id>``.

    Called by :func:`recon.texture.database_build.build_database`, in its workers, before the entry counts as made.
    """
    place = ReleaseFolder(folder).subject(subject.id)
    clear(place)
    fit = observation.fit
    write_npy(place / "vertices.npy", np.ascontiguousarray(fit.vertices, np.float32))
    camera = {
        "rotation": fit.camera.rotation,
        "translation": fit.camera.translation,
        "focal": fit.camera.focal,
        "principal": fit.camera.principal,
        "width": fit.camera.width,
        "height": fit.camera.height,
    }
    record = {
        "photograph": {"name": photograph.name, "sha256": photograph.sha256, "notes": photograph.notes},
        "fit": {
            **fit_summary(observation),
            "identity": fit.identity,
            "expression": fit.expression,
            "camera": camera,
            "lighting": fit.lighting.coefficients,
        },
        "skin_share": round(float(observation.record["skin_share"]), 4),
        "files": hashes(place, ["vertices.npy"]),
    }
    write_json(place / OBSERVED, plain(record))


@dataclass(frozen=True)
class FinishOrder:
    """What every worker needs to finish subjects; travels to it once.

    Attributes:
        folder: the data set.
        face_model: registry name.
        training: ids whose mean face completes what was not seen.
    """

    folder: Path
    face_model: str
    training: tuple[str, ...]


@dataclass(frozen=True)
class FinishTask:
    """One subject, which side of the split it is on, and what its files depend on."""

    subject: Subject
    split: str
    inputs: Mapping[str, Any]


def finish_inputs(folder: ReleaseFolder, subject: Subject, split: str, database: TextureDatabase) -> dict[str, Any]:
    """What the files of a subject depend on: where this has changed, they are made again."""
    observed = (folder.subject(subject.id) / OBSERVED).read_bytes()
    terms = json.dumps([subject.source, subject.licence.name, subject.licence.citation, dict(subject.attributes)])
    return {
        "observed": hashlib.sha256(observed).hexdigest(),
        "completed_by": database.identity,
        "split": split,
        "terms": hashlib.sha256(terms.encode()).hexdigest(),
        "code": code_version("recon.release.subject"),
    }


class Finisher:
    """Makes the files of subjects; holds the face model and the mean face."""

    def __init__(self, order: FinishOrder) -> None:
        from recon.face_model import load_face_model

        self.folder = ReleaseFolder(order.folder)
        self.model = load_face_model(order.face_model)
        database = open_database(order.folder, self.model)
        self.database = database.without(set(database.ids) - set(order.training))

    def __call__(self, task: FinishTask) -> None:
        """Completes the albedo of one subject and writes its files, ``subject.json`` last."""
        subject = task.subject
        place = self.folder.subject(subject.id)
        (place / RECORD).unlink(missing_ok=True)
        observed = read_json(place / OBSERVED)
        srgb = self.database.completed(subject.id)
        albedo = padded(srgb_to_linear(srgb), self.model)
        scene = stored_scene(self.model, np.load(place / "vertices.npy"), albedo, observed["fit"])
        terms = settled(subject.licence)
        provenance = subject_provenance(self.model, subject, terms, observed)
        # What the camera saw but is not the face's own (hair, background at the rim) was completed as well.
        seen, skin = self.database.trusted(subject.id), self.database.masks_of(subject.id)[1]
        write_albedo_exr(place / "albedo.exr", albedo, provenance)
        write_png(place / "albedo.png", padded(srgb, self.model))
        write_png(place / "seen.png", seen)
        write_png(place / "skin.png", skin)
        textures = write_textures(place, scene, provenance)
        files = ["albedo.exr", "albedo.png", "seen.png", "skin.png", "vertices.npy", *sorted(set(textures.values()))]
        files += write_obj(place, scene, provenance, textures)
        write_glb(place / "head.glb", scene, provenance)
        write_png(place / "preview.png", preview(scene))
        write_text(place / "LICENCE.txt", provenance.notice())
        files += ["head.glb", "preview.png", "LICENCE.txt", OBSERVED]
        covered = self.database.layout.covered
        record = {
            "id": subject.id,
            "split": task.split,
            **provenance.record(),
            "restricted": not terms.redistributable,
            "size": self.database.size,
            "seen_share": round(float(seen.sum() / covered.sum()), 4),
            "skin_share": observed["skin_share"],
            "fit": {key: observed["fit"][key] for key in ("verdict", "reasons", "landmark_error", "interocular")},
            "inputs": dict(task.inputs),
            "files": hashes(place, files),
            "entries": hashes(self.folder.path, list(self.folder.entry_files(subject.id))),
        }
        write_json(place / RECORD, plain(record))


def prepare_finisher(order: FinishOrder) -> Callable[[FinishTask], None]:
    """What a worker process calls once."""
    return Finisher(order)


def stored_scene(
    model: MorphableModel, vertices: NDArray[np.float32], albedo: NDArray[np.float32], fit: Mapping[str, Any]
) -> Scene:
    """The scene of a stored fit: camera and lighting as ``observed.json`` and a run's ``reference.json`` keep them.

    Raises:
        InputError: the record lacks something, or does not belong to the model.
    """
    try:
        camera = camera_from_record(fit["camera"])
        lighting = SphericalHarmonicsLighting(np.array(fit["lighting"], float))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(
            f"the record of the fit is damaged ({type(error).__name__}: {error}): make it again."
        ) from error
    return Scene(model, vertices, albedo, camera, lighting)


def subject_provenance(
    model: MorphableModel, subject: Subject, licence: Licence, observed: Mapping[str, Any]
) -> Provenance:
    """What the files of a released subject say of where they come from."""
    return Provenance(
        subject=subject.id,
        source=subject.source,
        licence=licence,
        method=METHOD,
        face_model=face_model_name(model),
        face_model_licence=model.licence,
        photograph=observed["photograph"]["sha256"],
        synthetic=subject.synthetic,
        attributes=dict(subject.attributes),
    )


def preview(scene: Scene) -> NDArray[np.float32]:
    """``(H, 2 W, 3)`` float32 sRGB-encoded: the head from the front and turned by 35°, in the light of all views."""
    width, height = PREVIEW
    views = [render_view(scene, name, width, height) for name in ("front", "three_quarter")]
    return np.concatenate([over_background(view) for view in views], axis=1)
