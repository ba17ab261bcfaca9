"""From a capture on disk to ground truth for a face model, kept in the cache.

What is expensive is made once and kept in a folder whose name changes with everything that it was made from::

    <cache>/<id>-<key>/
      photograph.png photograph.json      where the capture has no photograph: rendered, and how
      <model>-<version>/
        registration.npz vertices.npy     the face model on the scan
        record.json                       residual, maps, landmarks, notes
        <size>/<kind>.npy mask.npy        maps in the model's UV square

Every file is whole or absent, so that a killed program continues with what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from recon.capture.alignment import ScanLandmarks, best_similarity, guessed_unit
from recon.capture.portrait import DISTANCE_MM, ShownScan, portrait_camera, render_scan
from recon.capture.registration import Registration, Residual, register
from recon.capture.scan import Scan, read_scan, vertex_positions
from recon.capture.scan_landmarks import find_face, upright
from recon.capture.scan_source import MILLIMETRES, ScanSource
from recon.capture.texture_map import TextureMap, read_maps
from recon.capture.transfer import Partners, find_partners, object_normals, transfer_map
from recon.data.subject import GroundTruth
from recon.errors import InputError, StorageError
from recon.face_model.model import MorphableModel
from recon.images import write_png
from recon.storage import atomic_path, read_json, write_json, write_npy

Float = NDArray[np.float32]

# A change of what is made from a capture makes new folders instead of trusting old ones.
RECIPE = "1"

RENDERED = "rendered from the capture: Lambertian under the standard studio's spherical harmonics; no real photograph"
"""What records say of such a photograph."""


class Located(Protocol):
    """A scan with its landmarks, ready to be registered."""

    scan: Scan
    landmarks: ScanLandmarks
    millimetres_per_unit: float | None


def kept_registration(folder: Path, model: MorphableModel, located: Any) -> Registration:
    """The registration of a capture, read from ``folder`` or made and written there.

    Args:
        located: a function without arguments that gives a :class:`Located`; called only where nothing is kept.
    """
    path = folder / "registration.npz"
    if path.is_file():
        return _read_registration(path)
    found: Located = located()
    made = register(found.scan, found.landmarks, model, found.millimetres_per_unit)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            vertices=made.vertices,
            transform=made.transform,
            identity=made.identity,
            expression=made.expression,
            distance_mm=made.distance_mm,
            residual=np.array(list(made.residual.__dict__.values())),
        )
    write_npy(folder / "vertices.npy", made.vertices)
    write_json(folder / "registration.json", {"notes": list(made.notes), **made.record})
    return made


def _read_registration(path: Path) -> Registration:
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        residual = Residual(*(float(value) for value in arrays.pop("residual")))
        return Registration(residual=residual, **arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise StorageError(f"'{path}' is damaged ({error}): delete it, it is made anew.") from error


@dataclass(frozen=True, eq=False)
class OpenScan:
    """A finished scan whose files were read; what is slow is found when it is first asked for."""

    source: ScanSource
    model: MorphableModel

    @cached_property
    def scan(self) -> Scan:
        """The mesh."""
        return read_scan(self.source.mesh, self.source.skin)

    @cached_property
    def maps(self) -> dict[str, TextureMap]:
        """All maps."""
        return read_maps(self.source.maps)

    @property
    def albedo(self) -> Float:
        """``(H, W, 3)`` linear."""
        return self.maps["albedo"].values

    @cached_property
    def _face(self) -> tuple[ScanLandmarks, tuple[str, str] | None, float | None]:
        """Landmarks, orientation, and the detector's score where it was asked."""
        source = self.source
        given = _given_landmarks(source)
        if given is None:
            found = find_face(self.scan, self.albedo, source.orientation)
            return found.landmarks, found.orientation, found.score
        return ScanLandmarks(given, "given"), source.orientation, None

    @property
    def landmarks(self) -> ScanLandmarks:
        """Given ones, else detected."""
        return self._face[0]

    @cached_property
    def millimetres_per_unit(self) -> float | None:
        """Declared, else told from the size of the face; None where it is like no unit."""
        if self.source.units is not None:
            return MILLIMETRES[self.source.units]
        return guessed_unit(self.landmarks, self.model, tuple(MILLIMETRES.values()))

    @cached_property
    def rotation(self) -> NDArray[np.float64]:
        """``(3, 3)`` from the scan's frame to y up, z out of the face."""
        orientation = self._face[1]
        if orientation is not None:
            return upright(*orientation)
        known = self.landmarks.known
        target = self.model.landmarks(self.model.mean).astype(np.float64)[known]
        turned = best_similarity(self.landmarks.points[known], target, True)[:3, :3]
        return np.asarray(turned / np.cbrt(np.linalg.det(turned)))

    def record(self) -> dict[str, Any]:
        """What was found and what was guessed, for the subject's record."""
        names = {value: name for name, value in MILLIMETRES.items()}
        unit = self.millimetres_per_unit
        origin = "declared" if self.source.units else ("told from the size of the face" if unit else "unknown")
        return {
            "mesh": self.source.mesh.name,
            "triangles": len(self.scan.triangles),
            "units": {"name": names[unit] if unit else None, "origin": origin},
            "orientation": list(self._face[1]) if self._face[1] else "from the landmarks",
            "landmarks": {"origin": self.landmarks.origin, "detector_score": self._face[2]},
            "maps": {kind: found.record for kind, found in self.maps.items()},
            "notes": [
                *self.source.notes,
                *self.scan.notes,
                *(note for found in self.maps.values() for note in found.notes),
            ],
        }


