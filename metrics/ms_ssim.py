"""MS-SSIM inside a region, every mean a weighted mean over pixels of the region alone.

Multi-scale structural similarity (Wang, Simoncelli and Bovik 2003): at each of five scales, each half the size of the
one before, the contrast and structure of 11 × 11 windows (Gaussian, σ 1.5) are compared, at the last one also their
luminance,

    MS-SSIM = Π_{k<5} max(0, CS_k)^β_k · max(0, S_5)^β_5,    cs = (2 σ_xy + C2) / (σ_x² + σ_y² + C2),
    s = cs (2 μ_x μ_y + C1) / (μ_x² + μ_y² + C1),

``CS_k`` and ``S_5`` the means over windows and over R, G and B together, as torchmetrics takes them.

At the coarsest scale a window spans 176 pixels, and no face has that much skin without an eye or a mouth in it: the
rule of counting only windows that lie inside the region would leave nothing, and filling the outside would mix the
fill into every number. Therefore a weight ``w``, 1 inside the region and 0 outside, goes through the pyramid with the
picture. A cell of the next scale is the mean of its 2 × 2 cells weighted by ``w``, its weight their mean weight; the
moments of a window are ``E[x] = G∗(w x) / G∗w``; and ``CS_k`` is weighted by the ``w`` of the window's centre. Nothing
outside the region is read, at any scale. Windows that reach beyond the picture are not counted. With the whole picture
as region this is MS-SSIM as published; pytorch-msssim agrees to 1e-5 on grey pictures, and torchmetrics, which also
counts mirrored windows at the last scale, to 1e-3. Neither takes a mask, nor gives the maps that one could mask.

The pyramid's cells are those of the picture, wherever the region lies. A box around the region with a side of less
than 176 pixels does not hold five scales: NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Batch, Component, Metric
from metrics.regions import box_around, filled, region_key

if TYPE_CHECKING:
    from torch import Tensor

EXPONENTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""β of each scale, fine to coarse; table 1 of the paper."""

SIGMA = 1.5
RADIUS = 5
C1, C2 = 0.01**2, 0.03**2  # of a data range of 1
COARSEST = 2 ** (len(EXPONENTS) - 1)

LEAST_SIDE = (2 * RADIUS + 1) * COARSEST
"""Pixels that one window of the coarsest scale spans."""


@dataclass(frozen=True, eq=False)
class _Scale:
    """A region at one scale, in cells.

    Attributes:
        padding: cells (left, right, top, bottom) around the box, as many as the picture has, up to the window's radius.
        weight: ``(h, w)`` float32 in [0, 1], with the padding.
        counted: ``(h − 2R, w − 2R)`` weight of the windows' centres.
        normaliser: the same shape, ``1 / G∗w``; 0 where no window is counted.
    """

    padding: tuple[int, int, int, int]
    weight: Tensor
    counted: Tensor
    normaliser: Tensor


@dataclass(frozen=True, eq=False)
class _Frame:
    """Where a region lies in its picture, and its weights at each scale."""

    box: tuple[slice, slice]
    inside: NDArray[np.bool_]
    scales: tuple[_Scale, ...]


@dataclass(frozen=True, eq=False)
class _Moments:
    """A picture at one scale: ``values`` ``(3, h, w)``, and the windows' ``mean`` and ``power``, the mean square."""

    values: Tensor
    mean: Tensor
    power: Tensor


def ms_ssim(
    result: NDArray[np.floating], reference: NDArray[np.floating], region: NDArray[np.bool_], device: str = "cpu"
) -> float:
    """Multi-scale structural similarity inside a region; see the module.

    Args:
        result, reference: ``(H, W, 3)`` sRGB-encoded in [0, 1]; not read outside ``region``.
        region: ``(H, W)`` bool.
        device: torch device.

    Returns:
        In [0, 1], 1 for equal pictures; NaN where a side of the box around the region is shorter than 176 pixels.
    """
    frame = _frame(region, device)
    if frame is None:
        return float("nan")
    return _combined(frame, _moments(frame, result), _moments(frame, reference))


def measure(batch: Batch, device: str) -> list[Sequence[float]]:
    """:func:`ms_ssim` of each member; members with equal regions share the moments of their reference."""
    shared: dict[tuple[str, int], tuple[_Frame | None, list[_Moments]]] = {}
    values: list[Sequence[float]] = []
    for judged in batch:
        key = (region_key(judged.region), id(judged.reference))
        if key not in shared:
            frame = _frame(judged.region, device)
            shared[key] = (frame, [] if frame is None else _moments(frame, judged.reference))
        frame, of_reference = shared[key]
        values.append(
            [float("nan") if frame is None else _combined(frame, _moments(frame, judged.result), of_reference)]
        )
    return values


