"""The cells of the skin: a named region on one side of the face, so that pores and stubble land where they belong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from recon.face_model.model import MorphableModel
from recon.texture.uv_map import UVMap

# Regions whose skin is told apart; jaw and chin share their kind of skin (and stubble).
CELL_REGIONS = (("forehead",), ("cheeks",), ("nose",), ("jaw", "chin"), ("upper_lip",))
SIDES = ("right", "left")


def cell_names() -> tuple[str, ...]:
    """Names of the cells in the order of every array of cells, for example ``cheeks/right``."""
    return tuple(f"{'+'.join(names)}/{side}" for names in CELL_REGIONS for side in SIDES)


def skin_cells(model: MorphableModel, layout: UVMap, skin: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(R, S, S)`` bool: a partition of ``skin`` into cells; texels of no region join the nearest one."""
    seeds = np.stack(
        [
            np.any(
                [layout.interpolate(model.regions[name][:, None].astype(np.float32))[..., 0] > 0.5 for name in names], 0
            )
            for names in CELL_REGIONS
        ]
    )
    distance = np.stack(
        [distance_transform_edt(~seed) if seed.any() else np.full(seed.shape, np.inf) for seed in seeds]
    )
    region = distance.argmin(axis=0)
    left = layout.interpolate(model.mean[:, :1])[..., 0] > 0
    cells = [
        skin & (region == index) & (left == (side == "left")) for index in range(len(CELL_REGIONS)) for side in SIDES
    ]
    return np.stack(cells)


def mirror_cell(index: int) -> int:
    """The same region on the other side."""
    return index ^ 1
