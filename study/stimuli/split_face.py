"""Split faces: the left half of the picture the photograph, the right half the photograph or a rendering.

Saito et al. 2017, §5 (user study): raters see such a face and say whether it is real. The halves meet on the midline of
the face, a line through the landmarks on its plane of symmetry. Only skin differs between the halves, so hair, eyes
and background run through. Photograph beside photograph is the photograph itself, bit for bit, so the seam gives
nothing away there; a rendering passes into it over a narrow band, because a hard cut would be seen before any texture
is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.transform import resize

from recon.errors import InputError
from study.stimuli.face import smooth
from study.stimuli.frame import NARROWEST, Frame, averaged

Float = NDArray[np.float32]

# Standard deviation, in distances between the outer eye corners, of what counts as light and colour and not as texture.
LIGHT = 0.5


def right_half(frame: Frame, seam: float) -> Float:
    """``(h, w)`` float32 in [0, 1] over the frame: 0 left of the midline, 1 right of it.

    Args:
        seam: width of the passage in parts of the distance between the outer eye corners; 0 for a hard cut.

    Raises:
        InputError: the head is turned so far that its halves cannot be compared.
    """
    check_turned(frame)
    left, top, right, bottom = frame.box
    offset, slope = frame.midline
    # Pixel centres; the distance is taken across the line.
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    distance = (x - (offset + slope * y)) / np.hypot(1.0, slope)
    if seam == 0:
        return np.asarray(distance > 0, np.float32)
    return smooth(distance / (seam * frame.eyes) + 0.5)


def check_turned(frame: Frame) -> None:
    """That both halves of a face can be seen.

    Raises:
        InputError: the head is turned so far that its halves cannot be compared.
    """
    if frame.narrower < NARROWEST:
        raise InputError(
            "the head is turned too far for a split face: "
            f"{frame.narrower:.0%} of the distance between its eyes lies on one side of its midline."
        )


def matching_gain(photograph: Float, rendering: Float, skin: NDArray[np.bool_], eyes: float) -> Float:
    """``(h, w, 3)`` float32: factors that give the rendering the photograph's light and colour, which change slowly.

    ``g = G(m·photograph) / G(m·rendering)`` with the skin ``m`` and a Gaussian ``G`` of :data:`LIGHT` eye distances:
    what is smaller than a cheek stays as the method made it, its blotches too. Both halves count, so ``g`` has no step
    at the midline. It is 1 where no skin is near.

    Args:
        photograph, rendering: ``(h, w, 3)`` linear RGB.
        skin: ``(h, w)``: pixels where both show the same skin.
        eyes: distance between the outer eye corners in pixels.
    """
    height, width = skin.shape
    # So wide a Gaussian loses nothing on a grid of an eighth of its width.
    sigma = LIGHT * eyes
    step = max(1, int(sigma / 8))
    grid = max(1, width // step), max(1, height // step)
    mask = skin[..., None].astype(np.float32)
    wanted, have = (
        gaussian_filter(averaged(picture * mask, grid), (sigma / step, sigma / step, 0), mode="nearest")
        for picture in (photograph, rendering)
    )
    if not (rendering[skin].mean(axis=0) > 0).all():
        raise InputError("the rendering is black where it would be shown: its colour cannot be matched.")
    gain = np.divide(wanted, have, out=np.ones_like(have), where=have > 0)
    return np.asarray(resize(gain, (height, width), order=1, mode="edge", anti_aliasing=False), np.float32)
