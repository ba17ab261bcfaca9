"""A method's skin over the undegraded photograph, the same pixels for every condition.

The run lays a head over what the method was *given*, which under ``blur:8`` is a blurred picture: shown as it is, hair
and eyes would tell the rater what is rendered. So the pixels that show the method's texture alone (``fitted_mask.png``)
are taken from the run's picture, and everything else from the photograph as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_fill_holes, distance_transform_edt

from recon.errors import InputError
from recon.runs.views import Box

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

# The rendering passes into the photograph over these parts of the distance between the outer eye corners, inside its
# edge. Towards hair and neck a wide passage, where a face's light changes anyway; around eyes and lips a narrow one, or
# brows would be seen twice.
OUTER_FEATHER, INNER_FEATHER = 0.2, 0.05


def common_skin(masks: Sequence[Mask]) -> Mask:
    """``(h, w)`` bool: pixels that every method made, so that none is helped by showing more of the photograph."""
    return np.logical_and.reduce(np.stack(masks))


def smooth(t: NDArray[np.floating]) -> Float:
    """``3t² − 2t³`` between 0 and 1, 0 below and 1 above."""
    inside = np.clip(t, 0, 1)
    return np.asarray(inside * inside * (3 - 2 * inside), np.float32)


def share_of_skin(skin: Mask, eyes: float) -> Float:
    """``(h, w)`` float32 in [0, 1]: how much of each pixel a rendering replaces; rises inside ``skin`` from its edge.

    Args:
        eyes: distance between the outer eye corners in pixels.
    """
    if not skin.any():
        raise InputError("no pixel of the face was made by every method: compare methods that complete the texture.")
    whole = _depth(binary_fill_holes(skin))
    return np.minimum(smooth(whole / (OUTER_FEATHER * eyes)), smooth(_depth(skin) / (INNER_FEATHER * eyes)))


def _depth(region: Mask) -> NDArray[np.float64]:
    """Distance of pixel centres to the region's edge; the picture's own border is no edge of the face."""
    padded = np.pad(region, 1, mode="edge")
    return np.asarray(distance_transform_edt(padded)[1:-1, 1:-1] - 0.5, np.float64)


def blended(photograph: Float, rendering: Float, share: Float) -> Float:
    """``(h, w, 3)`` linear RGB; the photograph to the bit where ``share`` ``(h, w)`` is 0."""
    weight = share[..., None]
    return np.where(weight > 0, photograph + weight * (rendering - photograph), photograph).astype(np.float32)


def placed(part: NDArray[np.generic], place: Box, box: Box) -> NDArray[np.generic]:
    """What of ``part``, which covers ``place`` of the photograph, lies in ``box``; 0 where it does not reach.

    Args:
        part: ``(h, w, …)`` pixels of ``place``.
    """
    left, top, right, bottom = box
    whole = np.zeros((bottom - top, right - left, *part.shape[2:]), part.dtype)
    x0, y0 = max(left, place[0]), max(top, place[1])
    x1, y1 = min(right, place[2]), min(bottom, place[3])
    if x0 < x1 and y0 < y1:
        whole[y0 - top : y1 - top, x0 - left : x1 - left] = part[
            y0 - place[1] : y1 - place[1], x0 - place[0] : x1 - place[0]
        ]
    return whole
