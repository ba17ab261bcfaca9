"""High dynamic range: radiance kept as OpenEXR, and tone-mapped for screens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.errors import ImageError
from recon.rendering.mitsuba_renderer import load_mitsuba
from recon.storage import atomic_path

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


def write_exr(path: Path, radiance: Float, alpha: Float) -> None:
    """Writes a picture as OpenEXR, atomically: channels R, G, B (radiance times coverage, linear sRGB primaries) and A.

    Half floats: 11 significant bits, values up to 65504, above which they are cut.

    Args:
        radiance: ``(H, W, 3)`` float32, not multiplied by alpha.
        alpha: ``(H, W)`` float32 in [0, 1].

    Raises:
        ImageError: a value is not a number.
        AssetError: the package mitsuba, which writes it, is missing.
        StorageError: the file cannot be written.
    """
    pixels = np.concatenate([radiance * alpha[..., None], alpha[..., None]], axis=-1)
    if not np.isfinite(pixels).all():
        raise ImageError(f"'{path}' was not written: the picture contains values that are not numbers.")
    mi = load_mitsuba()
    bitmap = mi.Bitmap(np.clip(pixels, -65504, 65504).astype(np.float16), mi.Bitmap.PixelFormat.RGBA)
    with atomic_path(Path(path)) as temporary:
        bitmap.write(str(temporary))


def read_exr(path: Path) -> tuple[Float, Float]:
    """Radiance ``(H, W, 3)`` (0 where nothing is covered) and alpha ``(H, W)``, float32, of :func:`write_exr`'s file.

    Raises:
        ImageError: absent, damaged, or without the four channels.
    """
    mi = load_mitsuba()
    try:
        bitmap = mi.Bitmap(str(path))
    except (RuntimeError, OSError) as error:
        raise ImageError(f"'{path}' cannot be read as OpenEXR ({str(error).splitlines()[0]}).") from error
    pixels = np.array(bitmap, np.float32)
    if pixels.ndim != 3 or pixels.shape[2] != 4:
        raise ImageError(f"'{path}' has no four channels R, G, B, A (its pixels are {pixels.shape}).")
    alpha = np.ascontiguousarray(pixels[..., 3])
    radiance = np.where(alpha[..., None] > 0, pixels[..., :3] / np.maximum(pixels[..., 3:], 1e-6), 0)
    return radiance.astype(np.float32), alpha
