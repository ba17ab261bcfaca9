"""What a network is shown: both pictures at a bounded size, cut to the box around the region, nothing else.

The pictures are cut to the box around the demanded region. If its longest side exceeds the limit, they are averaged
over area in linear light, over pixels of the region alone, and a small pixel belongs to the region where at least half
of it did; so the scale is the same for all methods, whatever each of them vouches for. They are then cut to the box
around what is left of the region. Boxes are those of ``metrics.regions``, without a margin. Outside the region every
network sees zeros after its own normalisation (the mean colour that it was trained on), on both sides, so whatever lies
there, NaN included, never reaches a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from metrics.arrays import TOLERANCE
from metrics.contract import Judged, Memo
from metrics.regions import Mask, box_around, region_key
from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import ImageError

LONGEST_SIDE = 512
"""Default limit of a box's longest side in pixels, which bounds what a network costs."""

LEAST_SIDE = 32
"""Shortest side of a box, in pixels: below it the deepest layers of the trunks have nothing left."""


Key = tuple[str, str, int]


@dataclass(frozen=True, eq=False)
class Window:
    """The part of a picture that a network sees.

    Attributes:
        key: equal for equal windows.
        demanded: rows and columns of the box around the demanded region, in the picture.
        share: ``(h', w')`` float32: part of each small pixel of that box that lay in the region; None where nothing
            was made small.
        box: rows and columns of the window in that box, made small.
        region: ``(h, w)`` bool, of the window.
    """

    key: Key
    demanded: tuple[slice, slice]
    share: NDArray[np.float32] | None
    box: tuple[slice, slice]
    region: Mask


def window_key(region: Mask, demanded: Mask, longest: int) -> Key:
    """The key of :func:`window_of`, without its work."""
    return region_key(region), region_key(demanded), longest


def window_of(region: Mask, demanded: Mask, longest: int = LONGEST_SIDE) -> Window | None:
    """The window around ``region`` ``(H, W)``, a part of ``demanded``; None where it is too small to be looked at."""
    if min(region.shape) < LEAST_SIDE or not region.any():
        return None
    outer = box_around(demanded | region, least=LEAST_SIDE)
    small, share = region[outer], None
    scale = longest / max(small.shape)
    if scale < 1.0:
        size = max(LEAST_SIDE, round(small.shape[0] * scale)), max(LEAST_SIDE, round(small.shape[1] * scale))
        share = _averaged(small.astype(np.float32), size)
        small = share >= 0.5
        if not small.any():
            return None
    box = box_around(small, least=LEAST_SIDE)
    return Window(window_key(region, demanded, longest), outer, share, box, small[box])


def windows_of(batch: Sequence[Judged], longest: int) -> dict[Key, tuple[Window | None, list[int]]]:
    """Members of a batch that share a window: its key → the window, and the members' places in the batch."""
    groups: dict[Key, tuple[Window | None, list[int]]] = {}
    for place, judged in enumerate(batch):
        key = window_key(judged.region, judged.demanded, longest)
        if key not in groups:
            make = partial(window_of, judged.region, judged.demanded, longest)
            groups[key] = (judged.of_reference.get(("window", *key), make), [])
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
    values = np.where(region[window.demanded][..., None], picture[window.demanded], 0.0).astype(np.float32)
    _check_range(values, what)
    if window.share is None:
        values = np.clip(values, 0.0, 1.0)
    else:
        linear = srgb_to_linear(values)
        planes = [_averaged(linear[..., channel], window.share.shape) for channel in range(3)]
        values = linear_to_srgb(np.stack(planes, axis=-1) / np.maximum(window.share, 1e-6)[..., None])
    return np.where(window.region[..., None], values[window.box], 0.0).astype(np.float32)


def _averaged(plane: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    """Mean over area of ``(H, W)`` at ``size`` (height, width)."""
    from PIL import Image

    return np.asarray(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BOX), np.float32)


def _check_range(values: NDArray[np.float32], what: str) -> None:
    low, high = float(values.min()), float(values.max())
    if not (low >= -TOLERANCE and high <= 1.0 + TOLERANCE):  # NaN fails both
        raise ImageError(
            f"{what} holds values from {low:.4g} to {high:.4g} inside the region, where a network wants sRGB in "
            "[0, 1]: make it again."
        )
