"""The Gaussian filter of all rooms below a method: on the host by SciPy, inside :func:`filtering_on` on a GPU.

A texture at 1024² is filtered some hundreds of times on its way. On a GPU the two passes take less than the transfer,
and both together a tenth of the time on the host. The kernel is SciPy's; results agree to float32 rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

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


def gaussian(image: NDArray[np.float32], sigma: float, truncate: float) -> NDArray[np.float32]:
    """``image`` ``(H, W)`` or ``(H, W, C)`` float32, filtered over both axes; beyond its edges it counts as 0.

    Args:
        sigma: standard deviation in texels, above 0.
        truncate: radius of the kernel in standard deviations.
    """
    device = _device.get()
    if device == "cpu":
        axes = (sigma, sigma, 0.0) if image.ndim == 3 else (sigma, sigma)
        return np.asarray(gaussian_filter(image, axes, mode="constant", truncate=truncate), np.float32)
    return filtered_by_torch(image, sigma, truncate, device)


def filtered_by_torch(image: NDArray[np.float32], sigma: float, truncate: float, device: str) -> NDArray[np.float32]:
    """:func:`gaussian` as two convolutions on a torch device, in full float32."""
    import torch  # here: the host's filter serves many commands that never need it
    from torch.nn import functional

    radius = int(truncate * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel = torch.from_numpy((taps / taps.sum()).astype(np.float32)).to(device)
    planes = torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image))).to(device).permute(2, 0, 1)[:, None]
    with torch.no_grad(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        down = functional.conv2d(planes, kernel[None, None, :, None], padding=(radius, 0))
        both = functional.conv2d(down, kernel[None, None, None, :], padding=(0, radius))
    out: NDArray[np.float32] = both[:, 0].permute(1, 2, 0).contiguous().cpu().numpy()
    return out if image.ndim == 3 else out[..., 0]
