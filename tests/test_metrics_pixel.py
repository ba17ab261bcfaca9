"""PSNR, SSIM and ΔE2000: published values, closed forms, and that nothing outside the mask is read."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from metrics.pixel import PSNR_CAP, SSIM_RADIUS, delta_e, psnr, ssim


@pytest.fixture(scope="module")
def camera() -> tuple[np.ndarray, np.ndarray]:
    """scikit-image's cameraman and a noisy copy: σ = 20 of 255, clipped and rounded to 8 bits."""
    clean = data.camera()
    noisy = np.clip(clean + np.random.RandomState(5).normal(0, 20, clean.shape), 0, 255).astype(np.uint8)
    grey = [np.repeat((image / 255.0).astype(np.float32)[..., None], 3, axis=2) for image in (clean, noisy)]
    return grey[0], grey[1]


def rim_free(shape: tuple[int, int]) -> np.ndarray:
    return np.ones(shape, bool)


def test_psnr_and_ssim_give_the_known_values(camera: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = camera
    everywhere = rim_free(clean.shape[:2])
    assert psnr(noisy, clean, everywhere) == pytest.approx(22.409353, abs=5e-4)
    assert ssim(noisy, clean, everywhere) == pytest.approx(0.357959, abs=5e-4)


def test_equal_images_are_perfect(camera: tuple[np.ndarray, np.ndarray]) -> None:
    clean, _ = camera
    everywhere = rim_free(clean.shape[:2])
    assert psnr(clean, clean, everywhere) == PSNR_CAP
    assert ssim(clean, clean, everywhere) == pytest.approx(1.0)
    assert delta_e(clean, clean, everywhere) == 0.0


def test_psnr_of_a_constant_error_is_its_closed_form() -> None:
    truth = np.full((20, 20, 3), 0.5, np.float32)
    assert psnr(truth + np.float32(0.1), truth, rim_free((20, 20))) == pytest.approx(20.0, abs=1e-4)  # −20 log10 0.1


def test_ciede2000_of_a_published_pair() -> None:
    """Sharma, Wu and Dalal (2005), pair 17 of table 1: Lab (50, 2.5, 0) against (73, 25, −18) gives 27.1492."""
    from skimage.color import lab2rgb

    pair = [lab2rgb(np.array([[value]])).astype(np.float64) for value in ((50.0, 2.5, 0.0), (73.0, 25.0, -18.0))]
    assert delta_e(pair[1], pair[0], np.ones((1, 1), bool)) == pytest.approx(27.1492, abs=0.02)


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_masks_do_not_leak(camera: tuple[np.ndarray, np.ndarray], poison: float) -> None:
    clean, noisy = camera
    mask = np.zeros(clean.shape[:2], bool)
    mask[100:300, 120:330] = True
    mask[150:160, 200:210] = False
    spoiled = [np.where(mask[..., None], image, poison).astype(np.float32) for image in (clean, noisy)]
    for measure in (psnr, ssim, delta_e):
        assert measure(spoiled[1], spoiled[0], mask) == pytest.approx(measure(noisy, clean, mask), rel=1e-9)


def test_ssim_counts_only_windows_inside_the_mask(camera: tuple[np.ndarray, np.ndarray]) -> None:
    """Over a rectangle it is what scikit-image gives for that rectangle alone: it drops the same rim."""
    from skimage.metrics import structural_similarity

    clean, noisy = camera
    mask = np.zeros(clean.shape[:2], bool)
    mask[50:150, 60:220] = True
    alone = structural_similarity(
        clean[50:150, 60:220].astype(float),
        noisy[50:150, 60:220].astype(float),
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    assert ssim(noisy, clean, mask) == pytest.approx(alone, abs=1e-9)


def test_regions_that_are_too_small_have_no_value(camera: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = camera
    empty = np.zeros(clean.shape[:2], bool)
    assert np.isnan([measure(noisy, clean, empty) for measure in (psnr, ssim, delta_e)]).all()
    narrow = empty.copy()
    narrow[:, 100 : 100 + 2 * SSIM_RADIUS] = True
    assert np.isnan(ssim(noisy, clean, narrow))
    assert np.isfinite(psnr(noisy, clean, narrow))
