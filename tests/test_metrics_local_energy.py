"""Local energy and placement: closed forms, SciPy's Wasserstein distance, and that masks do not leak."""

from __future__ import annotations

import numpy as np
import pytest
from relief_toy import SIZE, blurred, judged, region, relief, skin, spoiled, white
from scipy import stats

from metrics.detail import FAINTEST, detail_energy_ratio, measured_region, relative_detail
from metrics.local_energy import CELL, WINDOW, level_distances, local_levels, placements, wasserstein
from recon.texture.masked import masked_gaussian

DOUBLE = 20 * np.log10(2.0)


@pytest.fixture(scope="module")
def uneven() -> np.ndarray:
    """How rough a face with rough and smooth places is, in multiples of its mean."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.exp2(np.sin(rows / 40) + np.sin(columns / 50))


def test_the_distance_is_scipys() -> None:
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(4, 300)), rng.gamma(2.0, size=(4, 300))
    expected = [stats.wasserstein_distance(a, b) for a, b in zip(one, two, strict=True)]
    assert wasserstein(one, two) == pytest.approx(expected)


def test_levels_are_the_masked_mean_of_squares_in_decibels(uneven: np.ndarray) -> None:
    """Against the Gaussian at every texel, read cell by cell; summing over cells first costs a tenth of a dB."""
    detail = relative_detail(skin(0.03 * uneven * relief(0)), region())
    height, width = detail.counted.shape
    cells = [(slice(r, r + CELL), slice(c, c + CELL)) for r in range(0, height, CELL) for c in range(0, width, CELL)]
    chosen = [cell for cell in cells if 2 * detail.counted[cell].sum() >= CELL**2]
    for band, levels in zip(detail.bands[0], local_levels(detail), strict=True):
        energy = masked_gaussian(np.square(band), detail.counted, WINDOW)
        expected = [10 * np.log10(energy[cell][detail.counted[cell]].mean() + FAINTEST) for cell in chosen]
        assert len(levels) == len(expected) > 2000
        assert np.abs(levels - expected).mean() < 0.1 and np.abs(levels - expected).max() < 1.0


def test_equal_textures_have_no_distance(uneven: np.ndarray) -> None:
    picture = skin(0.03 * uneven * relief(0), 0.02 * relief(1))
    assert level_distances(judged(picture, picture.copy())) == [0.0] * 6
    assert placements(judged(picture, picture.copy())) == pytest.approx([1.0, 1.0])


def test_contrast_is_counted_in_decibels_and_placement_does_not_see_it(uneven: np.ndarray) -> None:
    one = skin(0.02 * uneven * white(0), 0.01 * uneven * white(1))
    two = skin(0.04 * uneven * white(0), 0.02 * uneven * white(1))
    # The local mean that divides the detail moves with it, to second order.
    assert level_distances(judged(two, one)) == pytest.approx([DOUBLE] * 6, abs=0.3)
    assert placements(judged(two, one)) == pytest.approx([1.0, 1.0], abs=0.01)


def test_even_roughness_of_the_right_energy_is_not_the_right_skin() -> None:
    """Two halves, one of four times the other's contrast: 12.04 dB apart. Evened out, each lies off on its side."""
    halves = np.where(np.arange(SIZE) < 255, 2.0, 0.5)[None] * np.ones((SIZE, 1))
    share = (measured_region(region()) & (halves > 1)).sum() / measured_region(region()).sum()
    even = np.sqrt(share * 4.0 + (1 - share) * 0.25)
    reference, result = skin(0.02 * halves * white(0)), skin(0.02 * even * white(0))
    assert detail_energy_ratio(result, reference, region()) == pytest.approx([1, 1, 1], rel=0.06)
    expected = share * 20 * np.log10(2.0 / even) + (1 - share) * 20 * np.log10(even / 0.5)
    # Along the line between the halves, in a tenth of the cells, the window sees both.
    assert level_distances(judged(result, reference))[:2] == pytest.approx([expected] * 2, rel=0.15)


def test_placement_tells_where_detail_is(uneven: np.ndarray) -> None:
    reference = skin(0.02 * uneven * white(0))
    elsewhere = skin(0.02 * uneven * white(5))  # another draw, rough in the same places
    turned = skin(0.02 / uneven * white(5))
    assert placements(judged(elsewhere, reference))[0] > 0.9
    assert placements(judged(turned, reference))[0] < -0.9
    assert abs(placements(judged(skin(0.02 * white(5)), reference))[0]) < 0.3
    assert level_distances(judged(elsewhere, reference))[0] < 0.5


def test_distance_grows_with_blur(uneven: np.ndarray) -> None:
    picture = skin(0.02 * uneven * relief(0), 0.02 * relief(1))
    softer = [level_distances(judged(blurred(picture, s), picture)) for s in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert (np.diff(softer, axis=0) > 0).all()


def test_luma_and_chroma_are_told_apart() -> None:
    grey, coloured = skin(0.03 * relief(0)), skin(0.03 * relief(0), 0.02 * relief(1))
    found = level_distances(judged(grey, coloured))
    assert level_distances(judged(coloured, grey)) == found, "a distance has no direction"
    # The luma of the tone moves a little with chroma: red and green do not weigh alike.
    assert max(found[:3]) < 1.0 < 3.0 < min(found[3:])


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_outside_the_region_is_read(poison: float) -> None:
    ours, theirs = skin(0.04 * relief(0), 0.02 * relief(1)), skin(0.05 * relief(2), 0.02 * relief(3))
    spoilt = judged(spoiled(ours, poison), spoiled(theirs, -poison))
    assert level_distances(spoilt) == level_distances(judged(ours, theirs))
    assert placements(spoilt) == placements(judged(ours, theirs))


def test_too_little_skin_and_flat_skin_have_no_value() -> None:
    picture, flat = skin(0.04 * relief(0), 0.02 * relief(1)), skin(np.zeros((SIZE, SIZE)))
    small = np.zeros((SIZE, SIZE), bool)
    small[100:140, 100:140] = True  # 16² are left of it, 16 cells
    for mask in (small, np.zeros_like(small)):
        assert np.isnan(level_distances(judged(picture, picture, mask))).all()
        assert np.isnan(placements(judged(picture, picture, mask))).all()
    assert np.isnan(placements(judged(flat, picture))).all()
    assert min(level_distances(judged(flat, picture))) > 10
    assert level_distances(judged(flat, flat.copy())) == [0.0] * 6


def test_cells_follow_the_size_of_the_map() -> None:
    large = relative_detail(
        np.kron(skin(0.04 * relief(0)), np.ones((2, 2, 1), np.float32)), np.kron(region(), np.ones((2, 2), bool))
    )
    small = relative_detail(skin(0.04 * relief(0)), region())
    assert large.scale == 2 * small.scale == 2.0
    assert local_levels(large).shape[1] == pytest.approx(local_levels(small).shape[1], rel=0.02)
