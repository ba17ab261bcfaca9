"""Scans for the tests: a model's head as a turning scanner would see it, in a topology and UV layout of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.capture.scan import Scan
from recon.face_model.model import MorphableModel, vertex_normals
from recon.rendering.rays import Hits, RayScene

Float = NDArray[np.float32]
# Of the cylinder around the head: half angle, and lowest and highest point relative to the eyes, centimetres.
_HALF_ANGLE = np.radians(105.0)
_LOW, _HIGH = -11.0, 10.0


@dataclass(frozen=True, eq=False)
class CylinderScan:
    """A scan whose UV layout is angle and height.

    Attributes:
        scan: in the model's frame and unit.
        hits: where on the model each of its vertices lies.
    """

    scan: Scan
    hits: Hits


def deformed(model: MorphableModel, seed: int, amplitude: float) -> Float:
    """A random person of the model whose surface has waves of ``amplitude`` (model unit), 4 to 9 cm long, on top.

    No coefficients of the model make such waves, so only a free deformation can follow them.
    """
    rng = np.random.default_rng(seed)
    identity = rng.normal(size=len(model.identity_basis)).astype(np.float32)
    vertices = model.vertices(identity)
    height = np.zeros(len(vertices))
    for _ in range(6):
        direction = rng.normal(size=3)
        direction /= np.linalg.norm(direction)
        height += np.sin(vertices @ direction * 2 * np.pi / rng.uniform(4, 9) + rng.uniform(0, 6)) / np.sqrt(3)
    normals = vertex_normals(vertices, model.triangles)
    return (vertices + (amplitude * height)[:, None] * normals).astype(np.float32)


def _axis(model: MorphableModel) -> Float:
    eyes = model.landmarks(model.mean)[36:48].mean(axis=0)
    return np.array([eyes[0], eyes[1], eyes[2] - 8.0], np.float32)


def _cast(model: MorphableModel, vertices: Float, u: Float, v: Float) -> Hits:
    """The skin as seen from the cylinder at layout positions ``(N,)``, looking at its axis."""
    axis = _axis(model)
    angle = (u - 0.5) * 2 * _HALF_ANGLE
    out = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=1)
    height = axis[1] + _LOW + v * (_HIGH - _LOW)
    origin = axis + 30.0 * out
    origin[:, 1] = height
    skin = model.triangles_of("face", "body", "head")
    hits = RayScene(vertices, model.triangles[skin]).first_hit(origin, -out)
    return Hits(np.where(hits.triangle >= 0, skin[hits.triangle], -1), hits.distance, hits.barycentric)


def at_hits(model: MorphableModel, values: NDArray[np.floating], hits: Hits) -> NDArray[np.float64]:
    """``(N, C)`` vertex values ``(V, C)`` where rays hit; NaN where they did not."""
    corners = model.triangles[np.maximum(hits.triangle, 0)]
    found = np.einsum("ncx,nc->nx", values[corners], hits.barycentric).astype(np.float64)
    found[hits.triangle < 0] = np.nan
    return found


def cylinder_scan(model: MorphableModel, vertices: Float, columns: int, noise: float = 0.0) -> CylinderScan:
    """The head ``vertices`` scanned on a grid; cells that bridge more than 6 mm of depth are holes.

    Args:
        columns: of the grid; it has as many rows.
        noise: standard deviation along the ray, model unit.
    """
    steps = (np.arange(columns) + 0.5) / columns
    u, v = (grid.ravel() for grid in np.meshgrid(steps, steps))
    hits = _cast(model, vertices, u.astype(np.float32), v.astype(np.float32))
    points = at_hits(model, vertices, hits)
    angle = (u - 0.5) * 2 * _HALF_ANGLE
    out = np.stack([np.sin(angle), np.zeros_like(angle), np.cos(angle)], axis=1)
    points += np.random.default_rng(1).normal(0, noise, len(points))[:, None] * out if noise else 0.0
    index = np.arange(columns * columns).reshape(columns, columns)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    depth = np.ptp(hits.distance[triangles], axis=1)
    kept = (hits.triangle[triangles] >= 0).all(axis=1) & (depth < 0.6)
    used, renumbered = np.unique(triangles[kept], return_inverse=True)
    corners = renumbered.reshape(-1, 3).astype(np.int32)
    scan = Scan("cylinder", points[used], corners, np.stack([u, v], 1)[used], corners, np.ones(len(corners), bool))
    return CylinderScan(scan, Hits(hits.triangle[used], hits.distance[used], hits.barycentric[used]))


def layout_positions(
    model: MorphableModel, vertices: Float, size: int, values: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """``(size, size, C)`` the surface point (or the vertex ``values`` ``(V, C)``) at every texel of the scan's layout,
    row 0 at v = 1; NaN where none is."""
    steps = ((np.arange(size) + 0.5) / size).astype(np.float32)
    u, v = np.meshgrid(steps, steps[::-1])
    hits = _cast(model, vertices, u.ravel(), v.ravel())
    return at_hits(model, vertices if values is None else values, hits).reshape(size, size, -1)


def write_obj(path: Path, scan: CylinderScan, scale: float = 10.0, material: str = "", extra: str = "") -> None:
    """An OBJ file with a colour on every vertex and three texture coordinates, as scanners write them."""
    mesh = scan.scan
    with path.open("w") as file:
        np.savetxt(
            file, np.column_stack([mesh.vertices * scale, np.full((len(mesh.vertices), 3), 0.5)]), "v" + " %.5f" * 6
        )
        np.savetxt(file, mesh.uv, "vt %.6f %.6f 0.0")
        file.write("vn 0 0 1\n" + (f"usemtl {material}\n" if material else ""))
        corners = np.repeat(mesh.triangles + 1, 2, axis=1)
        np.savetxt(file, corners, "f %d/%d/1 %d/%d/1 %d/%d/1")
        file.write(extra)
