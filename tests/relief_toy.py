"""Made-up skin for tests of texture metrics: a masked square with relief of known contrast, and pictures of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from metrics.contract import Judged, Memo

SIZE = 512
TONE = np.array([0.70, 0.52, 0.43], np.float32)  # of fair skin, sRGB-encoded
Mask = NDArray[np.bool_]
Picture = NDArray[np.float32]


@lru_cache(maxsize=1)
def region() -> Mask:
    """An oval with a hole and a notch, 73,000 texels."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    oval = np.hypot(rows - 250, (columns - 260) * 1.2) < 170
    oval[180:205, 215:270] = False
    oval[330:, 255:262] = False
    return np.asarray(oval)


@lru_cache(maxsize=8)
def white(seed: int) -> NDArray[np.float64]:
    """``(S, S)`` white noise of mean 0 and deviation 1."""
    return np.random.default_rng(seed).normal(size=(SIZE, SIZE))


@lru_cache(maxsize=8)
def relief(seed: int) -> NDArray[np.float64]:
    """``(S, S)`` noise with something at every scale, mean 0 and deviation 1."""
    noise = white(seed)
    mixed = noise + 3 * gaussian_filter(noise, 1.5) + 8 * gaussian_filter(noise, 4)
    return np.asarray((mixed - mixed.mean()) / mixed.std())


def skin(luma: NDArray[np.floating], chroma: NDArray[np.floating] | float = 0.0) -> Picture:
    """Skin whose channels are scaled by ``1 + luma``, and red and green besides by ``1 ± chroma``."""
    scale = (1.0 + luma)[..., None] * np.stack([1.0 + chroma + 0 * luma, 1.0 - chroma + 0 * luma, 1.0 + 0 * luma], -1)
    return np.asarray(TONE * scale, np.float32)


def blurred(picture: Picture, sigma: float) -> Picture:
    """``picture`` after a Gaussian of ``sigma`` texels."""
    return np.asarray(gaussian_filter(picture, (sigma, sigma, 0)), np.float32)


def judged(result: Picture, reference: Picture, mask: Mask | None = None, kept: Memo | None = None) -> Judged:
    """``result`` beside ``reference`` inside ``mask``, :func:`region` if None."""
    inside = region() if mask is None else mask
    return Judged(result, reference, inside, inside, inside, of_reference=kept or Memo())


def spoiled(picture: Picture, value: float, mask: Mask | None = None) -> Picture:
    """``picture`` with ``value`` everywhere outside ``mask``, :func:`region` if None."""
    inside = region() if mask is None else mask
    return np.where(inside[..., None], picture, np.float32(value))
