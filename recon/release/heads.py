"""Heads that lie in a run folder or in a data set, ready to be handed on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.data.subject import Licence
from recon.errors import ImageError, InputError, UsageError
from recon.exr import read_exr
from recon.face_model.model import MorphableModel
from recon.images import read_png
from recon.release.layout import OBSERVED, ReleaseFolder
from recon.release.licences import settled
from recon.release.subject import METHOD, stored_scene
from recon.rendering.export.head import Head
from recon.rendering.export.provenance import Provenance, face_model_name
from recon.rendering.scene import Scene
from recon.runs.folder import ResultKey, RunFolder, has_head
from recon.runs.views import scene_from_folder
from recon.storage import read_json


@dataclass(frozen=True)
class StoredHead:
    """A head on disk.

    Attributes:
        name: where its export goes, relative: ``meso/identity/ada`` of a run, ``ada`` of a data set.
        folder: of the result, or of the subject in the data set.
        fit: the file that holds camera and lighting.
        face_model: registry name; ``version`` of the model that made it.
        provenance: what will be written into its files.
        of_run: whether it lies in a run folder.
    """

    name: str
    folder: Path
    fit: Path
    face_model: str
    version: str
    provenance: Provenance
    of_run: bool


def stored_heads(
    source: Path,
    methods: Sequence[str] = (),
    protocols: Sequence[str] = (),
    subjects: Sequence[str] = (),
    splits: Sequence[str] = (),
) -> list[StoredHead]:
    """The heads in a run folder, in the folder of one result, or in a data set.

    Args:
        source: the folder.
        methods, protocols, subjects: those wanted; empty for all. A data set knows subjects alone.
        splits: of a data set, ``train`` or ``test``; empty for both.

    Raises:
        UsageError: the folder is none of these, or a name is not in it.
        InputError: a record is damaged, or nothing is there.
    """
    if (source / "run.json").is_file():
        if splits:
            raise UsageError(f"'{source}' is a run, which has no splits: leave --split out.")
        return _of_run(RunFolder(source), methods, protocols, subjects)
    if (source / "result.json").is_file():
        record = read_json(source / "result.json")
        run = RunFolder(source.resolve().parents[3])
        return _of_run(run, [record["method"]], [record["protocol"]], [record["subject"]])
    if (source / "dataset.json").is_file():
        if methods or protocols:
            raise UsageError(
                f"'{source}' is a data set, which has one head a subject: leave --methods/--protocols out."
            )
        return _of_release(ReleaseFolder(source), subjects, splits)
    if not source.exists():
        raise UsageError(f"'{source}' does not exist: name a run folder, the folder of one result, or a data set.")
    raise UsageError(
        f"'{source}' is no run folder (run.json), no result (result.json) and no data set (dataset.json): name one of "
        "these."
    )


def _of_run(
    run: RunFolder, methods: Sequence[str], protocols: Sequence[str], subjects: Sequence[str]
) -> list[StoredHead]:
    config = run.read_config()
    _check("method", methods, config["methods"], run.path)
    _check("protocol", protocols, config["protocols"], run.path)
    _check("subject", subjects, config["subjects"], run.path)
    found = [
        _run_head(run, key, record)
        for key, record in run.results()
        if has_head(record)
        and (not methods or key.method in methods)
        and (not protocols or key.protocol in protocols)
        and (not subjects or key.subject in subjects)
    ]
    if not found:
        raise InputError(
            f"the run '{run.path}' holds no finished head of those (what was imported as views has none): finish it "
            "with 'mesoface run'."
        )
    return found


def _check(what: str, wanted: Iterable[str], known: Iterable[str], place: Path) -> None:
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.0)
            hint = f"did you mean '{near[0]}'?" if near else "it has none."
            raise UsageError(f"'{place}' has no {what} '{name}': {hint}")


def _run_head(run: RunFolder, key: ResultKey, record: Mapping[str, Any]) -> StoredHead:
    person = read_json(run.reference(key.subject) / "subject.json")
    name, _, version = str(record["inputs"]["face_model"]).partition(" ")
    licence = Licence(**{field: person["licence"][field] for field in ("name", "citation", "redistributable")})
    provenance = Provenance(
        subject=key.subject,
        source=person["source"],
        licence=settled(licence),
        method=key.method,
        protocol=key.protocol,
        face_model=f"{name} {version}",
        photograph=person["sha256"],
        synthetic=bool(person["synthetic"]),
        attributes=person["attributes"],
        details={
            "fit_verdict": record["fit"]["verdict"],
            "database": record["inputs"]["database"],
            "parameters": record["inputs"]["parameters"],
            "albedo_precision": "8 bits a channel, sRGB-encoded, as the run keeps it",
        },
    )
    fit = run.judged(key.subject, key.protocol) / "reference.json"
    protocol = run.result(key).parent.name
    return StoredHead(f"{key.method}/{protocol}/{key.subject}", run.result(key), fit, name, version, provenance, True)


def _of_release(release: ReleaseFolder, subjects: Sequence[str], splits: Sequence[str]) -> list[StoredHead]:
    index = release.read_index()
    _check("subject", subjects, index["subjects"], release.path)
    model = index["settings"]["face_model"]
    found = []
    for record in release.records():
        if (subjects and record["id"] not in subjects) or (splits and record["split"] not in splits):
            continue
        licence = Licence(**{field: record["licence"][field] for field in ("name", "citation", "redistributable")})
        provenance = Provenance(
            subject=record["id"],
            source=record["source"],
            licence=settled(licence),
            method=METHOD,
            face_model=record["face_model"],
            face_model_licence=record["face_model_licence"],
            photograph=record["photograph_sha256"],
            synthetic=bool(record["synthetic"]),
            attributes=record["attributes"],
            details={
                "fit_verdict": record["fit"]["verdict"],
                "albedo_precision": "half float",
                "split": record["split"],
            },
        )
        place = release.subject(record["id"])
        found.append(
            StoredHead(record["id"], place, place / OBSERVED, model["name"], model["version"], provenance, of_run=False)
        )
    if not found:
        raise InputError(f"the data set '{release.path}' holds nobody of those.")
    return found


def load_head(stored: StoredHead, model: MorphableModel) -> Head:
    """Reads a head.

    Args:
        model: the face model called ``stored.face_model``.

    Raises:
        InputError: the head was made with another version of the face model, or a file is damaged.
    """
    if model.version != stored.version:
        raise InputError(
            f"'{stored.folder}' was made with version {stored.version} of the face model '{model.name}', here is "
            f"{model.version}: make it again."
        )
    reference = read_json(stored.fit)
    if stored.of_run:
        scene = _run_scene(stored, model, reference)
        mask = _map(stored.folder / "mask.png", np.bool_)
    else:
        vertices = _stored_vertices(stored.folder / "vertices.npy")
        albedo = read_exr(stored.folder / "albedo.exr", ("RGB",)).astype(np.float32)
        scene = stored_scene(model, vertices, albedo, reference["fit"])
        mask = _map(stored.folder / "seen.png", np.bool_)
    provenance = stored.provenance
    if not provenance.face_model_licence:
        provenance = replace(provenance, face_model=face_model_name(model), face_model_licence=model.licence)
    return Head(scene, mask.astype(bool), provenance)


def _run_scene(stored: StoredHead, model: MorphableModel, reference: Mapping[str, Any]) -> Scene:
    """The scene of a run's result, with the mesh that the method gave, which need not be the fit's shape."""
    try:
        return scene_from_folder(model, stored.folder, reference)
    except (KeyError, TypeError) as error:
        raise InputError(f"'{stored.fit}' lacks {error}: delete its folder and run again.") from error


def _map(path: Path, kind: type[np.generic]) -> NDArray[Any]:
    values = read_png(path)
    if values.dtype != kind:
        raise ImageError(f"'{path}' is no {'mask' if kind is np.bool_ else 'colour map'}: make it again.")
    return values


def _stored_vertices(path: Path) -> NDArray[np.float32]:
    try:
        return np.asarray(np.load(path), np.float32)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"the mesh '{path}' cannot be read ({error}): build the data set again.") from error
