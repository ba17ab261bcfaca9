"""The 24-patch ColorChecker: from the camera's colours to linear sRGB reflectance by a 3×3 matrix.

Under full-on light a flat chart receives what every unshadowed matt surface in the stage receives, so the matrix that
takes its recorded colours to its known reflectances makes albedo of the recorded skin, scale included.

Reference: CIE L*a*b* (D50, 2°) as X-Rite publishes them for charts made before and since November 2014
(*Colorimetric values for ColorChecker family of targets*; *New color specifications for ColorChecker SG and Classic
charts*), adapted from D50 to D65 by the Bradford transform (ICC.1:2022, annex E).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.errors import InputError

Float = NDArray[np.float32]

CHARTS = {
    "before-2014": (
        (37.986, 13.555, 14.059), (65.711, 18.130, 17.810), (49.927, -4.880, -21.925), (43.139, -13.095, 21.905),
        (55.112, 8.844, -25.399), (70.719, -33.397, -0.199), (62.661, 36.067, 57.096), (40.020, 10.410, -45.964),
        (51.124, 48.239, 16.248), (30.325, 22.976, -21.587), (72.532, -23.709, 57.255), (71.941, 19.363, 67.857),
        (28.778, 14.179, -50.297), (55.261, -38.342, 31.370), (42.101, 53.378, 28.190), (81.733, 4.039, 79.819),
        (51.935, 49.986, -14.574), (51.038, -28.631, -28.638), (96.539, -0.425, 1.186), (81.257, -0.638, -0.335),
        (66.766, -0.734, -0.504), (50.867, -0.153, -0.270), (35.656, -0.421, -1.231), (20.461, -0.079, -0.973),
    ),
    "since-2014": (
        (37.54, 14.37, 14.92), (64.66, 19.27, 17.50), (49.32, -3.82, -22.54), (43.46, -12.74, 22.72),
        (54.94, 9.61, -24.79), (70.48, -32.26, -0.37), (62.73, 35.83, 56.50), (39.43, 10.75, -45.17),
        (50.57, 48.64, 16.67), (30.10, 22.54, -20.87), (71.77, -24.13, 58.19), (71.51, 18.24, 67.37),
        (28.37, 15.42, -49.80), (54.38, -39.72, 32.27), (42.43, 51.05, 28.62), (81.80, 2.67, 80.41),
        (50.63, 51.28, -14.12), (49.57, -29.71, -28.32), (95.19, -1.03, 2.93), (81.29, -0.57, 0.44),
        (66.89, -0.75, -0.06), (50.76, -0.13, 0.14), (35.63, -0.46, -0.48), (20.64, 0.07, -0.46),
    ),
}  # fmt: skip
"""CIE L*a*b* (D50) by make of the chart: rows from dark skin to black, six patches each."""

_BRADFORD_D50_TO_D65 = np.array(
    [[0.9555766, -0.0230393, 0.0631636], [-0.0282895, 1.0099416, 0.0210077], [0.0122982, -0.0204830, 1.3299098]]
)
_XYZ_TO_RGB = np.array(  # IEC 61966-2-1
    [[3.2404542, -1.5371385, -0.4985314], [-0.9692660, 1.8760108, 0.0415560], [0.0556434, -0.2040259, 1.0572252]]
)
# Patches that clip or lie in shadow are left out; with fewer than this many left the matrix is a guess.
_FEWEST = 12


@dataclass(frozen=True, eq=False)
class ColourFit:
    """How a camera's colours become reflectance.

    Attributes:
        matrix: ``(3, 3)`` float64: ``reflectance = matrix @ recorded``.
        used: number of patches.
        mean_error, greatest_error: CIEDE2000 of the used patches after the fit.
    """

    matrix: NDArray[np.float64]
    used: int
    mean_error: float
    greatest_error: float


def chart_reflectances(chart: str) -> NDArray[np.float64]:
    """``(24, 3)`` float64 linear sRGB reflectances (D65) of a chart of ``CHARTS``; a few lie just outside [0, 1].

    Raises:
        InputError: no such chart.
    """
    if chart not in CHARTS:
        raise InputError(f"there is no colour chart '{chart}': known are {' and '.join(sorted(CHARTS))}.")
    from skimage.color import lab2xyz

    d50 = lab2xyz(np.asarray(CHARTS[chart])[None], illuminant="D50", observer="2")[0]
    return np.asarray(d50 @ _BRADFORD_D50_TO_D65.T @ _XYZ_TO_RGB.T)


def patch_means(picture: Float, centres: NDArray[np.floating], radius: float) -> tuple[Float, Float]:
    """Mean colour of each patch and the greatest value in it.

    Args:
        picture: ``(H, W, 3)`` linear.
        centres: ``(24, 2)`` pixel positions (x, y).
        radius: half the side of the square that is averaged, pixels.

    Returns:
        ``(24, 3)`` means and ``(24,)`` greatest values.

    Raises:
        InputError: a square lies outside the picture.
    """
    height, width = picture.shape[:2]
    low, high = np.round(centres - radius).astype(int), np.round(centres + radius).astype(int)
    high = np.maximum(high, low + 1)
    if (low < 0).any() or (high > [width, height]).any():
        worst = int(np.argmax((low < 0).any(axis=1) | (high > [width, height]).any(axis=1)))
        raise InputError(f"patch {worst + 1} of the colour chart lies outside its picture of {width}×{height} pixels.")
    tiles = [picture[y0:y1, x0:x1].reshape(-1, 3) for (x0, y0), (x1, y1) in zip(low, high, strict=True)]
    means = np.stack([tile.mean(axis=0) for tile in tiles])
    return means.astype(np.float32), np.array([tile.max() for tile in tiles], np.float32)


def fit_colours(recorded: Float, reflectances: NDArray[np.float64], usable: NDArray[np.bool_]) -> ColourFit:
    """The matrix that takes recorded colours to reflectances with the least squared relative error.

    Errors are divided by the patch's luminance, as the eye judges them; plain least squares would follow the few
    brightest patches.

    Args:
        recorded: ``(24, 3)`` linear camera colours without ambient light.
        reflectances: ``(24, 3)`` linear sRGB.
        usable: ``(24,)`` bool.

    Raises:
        InputError: too few usable patches, or colours that do not span three dimensions.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    count = int(usable.sum())
    if count < _FEWEST:
        raise InputError(f"only {count} of 24 patches of the colour chart are lit and not clipped: expose it again.")
    weight = 1 / np.maximum(reflectances[usable] @ [0.2126, 0.7152, 0.0722], 0.02)[:, None]
    solution, _, rank, _ = np.linalg.lstsq(recorded[usable] * weight, reflectances[usable] * weight, rcond=1e-6)
    if rank < 3:
        raise InputError("the recorded patches of the colour chart hold no colours: check their positions.")
    seen, known = recorded[usable] @ solution, reflectances[usable]
    error = deltaE_ciede2000(rgb2lab(linear_to_srgb(seen)[None]), rgb2lab(linear_to_srgb(known)[None]))[0]
    return ColourFit(np.asarray(solution.T, np.float64), count, float(error.mean()), float(error.max()))
