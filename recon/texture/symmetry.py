"""The mirror image of a texture: where in UV the other half of the face shows the same place."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from recon.face_model.model import MorphableModel
from recon.texture.uv_map import UVMap, uv_map


@lru_cache(maxsize=4)
def mirror_coordinates(model: MorphableModel, size: int) -> NDArray[np.float32]:
    """``(S, S, 2)`` float32 (row, column) of the texel that shows the mirrored surface point.

    The mean face is reflected at x = 0 and each reflected texel looked up on the surface: the nearest texel first,
    then one Newton step in the tangent plane, since the nearest texel alone would jitter by half a texel and turn
    smooth skin into noise. Zero outside the face material.
    """
    layout = uv_map(model, size)
    positions = layout.interpolate(model.mean).astype(np.float64)
    rows, columns = np.nonzero(layout.covered)
    points = positions[rows, columns]
    _, nearest = cKDTree(points).query(points * [-1.0, 1.0, 1.0], workers=1)
    row, column = rows[nearest], columns[nearest]

    step_down = _tangent(positions, layout, row, column, (1, 0))
    step_right = _tangent(positions, layout, row, column, (0, 1))
    off = points * [-1.0, 1.0, 1.0] - positions[row, column]
    a, b, c = (
        np.einsum("nx,nx->n", p, q)
        for p, q in ((step_down, step_down), (step_down, step_right), (step_right, step_right))
    )
    p, q = np.einsum("nx,nx->n", step_down, off), np.einsum("nx,nx->n", step_right, off)
    determinant = np.maximum(a * c - b * b, 1e-12)
    down = np.clip((c * p - b * q) / determinant, -1.0, 1.0)
    right = np.clip((a * q - b * p) / determinant, -1.0, 1.0)
    out = np.zeros((size, size, 2), np.float32)
    out[rows, columns, 0] = row + down
    out[rows, columns, 1] = column + right
    return out


def _tangent(
    positions: NDArray[np.float64],
    layout: UVMap,
    row: NDArray[np.intp],
    column: NDArray[np.intp],
    direction: tuple[int, int],
) -> NDArray[np.float64]:
    """``(N, 3)`` surface step per texel along ``direction``, one-sided at the border of the island."""
    last = layout.size - 1
    ahead = (np.minimum(row + direction[0], last), np.minimum(column + direction[1], last))
    behind = (np.maximum(row - direction[0], 0), np.maximum(column - direction[1], 0))
    has_ahead, has_behind = layout.covered[ahead], layout.covered[behind]
    here = positions[row, column]
    forward = np.where(has_ahead[:, None], positions[ahead] - here, 0.0)
    backward = np.where(has_behind[:, None], here - positions[behind], 0.0)
    return np.asarray((forward + backward) / np.maximum(has_ahead.astype(int) + has_behind, 1)[:, None])


def mirrored(
    image: NDArray[np.floating], mask: NDArray[np.bool_], coordinates: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The mirrored ``(S, S, C)`` image and the ``(S, S)`` bool texels where all four samples lie in ``mask``."""
    at = (coordinates[..., 0], coordinates[..., 1])
    weight = map_coordinates(mask.astype(np.float32), at, order=1, mode="constant")
    clean = np.where(mask[..., None], image, 0).astype(np.float32)
    out = np.stack([map_coordinates(clean[..., c], at, order=1, mode="constant") for c in range(clean.shape[-1])], -1)
    known = (weight > 0.999) & (coordinates.sum(axis=-1) > 0)
    return np.where(known[..., None], out, 0).astype(np.float32), known
