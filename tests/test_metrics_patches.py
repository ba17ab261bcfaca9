"""Patch distance: SciPy's Wasserstein distance along each direction, closed forms, and that masks do not leak."""

from __future__ import annotations

import numpy as np
import pytest
from relief_toy import SIZE, blurred, judged, region, relief, skin, spoiled, white
from scipy import stats
from scipy.ndimage import gaussian_filter

from metrics.detail import relative_detail
from metrics.patches import (
    DIRECTIONS,
    PATCHES,
    SIDE,
    directions,
    patch_distances,
    projected_patches,
    sliced_wasserstein,
)

FLAT = np.sqrt(2 / np.pi)
"""Mean distance of a standard normal from its mean."""


def test_directions_are_of_unit_length_and_the_same_for_everybody() -> None:
    drawn = np.random.Generator(np.random.PCG64(0)).standard_normal((49, DIRECTIONS))
    assert directions(49) == pytest.approx(drawn / np.linalg.norm(drawn, axis=0), abs=1e-6)


def test_projections_are_those_of_the_patches() -> None:
    """Against a region of so few patches that all are taken, one patch at a time."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[100:180, 150:235] = True
    detail = relative_detail(skin(0.05 * relief(0), 0.02 * relief(1)), mask, "chroma")
    half = SIDE // 2
    assert detail.counted.all()
    for band, (step, found) in enumerate(zip((1, 2, 4), projected_patches(detail), strict=True)):
        reach = half * step
        height, width = detail.counted.shape
        patches = [
            detail.bands[:, band, r - reach : r + reach + 1 : step, c - reach : c + reach + 1 : step].ravel()
            for r in range(reach, height - reach)
            for c in range(reach, width - reach)
        ]
        assert 0 < len(patches) < PATCHES
        expected = np.sort(np.stack(patches) @ directions(2 * SIDE**2), axis=0).T
        assert found == pytest.approx(expected, abs=1e-6)


def test_along_each_direction_it_is_scipys_distance() -> None:
    one, two = (projected_patches(relative_detail(skin(0.04 * relief(seed)), region())) for seed in (0, 1))
    for ours, theirs in zip(one, two, strict=True):
        expected = np.mean([stats.wasserstein_distance(a, b) for a, b in zip(ours[::8], theirs[::8], strict=True)])
        spread = np.sqrt(np.square(theirs[::8].astype(np.float64)).mean())
        assert sliced_wasserstein(ours[::8], theirs[::8]) == pytest.approx(expected / spread, rel=1e-4)


def test_equal_textures_have_no_distance() -> None:
    picture = skin(0.05 * relief(0), 0.02 * relief(1))
    assert patch_distances(judged(picture, picture.copy())) == [0.0, 0.0]


def test_no_detail_at_all_lies_as_far_as_a_normal_distribution_from_its_mean() -> None:
    picture = skin(0.03 * white(0), 0.03 * white(1))
    flat = skin(np.zeros((SIZE, SIZE)))
    assert patch_distances(judged(flat, picture)) == pytest.approx([FLAT, FLAT], rel=0.03)


@pytest.mark.parametrize("factor", [0.5, 1.5])
def test_contrast_counts_in_proportion(factor: float) -> None:
    one, two = skin(0.02 * white(0)), skin(factor * 0.02 * white(0))
    assert patch_distances(judged(two, one))[0] == pytest.approx(abs(factor - 1) * FLAT, rel=0.04)


def test_structure_of_the_same_energy_is_seen() -> None:
    """Specks and noise of equal bands; two draws of the same noise are the scale."""
    noise = gaussian_filter(white(0), 1.0)
    specks = gaussian_filter((np.random.default_rng(1).uniform(size=(SIZE, SIZE)) < 0.01).astype(float), 1.0)
    noise, specks = (0.03 * (field - field.mean()) / field.std() for field in (noise, specks))
    other = gaussian_filter(white(2), 1.0)
    other *= 0.03 / other.std()
    between = patch_distances(judged(skin(specks), skin(noise)))[0]
    assert between > 3 * patch_distances(judged(skin(other), skin(noise)))[0]


def test_distance_grows_with_blur() -> None:
    picture = skin(0.04 * relief(0), 0.02 * relief(1))
    softer = [patch_distances(judged(blurred(picture, s), picture)) for s in (0.0, 0.5, 1.0, 2.0, 4.0)]
    assert (np.diff(softer, axis=0) > 0).all()


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_outside_the_region_is_read(poison: float) -> None:
    ours, theirs = skin(0.04 * relief(0), 0.02 * relief(1)), skin(0.05 * relief(2), 0.02 * relief(3))
    found = patch_distances(judged(spoiled(ours, poison), spoiled(theirs, -poison)))
    assert found == patch_distances(judged(ours, theirs)) and min(found) > 0


def test_too_few_patches_and_a_flat_reference_have_no_value() -> None:
    picture, flat = skin(0.04 * relief(0), 0.02 * relief(1)), skin(np.zeros((SIZE, SIZE)))
    small = np.zeros((SIZE, SIZE), bool)
    small[100:160, 100:160] = True  # 36² are left of it, of which 12² hold patches of the coarse band
    for mask in (small, np.zeros_like(small)):
        assert np.isnan(patch_distances(judged(picture, picture, mask))).all()
    grey = skin(0.04 * relief(0))
    luma, chroma = patch_distances(judged(picture, grey))
    assert np.isfinite(luma)
    assert np.isnan(chroma) or chroma > 100, "grey relief has no chroma but rounding"
    assert np.isnan(patch_distances(judged(picture, np.zeros_like(flat)))).all()
