"""Reading texture maps: bilinear interpolation at UV positions, and padding beyond the border of the UV island.

Convention (OBJ): u to the right, v up, row 0 of a map lies at v = 1, texel centres at half pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from recon.face_model.model import MorphableModel
from recon.texture.uv_map import UVMap, uv_map


def sample_bilinear(texture: NDArray[np.float32], texcoord: NDArray[np.floating]) -> NDArray[np.float32]:
    """``(N, C)`` float32: the map ``(S, S', C)`` at ``(N, 2)`` UV positions; beyond the square the edge continues."""
    height, width = texture.shape[:2]
    x = np.clip(texcoord[:, 0].astype(np.float32) * width - 0.5, 0, width - 1)
    y = np.clip((1 - texcoord[:, 1].astype(np.float32)) * height - 0.5, 0, height - 1)
    column = np.minimum(x.astype(np.int32), max(width - 2, 0))
    row = np.minimum(y.astype(np.int32), max(height - 2, 0))
    right = (x - column)[:, None]
    down = (y - row)[:, None]
    flat = texture.reshape(height * width, -1)
    corner = row * width + column
    step_x, step_y = min(1, width - 1), width * min(1, height - 1)
    top = flat[corner] * (1 - right) + flat[corner + step_x] * right
    bottom = flat[corner + step_y] * (1 - right) + flat[corner + step_y + step_x] * right
    return np.asarray(top * (1 - down) + bottom * down, dtype=np.float32)


@lru_cache(maxsize=4)
def layout(model: MorphableModel, size: int) -> UVMap:
    """The raster of the model's UV square, kept because every view of a run asks for the same one."""
    return uv_map(model, size)


@lru_cache(maxsize=4)
def _nearest_covered(model: MorphableModel, size: int) -> NDArray[np.intp]:
    """``(S·S,)`` flat index of the nearest texel on the face material."""
    index = distance_transform_edt(~layout(model, size).covered, return_distances=False, return_indices=True)
    return np.asarray(np.ravel_multi_index(tuple(index), (size, size)).ravel())


def padded(albedo: NDArray[np.float32], model: MorphableModel) -> NDArray[np.float32]:
    """The map with every texel outside the UV island replaced by the nearest one on it.

    Without this, bilinear interpolation at the island's border would mix in whatever lies outside.
    """
    size = albedo.shape[0]
    return albedo.reshape(size * size, -1)[_nearest_covered(model, size)].reshape(albedo.shape)


def low_pass(albedo: NDArray[np.float32], covered: NDArray[np.bool_], side: int = 128) -> NDArray[np.float32]:
    """``(≈side, ≈side, 3)`` float32: the map averaged over blocks and blurred, covered texels alone counting."""
    size = albedo.shape[0]
    block = max(1, size // side)
    short = -size % block
    weight = np.pad(covered.astype(np.float32), ((0, short), (0, short)))
    colour = np.pad(albedo * covered[..., None], ((0, short), (0, short), (0, 0)))
    count = weight.shape[0] // block
    weight = weight.reshape(count, block, count, block).sum(axis=(1, 3))
    colour = colour.reshape(count, block, count, block, 3).sum(axis=(1, 3))
    spread = gaussian_filter(weight, 2.0, mode="constant")
    mean = gaussian_filter(colour, (2.0, 2.0, 0.0), mode="constant") / np.maximum(spread, 1e-6)[..., None]
    empty = spread < 1e-3
    index = distance_transform_edt(empty, return_distances=False, return_indices=True)
    return np.asarray(mean[tuple(index)], dtype=np.float32)
