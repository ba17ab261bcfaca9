"""Filters that read nothing outside a mask: normalised convolution (Knutsson and Westin 1993) and erosion.

A wrong fill outside the mask, even a few texels deep, wrecks every correlation and energy that is measured near its
edge, so values outside are never read here, not even multiplied by zero: NaN out there changes nothing.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, label

from recon.texture.gaussian import filtering_device, gaussian, kernel_radius

_MOST_KEPT = 96 * 2**20
"""Bytes of normalisations that a process keeps, the least recently used dropped first."""
_normalisations: dict[tuple[Any, ...], NDArray[np.float32]] = {}
_lock = threading.Lock()


def masked_gaussian(
    image: NDArray[np.floating], mask: NDArray[np.bool_], sigma: float, truncate: float = 3.0
) -> NDArray[np.float32]:
    """Gaussian mean over the texels inside ``mask``.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``; values outside ``mask`` are ignored, whatever they are.
        mask: ``(H, W)`` bool.
        sigma: standard deviation in texels; 0 gives the image itself inside the mask.
        truncate: radius of the kernel in standard deviations.

    Returns:
        float32 of the shape of ``image``; where no texel of the mask is in reach, 0.
    """
    box = _box(mask, kernel_radius(max(sigma, 0.0), truncate))
    seen, part = mask[box], image[box]
    mean = np.where(seen[..., None] if image.ndim == 3 else seen, part, 0).astype(np.float32)
    if sigma > 0 and mean.size:
        scale = _normalisation(seen, sigma, truncate)
        mean = gaussian(mean, sigma, truncate) * (scale[..., None] if image.ndim == 3 else scale)
    out = np.zeros(image.shape, np.float32)
    out[box] = mean
    return out


def _box(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Rows and columns of the texels of ``mask`` with a margin, within the square; empty where the mask is."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0), slice(0)
    return (slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
            slice(max(columns[0] - margin, 0), columns[-1] + margin + 1))  # fmt: skip


def _normalisation(mask: NDArray[np.bool_], sigma: float, truncate: float) -> NDArray[np.float32]:
    """One over the share of the kernel that lies inside ``mask``; kept, since masks are filtered with many times."""
    # Devices round differently: what one of them makes does not depend on what another made before.
    device = filtering_device()
    key = (hashlib.blake2b(mask.tobytes(), digest_size=16).digest(), mask.shape, float(sigma), truncate, device)
    with _lock:
        kept = _normalisations.pop(key, None)
    if kept is None:
        weight = gaussian(mask.astype(np.float32), sigma, truncate)
        reached = weight > 1e-6
        kept = np.where(reached, 1.0 / np.where(reached, weight, 1.0), 0.0).astype(np.float32)
        kept.setflags(write=False)
    with _lock:
        _normalisations[key] = kept
        while sum(array.nbytes for array in _normalisations.values()) > _MOST_KEPT:
            del _normalisations[next(iter(_normalisations))]
    return kept


def erode(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Texels of ``mask`` farther than ``radius`` from any texel outside it (the square's edge counts as outside)."""
    padded = np.pad(mask, 1)
    return np.asarray(distance_transform_edt(padded)[1:-1, 1:-1] > radius)


def dilate(mask: NDArray[np.bool_], radius: float) -> NDArray[np.bool_]:
    """Texels within ``radius`` of ``mask``."""
    if not mask.any():
        return mask.copy()
    return np.asarray(distance_transform_edt(~mask) <= radius)


def large_components(mask: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """``mask`` without 4-connected components smaller than ``share`` of its area."""
    labels, count = label(mask)
    if count == 0:
        return mask.copy()
    sizes = np.bincount(labels.ravel())
    keep = sizes >= share * mask.sum()
    keep[0] = False
    return np.asarray(keep[labels])


def feather(mask: NDArray[np.bool_], width: float) -> NDArray[np.float32]:
    """``(H, W)`` float32: 0 outside ``mask``, rising smoothly to 1 at ``width`` texels inside it."""
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    ramp = np.clip(depth / max(width, 1e-6), 0.0, 1.0)
    return np.asarray(ramp * ramp * (3.0 - 2.0 * ramp), dtype=np.float32)


def extend(image: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Fills the outside of ``mask`` smoothly from the inside, and leaves the inside as it is.

    Pull-push interpolation (Gortler et al. 1996): the known texels are averaged into ever coarser grids, and each
    unknown texel takes the bilinear interpolation of the finest grid that has something to say.

    Args:
        image: ``(H, W, C)`` or ``(H, W)``; values outside ``mask`` are ignored.
        mask: ``(H, W)`` bool; must hold at least one texel.
    """
    flat = image if image.ndim == 3 else image[..., None]
    weight = mask.astype(np.float32)
    value = np.where(mask[..., None], flat, 0).astype(np.float32)
    levels = [(value, weight)]
    while max(weight.shape) > 1:
        value, weight = _halve(value * weight[..., None]), _halve(weight[..., None])[..., 0]
        value = np.asarray(value / np.maximum(weight, 1e-12)[..., None], np.float32)
        # A coarse texel is trusted in full once a quarter of it is known.
        weight = np.minimum(4.0 * weight, 1.0)
        levels.append((value, weight))
    filled = levels.pop()[0]
    while levels:
        value, weight = levels.pop()
        coarse = _double(filled, value.shape[:2])
        filled = weight[..., None] * value + (1.0 - weight[..., None]) * coarse
    return filled if image.ndim == 3 else filled[..., 0]


def _halve(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over 2 × 2 texels of ``(H, W, C)``; odd sides are padded with zeros."""
    height, width, channels = image.shape
    padded = np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)))
    blocks = padded.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, channels)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


def _double(image: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Bilinear enlargement by two, cut to ``shape``."""
    for axis in (0, 1):
        before = np.concatenate([image.take([0], axis), image.take(range(image.shape[axis] - 1), axis)], axis)
        after = np.concatenate([image.take(range(1, image.shape[axis]), axis), image.take([-1], axis)], axis)
        pair = np.stack([0.75 * image + 0.25 * before, 0.75 * image + 0.25 * after], axis=axis + 1)
        new = list(image.shape)
        new[axis] *= 2
        image = pair.reshape(new)
    return np.asarray(image[: shape[0], : shape[1]], dtype=np.float32)
