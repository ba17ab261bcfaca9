"""The only place that converts between encodings: sRGB ↔ linear RGB, and linear RGB → luma."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# Rec. 709 / sRGB primaries, D65.
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)


def srgb_to_linear(srgb: NDArray[np.floating]) -> NDArray[np.float32]:
    """Linear RGB of sRGB-encoded values in [0, 1] (IEC 61966-2-1); any shape, float32."""
    value = np.asarray(srgb, dtype=np.float32)
    return np.where(value <= 0.04045, value / 12.92, ((np.maximum(value, 0.04045) + 0.055) / 1.055) ** 2.4).astype(
        np.float32
    )


def linear_to_srgb(linear: NDArray[np.floating]) -> NDArray[np.float32]:
    """sRGB-encoded values of linear RGB (IEC 61966-2-1), clipped to [0, 1]; any shape, float32."""
    value = np.clip(np.asarray(linear, dtype=np.float32), 0.0, 1.0)
    return np.where(
        value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 0.0031308) ** (1 / 2.4) - 0.055
    ).astype(np.float32)


def luminance(linear: NDArray[np.floating]) -> NDArray[np.float32]:
    """``(...)`` float32 luminance of linear RGB ``(..., 3)``."""
    return np.asarray(linear, dtype=np.float32) @ LUMINANCE
