"""A textured mesh in a UV layout of its own, as another system wrote it: brought into a face model's UV square.

The mesh is taken for a finished scan, and goes the way of a captured one (:mod:`recon.capture`): 68 landmarks, given in
``subject.toml`` or found on renderings; registration of the face model; transfer of the texture along the normals. The
registered head is then laid onto the head that was fitted to the photograph by the similarity that is best over the
face, because another system knows neither the run's frame nor its scale.

A folder with ``subject.toml`` is read as :mod:`recon.data.light_stage` documents it. Else the texture is ``albedo.png``
(``.exr``, ``.tif``, ``.jpg``) beside the mesh, or that of the mesh's own material; where several materials have
textures, the one that covers the largest area is the skin.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.capture.alignment import best_similarity
from recon.capture.captured_truth import OpenScan
from recon.capture.registration import register
from recon.capture.scan import MESH_SUFFIXES, read_scan
from recon.capture.scan_source import ScanSource, read_scan_folder
from recon.capture.sequence_file import FILE
from recon.capture.texture_map import LEAST_SIDE, MapFile, read_maps
from recon.capture.transfer import find_partners, transfer_map
from recon.errors import InputError
from recon.face_model.model import MorphableModel
from recon.texture.completion import face_masks
from recon.texture.masked import extend

_BESIDE = tuple(f"albedo{suffix}" for suffix in (".exr", ".tif", ".tiff", ".png", ".jpg", ".jpeg"))


@dataclass(frozen=True, eq=False)
class LaidOver:
    """Another system's head in the topology, the UV square and the place of the fitted one.

    Attributes:
        vertices: ``(V, 3)`` float32, model frame and unit.
        albedo: ``(S, S, 3)`` float32 linear, continued smoothly where the mesh has none.
        mask: ``(S, S)`` bool: texels of the face that read the mesh's own texture.
        record: residual of the registration, scale, what was guessed; as JSON keeps it.
    """

    vertices: NDArray[np.float32]
    albedo: NDArray[np.float32]
    mask: NDArray[np.bool_]
    record: Mapping[str, Any]


def described_scan(source: Path) -> tuple[str, tuple[str, ...]]:
    """What mesh and texture are in words, and what the user should know; both are read to the end.

    Args:
        source: a GLB file, or a folder with a mesh.

    Raises:
        InputError: mesh or texture are missing, damaged, or cannot be laid onto each other.
    """
    with tempfile.TemporaryDirectory() as scratch:
        known = scan_source(source, Path(scratch))
        scan = read_scan(known.mesh, known.skin)
        albedo = read_maps(known.maps)["albedo"]
    height, width = albedo.values.shape[:2]
    return f"{int(scan.skin.sum())} triangles, texture {width}×{height}", (*known.notes, *scan.notes)


def scan_source(source: Path, scratch: Path) -> ScanSource:
    """The mesh and the texture of ``source``.

    Args:
        scratch: an empty folder; a texture that lies inside of a mesh's file is written there.

    Raises:
        InputError: see :func:`described_scan`.
    """
    if (source / FILE).is_file():
        return read_scan_folder(source)
    mesh = source if source.is_file() else _mesh_in(source)
    beside = [source / name for name in _BESIDE if (source / name).is_file()]
    if beside:
        return ScanSource(source.stem, mesh, {"albedo": MapFile(beside[0])})
    part, picture, notes = _textured_part(mesh)
    path = scratch / "albedo.png"
    picture.convert("RGB").save(path)
    _write_part(scratch / "mesh.obj", part)
    return ScanSource(source.stem, scratch / "mesh.obj", {"albedo": MapFile(path, "srgb")}, notes=notes)


def _mesh_in(folder: Path) -> Path:
    """The one mesh of a folder; of several under one name, the first kind of ``MESH_SUFFIXES``."""
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in MESH_SUFFIXES]
    if not found:
        endings = ", ".join(suffix[1:].upper() for suffix in MESH_SUFFIXES)
        raise InputError(f"'{folder}' holds no mesh: put one there ({endings}).")
    if len({path.stem for path in found}) > 1:
        raise InputError(
            f"'{folder}' holds several meshes ({', '.join(path.name for path in found)}): leave one there, or name it "
            f"in {FILE}, mesh."
        )
    return min(found, key=lambda path: MESH_SUFFIXES.index(path.suffix.lower()))


def _textured_part(mesh: Path) -> tuple[list[Any], Any, tuple[str, ...]]:
    """The meshes of the material whose texture covers the largest area, the texture as Pillow has it, and remarks.

    Raises:
        InputError: the mesh cannot be read, or no material has a texture and texture coordinates.
    """
    import trimesh

    try:
        with _silenced():
            parts = trimesh.load_scene(mesh, process=False, maintain_order=True).dump()
    except Exception as error:  # trimesh passes on whatever its parsers run into
        raise InputError(
            f"'{mesh}' cannot be read ({type(error).__name__}: {error}): it is damaged; export it again."
        ) from error
    by_material: dict[str, list[Any]] = {}
    for part in (part for part in parts if isinstance(part, trimesh.Trimesh) and len(part.faces)):
        material = getattr(part.visual, "material", None)
        if _picture(part) is not None and getattr(part.visual, "uv", None) is not None:
            by_material.setdefault(str(getattr(material, "name", "")), []).append(part)
    if not by_material:
        raise InputError(
            f"'{mesh}' has no texture of {LEAST_SIDE}² texels or more that can be read: put albedo.png beside it, or "
            "export it with texture coordinates and its material's picture."
        )
    chosen = max(by_material, key=lambda name: sum(float(part.area) for part in by_material[name]))
    used, others = by_material[chosen], len(parts) - len(by_material[chosen])
    notes = (f"the material '{chosen}' is the skin; {others} other parts are left out",) if others else ()
    return used, _picture(used[0]), notes


@contextmanager
def _silenced() -> Iterator[None]:
    """Keeps to itself what trimesh says of pictures that it cannot read; we say it by name."""
    log = logging.getLogger("trimesh")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():  # of numpy, about textures without a single opaque texel
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        log.setLevel(level)


def _picture(part: Any) -> Any:
    """The colour texture of a part as Pillow has it, or None; trimesh puts a tiny one in place of what is missing."""
    material = getattr(part.visual, "material", None)
    picture = getattr(material, "baseColorTexture", None)
    picture = getattr(material, "image", None) if picture is None else picture
    return picture if picture is not None and min(picture.size) >= LEAST_SIDE else None


def _write_part(path: Path, parts: list[Any]) -> None:
    """Positions, texture coordinates and triangles alone, which is what :func:`recon.capture.scan.read_scan` takes."""
    start = np.cumsum([0, *(len(part.vertices) for part in parts)])
    corners = np.concatenate([np.asarray(part.faces) + first + 1 for part, first in zip(parts, start, strict=False)])
    with path.open("w", encoding="ascii") as file:
        np.savetxt(file, np.concatenate([part.vertices for part in parts]), "v %.9g %.9g %.9g")
        np.savetxt(file, np.concatenate([part.visual.uv for part in parts]), "vt %.9g %.9g")
        np.savetxt(file, np.repeat(corners, 2, axis=1), "f %d/%d %d/%d %d/%d")


def laid_over(source: Path, model: MorphableModel, fitted: NDArray[np.floating], size: int) -> LaidOver:
    """The mesh in ``source`` in place of the fitted head; takes some seconds.

    Args:
        source: a GLB file, or a folder with a mesh.
        fitted: ``(V, 3)`` vertices of the head that was fitted to the photograph.
        size: side of the albedo map in texels.

    Raises:
        InputError: the mesh cannot be used, no face is found on it, or the model cannot be brought onto it.
    """
    with tempfile.TemporaryDirectory() as scratch:
        opened = OpenScan(scan_source(source, Path(scratch)), model)
        registration = register(opened.scan, opened.landmarks, model, opened.millimetres_per_unit)
        partners = find_partners(opened.scan, registration, model, size)
        albedo = transfer_map(opened.albedo, partners)
        record = {**opened.record(), "registration": registration.record}
    face = model.regions["face"]
    own, aim = registration.vertices[face].astype(np.float64), np.asarray(fitted[face], np.float64)
    similarity = best_similarity(own, aim, with_scale=True)
    placed = registration.vertices.astype(np.float64) @ similarity[:3, :3].T + similarity[:3, 3]
    gap = np.linalg.norm(placed[face] - aim, axis=1) * 1000.0 * model.metres_per_unit
    mask = partners.mask & face_masks(model, size).face
    record["placed_by"] = {
        "scale": float(np.cbrt(np.linalg.det(similarity[:3, :3]))),
        "median_mm_to_fit": float(np.median(gap)),
    }
    record["face_covered"] = float(mask.sum() / face_masks(model, size).face.sum())
    filled = extend(np.clip(albedo, 0, 1), partners.mask)
    return LaidOver(placed.astype(np.float32), np.clip(filled, 0, 1).astype(np.float32), mask, record)
