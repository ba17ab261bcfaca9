"""What a network is shown: both pictures at a bounded size, cut to the box around the region, nothing else.

A picture whose longest side exceeds the limit is averaged over area in linear light, over pixels of the region alone;
a small pixel belongs to the region where at least half of it did. The box is that of ``metrics.regions``, without a
margin. Outside the region every network sees zeros after its own normalisation (the mean colour that it was trained
on), on both sides, so whatever lies there, NaN included, never reaches a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Judged, Memo
from metrics.regions import Mask, box_around, region_key
from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import ImageError

LONGEST_SIDE = 512
"""Default limit of a picture's longest side in pixels, which bounds what a network costs."""

LEAST_SIDE = 32
"""Shortest side of a box, in pixels: below it the deepest layers of the trunks have nothing left."""

_TOLERANCE = 1e-4  # float32 conversions between encodings leave [0, 1] by less


@dataclass(frozen=True, eq=False)
class Window:
    """The part of a picture that a network sees.

    Attributes:
        key: equal for equal windows of pictures of one size.
        size: height and width of the whole picture after it was made small.
        rows, columns: the box, in the small picture.
        region: ``(h, w)`` bool, of the box.
        share: ``(h, w)`` float32: part of each small pixel that lay in the region; None where nothing was made small.
    """

    key: tuple[str, int]
    size: tuple[int, int]
    rows: slice
    columns: slice
    region: Mask
    share: NDArray[np.float32] | None


def window_of(region: Mask, longest: int = LONGEST_SIDE) -> Window | None:
    """The window around ``region`` ``(H, W)`` of pictures of that size; None where it is too small to be looked at."""
    height, width = region.shape
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    share = None if size == region.shape else _averaged(region.astype(np.float32), size, (0.0, 0.0, width, height))
    small = region if share is None else share >= 0.5
    if min(size) < LEAST_SIDE or not small.any():
        return None
    rows, columns = box_around(small, least=LEAST_SIDE)
    inside = share[rows, columns] if share is not None else None
    return Window((region_key(region), longest), size, rows, columns, small[rows, columns], inside)


def windows_of(batch: Sequence[Judged], longest: int) -> dict[tuple[str, int], tuple[Window | None, list[int]]]:
    """Members of a batch that share a window: its key → the window, and the members' places in the batch."""
    groups: dict[tuple[str, int], tuple[Window | None, list[int]]] = {}
    for place, judged in enumerate(batch):
        key = (region_key(judged.region), longest)
        if key not in groups:
            window = judged.of_reference.get(("window", *key), lambda j=judged: window_of(j.region, longest))  # type: ignore[misc]
            groups[key] = (window, [])
        groups[key][1].append(place)
    return groups


def seen(picture: NDArray[np.floating], region: Mask, window: Window, memo: Memo, what: str) -> NDArray[np.float32]:
    """``(h, w, 3)`` float32 sRGB-encoded part of ``picture`` in ``window``; 0 outside the region. Kept in ``memo``.

    Args:
        picture: ``(H, W, 3)`` sRGB-encoded in [0, 1]; read inside ``region`` ``(H, W)`` alone.
        what: whose picture, for the message.

    Raises:
        ImageError: not three channels, another size than the region, or values inside the region outside of [0, 1].
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.shape[:2] != region.shape:
        raise ImageError(
            f"{what} is an array {picture.shape}, not the colour picture {(*region.shape, 3)} that its region needs: "
            "make it again."
        )
    return memo.get(("seen", *window.key), lambda: _seen(picture, region, window, what))


def _seen(picture: NDArray[np.floating], region: Mask, window: Window, what: str) -> NDArray[np.float32]:
    if window.share is None:
        box = np.where(window.region[..., None], picture[window.rows, window.columns], 0.0).astype(np.float32)
        _check_range(box, what)
        return np.clip(box, 0.0, 1.0)
    # The box in pixels of the large picture, and the whole pixels that it touches.
    down, across = region.shape[0] / window.size[0], region.shape[1] / window.size[1]
    top, bottom = window.rows.start * down, window.rows.stop * down
    left, right = window.columns.start * across, window.columns.stop * across
    high, low = int(top), min(region.shape[0], int(np.ceil(bottom)))
    first, last = int(left), min(region.shape[1], int(np.ceil(right)))
    inside = region[high:low, first:last]
    large = np.where(inside[..., None], picture[high:low, first:last], 0.0).astype(np.float32)
    _check_range(large, what)
    linear = srgb_to_linear(large)
    place = (left - first, top - high, min(right - first, last - first), min(bottom - high, low - high))
    shape = window.region.shape
    planes = [_averaged(linear[..., channel], shape, place) for channel in range(3)]
    mean = np.stack(planes, axis=-1) / np.maximum(window.share, 1e-6)[..., None]
    return np.where(window.region[..., None], linear_to_srgb(mean), 0.0).astype(np.float32)


def _averaged(
    plane: NDArray[np.float32], size: tuple[int, ...], box: tuple[float, float, float, float]
) -> NDArray[np.float32]:
    """Mean over area of the part ``box`` (left, top, right, bottom) of ``(H, W)``, at ``size`` (height, width)."""
    from PIL import Image

    shrunk = Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BOX, box=box)
    return np.asarray(shrunk, np.float32)


def _check_range(values: NDArray[np.float32], what: str) -> None:
    low, high = float(values.min()), float(values.max())
    if not (low >= -_TOLERANCE and high <= 1.0 + _TOLERANCE):  # NaN fails both
        raise ImageError(
            f"{what} holds values from {low:.4g} to {high:.4g} inside the region, where a network wants sRGB in "
            "[0, 1]: make it again."
        )
