"""Where the fit looks at the photograph: an image pyramid around the face, and points of visible skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.colour import srgb_to_linear
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera

Array = NDArray[np.float64]

# Parts of the face region that are not skin, or whose colour says nothing of shading.
NOT_SKIN = ("eyes", "lips", "brows", "nostrils", "mouth_interior")
# A surface seen under a flatter angle than this (cosine) is left out: it is a fraction of a pixel wide.
GRAZING = 0.25
# sRGB values above this are taken to be clipped.
CLIPPED = 0.985


@dataclass(frozen=True, eq=False)
class Level:
    """One level of the pyramid: the neighbourhood of the face, averaged over blocks of pixels.

    Attributes:
        radiance: ``(h, w, 3)`` float32 linear RGB; 0 where ``valid`` is False.
        gradient: ``(h, w, 3, 2)`` float32, central differences by x and y, per pixel of the photograph.
        valid: ``(h, w)`` bool: no pixel of the block or its neighbours is ignored, clipped or outside the photograph.
        corner: ``(x, y)`` of the level's upper left corner in pixels of the photograph.
        block: side of the averaged blocks in pixels of the photograph.
    """

    radiance: NDArray[np.float32]
    gradient: NDArray[np.float32]
    valid: NDArray[np.bool_]
    corner: tuple[int, int]
    block: int

    def read(self, positions: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
        """Bilinear samples at ``positions`` ``(N, 2)`` in pixels of the photograph.

        Returns:
            radiance ``(N, 3)``, its gradient ``(N, 3, 2)`` per pixel of the photograph, and where both are known.
        """
        height, width = self.valid.shape
        place = (positions - self.corner) / self.block - 0.5
        whole = np.floor(place).astype(np.intp)
        known: NDArray[np.bool_] = np.all((whole >= 0) & (whole < (width - 1, height - 1)), axis=1)
        column, row = np.clip(whole, 0, (max(width - 2, 0), max(height - 2, 0))).T
        right, down = np.clip(place - np.stack([column, row], axis=1), 0.0, 1.0).T
        radiance, gradient = np.zeros((len(place), 3)), np.zeros((len(place), 3, 2))
        for step_down, vertical in ((0, 1.0 - down), (1, down)):
            for step_right, horizontal in ((0, 1.0 - right), (1, right)):
                line, place_in_line = row + step_down, column + step_right
                share = vertical * horizontal
                radiance += share[:, None] * self.radiance[line, place_in_line]
                gradient += share[:, None, None] * self.gradient[line, place_in_line]
                known = known & self.valid[line, place_in_line]
        return radiance, gradient, known


def pyramid(
    srgb: NDArray[np.float32],
    ignore: NDArray[np.bool_] | None,
    box: tuple[float, float, float, float],
    blocks: tuple[int, ...],
) -> tuple[Level, ...]:
    """Levels of the photograph ``srgb`` ``(H, W, 3)`` within ``box`` (left, top, right, bottom), one for each of
    the rising block sizes ``blocks``; those that would have fewer than 3 × 3 blocks are left out.

    Ignored pixels ``(H, W)`` are not read.
    """
    height, width = srgb.shape[:2]
    left, top = (int(np.clip(np.floor(edge), 0, limit - 1)) for edge, limit in ((box[0], width), (box[1], height)))
    coarsest = blocks[-1]
    columns = max((min(int(np.ceil(box[2])), width) - left) // coarsest, 1) * coarsest
    rows = max((min(int(np.ceil(box[3])), height) - top) // coarsest, 1) * coarsest
    crop = srgb[top : top + rows, left : left + columns]
    blocked = np.zeros(crop.shape[:2], dtype=bool)
    if ignore is not None:
        blocked = ignore[top : top + rows, left : left + columns]
        crop = np.where(blocked[..., None], np.float32(0.0), crop)
    blocked = blocked | (crop >= CLIPPED).any(axis=-1)
    linear = srgb_to_linear(crop)
    return tuple(
        _level(*_averaged(linear, blocked, block), (left, top), block)
        for block in blocks
        if min(crop.shape[:2]) >= 3 * block
    )


def _averaged(
    linear: NDArray[np.float32], blocked: NDArray[np.bool_], block: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Mean of ``block`` × ``block`` pixels, and whether none of them is blocked."""
    rows, columns = linear.shape[0] // block, linear.shape[1] // block
    inside = linear[: rows * block, : columns * block]
    mean = inside.reshape(rows, block, columns, block, 3).mean(axis=(1, 3), dtype=np.float32)
    tainted: NDArray[np.bool_] = np.any(
        blocked[: rows * block, : columns * block].reshape(rows, block, columns, block), axis=(1, 3)
    )
    return mean, ~tainted


