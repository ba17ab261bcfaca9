"""PSNR, SSIM and CIEDE2000 inside a mask, from scikit-image; nothing outside the mask is read.

Images are ``(H, W, 3)`` float32, sRGB-encoded in [0, 1], so the data range is 1; the mask is ``(H, W)`` bool.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from metrics.contract import Component, Metric, Space, one_by_one
from metrics.regions import box_around, eroded

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

SSIM_SIGMA = 1.5
SSIM_TRUNCATE = 3.5  # scikit-image's own; the window is 11 × 11
SSIM_RADIUS = int(SSIM_TRUNCATE * SSIM_SIGMA + 0.5)

# Where a method returns the reference itself the ratio is infinite; medians and JSON need a number. An error of one
# step of an 8-bit encoding in one value of 6,500 already gives 86 dB, so the cap touches exact copies alone.
PSNR_CAP = 100.0


def psnr(result: Image, reference: Image, mask: Mask) -> float:
    """Peak signal-to-noise ratio over the masked pixels, in dB, capped at :data:`PSNR_CAP`; NaN on an empty mask."""
    if not mask.any():
        return float("nan")
    test, truth = result[mask].astype(np.float64), reference[mask].astype(np.float64)
    if np.array_equal(test, truth):
        return PSNR_CAP
    return min(float(peak_signal_noise_ratio(truth, test, data_range=1.0)), PSNR_CAP)


def ssim(result: Image, reference: Image, mask: Mask) -> float:
    """Mean structural similarity (Wang et al. 2004), Gaussian window σ 1.5, population covariance.

    The map is averaged over the mask eroded by the window's radius, so every window that counts lies inside the mask
    and inside the picture. NaN where the eroded mask is empty.
    """
    region = eroded(mask, SSIM_RADIUS)
    if not region.any():
        return float("nan")
    rows, columns = box_around(mask, least=2 * SSIM_RADIUS + 1)
    inside = mask[rows, columns, None]
    # Outside the mask both sides are zero: the windows there are not counted, and NaN there must not spread.
    _, similarity = structural_similarity(
        np.where(inside, reference[rows, columns], 0.0).astype(np.float64),
        np.where(inside, result[rows, columns], 0.0).astype(np.float64),
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=SSIM_SIGMA,
        use_sample_covariance=False,
        full=True,
    )
    return float(similarity[region[rows, columns]].mean())


def delta_e(result: Image, reference: Image, mask: Mask) -> float:
    """Mean CIEDE2000 colour difference over the masked pixels (sRGB, D65); NaN on an empty mask."""
    if not mask.any():
        return float("nan")
    test, truth = rgb2lab(result[mask].astype(np.float64)), rgb2lab(reference[mask].astype(np.float64))
    return float(np.mean(deltaE_ciede2000(truth, test)))


_BOTH: frozenset[Space] = frozenset({"uv", "image"})

PSNR = Metric(
    components=(Component("PSNR", "dB", "higher"),),
    library="scikit-image",
    version=version("scikit-image"),
    parameters={"data_range": 1.0, "cap": PSNR_CAP},
    spaces=_BOTH,
    measure=one_by_one(lambda judged: [psnr(judged.result, judged.reference, judged.region)]),
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
    },
    spaces=_BOTH,
    measure=one_by_one(lambda judged: [ssim(judged.result, judged.reference, judged.region)]),
)

DELTA_E = Metric(
    components=(Component("ΔE2000"),),
    library="scikit-image",
    version=version("scikit-image"),
    parameters={"illuminant": "D65", "observer": "2"},
    spaces=_BOTH,
    measure=one_by_one(lambda judged: [delta_e(judged.result, judged.reference, judged.region)]),
)
