"""Any metric on two pictures in memory, for scripts, notebooks and authors of plugins; and the checks they go through.

    from metrics.arrays import measure
    measure("ssim", result, reference, region)          # {'SSIM': 0.93}

Nothing is converted on the quiet: pictures of unlike size, with an alpha channel, with integers, grey, or with values
that are no numbers of [0, 1] inside the region are refused with a sentence that names the metric and the mend. A number
that cannot be had on a sound picture, because the region is too small for it, is NaN.

A constant picture is sound. PSNR, SSIM (its luminance term), MS-SSIM, FLIP and ΔE2000 are defined on it; a ratio or a
correlation of detail against a reference without any has no value and is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.contract import Judged, Metric, Space
from recon.errors import ImageError, PairingError, UsageError

TOLERANCE = 1e-5
"""What a value may lie outside [0, 1] by rounding; such values are clipped. A step of an 8-bit encoding is 4e-3."""

Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]


def measure(
    metric_name: str,
    result: ArrayLike,
    reference: ArrayLike,
    region: ArrayLike | None = None,
    *,
    space: Space = "image",
    landmarks: ArrayLike | None = None,
    device: str = "cpu",
) -> dict[str, float]:
    """The numbers of one metric for one result beside its reference.

    Args:
        metric_name: a name of ``metrics.METRICS``.
        result, reference: ``(H, W, 3)`` floating, sRGB-encoded in [0, 1]; not read outside ``region``.
        region: ``(H, W)`` bool, what is judged; everything if None.
        space: ``image`` for views and photographs, ``uv`` for albedo maps.
        landmarks: ``(68, 2)`` pixels of the reference picture, iBUG order, for metrics that need them.
        device: torch device.

    Returns:
        A value for each component; NaN where the region is too small for it, or it is not defined.

    Raises:
        UsageError: the metric is unknown, judges sets or heads, or is not of this space.
        ImageError: a picture or region that cannot be measured.
        PairingError: result, reference and region differ in size.
        AssetError: the metric's weights are absent.
    """
    metric = metric_of_pictures(metric_name, space)
    ours, wanted, judged_region = checked_pair(metric_name, result, reference, region)
    points = None if landmarks is None else _checked_landmarks(metric_name, landmarks)
    if metric.weights is not None:
        metric.weights()
    judged = Judged(ours, wanted, judged_region, judged_region, judged_region, "the given arrays", points)
    values = metric.measure([judged], device)[0]
    return {component.name: float(value) for component, value in zip(metric.components, values, strict=True)}


def metric_of_pictures(metric_name: str, space: str) -> Metric:
    """The metric of that name, if it measures single pictures in ``space``.

    Raises:
        UsageError: it does not.
    """
    from metrics import METRICS, SET_METRICS

    if metric_name not in METRICS and metric_name in SET_METRICS:
        raise UsageError(
            f"'{metric_name}' judges all results of a method together: measure a run with 'mesoface metrics RUN'."
        )
    metric = METRICS.get(metric_name)
    if space not in metric.spaces:
        known = sorted(metric.spaces - {"shape"})
        mend = f"give space='{known[0]}'" if known else "it measures heads: use 'mesoface metrics RUN'"
        raise UsageError(f"'{metric_name}' does not measure pictures of the space '{space}': {mend}.")
    return metric


def checked_pair(
    metric_name: str,
    result: ArrayLike,
    reference: ArrayLike,
    region: ArrayLike | None = None,
    *,
    result_name: str = "the result",
    reference_name: str = "the reference",
) -> tuple[Picture, Picture, Mask]:
    """Result, reference and region as metrics take them, or a sentence that says why they cannot be measured.

    Args:
        metric_name: begins the message.
        result, reference, region: see :func:`measure`.
        result_name, reference_name: how the message calls them, for instance by their files.

    Returns:
        ``(H, W, 3)`` float32 twice, in [0, 1] inside the region, and ``(H, W)`` bool.

    Raises:
        ImageError: no colour picture of floats, a single pixel, values in the region that are no numbers of [0, 1],
            a region that is no mask or holds nothing.
        PairingError: result, reference or region differ in size.
    """
    ours = _colour_picture(metric_name, result, result_name)
    wanted = _colour_picture(metric_name, reference, reference_name)
    if ours.shape != wanted.shape:
        raise PairingError(
            f"{metric_name}: {result_name} is {_size(ours)}, {reference_name} {_size(wanted)}: bring both to one size; "
            "nothing is resized on the quiet."
        )
    if ours.shape[:2] == (1, 1):
        raise ImageError(f"{metric_name}: {result_name} is a single pixel (1×1): give the whole picture.")
    judged = _mask(metric_name, region, ours)
    return (
        _in_range(metric_name, ours, judged, result_name),
        _in_range(metric_name, wanted, judged, reference_name),
        judged,
    )


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}×{array.shape[0]}"


def _colour_picture(metric_name: str, picture: ArrayLike, name: str) -> NDArray[np.floating]:
    array = np.asarray(picture)
    start = f"{metric_name}: {name}"
    if array.dtype == np.bool_ or not np.issubdtype(array.dtype, np.number):
        raise ImageError(f"{start} holds {array.dtype}, no colours: give sRGB values in [0, 1] as float32.")
    if np.issubdtype(array.dtype, np.integer):
        most = np.iinfo(array.dtype).max
        how = f"divide by {most}" if most in {255, 65535} else "divide by what stands for white"
        raise ImageError(f"{start} has integers ({array.dtype}): {how}, so that it is float32 in [0, 1].")
    if not np.issubdtype(array.dtype, np.floating):
        raise ImageError(f"{start} holds {array.dtype}: give sRGB values in [0, 1] as float32.")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        raise ImageError(
            f"{start} is grey, of shape {array.shape}: repeat it to three equal channels, (H, W, 3), if that is meant."
        )
    if array.ndim == 3 and array.shape[2] in {2, 4}:
        raise ImageError(
            f"{start} has an alpha channel, shape {array.shape}: lay it over a background, or give [..., :3] and what "
            "is opaque as the region."
        )
    if array.ndim != 3 or array.shape[2] != 3:
        first = " (move the channels to the end)" if array.ndim == 3 and array.shape[0] in {1, 3, 4} else ""
        raise ImageError(f"{start} has the shape {array.shape}: give one picture, (H, W, 3){first}.")
    if not array.size:
        raise ImageError(f"{start} has no pixels, shape {array.shape}: give a picture that is not empty.")
    return array


def _mask(metric_name: str, region: ArrayLike | None, picture: NDArray[np.floating]) -> Mask:
    if region is None:
        return np.ones(picture.shape[:2], bool)
    mask = np.asarray(region)
    if mask.dtype != np.bool_:
        raise ImageError(f"{metric_name}: the region holds {mask.dtype}: give bool, for instance region > 0.")
    if mask.shape != picture.shape[:2]:
        raise PairingError(
            f"{metric_name}: the region has the shape {mask.shape}, the pictures {picture.shape[:2]}: give one bool a "
            "pixel."
        )
    if not mask.any():
        raise ImageError(f"{metric_name}: the region is empty, False everywhere: there is nothing to measure in it.")
    return mask


def _in_range(metric_name: str, picture: NDArray[np.floating], region: Mask, name: str) -> Picture:
    """``picture`` as float32, clipped by no more than rounding."""
    inside = picture[region]
    finite = np.isfinite(inside)
    if not finite.all():
        pixels = ~finite.all(axis=-1)
        row, column = np.argwhere(region)[int(np.argmax(pixels))]
        raise ImageError(
            f"{metric_name}: {name} has {int(pixels.sum())} pixels in the region that are no numbers (NaN, infinite), "
            f"the first at row {row}, column {column}: mend them, or leave them out of the region."
        )
    low, high = float(inside.min()), float(inside.max())
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        mend = "divide by 255" if low >= 0 and 1.5 < high <= 255 else "encode it as sRGB in [0, 1]"
        raise ImageError(f"{metric_name}: {name} has values from {low:g} to {high:g} in the region: {mend}.")
    single = picture.astype(np.float32, copy=False)
    return single if low >= 0 and high <= 1 else np.clip(single, 0, 1)


def _checked_landmarks(metric_name: str, landmarks: ArrayLike) -> NDArray[np.float32]:
    points = np.asarray(landmarks, np.float32)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise ImageError(
            f"{metric_name}: the landmarks have the shape {points.shape}: give (68, 2) finite pixels, iBUG order."
        )
    return points
