"""From image to UV: which texels the camera sees, and the radiance they had in the photograph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting.camera import Camera
from recon.rendering.rays import RayScene
from recon.texture.uv_map import UVMap, uv_map

# What can hide skin from the camera; lashes, tear fluid and occlusion shells are drawn, but hide nothing.
_SEE_THROUGH = frozenset({"lacrimal", "eye_blend", "eye_occlusion", "lashes"})


@dataclass(frozen=True, eq=False)
class Surface:
    """The fitted surface at every texel of the UV square; ``(S, S)`` maps, row 0 at v = 1.

    Attributes:
        positions: ``(S, S, 3)`` float32, model frame.
        normals: ``(S, S, 3)`` float32 unit, smooth over vertices.
        pixels: ``(S, S, 2)`` float32 (x, y) in the photograph.
        facing: float32 cosine between normal and direction to the camera.
        visible: bool: on the face, inside the picture, facing the camera, first along its ray.
    """

    positions: NDArray[np.float32]
    normals: NDArray[np.float32]
    pixels: NDArray[np.float32]
    facing: NDArray[np.float32]
    visible: NDArray[np.bool_]


def surface(
    model: MorphableModel, layout: UVMap, vertices: NDArray[np.float32], camera: Camera, grazing: float = 0.15
) -> Surface:
    """The surface under each texel and whether the camera sees it.

    Args:
        layout: raster of the UV square, its size is the size of the result.
        vertices: ``(V, 3)`` float32, model frame.
        grazing: smallest cosine between normal and viewing direction at which a texel still counts as seen.
    """
    covered = layout.covered
    skin_normals = vertex_normals(vertices, model.triangles[model.uv_triangle_ids])
    positions = layout.interpolate(vertices)
    normals = layout.interpolate(skin_normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-9)
    facing = np.zeros(covered.shape, np.float32)
    pixels = np.zeros((*covered.shape, 2), np.float32)
    visible = np.zeros(covered.shape, bool)

    points = positions[covered]
    towards = camera.centre.astype(np.float32) - points
    distance = np.linalg.norm(towards, axis=-1)
    facing[covered] = np.einsum("nx,nx->n", normals[covered], towards / distance[:, None])
    pixels[covered] = camera.project(points)
    inside = (
        (pixels[..., 0] >= 0.5)
        & (pixels[..., 0] <= camera.width - 0.5)
        & (pixels[..., 1] >= 0.5)
        & (pixels[..., 1] <= camera.height - 0.5)
    )
    candidate = covered & inside & (facing > grazing)
    solid = np.flatnonzero(
        ~np.isin(model.triangle_material, [i for i, n in enumerate(model.material_names) if n in _SEE_THROUGH])
    )
    scene = RayScene(vertices, model.triangles[solid])
    seen = positions[candidate] - camera.centre.astype(np.float32)
    reach = np.linalg.norm(seen, axis=-1)
    hits = scene.first_hit(camera.centre, seen / reach[:, None])
    # The ray meets the texel's own triangle at `reach`; nearer by more than a hundredth of a head is something else.
    tolerance = 0.01 * float(np.ptp(vertices[:, 1]))
    visible[candidate] = hits.distance > reach - tolerance
    return Surface(positions, normals, pixels, facing, visible)


def sample_photograph(
    radiance: NDArray[np.float32], seen: Surface, supersample: int | None = None
) -> NDArray[np.float32]:
    """``(S, S, 3)`` float32 radiance of the photograph at every texel; 0 where the surface is not visible.

    A texel can cover several pixels, so each is averaged over ``supersample``² bilinear samples spread over it, at
    positions interpolated between neighbouring texels: without this, pixel noise would alias into false detail.

    Args:
        radiance: ``(H, W, 3)`` linear RGB photograph.
        seen: the surface, from :func:`surface`.
        supersample: samples a side; by default as many as a typical texel is pixels wide, at most 4.
    """
    rows, columns = np.nonzero(seen.visible)
    size = seen.visible.shape[0]
    pixels = seen.pixels
    total = np.zeros((len(rows), 3), np.float32)

    def towards(row: NDArray[np.intp], column: NDArray[np.intp]) -> NDArray[np.float32]:
        """Pixel step to a neighbouring texel, zero where the neighbour is not on the same visible surface."""
        r, c = np.clip(row, 0, size - 1), np.clip(column, 0, size - 1)
        step = pixels[r, c] - pixels[rows, columns]
        usable = seen.visible[r, c] & (np.abs(step).max(axis=-1) < 0.05 * max(radiance.shape))
        return np.where(usable[:, None], step, 0.0).astype(np.float32)

    along_row = 0.5 * (towards(rows, columns + 1) - towards(rows, columns - 1))
    along_column = 0.5 * (towards(rows + 1, columns) - towards(rows - 1, columns))
    if supersample is None:
        width = np.maximum(np.abs(along_row).max(axis=-1), np.abs(along_column).max(axis=-1))
        supersample = int(np.clip(np.rint(np.median(width)), 1, 4)) if len(width) else 1
    steps = (np.arange(supersample) + 0.5) / supersample - 0.5
    here = pixels[rows, columns]
    for down in steps:
        for right in steps:
            at = here + np.float32(right) * along_row + np.float32(down) * along_column - 0.5
            for channel in range(3):
                total[:, channel] += map_coordinates(
                    radiance[..., channel], (at[:, 1], at[:, 0]), order=1, mode="nearest"
                )
    out = np.zeros((*seen.visible.shape, 3), np.float32)
    out[rows, columns] = total / supersample**2
    return out


def unwrap(
    radiance: NDArray[np.float32], model: MorphableModel, vertices: NDArray[np.float32], camera: Camera, size: int
) -> tuple[NDArray[np.float32], Surface]:
    """The photograph in UV: ``(S, S, 3)`` float32 radiance (0 where unseen) and the surface it was read from."""
    seen = surface(model, uv_map(model, size), vertices, camera)
    return sample_photograph(radiance, seen), seen
