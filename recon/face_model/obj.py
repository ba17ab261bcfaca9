"""Wavefront OBJ as far as morph targets need it: positions, texture coordinates, polygons, materials.

The files of a morphable model number in the hundreds and share their faces, so positions are parsed apart from
the topology, and both in bulk rather than line by line.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.errors import AssetError


@dataclass(frozen=True, eq=False)
class ObjMesh:
    """A triangulated OBJ mesh.

    Attributes:
        vertices: ``(V, 3)`` float64 positions.
        uv: ``(U, 2)`` float64 texture coordinates, origin bottom left.
        triangles: ``(T, 3)`` int32 vertex indices; a polygon becomes a fan around its first corner.
        uv_triangles: ``(T, 3)`` int32 indices into ``uv``.
        polygon: ``(T,)`` int32: the polygon, in file order, that each triangle came from.
        material: ``(T,)`` int16 index into ``material_names``.
        material_names: as named by ``usemtl`` (or by ``g``, where asked), in order of first use.
        quads, uv_quads: ``(P, 4)`` int32 per polygon where all polygons have four corners, else empty.
    """

    vertices: NDArray[np.float64]
    uv: NDArray[np.float64]
    triangles: NDArray[np.int32]
    uv_triangles: NDArray[np.int32]
    polygon: NDArray[np.int32]
    material: NDArray[np.int16]
    material_names: tuple[str, ...]
    quads: NDArray[np.int32]
    uv_quads: NDArray[np.int32]


def read_positions(data: bytes, name: str) -> NDArray[np.float64]:
    """``(V, 3)`` float64 positions of the OBJ file ``data``; ``name`` is used in messages.

    Raises:
        AssetError: the file has no vertices or lines that are not numbers.
    """
    return _numbers([line[2:] for line in data.splitlines() if line.startswith(b"v ")], 3, name, "vertices")


def read_obj(data: bytes, name: str, parts: bytes = b"usemtl") -> ObjMesh:
    """Parse the OBJ file ``data`` whose polygons carry texture coordinates (``f v/vt …``).

    Args:
        data: the file's bytes.
        name: for messages.
        parts: the statement that says which part polygons belong to: ``usemtl`` (materials) or ``g`` (groups).

    Raises:
        AssetError: no vertices, polygons without texture coordinates, or indices out of range.
    """
    lines = data.splitlines()
    vertices = _numbers([line[2:] for line in lines if line.startswith(b"v ")], 3, name, "vertices")
    uv = _numbers([line[3:] for line in lines if line.startswith(b"vt ")], 2, name, "texture coordinates")
    material_names: list[str] = []
    polygons: list[bytes] = []
    polygon_material: list[int] = []
    current = -1
    for line in lines:
        if line.startswith(b"f "):
            polygons.append(line[2:])
            polygon_material.append(current)
        elif line.startswith(parts + b" "):
            material = line[len(parts) :].strip().decode("utf-8", "replace")
            if material not in material_names:
                material_names.append(material)
            current = material_names.index(material)
    if not polygons:
        raise AssetError(f"{name} has no polygons: fetch it again.")
    if -1 in polygon_material:
        raise AssetError(f"{name} has polygons without a material: it is not the expected model file.")
    corners, first, count = _corners(polygons, name)
    fan = np.repeat(np.arange(len(polygons)), count - 2)
    step = np.arange(len(fan)) - np.repeat(np.cumsum(count - 2) - (count - 2), count - 2)
    index = np.stack([first[fan], first[fan] + step + 1, first[fan] + step + 2], axis=1)
    if corners.min() < 0 or corners[:, 0].max() >= len(vertices) or corners[:, 1].max() >= len(uv):
        raise AssetError(f"{name} has polygons that point outside its vertices: it is damaged, fetch it again.")
    return ObjMesh(
        vertices=vertices,
        uv=uv,
        triangles=corners[index, 0],
        uv_triangles=corners[index, 1],
        polygon=fan.astype(np.int32),
        material=np.asarray(polygon_material, dtype=np.int16)[fan],
        material_names=tuple(material_names),
        quads=corners[:, 0].reshape(-1, 4) if np.all(count == 4) else np.empty((0, 4), dtype=np.int32),
        uv_quads=corners[:, 1].reshape(-1, 4) if np.all(count == 4) else np.empty((0, 4), dtype=np.int32),
    )


def _corners(polygons: list[bytes], name: str) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """``(C, 2)`` zero-based vertex and uv index of every corner, first corner and number of corners per polygon."""
    slashes = np.array([line.count(b"/") for line in polygons])
    count = np.array([len(line.split()) for line in polygons])
    if np.any(slashes != count) or np.any(count < 3) or any(b"//" in line for line in polygons):
        raise AssetError(f"{name}: expected polygons of the form 'f v/vt v/vt v/vt …'; it is not the model file.")
    values = _numbers([b" ".join(polygons).replace(b"/", b" ")], 2, name, "polygons")
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    return values.astype(np.int32) - 1, first, count


def _numbers(lines: list[bytes], columns: int, name: str, noun: str) -> NDArray[np.float64]:
    """``(N, columns)`` float64 of whitespace-separated numbers."""
    try:
        values = np.array(b" ".join(lines).split(), dtype=np.float64)
    except ValueError as error:
        raise AssetError(f"{name}: its {noun} are not all numbers ({error}); it is damaged, fetch it again.") from error
    if values.size == 0 or values.size % columns:
        raise AssetError(f"{name} has no usable {noun}: it is damaged or not the expected file, fetch it again.")
    return values.reshape(-1, columns)
