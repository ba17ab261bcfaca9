"""The two ways of the host's Gaussian filter against SciPy's in double precision: one kernel, one value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from recon.texture import gaussian as module
from recon.texture.gaussian import (
    SPECTRAL_RADIUS,
    filtered_by_spectra,
    filtered_directly,
    gaussian,
    kernel_radius,
)

TRUNCATE = 3.0
# Half the distance between two float32, and a little for double precision's own error.
ROUNDING = 6.1e-8


def reference(image: np.ndarray, sigma: float, truncate: float = TRUNCATE) -> np.ndarray:
    axes = (sigma, sigma, 0) if image.ndim == 3 else (sigma, sigma)
    return np.asarray(gaussian_filter(image.astype(np.float64), axes, mode="constant", truncate=truncate))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (7, 150), (64, 129), (61, 50, 3), (50, 65, 1)])
@pytest.mark.parametrize("sigma", [0.4, 4.0, 9.3, 40.0])
def test_products_of_spectra_are_the_filter(shape: tuple[int, ...], sigma: float) -> None:
    """Maps narrower than the kernel, odd and even sides, more lines than are transformed together: 64 and one."""
    image = np.random.default_rng(0).uniform(0.1, 1.0, shape).astype(np.float32)
    for truncate in (3.0, 4.0):
        found = filtered_by_spectra(image, sigma, truncate)
        assert found.shape == shape and found.dtype == np.float32
        np.testing.assert_allclose(found, reference(image, sigma, truncate), rtol=ROUNDING)


def test_positive_and_negative_values_cancel_as_they_should() -> None:
    image = np.random.default_rng(1).normal(size=(90, 70)).astype(np.float32)
    np.testing.assert_allclose(filtered_by_spectra(image, 5.0, TRUNCATE), reference(image, 5.0), rtol=1e-7, atol=1e-14)


def test_a_point_becomes_the_kernel_cut_at_its_radius() -> None:
    image = np.zeros((80, 90), np.float32)
    image[30, 50] = 1.0
    found = filtered_by_spectra(image, 5.0, TRUNCATE)
    steps = np.arange(-15, 16)
    kernel = np.exp(-0.5 * (steps / 5.0) ** 2)
    kernel /= kernel.sum()
    within = (slice(15, 46), slice(35, 66))
    np.testing.assert_allclose(found[within], np.outer(kernel, kernel), rtol=ROUNDING, atol=1e-18)
    found[within] = 0.0
    assert np.abs(found).max() < 1e-17


def test_narrow_kernels_go_directly_and_wide_ones_by_spectra(monkeypatch: pytest.MonkeyPatch) -> None:
    for way in ("filtered_directly", "filtered_by_spectra"):
        monkeypatch.setattr(module, way, lambda image, *_, way=way: way)
    image = np.ones((20, 20), np.float32)
    widest, narrowest = (SPECTRAL_RADIUS - 1) / TRUNCATE, SPECTRAL_RADIUS / TRUNCATE
    assert kernel_radius(widest, TRUNCATE) + 1 == kernel_radius(narrowest, TRUNCATE) == SPECTRAL_RADIUS
    assert gaussian(image, widest, TRUNCATE) == "filtered_directly"
    assert gaussian(image, narrowest, TRUNCATE) == "filtered_by_spectra"


@pytest.mark.parametrize("sigma", [3.9, 4.0])
def test_both_ways_meet_where_one_takes_over(sigma: float) -> None:
    image = np.random.default_rng(2).uniform(size=(130, 110, 3)).astype(np.float32)
    found = filtered_by_spectra(image, sigma, TRUNCATE)
    np.testing.assert_allclose(filtered_directly(image, sigma, TRUNCATE), found, rtol=2e-7)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_stays_with_its_neighbours(value: float) -> None:
    image = np.random.default_rng(3).uniform(size=(90, 90)).astype(np.float32)
    spoilt = image.copy()
    spoilt[10, 80] = value
    found = gaussian(spoilt, 5.0, TRUNCATE)
    away = np.ones(image.shape, bool)
    away[:26, 65:] = False
    assert not np.isfinite(found[10, 80])
    np.testing.assert_allclose(found[away], gaussian(image, 5.0, TRUNCATE)[away], rtol=2e-7)


def test_a_channel_does_not_know_of_the_others() -> None:
    image = np.random.default_rng(4).uniform(size=(100, 83, 3)).astype(np.float32)
    image[..., 1] *= 1e6
    together = gaussian(image, 6.0, TRUNCATE)
    for channel in range(3):
        assert np.array_equal(together[..., channel], gaussian(image[..., channel], 6.0, TRUNCATE))


def test_the_kept_spectrum_is_that_of_the_width_and_the_side() -> None:
    """Kernels and sides in turn, so that each is asked for again after another one."""
    rng = np.random.default_rng(5)
    for _ in range(2):
        for shape in ((50, 64), (64, 50)):
            for sigma, truncate in ((5.0, 3.0), (5.0, 4.0), (6.0, 3.0)):
                image = rng.uniform(0.1, 1.0, shape).astype(np.float32)
                found = filtered_by_spectra(image, sigma, truncate)
                np.testing.assert_allclose(found, reference(image, sigma, truncate), rtol=ROUNDING)
