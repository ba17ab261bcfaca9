"""Removing the grain of path tracing from skin without touching the skin's texture.

The albedo under every pixel is known without noise, so only the light is filtered: radiance is divided by albedo, the
quotient is smoothed by an edge-avoiding à-trous wavelet filter (Dammertz et al. 2010) guided by position and normal,
and multiplied back.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

Float = NDArray[np.float32]

_KERNEL = np.array([1.0, 4.0, 6.0, 4.0, 1.0], np.float32) / 16.0


Values = TypeVar("Values", bound=np.generic)


def _shifted(values: NDArray[Values], down: int, right: int) -> NDArray[Values]:
    """``values[i + down, j + right]`` at ``[i, j]``; the picture's edge repeats."""
    rows = np.clip(np.arange(values.shape[0]) + down, 0, values.shape[0] - 1)
    columns = np.clip(np.arange(values.shape[1]) + right, 0, values.shape[1] - 1)
    return values[rows][:, columns]


def _atrous(light: Float, position: Float, normal: Float, trusted: NDArray[np.bool_], step: int, reach: float) -> Float:
    """One level of the filter: what each pixel receives from trusted pixels ``step`` and ``2·step`` away."""
    total, weight = np.zeros_like(light), np.zeros((*trusted.shape, 1), np.float32)
    for i, vertical in enumerate(_KERNEL):
        for j, horizontal in enumerate(_KERNEL):
            down, right = (i - 2) * step, (j - 2) * step
            other = _shifted(normal, down, right)
            bend = 1.0 - np.einsum("hwx,hwx->hw", normal, other)
            # Distance to the tangent plane: neighbours on one surface have none, whatever the surface's slant.
            offset = np.einsum("hwx,hwx->hw", normal, _shifted(position, down, right) - position)
            share = vertical * horizontal * np.exp(-((bend / 0.03) ** 2) - (offset / reach) ** 2)
            share = (share * _shifted(trusted, down, right))[..., None].astype(np.float32)
            total += share * _shifted(light, down, right)
            weight += share
    return np.where(weight > 1e-4, total / np.maximum(weight, 1e-4), light)


def denoise(
    radiance: Float,
    albedo: Float,
    position: Float,
    normal: Float,
    inside: NDArray[np.bool_],
    trusted: NDArray[np.bool_],
    levels: int = 2,
) -> Float:
    """``(H, W, 3)`` float32: ``radiance`` with the noise of its lighting removed where ``inside``.

    Args:
        radiance: linear RGB, noisy.
        albedo: ``(H, W, 3)`` linear RGB without noise, averaged over each pixel.
        position, normal: ``(H, W, 3)`` of the surface at each pixel's centre.
        inside: ``(H, W)`` bool, pixels of diffuse surfaces; others are returned as they are.
        trusted: ``(H, W)`` bool, the part of ``inside`` whose light is filtered; the rest takes that of the nearest
            trusted pixel.
        levels: each doubles the reach of the filter; two average over about 5 pixels.
    """
    if not trusted.any():
        return radiance
    safe = np.maximum(albedo, 0.02)
    light = (radiance / safe).astype(np.float32)
    size = float(np.ptp(position[trusted], axis=0).max())
    for level in range(levels):
        light = _atrous(light, position, normal, trusted, 2**level, 0.004 * size)
    nearest = distance_transform_edt(~trusted, return_distances=False, return_indices=True)
    light = light[tuple(nearest)]
    return np.where(inside[..., None], light * safe, radiance).astype(np.float32)
