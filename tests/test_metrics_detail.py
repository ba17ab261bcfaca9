"""The detail-energy ratio: closed forms, monotony under blur, and that masks do not leak."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from metrics.contract import Judged, Memo
from metrics.detail import (
    DETAIL,
    PARTS,
    detail_energy,
    detail_energy_ratio,
    details_of,
    laplacian_bands,
    measured_region,
    relative_detail,
)
from recon.texture.detail_bands import SIGMAS, band_sigmas

SIZE = 512


def grey(luma: np.ndarray) -> np.ndarray:
    return np.repeat(luma.astype(np.float32)[..., None], 3, axis=2)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    face = np.hypot(rows - 256, (columns - 256) * 1.3) < 200
    face[200:220, 180:230] = False
    return face


@pytest.fixture(scope="module")
def relief() -> np.ndarray:
    """White noise with a little of it at every scale, zero mean, standard deviation 1."""
    noise = np.random.default_rng(0).normal(size=(SIZE, SIZE))
    mixed = noise + 3 * gaussian_filter(noise, 1.5) + 8 * gaussian_filter(noise, 4)
    return (mixed - mixed.mean()) / mixed.std()


def test_equal_textures_have_ratio_one(mask: np.ndarray, relief: np.ndarray) -> None:
    texture = grey(0.5 + 0.03 * relief)
    assert detail_energy_ratio(texture, texture, mask) == pytest.approx([1, 1, 1])


def test_ratio_grows_with_the_square_of_the_residual(mask: np.ndarray, relief: np.ndarray) -> None:
    """Energy is quadratic in the residual; only the local mean that divides it moves, and by less than a percent."""
    reference = grey(0.5 + 0.01 * relief)
    for factor in (0.5, 2.0):
        scaled = grey(0.5 + 0.01 * factor * relief)
        assert detail_energy_ratio(scaled, reference, mask) == pytest.approx([factor**2] * 3, rel=0.01)


def test_relative_detail_does_not_depend_on_brightness(mask: np.ndarray, relief: np.ndarray) -> None:
    texture = 0.6 + 0.03 * relief
    assert detail_energy_ratio(grey(0.4 * texture), grey(texture), mask) == pytest.approx([1, 1, 1], rel=1e-4)


def test_blur_lowers_every_band_and_the_fine_one_most(mask: np.ndarray, relief: np.ndarray) -> None:
    texture = 0.5 + 0.03 * relief
    soft = detail_energy_ratio(grey(gaussian_filter(texture, 1.0)), grey(texture), mask)
    softer = detail_energy_ratio(grey(gaussian_filter(texture, 3.0)), grey(texture), mask)
    assert (softer < soft).all() and (soft < 1).all()
    assert soft[0] < soft[1] < soft[2]


def test_a_sine_has_the_energy_of_its_transfer_function() -> None:
    """A Gaussian scales a sine of frequency ω by exp(−σ²ω²/2), so each band's energy has a closed form."""
    omega, amplitude, level = 2 * np.pi / 16, 0.02, 0.5
    columns = np.arange(SIZE)
    texture = np.broadcast_to(level + amplitude * np.sin(omega * columns), (SIZE, SIZE))
    gain = np.exp(-0.5 * (np.array([0.0, *SIGMAS]) * omega) ** 2)
    expected = 0.5 * (amplitude / level) ** 2 * (gain[:-1] - gain[1:]) ** 2
    # The kernel ends at 3 σ, which moves the gains by up to 1 %, the energies of a difference of gains by a few.
    assert detail_energy(grey(texture), np.ones((SIZE, SIZE), bool)) == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize("poison", [np.nan, 1e12, -50.0])
def test_nothing_outside_the_mask_is_read(mask: np.ndarray, relief: np.ndarray, poison: float) -> None:
    texture = grey(0.5 + 0.03 * relief)
    spoiled = np.where(mask[..., None], texture, np.float32(poison))
    assert (detail_energy(spoiled, mask) == detail_energy(texture, mask)).all()
    bands = laplacian_bands(spoiled[..., 0], mask)
    assert bands.shape == (3, SIZE, SIZE) and np.isfinite(bands).all() and (bands[:, ~mask] == 0).all()


def test_a_flat_texture_has_no_detail_up_to_the_very_edge_of_the_mask(mask: np.ndarray) -> None:
    """With normalised convolution a constant stays constant; any leak of the outside would show at the rim."""
    flat = np.where(mask, 0.7, 1e6)
    assert np.abs(laplacian_bands(flat, mask)).max() < 1e-5


