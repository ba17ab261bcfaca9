"""Undoing blur where it has weakened detail but not destroyed it.

One step of Van Cittert's iteration (1931), ``T + (T − G(b) T)``, for a Gaussian blur of known width b: of what passed
the blur with amplitude g, ``g (2 − g)`` is left, so broad structure comes back nearly whole (g = 0.8 becomes 0.96)
while noise, at frequencies that did not pass, is at most doubled. What this leaves missing is ``(1 − g)²``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recon.texture.masked import masked_gaussian


def restored(image: NDArray[np.floating], mask: NDArray[np.bool_], blur: float) -> NDArray[np.float32]:
    """An ``(H, W)`` or ``(H, W, C)`` map after one step against a ``blur`` in texels; 0 outside ``mask``."""
    inside = mask[..., None] if image.ndim == 3 else mask
    return np.asarray(np.where(inside, 2.0 * image - masked_gaussian(image, mask, blur), 0.0), np.float32)


def not_restored(image: NDArray[np.floating], mask: NDArray[np.bool_], blur: float) -> NDArray[np.float32]:
    """What blur and :func:`restored` together take from a sharp ``(H, W)`` map: ``(1 − G)² T``; 0 outside ``mask``."""
    lost = np.asarray(image, np.float32)
    for _ in range(2):
        lost = np.where(mask, lost - masked_gaussian(lost, mask, blur), 0.0).astype(np.float32)
    return lost
