"""PSNR, SSIM and ΔE2000: published values, closed forms, scikit-image, and that nothing outside the mask is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from metrics.contract import Judged, Memo
from metrics.pixel import DELTA_E, PSNR_CAP, SSIM, SSIM_RADIUS, delta_e, psnr, ssim

KNOWN = Path(__file__).parent / "data"
CAMERA = json.loads((KNOWN / "camera.json").read_text(encoding="utf-8"))
SHARMA = json.loads((KNOWN / "ciede2000.json").read_text(encoding="utf-8"))["pairs"]


@pytest.fixture(scope="module")
def camera() -> tuple[np.ndarray, np.ndarray]:
    """scikit-image's cameraman and a noisy copy: σ = 20 of 255, clipped and rounded to 8 bits."""
    clean = data.camera()
    noisy = np.clip(clean + np.random.RandomState(5).normal(0, 20, clean.shape), 0, 255).astype(np.uint8)
    grey = [np.repeat((image / 255.0).astype(np.float32)[..., None], 3, axis=2) for image in (clean, noisy)]
    return grey[0], grey[1]


@pytest.fixture(scope="module")
def astronaut() -> tuple[np.ndarray, np.ndarray]:
    """A colour photograph and a noisy copy."""
    clean = (data.astronaut()[:256, :256] / 255.0).astype(np.float32)
    return clean, np.clip(clean + np.random.default_rng(0).normal(0, 0.05, clean.shape), 0, 1).astype(np.float32)


def rim_free(shape: tuple[int, int]) -> np.ndarray:
    return np.ones(shape, bool)


def second_opinion(result: np.ndarray, reference: np.ndarray) -> float:
    """SSIM by scikit-image, with the window of Wang et al."""
    return float(
        structural_similarity(
            reference.astype(float),
            result.astype(float),
            data_range=1.0,
            channel_axis=-1,
            gaussian_weights=True,
            use_sample_covariance=False,
        )
    )