def test_the_measured_region_lies_three_sigma_inside(mask: np.ndarray) -> None:
    rows, columns = np.nonzero(measured_region(mask))
    for down, right in ((12, 0), (-12, 0), (0, 12), (0, -12), (8, 8), (-8, -8)):
        assert mask[rows + down, columns + right].all()


def test_scales_follow_the_size_of_the_map() -> None:
    assert band_sigmas(1024) == (2.0, 4.0, 8.0)


def test_a_region_thinner_than_the_kernels_has_no_value() -> None:
    thin = np.zeros((SIZE, SIZE), bool)
    thin[:, 100:120] = True
    assert np.isnan(detail_energy(grey(np.full((SIZE, SIZE), 0.5)), thin)).all()


def test_a_reference_without_detail_has_no_ratio(mask: np.ndarray, relief: np.ndarray) -> None:
    black = np.zeros((SIZE, SIZE, 3), np.float32)
    assert np.isnan(detail_energy_ratio(grey(0.5 + 0.1 * relief), black, mask)).all()


def test_the_metric_gives_the_ratio_of_its_region(mask: np.ndarray, relief: np.ndarray) -> None:
    result, reference = grey(0.5 + 0.02 * relief), grey(0.5 + 0.03 * relief.T)
    found = DETAIL.measure([Judged(result, reference, mask, mask, mask)], "cpu")[0]
    assert list(found) == detail_energy_ratio(result, reference, mask).tolist()


def test_what_is_cut_out_is_what_the_whole_map_holds(mask: np.ndarray, relief: np.ndarray) -> None:
    """The box around the region changes nothing inside it."""
    luma = (0.5 + 0.03 * relief).astype(np.float32)
    detail = relative_detail(grey(luma), mask)
    whole = laplacian_bands(grey(luma) @ np.array([0.2126, 0.7152, 0.0722], np.float32), mask)
    assert detail.bands.shape[:2] == (1, 3) and detail.bands.shape[2:] == detail.counted.shape
    assert detail.counted.sum() == measured_region(mask).sum() and detail.scale == 1.0
    assert np.array_equal(detail.bands[0][:, detail.counted], whole[:, measured_region(mask)])


def test_chroma_is_what_changes_the_hue_alone(mask: np.ndarray, relief: np.ndarray) -> None:
    """To first order log R/G and log √(RG)/B: a contrast of red alone is all of it on one axis, half on the other."""
    tone, contrast = np.array([0.7, 0.5, 0.4], np.float32), 0.01 * relief[..., None]
    pores = relative_detail((tone * (1 + contrast)).astype(np.float32), mask, "chroma")
    assert np.abs(pores.bands[:, :, pores.counted]).max() < 1e-5
    ruddy = (tone * (1 + contrast * np.array([1, 0, 0]))).astype(np.float32)
    red_green, yellow_blue = relative_detail(ruddy, mask, "chroma").bands
    alone = relative_detail(grey(0.7 * (1 + contrast[..., 0])), mask).bands[0]
    assert red_green == pytest.approx(alone, abs=1e-5) and yellow_blue == pytest.approx(0.5 * alone, abs=1e-5)


def test_metrics_share_what_is_worked_out_once(mask: np.ndarray, relief: np.ndarray) -> None:
    """By picture, part and region: neither another region nor luma is ever taken for chroma."""
    picture, kept = (0.5 + 0.03 * np.stack([relief, relief.T, -relief], axis=-1)).astype(np.float32), Memo()
    half = mask & (np.arange(SIZE) < 256)
    for region in (mask, half):
        for part in PARTS:
            judged = Judged(picture, picture, region, region, region, of_reference=kept)
            result, reference = details_of(judged, part)
            assert details_of(judged, part)[0] is result and details_of(judged, part)[1] is reference
            fresh = relative_detail(picture, region, part)
            assert np.array_equal(reference.bands, fresh.bands) and np.array_equal(result.bands, fresh.bands)


def test_an_empty_region_has_no_detail(relief: np.ndarray) -> None:
    for part, planes in zip(PARTS, (1, 2), strict=True):
        found = relative_detail(grey(0.5 + 0.03 * relief), np.zeros((SIZE, SIZE), bool), part)
        assert found.bands.shape == (planes, 3, 0, 0) and found.counted.shape == (0, 0)
