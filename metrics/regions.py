"""The two rules by which metrics with a receptive field are kept inside a region: crop, and fill.

*Crop*: both pictures are cut to the smallest box around the region, widened by the metric's margin where the picture
goes on. *Fill*: outside the region both pictures hold the same constant, so whatever lies there, NaN included, can
never reach a number. What then still sees the edge of the region sees the same edge on both sides. Windows that must
lie wholly inside the region are those of :func:`eroded`. MS-SSIM, whose coarsest windows span 176 pixels, takes
the region as weights instead; see ``metrics.ms_ssim``.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def box_around(region: Mask, margin: int = 0, least: int = 1) -> tuple[slice, slice]:
    """Rows and columns of the smallest box around ``region`` ``(H, W)``, which must hold a pixel.

    Args:
        margin: pixels added on each side, as far as the picture reaches.
        least: shortest side; the box grows up to it, as far as the picture reaches.
    """
    spans = []
    for axis, length in enumerate(region.shape):
        filled = np.flatnonzero(region.any(axis=1 - axis))
        low, high = max(0, int(filled[0]) - margin), min(length, int(filled[-1]) + 1 + margin)
        low = max(0, min(low, high - least))
        spans.append(slice(low, min(length, max(high, low + least))))
    return spans[0], spans[1]


def filled(
    picture: NDArray[np.floating], region: Mask, value: float | NDArray[np.floating] = 0.0
) -> NDArray[np.float32]:
    """``picture`` ``(H, W, 3)`` with ``value`` (a number or ``(3,)``) wherever ``region`` ``(H, W)`` is False."""
    return np.where(region[..., None], picture, value).astype(np.float32)


def eroded(region: Mask, radius: int) -> Mask:
    """Pixels whose square window of ``2 radius + 1`` lies in ``region``; beyond the picture nothing does."""
    from scipy.ndimage import minimum_filter

    window = 2 * radius + 1
    return np.asarray(minimum_filter(region.astype(np.uint8), size=window, mode="constant", cval=0)).astype(bool)


def region_key(region: Mask) -> str:
    """A short name of a region, for keys of memos: equal masks of equal shape, equal names."""
    packed = np.packbits(region).tobytes() + repr(region.shape).encode()
    return hashlib.blake2b(packed, digest_size=12).hexdigest()
