"""The Gaussian filter of all rooms below a method: on the host by SciPy, inside :func:`filtering_on` on a GPU.

A texture at 1024² is filtered some hundreds of times on its way, and the widths are those of the face: on a map of
twice the side a kernel has twice the taps. Narrow kernels are two direct passes; from :data:`SPECTRAL_RADIUS` on each
pass multiplies spectra, ``F⁻¹(F(x) · F(k))`` over lines padded with zeros, at n log n whatever the width. On a GPU the
two passes take less than the transfer, and both together a tenth of the time of direct passes on the host. The kernel
is SciPy's everywhere; results agree to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import gaussian_filter

SPECTRAL_RADIUS = 12
"""Texels from which on spectra take no longer than direct passes at 256²; on larger maps it is from 8 or 4 on."""
_LINES = 64
"""Lines transformed together: their spectra stay in the cache."""

_device: ContextVar[str] = ContextVar("device of Gaussian filters", default="cpu")


@contextmanager
def filtering_on(device: str) -> Iterator[None]:
    """Filters inside the block run on a torch device; ``cpu`` is the host by SciPy."""
    token = _device.set(device)
    try:
        yield
    finally:
        _device.reset(token)


def filtering_device() -> str:
    """Where filters run now."""
    return _device.get()


def kernel_radius(sigma: float, truncate: float) -> int:
    """Texels that the kernel reaches to either side, as SciPy counts them."""
    return int(truncate * sigma + 0.5)


def gaussian(image: NDArray[np.float32], sigma: float, truncate: float) -> NDArray[np.float32]:
    """``image`` ``(H, W)`` or ``(H, W, C)`` float32, filtered over both axes; beyond its edges it counts as 0.

    The error is that of float32, or of float64 at the largest value where that is more: on a map that holds 1, what
    should be 0 may come out as ±1e-17.

    Args:
        sigma: standard deviation in texels, above 0.
        truncate: radius of the kernel in standard deviations.
    """
    device = _device.get()
    if device != "cpu":
        return filtered_by_torch(image, sigma, truncate, device)
    # A spectrum would carry an infinite value or a NaN to every texel; direct passes carry it to its neighbours alone.
    if kernel_radius(sigma, truncate) < SPECTRAL_RADIUS or not np.isfinite(image).all():
        return filtered_directly(image, sigma, truncate)
    return filtered_by_spectra(image, sigma, truncate)


def filtered_directly(image: NDArray[np.float32], sigma: float, truncate: float) -> NDArray[np.float32]:
    """:func:`gaussian` as two passes of SciPy's filter, whose cost grows with the kernel."""
    axes = (sigma, sigma, 0.0) if image.ndim == 3 else (sigma, sigma)
    return np.asarray(gaussian_filter(image, axes, mode="constant", truncate=truncate), np.float32)


def filtered_by_spectra(image: NDArray[np.float32], sigma: float, truncate: float) -> NDArray[np.float32]:
    """:func:`gaussian` as two passes of products of spectra, in float64."""
    planes = np.atleast_3d(image)
    height, width, channels = planes.shape
    half, out = np.empty((width, height)), np.empty(planes.shape, np.float32)
    for channel in range(channels):
        _filter_lines(planes[..., channel], half, sigma, truncate)
        _filter_lines(half, out[..., channel], sigma, truncate)
    return out.reshape(image.shape)


def _filter_lines(plane: NDArray[Any], out: NDArray[Any], sigma: float, truncate: float) -> None:
    """Filters the lines of ``(L, N)`` and writes them as columns of ``out`` ``(N, L)``."""
    count = plane.shape[1]
    ring, kernel = _spectrum(count, sigma, truncate)
    for start in range(0, len(plane), _LINES):
        lines = fft.rfft(plane[start : start + _LINES].astype(np.float64), ring, axis=1)
        lines *= kernel
        filtered = fft.irfft(lines, ring, axis=1, overwrite_x=True)
        out[:, start : start + _LINES] = filtered[:, :count].T


@lru_cache(maxsize=64)
def _spectrum(count: int, sigma: float, truncate: float) -> tuple[int, NDArray[np.float64]]:
    """A ring of texels that serves lines of ``count``, and the ``(ring // 2 + 1,)`` spectrum of the kernel on it."""
    taps = _taps(sigma, truncate)
    centre = len(taps) // 2
    # A product of spectra is the convolution on a ring: as many zeros as the kernel reaches keep the ends apart. No
    # two texels of a line are farther apart than its length.
    reach = min(centre, count - 1)
    ring = fft.next_fast_len(count + reach, real=True)
    on_ring = np.zeros(ring)
    on_ring[: reach + 1] = taps[centre : centre + reach + 1]
    on_ring[ring - reach :] = taps[centre - reach : centre]
    spectrum: NDArray[np.float64] = fft.rfft(on_ring).real.copy()  # the kernel is even, its spectrum real
    spectrum.setflags(write=False)
    return ring, spectrum


def _taps(sigma: float, truncate: float) -> NDArray[np.float64]:
    """``(2 r + 1,)`` the kernel cut at its radius r, of sum 1."""
    radius = kernel_radius(sigma, truncate)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(taps / taps.sum())


def filtered_by_torch(image: NDArray[np.float32], sigma: float, truncate: float, device: str) -> NDArray[np.float32]:
    """:func:`gaussian` as two convolutions on a torch device, in full float32."""
    import torch  # here: the host's filter serves many commands that never need it
    from torch.nn import functional

    radius = kernel_radius(sigma, truncate)
    kernel = torch.from_numpy(_taps(sigma, truncate).astype(np.float32)).to(device)
    planes = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image))).to(device).permute(2, 0, 1)[:, None]
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        down = functional.conv2d(planes, kernel[None, None, :, None], padding=(radius, 0))
        both = functional.conv2d(down, kernel[None, None, None, :], padding=(0, radius))
    out: NDArray[np.float32] = both[:, 0].permute(1, 2, 0).contiguous().cpu().numpy()
    return out if image.ndim == 3 else out[..., 0]