def _given_landmarks(source: ScanSource) -> NDArray[np.float64] | None:
    """``(68, 3)`` landmarks that the source states, or None.

    Raises:
        InputError: a vertex number that the mesh does not have.
    """
    if source.landmarks is not None:
        return np.asarray(source.landmarks, np.float64)
    if source.landmark_vertices is None:
        return None
    positions = vertex_positions(source.mesh)
    numbers = np.asarray(source.landmark_vertices)
    if numbers.min() < 0 or numbers.max() >= len(positions):
        raise InputError(
            f"'{source.mesh}' has {len(positions)} vertices, landmark_vertices names number {int(numbers.max())}: "
            "count from 0."
        )
    return positions[numbers]


@dataclass(frozen=True)
class ScanTruth:
    """Ground truth of a finished scan (a :class:`recon.data.subject.TruthSource`).

    Attributes:
        source: the scan.
        cache: folder under which results are kept.
    """

    source: ScanSource
    cache: Path

    @property
    def folder(self) -> Path:
        """Where this scan's results are kept."""
        import hashlib

        key = hashlib.sha256(f"{RECIPE} {self.source.key}".encode()).hexdigest()[:16]
        return self.cache / f"{self.source.id}-{key}"

    def photograph(self, model: MorphableModel) -> Path:
        """The subject's photograph; rendered from the scan where it has none (some seconds, once).

        Raises:
            InputError: the scan cannot be read, or no face is found on it.
        """
        if self.source.photograph is not None:
            return self.source.photograph
        path = self.folder / "photograph.png"
        if not path.is_file():
            scan = OpenScan(self.source, model)
            picture, record = _portrait(scan)
            write_json(self.folder / "photograph.json", record)
            write_png(path, picture)
        return path

    def truth(self, model: MorphableModel, size: int) -> GroundTruth:
        """See :class:`recon.data.subject.TruthSource`.

        Raises:
            InputError: the scan cannot be read, has no face, or the model cannot be brought onto it.
        """
        folder = self.folder / f"{model.name}-{model.version[:12]}"
        maps = folder / str(size)
        files = {kind: maps / f"{kind}.npy" for kind in self.source.maps}
        mask, record = maps / "mask.npy", folder / "record.json"
        if not all(path.is_file() for path in (*files.values(), mask, record, folder / "vertices.npy")):
            opened = OpenScan(self.source, model)
            registration = kept_registration(folder, model, lambda: opened)
            self._transfer(opened, registration, model, size, files, mask)
            kept = {"capture": opened.record(), "registration": read_json(folder / "registration.json")}
            made = self.folder / "photograph.json"
            photograph = read_json(made) if made.is_file() else {"origin": "supplied with the capture"}
            write_json(record, {**kept, "photograph": photograph})
        others = {kind: path for kind, path in files.items() if kind != "albedo"}
        return GroundTruth(model.name, files["albedo"], mask, folder / "vertices.npy", others, record)

    def _transfer(
        self,
        opened: OpenScan,
        registration: Registration,
        model: MorphableModel,
        size: int,
        files: Mapping[str, Path],
        mask: Path,
    ) -> None:
        partners = find_partners(opened.scan, registration, model, size)
        for kind, path in files.items():
            write_npy(path, _transferred(opened.maps[kind], partners, self.source))
        write_npy(mask, partners.mask)


def _transferred(texture: TextureMap, partners: Partners, source: ScanSource) -> NDArray[np.float16]:
    if texture.kind == "normal":
        return object_normals(texture.values, partners, source.maps["normal"].space).astype(np.float16)
    return transfer_map(texture.values, partners).astype(np.float16)


def _portrait(scan: OpenScan) -> tuple[Float, dict[str, Any]]:
    """A picture in place of a photograph, and its record."""
    turned = np.eye(4)
    # Where the unit is unknown, brows to mouth counts as 75 mm.
    scale = scan.millimetres_per_unit or 75.0 / _brows_to_mouth(scan.landmarks.points)
    turned[:3, :3] = scale * scan.rotation
    points = scan.landmarks.points @ turned[:3, :3].T
    camera = portrait_camera(points, DISTANCE_MM)
    picture = render_scan(ShownScan(scan.scan.moved(turned), scan.albedo), camera)
    record = {
        "origin": RENDERED,
        "camera": {
            "frame": "the scan, turned upright, in millimetres",
            "rotation": camera.rotation,
            "translation": camera.translation,
            "focal": camera.focal,
            "principal": list(camera.principal),
            "size": [camera.width, camera.height],
        },
        "scan_to_frame": turned,
    }
    return picture, record


def _brows_to_mouth(points: NDArray[np.float64]) -> float:
    return float(np.linalg.norm(np.nanmean(points[17:27], axis=0) - np.nanmean(points[48:60], axis=0)))