def _level(radiance: NDArray[np.float32], clean: NDArray[np.bool_], corner: tuple[int, int], block: int) -> Level:
    """A level with its gradient; a block whose neighbour is blocked has no gradient and is not valid either."""
    by_y, by_x = np.gradient(radiance, axis=(0, 1))
    valid = clean.copy()
    valid[1:] &= clean[:-1]
    valid[:-1] &= clean[1:]
    valid[:, 1:] &= clean[:, :-1]
    valid[:, :-1] &= clean[:, 1:]
    gradient = np.stack([by_x, by_y], axis=-1) / np.float32(block)
    return Level(
        np.where(valid[..., None], radiance, 0), np.where(valid[..., None, None], gradient, 0), valid, corner, block
    )


def face_box(positions: Array, margin: float = 0.1) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) around pixel ``positions`` ``(N, 2)``, widened by a fraction of its size."""
    low, high = positions.min(axis=0), positions.max(axis=0)
    extra = margin * (high - low)
    left, top, right, bottom = (float(edge) for edge in (*(low - extra), *(high + extra)))
    return left, top, right, bottom


def skin_triangles(model: MorphableModel) -> NDArray[np.int32]:
    """``(M,)`` ids of the UV-owning triangles that lie wholly in the face region and touch nothing that is not skin."""
    wanted = model.regions["face"].copy()
    for name in NOT_SKIN:
        if name in model.regions:
            wanted &= ~model.regions[name]
    ids = model.uv_triangle_ids
    return ids[wanted[model.triangles[ids]].all(axis=1)]


def painted_triangles(model: MorphableModel) -> NDArray[np.int32]:
    """``(M,)`` ids of the triangles whose colour an albedo model describes: skin, brows, lips and lids."""
    wanted = model.regions["face"].copy()
    for name in ("mouth_interior", "nostrils"):
        if name in model.regions:
            wanted &= ~model.regions[name]
    ids = model.uv_triangle_ids
    return ids[wanted[model.triangles[ids]].all(axis=1)]


def beard_bearing(model: MorphableModel) -> NDArray[np.bool_]:
    """``(V,)`` vertices where a beard may grow: all of the lower face, below the nose, but for the lips."""
    below = np.zeros(len(model.mean), dtype=bool)
    for name in ("upper_lip", "chin", "jaw"):
        if name in model.regions:
            below |= model.regions[name]
    mouth_corners_and_nose = model.landmarks(model.mean)[[33, 48, 54], 1]
    low_cheeks = model.mean[:, 1] < mouth_corners_and_nose.mean()
    return np.asarray(below | (model.regions["face"] & low_cheeks))


def visible_triangles(
    model: MorphableModel, vertices: NDArray[np.floating], camera: Camera, candidates: NDArray[np.int32], count: int
) -> NDArray[np.int32]:
    """Up to ``count`` of the ``candidates`` whose centres the camera sees, evenly over their area in the image.

    Systematic sampling: the triangles, in mesh order, are laid end to end by projected area and picked at equal
    distances; no random numbers are needed, and neighbours in the mesh do not cluster.
    """
    from recon.rendering.rays import RayScene

    corners = vertices[model.triangles[candidates]]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normal, axis=1)
    middle = corners.mean(axis=1)
    towards = camera.centre - middle
    distance = np.linalg.norm(towards, axis=1)
    facing = np.sum(normal * towards, axis=1) / np.maximum(length * distance, 1e-12)
    hits = RayScene(vertices, model.triangles).first_hit(camera.centre, -towards / distance[:, None])
    # A hit just in front of the centre is the neighbouring triangle, met by rounding.
    seen = (facing > GRAZING) & (hits.distance > distance * (1.0 - 1e-3))
    area = np.where(seen, facing * length, 0.0)
    total = float(area.sum())
    if total == 0.0:
        return candidates[:0]
    marks = (np.arange(count) + 0.5) * (total / count)
    picks = np.searchsorted(np.cumsum(area), marks)
    return candidates[np.unique(np.minimum(picks, len(candidates) - 1))]
