"""PSNR, SSIM and CIEDE2000 inside a mask; nothing outside the mask is read.

Images are ``(H, W, 3)`` float32, sRGB-encoded in [0, 1], so the data range is 1; the mask is ``(H, W)`` bool.

- ``PSNR = −10 log10 MSE``, the mean over the masked pixels and RGB together; the closed form, which tests compare with
  scikit-image's.
- SSIM (Wang, Bovik, Sheikh and Simoncelli 2004) from scikit-image: Gaussian window σ 1.5, population covariance, the
  mean of the maps of R, G and B. The map is averaged over the mask eroded by the window's radius, so every window that
  counts lies inside the mask and inside the picture.
- ΔE2000 (Sharma, Wu and Dalal 2005) from scikit-image, averaged over the masked pixels.

A window that lies inside a region sees the same whatever surrounds the region. One map of all regions together, filled
with zero outside, therefore serves every region of a picture: maps and colours in Lab are kept in the memos of
:class:`metrics.contract.Judged`. All three are defined for constant pictures; SSIM is then its luminance term alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Batch, Component, Judged, Memo, Metric, Space
from metrics.regions import box_around, eroded, filled, region_key

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

SSIM_SIGMA = 1.5
SSIM_TRUNCATE = 3.5  # scikit-image's own; the window is 11 × 11
SSIM_RADIUS = int(SSIM_TRUNCATE * SSIM_SIGMA + 0.5)

# Where a method returns the reference itself the ratio is infinite; medians and JSON need a number. An error of one
# step of an 8-bit encoding in one value of 6,500 already gives 86 dB, so the cap touches exact copies alone.
PSNR_CAP = 100.0

BLOCK = 64
"""Rows of which errors are squared at a time: what stays in the processor's cache is twice as quick."""


def psnr(result: Image, reference: Image, mask: Mask) -> float:
    """Peak signal-to-noise ratio over the masked pixels, in dB, capped at :data:`PSNR_CAP`; NaN on an empty mask."""
    if not mask.any():
        return float("nan")
    rows, columns = box_around(mask)
    total = 0.0
    with np.errstate(invalid="ignore"):  # infinite minus infinite, outside the mask
        for top in range(rows.start, rows.stop, BLOCK):
            part = (slice(top, min(top + BLOCK, rows.stop)), columns)
            inside = mask[part]
            error = np.subtract(result[part], reference[part], dtype=np.float32)
            if not inside.all():
                error[~inside] = 0
            flat = error.reshape(-1)
            total += float(np.dot(flat, flat))
    mean = total / (3 * np.count_nonzero(mask))
    return min(-10.0 * float(np.log10(mean)), PSNR_CAP) if mean > 0 else PSNR_CAP


