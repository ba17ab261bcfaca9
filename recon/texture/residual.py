"""Skin as low-frequency colour times (1 + detail): the split that the method ``meso`` works in.

With the linear albedo ``T`` and its masked low-pass ``L = G(σ_L) T``, the relative detail of a channel is
``r = T / L − 1``. Its luminance ``h`` carries nearly all of it; per channel ``r_c = β_c h + ε_c``, where β is regressed
and ε is the small chroma detail that is left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.colour import luminance
from recon.texture.masked import masked_gaussian

# Low-pass that separates colour from detail, texels at 512².
LOW_PASS = 6.0
# Detail stronger than this is no skin detail (a hair, a speck, a wrong mask).
_LIMIT = 0.6


@dataclass(frozen=True, eq=False)
class Residual:
    """Relative detail inside a mask, all ``(H, W)`` or ``(H, W, 3)`` float32, 0 outside.

    Attributes:
        low: ``(H, W, 3)`` linear low-frequency albedo.
        luma: detail of luminance, h.
        chroma: ``(H, W, 3)`` ε, what β·h does not explain.
        beta: ``(3,)`` regression of each channel's detail on h.
    """

    low: NDArray[np.float32]
    luma: NDArray[np.float32]
    chroma: NDArray[np.float32]
    beta: NDArray[np.float32]


def split_detail(albedo: NDArray[np.float32], mask: NDArray[np.bool_], scale: float = 1.0) -> Residual:
    """Splits an ``(H, W, 3)`` linear albedo inside ``mask``; ``scale`` is the map's size over 512."""
    low = masked_gaussian(albedo, mask, LOW_PASS * scale)
    inside = mask[..., None]
    relative = np.where(inside, albedo / np.maximum(low, 1e-4) - 1.0, 0.0)
    relative = np.clip(relative, -_LIMIT, _LIMIT).astype(np.float32)
    luma_low = np.maximum(luminance(low), 1e-4)
    luma = np.where(mask, luminance(albedo) / luma_low - 1.0, 0.0)
    luma = np.clip(luma, -_LIMIT, _LIMIT).astype(np.float32)
    weight = luma[mask]
    power = float(weight @ weight)
    beta = relative[mask].T @ weight / power if power > 1e-9 else np.ones(3, np.float32)
    chroma = np.where(inside, relative - luma[..., None] * beta, 0.0).astype(np.float32)
    return Residual(low, luma, chroma, np.asarray(beta, np.float32))


def join_detail(
    low: NDArray[np.float32], luma: NDArray[np.float32], chroma: NDArray[np.float32], beta: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The linear albedo ``L · (1 + β h + ε)``, clipped to [0, 1]."""
    return np.clip(low * (1.0 + luma[..., None] * beta + chroma), 0.0, 1.0).astype(np.float32)


def local_deviation(detail: NDArray[np.float32], mask: NDArray[np.bool_], sigma: float) -> NDArray[np.float32]:
    """``(H, W)`` float32 local standard deviation: root of the masked Gaussian mean (σ in texels) of the square."""
    return np.sqrt(np.maximum(masked_gaussian(detail * detail, mask, sigma), 0.0))
