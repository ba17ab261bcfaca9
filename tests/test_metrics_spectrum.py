"""Spectrum distance: Welch's definition, closed forms, monotony under blur, and that masks do not leak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from relief_toy import SIZE, blurred, judged, region, relief, skin, spoiled, white

from metrics.spectrum import (
    FIRST_RING,
    TILE,
    log_spectral_distance,
    radial_spectrum,
    spectrum_distances,
    spectrum_of,
    tile_side,
    tiles_inside,
)


def test_white_noise_has_its_variance_at_every_frequency() -> None:
    frequencies, power = radial_spectrum(skin(0.02 * white(0)), region())
    assert frequencies == pytest.approx(np.arange(FIRST_RING, TILE // 2 + 1) / TILE)
    # Around two hundred half-overlapping tiles; the inner rings have a dozen coefficients in each.
    assert power == pytest.approx(0.02**2, rel=0.12)
    assert power.mean() == pytest.approx(0.02**2, rel=0.03)


def test_a_single_tile_is_the_transform_by_its_definition() -> None:
    """Against the full two-dimensional DFT of one tile, ring by ring."""
    picture = skin(0.05 * relief(1), 0.02 * relief(2))
    only = np.zeros((SIZE, SIZE), bool)
    only[64 : 64 + TILE, 128 : 128 + TILE] = True
    luma = picture[64 : 64 + TILE, 128 : 128 + TILE].astype(np.float64) @ np.array([0.2126, 0.7152, 0.0722])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(TILE) / TILE)
    window = np.outer(hann, hann)
    mean = (window * luma).sum() / window.sum()
    power = np.abs(np.fft.fft2(window * (luma / mean - 1))) ** 2 / (window**2).sum()
    steps = np.fft.fftfreq(TILE, 1 / TILE)
    radius = np.rint(np.hypot(*np.meshgrid(steps, steps)))
    expected = [power[radius == ring].mean() for ring in range(FIRST_RING, TILE // 2 + 1)]
    assert radial_spectrum(picture, only)[1] == pytest.approx(expected, rel=1e-3)


def test_a_wave_stands_at_its_frequency() -> None:
    wave = np.broadcast_to(0.05 * np.sin(2 * np.pi * np.arange(SIZE) * 6 / TILE), (SIZE, SIZE))
    frequencies, power = radial_spectrum(skin(wave), region())
    assert frequencies[power.argmax()] == pytest.approx(6 / TILE)
    assert power[frequencies > 9 / TILE].max() < 1e-4 * power.max()


def test_tiles_are_all_that_fit_into_the_region() -> None:
    """Against the definition, one place of the grid at a time."""
    corners = {tuple(corner) for corner in tiles_inside(region())}
    grid = range(0, SIZE - TILE + 1, TILE // 4)
    expected = {(r, c) for r in grid for c in grid if region()[r : r + TILE, c : c + TILE].all()}
    assert corners == expected and len(corners) > 100


@pytest.mark.parametrize(
    ("size", "side", "highest"), [(256, 16, 0.25), (512, 32, 0.5), (1024, 64, 1.0), (64, 8, 0.0625)]
)
def test_tiles_and_frequencies_follow_the_size_of_the_map(size: int, side: int, highest: float) -> None:
    """Half a cycle per texel of the map, told in texels at 512²."""
    assert tile_side(size) == side
    flat, corner = np.full((size, size, 3), 0.5, np.float32), np.zeros((size, size), bool)
    corner[: 2 * side, : 2 * side] = True
    assert radial_spectrum(flat, corner)[0][-1] == pytest.approx(highest)


def test_equal_textures_have_no_distance() -> None:
    picture = skin(0.05 * relief(0), 0.02 * relief(1))
    assert spectrum_distances(judged(picture, picture.copy())) == [0.0, 0.0]


def test_contrast_is_counted_in_decibels() -> None:
    """Power is quadratic in contrast: 20 log10 c at every frequency; the floor takes less than a hundredth of a dB."""
    one = skin(0.04 * white(0), 0.03 * white(1))
    two = skin(0.08 * white(0), 0.06 * white(1))
    # Chroma of relative detail has a term of second order, luma times chroma.
    assert spectrum_distances(judged(two, one)) == pytest.approx([20 * np.log10(2)] * 2, abs=0.15)


def test_distance_grows_with_blur_and_with_noise() -> None:
    picture, noise = skin(0.04 * relief(0), 0.02 * relief(1)), white(2)[..., None] * np.array([0.5, 1.0, -0.5])
    softer = [spectrum_distances(judged(blurred(picture, s), picture)) for s in (0.0, 0.4, 0.8, 1.5, 3.0)]
    rougher = [spectrum_distances(judged((picture + s * noise).astype(np.float32), picture)) for s in (0, 0.01, 0.03)]
    for grown in (softer, rougher):
        assert (np.diff(grown, axis=0) > 0).all()


def test_brightness_alone_is_no_distance_and_grey_relief_has_no_chroma() -> None:
    picture = skin(0.04 * relief(0), 0.02 * relief(1))
    assert spectrum_distances(judged(np.float32(0.6) * picture, picture)) == pytest.approx([0, 0], abs=1e-4)
    assert spectrum_of(skin(0.05 * relief(0)), region(), "chroma")[1].max() < 1e-12


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_outside_the_region_is_read(poison: float) -> None:
    ours, theirs = skin(0.04 * relief(0), 0.02 * relief(1)), skin(0.05 * relief(2), 0.02 * relief(3))
    found = spectrum_distances(judged(spoiled(ours, poison), spoiled(theirs, -poison)))
    assert found == spectrum_distances(judged(ours, theirs)) and min(found) > 0


def test_where_no_tile_fits_there_is_no_value() -> None:
    thin = np.zeros((SIZE, SIZE), bool)
    thin[:, 100 : 100 + TILE - 1] = True
    picture = skin(0.04 * relief(0))
    for mask in (thin, np.zeros_like(thin)):
        assert np.isnan(spectrum_distances(judged(picture, picture, mask))).all()


def test_the_smooth_and_the_black_have_numbers() -> None:
    flat, black = skin(np.zeros((SIZE, SIZE))), np.zeros((SIZE, SIZE, 3), np.float32)
    assert spectrum_distances(judged(flat, black)) == pytest.approx([0, 0], abs=1e-3)
    assert np.isfinite(spectrum_distances(judged(black, skin(0.04 * relief(0))))).all()


SPECTRA = st.lists(st.floats(0, 1), min_size=15, max_size=15).map(np.array)


@settings(max_examples=50, deadline=None)
@given(SPECTRA, SPECTRA, SPECTRA)
def test_it_is_a_distance(one: np.ndarray, two: np.ndarray, three: np.ndarray) -> None:
    there = log_spectral_distance(one, two)
    assert there == pytest.approx(log_spectral_distance(two, one))
    assert there <= log_spectral_distance(one, three) + log_spectral_distance(three, two) + 1e-9
    assert log_spectral_distance(one, one) == 0