def ssim_map(result: Image, reference: Image) -> NDArray[np.float32]:
    """Structural similarity of the window around every pixel, mean over RGB.

    Args:
        result, reference: ``(H, W, 3)`` in [0, 1], finite, at least 11 pixels on each side.

    Returns:
        ``(H, W)`` float32; within :data:`SSIM_RADIUS` of the border windows are mirrored and not to be counted.
    """
    from skimage.metrics import structural_similarity

    # Planes of float32 take half the time of interleaved float64, and move the mean by less than 1e-6.
    _, similarity = structural_similarity(
        *(np.ascontiguousarray(np.moveaxis(picture, -1, 0), np.float32) for picture in (reference, result)),
        data_range=1.0,
        channel_axis=0,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(similarity.mean(axis=0, dtype=np.float32))


def ssim(result: Image, reference: Image, mask: Mask) -> float:
    """Mean structural similarity over the windows that lie inside ``mask``; NaN where none does."""
    return _ssim(Judged(np.asarray(result), np.asarray(reference), mask, mask, mask))


def _ssim(judged: Judged) -> float:
    counted = eroded(judged.region, SSIM_RADIUS)
    if not counted.any():
        return float("nan")
    known = known_region(judged)
    rows, columns = box_around(known, least=2 * SSIM_RADIUS + 1)

    def make() -> NDArray[np.float32]:
        inside = known[rows, columns]
        result, reference = (filled(side[rows, columns], inside) for side in (judged.result, judged.reference))
        return ssim_map(result, reference)

    similarity = judged.of_result.get(pair_key("ssim", judged, known), make)
    return float(similarity[counted[rows, columns]].mean(dtype=np.float64))


def delta_e(result: Image, reference: Image, mask: Mask) -> float:
    """Mean CIEDE2000 colour difference over the masked pixels (sRGB, D65, 2°); NaN on an empty mask."""
    return _delta_e(Judged(np.asarray(result), np.asarray(reference), mask, mask, mask))


def _delta_e(judged: Judged) -> float:
    from skimage.color import deltaE_ciede2000

    if not judged.region.any():
        return float("nan")
    known = known_region(judged)

    def make() -> NDArray[np.float32]:
        colours = (
            lab_inside(picture, known, memo)
            for picture, memo in ((judged.reference, judged.of_reference), (judged.result, judged.of_result))
        )
        return np.asarray(deltaE_ciede2000(*colours), np.float32)

    difference = judged.of_result.get(pair_key("ciede2000", judged, known), make)
    return float(difference[judged.region[known]].mean(dtype=np.float64))


def lab_inside(picture: Image, region: Mask, memo: Memo) -> NDArray[np.float32]:
    """CIELAB (D65, 2°) of the sRGB colours inside ``region``, row by row: ``(N, 3)`` float32, kept in ``memo``."""
    from skimage.color import rgb2lab

    def make() -> NDArray[np.float32]:
        return np.asarray(rgb2lab(picture[region].astype(np.float32, copy=False)), np.float32)

    return memo.get(("lab", region_key(region)), make)


def known_region(judged: Judged) -> Mask:
    """All that may be read of a picture, its regions together: what maps are made of, once for all regions."""
    return judged.whole | judged.region


def pair_key(name: str, judged: Judged, known: Mask) -> tuple[str, Memo, str]:
    """Key, in the memo of the result, of what belongs to this result beside this very reference."""
    return name, judged.of_reference, region_key(known)


def side_by_side(measure: Callable[[Judged], Sequence[float]]) -> Callable[[Batch, str], Sequence[Sequence[float]]]:
    """A metric of batches whose members are measured in as many threads as torch may use.

    For what spends its time in filters and arithmetic of large arrays, which let other threads run. What two members
    need of their reference may be made twice; both come out the same.
    """

    def of_batch(batch: Batch, device: str) -> Sequence[Sequence[float]]:
        if len(batch) == 1:
            return [measure(batch[0])]
        import torch

        with ThreadPoolExecutor(torch.get_num_threads()) as threads:
            return list(threads.map(measure, batch))

    return of_batch


_BOTH: frozenset[Space] = frozenset({"uv", "image"})

PSNR = Metric(
    components=(Component("PSNR", "dB", "higher"),),
    library="mesoface",
    version="2",
    parameters={"data_range": 1.0, "cap": PSNR_CAP, "mean": "over pixels and RGB"},
    spaces=_BOTH,
    measure=side_by_side(lambda judged: [psnr(judged.result, judged.reference, judged.region)]),
)

SSIM = Metric(
    components=(Component("SSIM", direction="higher"),),
    library="scikit-image",
    version=version("scikit-image"),
    parameters={
        "data_range": 1.0,
        "window": "gaussian",
        "sigma": SSIM_SIGMA,
        "covariance": "population",
        "channels": "mean of RGB",
        "erosion": SSIM_RADIUS,
        "precision": "float32",
    },
    spaces=_BOTH,
    measure=side_by_side(lambda judged: [_ssim(judged)]),
)

DELTA_E = Metric(
    components=(Component("ΔE2000"),),
    library="scikit-image",
    version=version("scikit-image"),
    parameters={"illuminant": "D65", "observer": "2", "precision": "float32"},
    spaces=_BOTH,
    measure=side_by_side(lambda judged: [_delta_e(judged)]),
)
