"""From a raw gradient sequence to ground truth for a face model: process it, register its mesh, and blend its cameras.

The photograph of such a subject is what its most frontal camera saw under full-on light, diffuse and specular
together: a real picture, under light that is the same from all sides.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.capture.alignment import ScanLandmarks
from recon.capture.capture import Capture, CapturedView
from recon.capture.captured_truth import RECIPE, kept_registration
from recon.capture.scan import Scan, read_scan
from recon.capture.sequence import process_sequence
from recon.capture.sequence_file import SequenceFile, read_sequence_file
from recon.capture.transfer import Partners, SeenMap, find_partners, transfer_views
from recon.colour import linear_to_srgb, luminance
from recon.data.subject import GroundTruth, Photograph, Subject
from recon.errors import InputError
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.images import write_png
from recon.rendering.rays import RayScene
from recon.storage import read_json, write_json, write_npy

Float = NDArray[np.float32]

FULL_ON = "the most frontal camera's diffuse and specular light under full-on illumination, exposed for display"
"""What records say of the photograph."""

# Even light makes skin as bright as its albedo; a photograph is exposed so that light skin is bright.
_BRIGHT = 0.75  # linear value of the 98th percentile
_BACKGROUND = 0.18


@dataclass(frozen=True)
class SequenceTruth:
    """Ground truth of a raw sequence (a :class:`recon.data.subject.TruthSource`).

    Attributes:
        sequence_folder: with ``subject.toml``.
        cache: folder under which results are kept.
    """

    sequence_folder: Path
    cache: Path

    @property
    def folder(self) -> Path:
        """Where this sequence's results are kept: its name changes with its files."""
        seen = [
            (str(file.relative_to(self.sequence_folder)), file.stat().st_size, file.stat().st_mtime_ns)
            for file in sorted(self.sequence_folder.rglob("*"))
            if file.is_file()
        ]
        place = f"{RECIPE} {self.sequence_folder.resolve()} {seen}"
        name = read_sequence_file(self.sequence_folder).id
        return self.cache / f"{name}-{hashlib.sha256(place.encode()).hexdigest()[:16]}"

    def photograph(self) -> Path:
        """See the module; made once."""
        path = self.folder / "photograph.png"
        if not path.is_file():
            write_png(path, _OpenSequence(self.sequence_folder).photograph)
        return path

    def truth(self, model: MorphableModel, size: int) -> GroundTruth:
        """See :class:`recon.data.subject.TruthSource`.

        Raises:
            InputError: the sequence cannot be used, has no mesh, or the model cannot be brought onto it.
        """
        folder = self.folder / f"{model.name}-{model.version[:12]}"
        maps = folder / str(size)
        kinds = ("specular", "normal") if _polarised(self.sequence_folder) else ("normal",)
        files = {kind: maps / f"{kind}.npy" for kind in ("albedo", *kinds)}
        mask, record = maps / "mask.npy", folder / "record.json"
        if not all(path.is_file() for path in (*files.values(), mask, record, folder / "vertices.npy")):
            opened = _OpenSequence(self.sequence_folder)
            registration = kept_registration(folder, model, lambda: opened)
            partners = find_partners(opened.scan, registration, model, size)
            known = partners.mask.copy()
            for kind, path in files.items():
                values, seen = _blended(kind, opened.capture.views, partners)
                write_npy(path, values.astype(np.float16))
                known &= seen
            write_npy(mask, known)
            write_json(
                record,
                {
                    "capture": {
                        "kind": "gradient sequence",
                        "frame": opened.capture.frame,
                        "landmarks": {"origin": opened.landmarks.origin},
                        "views": {view.name: dict(view.report) for view in opened.capture.views},
                    },
                    "registration": read_json(folder / "registration.json"),
                    "photograph": {"origin": FULL_ON},
                },
            )
        others = {kind: path for kind, path in files.items() if kind != "albedo"}
        return GroundTruth(model.name, files["albedo"], mask, folder / "vertices.npy", others, record)