def _frame(region: NDArray[np.bool_], device: str) -> _Frame | None:
    """The region's weights at all scales; None where it does not hold five."""
    import torch
    from torch.nn import functional

    if not region.any():
        return None
    rows, columns = box_around(region)
    if min(rows.stop - rows.start, columns.stop - columns.start) < LEAST_SIDE:
        return None
    box = (_aligned(rows, region.shape[0]), _aligned(columns, region.shape[1]))
    inside = region[box]
    weight = torch.from_numpy(inside.astype(np.float32)).to(device)
    scales = []
    for index in range(len(EXPONENTS)):
        vertical, horizontal = (_padding(box[axis], region.shape[axis], index) for axis in (0, 1))
        padding = (*horizontal, *vertical)
        padded = functional.pad(weight, padding)
        if min(padded.shape) <= 2 * RADIUS:
            return None
        counted = padded[RADIUS:-RADIUS, RADIUS:-RADIUS]
        if not bool(counted.any()):
            return None
        reached = torch.where(counted > 0, _windowed(padded[None])[0], torch.inf)
        scales.append(_Scale(padding, padded, counted, 1.0 / reached))
        weight = _halved(weight[None])[0]
    return _Frame(box, inside, tuple(scales))


def _aligned(span: slice, length: int) -> slice:
    """``span`` widened to whole cells of the coarsest scale, as far as the picture goes."""
    return slice(span.start // COARSEST * COARSEST, min(length, -(-span.stop // COARSEST) * COARSEST))


def _padding(span: slice, length: int, index: int) -> tuple[int, int]:
    """Cells before and after the box that windows of scale ``index`` may reach into; they have no weight."""
    before, after = span.start >> index, (length >> index) - (span.stop >> index)
    return min(RADIUS, before), min(RADIUS, after)


def _moments(frame: _Frame, picture: NDArray[np.floating]) -> list[_Moments]:
    """The moments of all windows of ``picture`` at each scale."""
    import torch
    from torch.nn import functional

    first = frame.scales[0].weight
    inside = filled(picture[frame.box], frame.inside)
    values = torch.from_numpy(np.ascontiguousarray(np.moveaxis(inside, -1, 0))).to(first.device)
    found = []
    for index, scale in enumerate(frame.scales):
        padded = functional.pad(values, scale.padding)
        weighted = padded * scale.weight
        mean, power = (_windowed(torch.cat([weighted, weighted * padded])) * scale.normaliser).split(3)
        found.append(_Moments(padded, mean, power))
        if index + 1 < len(frame.scales):
            before, after, above, below = scale.padding
            height, width = scale.weight.shape
            own = scale.weight[above : height - below, before : width - after]
            weight = _halved(own[None])
            values = _halved(values * own) / torch.where(weight > 0, weight, torch.inf)
    return found


def _combined(frame: _Frame, first: Sequence[_Moments], second: Sequence[_Moments]) -> float:
    """The product over scales."""
    import torch

    product = 1.0
    for index, (scale, x, y) in enumerate(zip(frame.scales, first, second, strict=True)):
        together = _windowed(x.values * y.values * scale.weight) * scale.normaliser
        both = x.mean * y.mean
        spread = x.power - x.mean.square() + y.power - y.mean.square()
        similarity = (2 * (together - both) + C2) / (spread + C2)
        if index + 1 == len(frame.scales):
            similarity = similarity * (2 * both + C1) / (x.mean.square() + y.mean.square() + C1)
        mean = (similarity * scale.counted).sum(dtype=torch.float64) / (3 * scale.counted.sum(dtype=torch.float64))
        # A mean below zero has no real power; torchmetrics and pytorch-msssim take zero as well.
        product *= max(0.0, float(mean)) ** EXPONENTS[index]
    return product


def _windowed(planes: Tensor) -> Tensor:
    """Gaussian mean of every whole window of ``planes`` ``(P, h, w)``: ``(P, h − 2R, w − 2R)``.

    Shifted copies are added up, in place: on CPUs this is several times faster than a grouped convolution, and its
    time does not depend on how many threads there are.
    """
    taps = [float(np.exp(-0.5 * (offset / SIGMA) ** 2)) for offset in range(-RADIUS, RADIUS + 1)]
    for axis in (1, 2):
        length = planes.shape[axis] - 2 * RADIUS
        total = planes.narrow(axis, RADIUS, length) * (taps[RADIUS] / sum(taps))
        for offset in (o for o in range(2 * RADIUS + 1) if o != RADIUS):
            total.add_(planes.narrow(axis, offset, length), alpha=taps[offset] / sum(taps))
        planes = total
    return planes


def _halved(planes: Tensor) -> Tensor:
    """Mean of 2 × 2 cells; an odd last row or column is left out, as in torchmetrics."""
    from torch.nn import functional

    return functional.avg_pool2d(planes[None], 2)[0]


MS_SSIM = Metric(
    components=(Component("MS-SSIM", direction="higher"),),
    library="mesoface",
    version="1",
    parameters={
        "data_range": 1.0,
        "window": "gaussian",
        "sigma": SIGMA,
        "size": 2 * RADIUS + 1,
        "betas": list(EXPONENTS),
        "covariance": "population",
        "channels": "mean of RGB at each scale",
        "mask": "weights through the pyramid",
        "least side": LEAST_SIDE,
    },
    spaces=frozenset({"uv", "image"}),
    measure=measure,
)
