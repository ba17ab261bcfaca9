"""The colour chart: reference values against published ones, and the fit of a camera's colours."""

from __future__ import annotations

import numpy as np
import pytest

from recon.capture.colour_checker import (
    _BRADFORD_D50_TO_D65,
    _XYZ_TO_RGB,
    CHARTS,
    chart_reflectances,
    fit_colours,
)
from recon.capture.recovery import colour_differences
from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import InputError

# Published by X-Rite for charts made before November 2014, sRGB in 8 bits.
PUBLISHED = [
    (115, 82, 68), (194, 150, 130), (98, 122, 157), (87, 108, 67), (133, 128, 177), (103, 189, 170),
    (214, 126, 44), (80, 91, 166), (193, 90, 99), (94, 60, 108), (157, 188, 64), (224, 163, 46),
    (56, 61, 150), (70, 148, 73), (175, 54, 60), (231, 199, 31), (187, 86, 149), (8, 133, 161),
    (243, 243, 242), (200, 200, 200), (160, 160, 160), (122, 122, 121), (85, 85, 85), (52, 52, 52),
]  # fmt: skip


def test_reference_values_agree_with_the_published_srgb() -> None:
    """Rounded, and converted in a way that the makers do not state: alike to the eye, not to the digit."""
    published = srgb_to_linear(np.array(PUBLISHED) / 255)
    ours = chart_reflectances("before-2014")
    difference = colour_differences(ours.astype(np.float32), published)
    assert difference.mean() < 2
    assert difference.max() < 4
    grey = linear_to_srgb(ours[18:]) * 255
    np.testing.assert_allclose(grey, np.array(PUBLISHED[18:]), atol=4)


def test_the_change_of_white_point_takes_white_to_white() -> None:
    """D50 of the ICC profile connection space to D65 of IEC 61966-2-1, and from there to equal red, green and blue."""
    white = _BRADFORD_D50_TO_D65 @ [0.96422, 1.0, 0.82521]
    np.testing.assert_allclose(white, [0.95047, 1.0, 1.08883], atol=1e-4)
    np.testing.assert_allclose(_XYZ_TO_RGB @ white, 1, atol=1e-3)


def test_luminance_of_a_reference_is_that_of_its_lightness() -> None:
    """Y = ((L* + 16)/116)³ (CIE 15); the change of white point leaves that of greys as it is."""
    for name, patches in CHARTS.items():
        luminance = chart_reflectances(name)[18:] @ [0.2126, 0.7152, 0.0722]
        lightness = np.array(patches)[18:, 0]
        np.testing.assert_allclose(luminance, ((lightness + 16) / 116) ** 3, rtol=0.003)


def test_a_mixture_of_colours_is_undone() -> None:
    known = chart_reflectances("since-2014")
    mixture = np.array([[0.5, 0.3, 0.1], [0.2, 0.6, 0.1], [0.05, 0.2, 0.6]])
    usable = np.ones(24, bool)
    usable[3] = False
    recorded = (known @ mixture.T).astype(np.float32)
    recorded[3] = 1.0  # clipped
    fit = fit_colours(recorded, known, usable)
    np.testing.assert_allclose(fit.matrix, np.linalg.inv(mixture), atol=1e-4)
    assert fit.used == 23 and fit.greatest_error < 0.01
    with pytest.raises(InputError, match="expose it again"):
        fit_colours(recorded, known, np.arange(24) < 8)
    with pytest.raises(InputError, match="positions"):
        fit_colours(np.ones((24, 3), np.float32), known, usable)