def test_psnr_and_ssim_give_the_known_values(camera: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = camera
    everywhere = rim_free(clean.shape[:2])
    assert psnr(noisy, clean, everywhere) == pytest.approx(CAMERA["psnr"], abs=CAMERA["tolerance"])
    assert ssim(noisy, clean, everywhere) == pytest.approx(CAMERA["ssim"], abs=CAMERA["tolerance"])


def test_colour_pictures_give_what_scikit_image_gives(astronaut: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = astronaut
    everywhere = rim_free(clean.shape[:2])
    assert psnr(noisy, clean, everywhere) == pytest.approx(
        peak_signal_noise_ratio(clean, noisy, data_range=1), abs=1e-5
    )
    assert ssim(noisy, clean, everywhere) == pytest.approx(second_opinion(noisy, clean), abs=2e-6)


def test_psnr_of_a_mask_is_that_of_its_pixels_alone(astronaut: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = astronaut
    mask = np.random.default_rng(1).random(clean.shape[:2]) < 0.3
    alone = peak_signal_noise_ratio(clean[mask].astype(float), noisy[mask].astype(float), data_range=1.0)
    assert psnr(noisy, clean, mask) == pytest.approx(alone, abs=1e-5)


def test_equal_images_are_perfect(camera: tuple[np.ndarray, np.ndarray]) -> None:
    clean, _ = camera
    everywhere = rim_free(clean.shape[:2])
    assert psnr(clean, clean, everywhere) == PSNR_CAP
    assert ssim(clean, clean, everywhere) == pytest.approx(1.0, abs=1e-7)
    assert delta_e(clean, clean, everywhere) == 0.0


def test_psnr_of_a_constant_error_is_its_closed_form() -> None:
    truth = np.full((20, 20, 3), 0.5, np.float32)
    assert psnr(truth + np.float32(0.1), truth, rim_free((20, 20))) == pytest.approx(20.0, abs=1e-4)  # −20 log10 0.1


def test_ssim_of_constants_is_its_luminance_term() -> None:
    """Wang et al. (2004), equation 6: (2 μx μy + C1) / (μx² + μy² + C1), with C1 = 0.01²."""
    flat = [np.full((24, 24, 3), value, np.float32) for value in (0.3, 0.6)]
    closed = (2 * 0.3 * 0.6 + 1e-4) / (0.3**2 + 0.6**2 + 1e-4)
    assert ssim(flat[0], flat[1], rim_free((24, 24))) == pytest.approx(closed, abs=1e-5)


OUTSIDE_SRGB = {1, 2, 3, 4, 5, 6, 28}
OPPOSITE_HUES = set(range(9, 16))
"""Where the formula jumps: the last digit of Lab, lost on the way through sRGB, decides on which side a pair lies."""


@pytest.mark.parametrize("number", range(1, 35))
def test_ciede2000_of_the_published_pairs(number: int) -> None:
    """Through our whole path where sRGB has both colours and rounding does not matter; else through the formula alone.

    The table has four digits; both directions are published to be equal.
    """
    from skimage.color import deltaE_ciede2000, lab2rgb, rgb2lab

    first, second, published = SHARMA[number - 1]
    pair = np.array([[first], [second]])
    if number in OUTSIDE_SRGB | OPPOSITE_HUES:
        assert deltaE_ciede2000(*pair.astype(np.float32)) == pytest.approx(published, abs=1.1e-4)
        return
    srgb = lab2rgb(pair)
    assert np.allclose(rgb2lab(srgb), pair, atol=1e-6)
    everywhere = np.ones((1, 1), bool)
    one, other = srgb[:1], srgb[1:]
    assert delta_e(one, other, everywhere) == pytest.approx(published, abs=1.1e-4)
    assert delta_e(other, one, everywhere) == pytest.approx(published, abs=1.1e-4)


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_masks_do_not_leak(camera: tuple[np.ndarray, np.ndarray], poison: float) -> None:
    clean, noisy = camera
    mask = np.zeros(clean.shape[:2], bool)
    mask[100:300, 120:330] = True
    mask[150:160, 200:210] = False
    spoiled = [np.where(mask[..., None], image, poison).astype(np.float32) for image in (clean, noisy)]
    for measure in (psnr, ssim, delta_e):
        assert measure(spoiled[1], spoiled[0], mask) == measure(noisy, clean, mask)


def test_ssim_counts_only_windows_inside_the_mask(camera: tuple[np.ndarray, np.ndarray]) -> None:
    """Over a rectangle it is what scikit-image gives for that rectangle alone: it drops the same rim."""
    clean, noisy = camera
    mask = np.zeros(clean.shape[:2], bool)
    mask[50:150, 60:220] = True
    alone = second_opinion(noisy[50:150, 60:220], clean[50:150, 60:220])
    assert ssim(noisy, clean, mask) == pytest.approx(alone, abs=2e-6)


def test_regions_that_share_a_map_have_the_values_of_regions_alone(astronaut: tuple[np.ndarray, np.ndarray]) -> None:
    """One map of all regions serves each of them: a window inside a region cannot tell what lies around it."""
    clean, noisy = astronaut
    whole = np.hypot(*np.mgrid[-128:128, -128:128]) < 110
    left = whole & (np.arange(256) < 128)
    of_result, of_reference = Memo(), Memo()
    for region in (left, whole & ~left, whole):
        judged = Judged(noisy, clean, region, region, whole, of_result=of_result, of_reference=of_reference)
        for metric, alone in ((SSIM, ssim), (DELTA_E, delta_e)):
            (value,) = metric.measure([judged], "cpu")[0]
            assert value == pytest.approx(alone(noisy, clean, region), rel=1e-6)


def test_a_memo_never_serves_another_reference(astronaut: tuple[np.ndarray, np.ndarray]) -> None:
    """The same result is judged against the photograph and against the truth: their maps must not be mixed up."""
    clean, noisy = astronaut
    everywhere, of_result = rim_free(clean.shape[:2]), Memo()
    for reference in (clean, noisy[::-1].copy()):
        judged = Judged(noisy, reference, everywhere, everywhere, everywhere, of_result=of_result)
        assert SSIM.measure([judged], "cpu")[0][0] == ssim(noisy, reference, everywhere)
        assert DELTA_E.measure([judged], "cpu")[0][0] == delta_e(noisy, reference, everywhere)


def test_regions_that_are_too_small_have_no_value(camera: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = camera
    empty = np.zeros(clean.shape[:2], bool)
    assert np.isnan([measure(noisy, clean, empty) for measure in (psnr, ssim, delta_e)]).all()
    narrow = empty.copy()
    narrow[:, 100 : 100 + 2 * SSIM_RADIUS] = True
    assert np.isnan(ssim(noisy, clean, narrow))
    assert np.isfinite(psnr(noisy, clean, narrow))
