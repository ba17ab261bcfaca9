"""Laplacian bands of a map inside a mask (Burt and Adelson 1983), with normalised convolution at its edge."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from recon.texture.detail_bands import TRUNCATE
from recon.texture.masked import masked_gaussian


def split_bands(
    image: NDArray[np.floating], mask: NDArray[np.bool_], sigmas: tuple[float, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Bands ``G(σ_{k−1}) − G(σ_k)`` of ``image``, fine to coarse, with ``σ_0 = 0``, and what is left below them.

    Args:
        image: ``(H, W)``; values outside ``mask`` are ignored, NaN included.
        mask: ``(H, W)`` bool.
        sigmas: rising low-passes in texels.

    Returns:
        ``(len(sigmas), H, W)`` float32 bands and the ``(H, W)`` float32 low-pass; their sum is ``image`` inside the
        mask; 0 outside it.
    """
    passes = [masked_gaussian(image, mask, sigma, TRUNCATE) * mask for sigma in (0.0, *sigmas)]
    bands = np.stack([fine - coarse for fine, coarse in pairwise(passes)])
    return bands.astype(np.float32), passes[-1].astype(np.float32)
