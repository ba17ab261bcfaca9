"""High dynamic range: radiance kept as OpenEXR, and tone-mapped for screens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.exr import REC_709, read_exr, write_exr

Float = NDArray[np.float32]

# Radiance up to here is shown as it is; what lies above shares the rest of the screen's range.
SHOULDER = 0.7


def tone_map(radiance: Float) -> Float:
    """``(..., 3)`` float32 in [0, 1] sRGB-encoded, for screens.

    Below ``s = SHOULDER`` nothing changes, so skin is shown as measured; above it
    ``s + (1 − s)(1 − exp(−(x − s)/(1 − s)))`` rises ever more slowly, with the same slope at the join, so that
    highlights keep their form and do not clip.
    """
    linear = np.maximum(np.asarray(radiance, np.float32), 0)
    room = np.float32(1 - SHOULDER)
    rolled = SHOULDER + room * (1 - np.exp(-np.maximum(linear - SHOULDER, 0) / room))
    return linear_to_srgb(np.where(linear > SHOULDER, rolled, linear).astype(np.float32))


def write_radiance(path: Path, radiance: Float, alpha: Float) -> None:
    """Writes a picture as OpenEXR, atomically: R, G, B (radiance times coverage, linear sRGB primaries) and A, halves.

    Args:
        radiance: ``(H, W, 3)`` float32, not multiplied by alpha.
        alpha: ``(H, W)`` float32 in [0, 1].

    Raises:
        ImageError: a value is not finite.
        StorageError: the file cannot be written.
    """
    pixels = np.concatenate([radiance * alpha[..., None], alpha[..., None]], axis=-1)
    write_exr(path, pixels, half=True, header=REC_709)


def read_radiance(path: Path) -> tuple[Float, Float]:
    """What :func:`write_radiance` wrote: radiance ``(H, W, 3)``, 0 where nothing is covered, and alpha ``(H, W)``.

    Raises:
        ImageError: absent, damaged, or without the four channels.
    """
    pixels = read_exr(path, ("RGBA",)).astype(np.float32)
    alpha = np.ascontiguousarray(pixels[..., 3])
    radiance = np.where(alpha[..., None] > 0, pixels[..., :3] / np.maximum(pixels[..., 3:], 1e-6), 0)
    return radiance.astype(np.float32), alpha