def sequence_subject(folder: Path, cache: Path, source: str) -> Subject:
    """The subject of the raw sequence in ``folder``; its photograph is there afterwards.

    Raises:
        InputError: the sequence cannot be used, or has no mesh.
    """
    described = read_sequence_file(folder)
    _require_mesh(described)
    capture = SequenceTruth(folder, cache)
    return Subject(
        id=described.id,
        source=source,
        photograph=capture.photograph(),
        licence=described.licence,
        attributes=described.attributes,
        synthetic=described.synthetic,
        capture=capture,
    )


def _require_mesh(described: SequenceFile) -> Path:
    if described.mesh is None:
        raise InputError(
            f"'{described.path}' names no mesh, so its maps cannot be laid onto a face model: add [mesh] file, the "
            "head in the capture's frame."
        )
    return described.mesh


def _polarised(folder: Path) -> bool:
    return all(camera.polarised for camera in read_sequence_file(folder).cameras)


@dataclass(frozen=True, eq=False)
class _OpenSequence:
    """A processed sequence; what is slow is made when it is first asked for."""

    folder: Path

    @cached_property
    def capture(self) -> Capture:
        return process_sequence(self.folder)

    @cached_property
    def scan(self) -> Scan:
        return read_scan(_require_mesh(read_sequence_file(self.folder)), need_uv=False)

    @property
    def millimetres_per_unit(self) -> float:
        return self.capture.metres_per_unit * 1000.0

    @cached_property
    def frontal(self) -> tuple[CapturedView, Camera]:
        """The view whose maps lie most evenly about the middle of the face: the one that measured most skin."""
        posed = [(view, view.camera) for view in self.capture.views if view.camera is not None]
        if not posed:
            raise InputError(
                f"'{self.folder}': no camera has a pose, so its maps cannot be laid onto a face model: give rotation, "
                "translation, focal and principal in subject.toml."
            )
        return max(posed, key=lambda pair: _solid_angle(*pair))

    @cached_property
    def photograph(self) -> Float:
        """``(H, W, 3)`` sRGB-encoded."""
        view, _ = self.frontal
        radiance = view.diffuse_albedo + (view.specular_albedo if view.specular_albedo is not None else 0)
        bright = float(np.percentile(luminance(radiance[view.measured]), 98))
        shown = np.where(view.measured[..., None], radiance * np.float32(_BRIGHT / max(bright, 1e-6)), _BACKGROUND)
        return linear_to_srgb(shown)

    @cached_property
    def landmarks(self) -> ScanLandmarks:
        """Given ones; else dlib's on the photograph, cast back onto the mesh."""
        from recon.capture.scan_landmarks import cast_back
        from recon.fitting.landmarks import detect_landmarks

        if self.capture.landmarks is not None:
            return ScanLandmarks(self.capture.landmarks, "given")
        found = detect_landmarks(Photograph(self.photograph, f"{self.capture.id} under full-on light", ""))
        rays = RayScene(self.scan.vertices, self.scan.triangles)
        return ScanLandmarks(cast_back(self.scan, rays, self.frontal[1], found.points), "detected")


def _solid_angle(view: CapturedView, camera: Camera) -> float:
    """Measured pixels in units of the squared focal length."""
    return float(view.measured.sum()) / camera.focal**2


def _blended(kind: str, views: tuple[CapturedView, ...], partners: Partners) -> tuple[Float, NDArray[np.bool_]]:
    """A map of all cameras in the model's UV square, and where any saw it."""
    seen = []
    for view in views:
        if view.camera is None:
            continue
        values = {
            "albedo": view.diffuse_albedo,
            "specular": view.specular_albedo,
            "normal": view.diffuse_normals,
        }[kind]
        assert values is not None
        seen.append(SeenMap(view.camera, values, view.mask))
    blend, mask = transfer_views(seen, partners)
    if kind == "normal":
        turned = blend[mask] @ partners.rotation.T
        blend[mask] = turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-12)
    return blend, mask
