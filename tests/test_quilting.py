"""Quilting on small made-up libraries: cuts against all paths, energies against sums, blends against least squares."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from recon.texture.gradient_blend import blend
from recon.texture.patch_library import _appearance, _local_pca, _roughness, patch_corners
from recon.texture.quilting import Quilt, min_cut, new_side, overlap_energy, patch_cost, quilt

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ToyLibrary:
    """Six people on 60 × 50 texels unless told otherwise."""

    skin: NDArray[np.bool_]
    detail: NDArray[np.float32]
    valid: NDArray[np.bool_]
    corners: NDArray[np.intp]
    patch: int = 12
    overlap: int = 4


def disc(height: int = 60, width: int = 50) -> NDArray[np.bool_]:
    y, x = np.mgrid[:height, :width]
    return ((y - height / 2) / (height / 2)) ** 2 + ((x - width / 2) / (width / 2)) ** 2 < 0.95


def library(seed: int = 0, people: int = 6, strengths: tuple[float, ...] | None = None) -> ToyLibrary:
    """Smooth noise of everybody's own, all of it valid."""
    rng = np.random.default_rng(seed)
    skin = disc()
    detail = gaussian_filter(rng.normal(size=(people, *skin.shape, 3)), (0, 1.0, 1.0, 0)).astype(np.float32)
    if strengths is not None:
        detail *= np.array(strengths, np.float32)[:, None, None, None]
    valid = np.broadcast_to(skin, detail.shape[:3]).copy()
    return ToyLibrary(skin, detail, valid, patch_corners(skin, 12, 8))


def indifferent(found: ToyLibrary) -> NDArray[np.float64]:
    return np.zeros((len(found.corners), len(found.detail)))


# --- the cut ---------------------------------------------------------------------------------------------------------


def paths(height: int, width: int) -> list[tuple[int, ...]]:
    """Every top-to-bottom path whose steps are at most one column aside."""
    return [p for p in product(range(width), repeat=height) if all(abs(a - b) <= 1 for a, b in pairwise(p))]


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**31))
def test_the_cut_is_the_cheapest_of_all(height: int, width: int, seed: int) -> None:
    """Against every path there is."""
    cost = np.random.default_rng(seed).uniform(size=(height, width))
    new = min_cut(cost)
    path = tuple(int(np.argmax(row)) for row in new)
    assert path in paths(height, width)
    assert np.array_equal(new, np.arange(width) >= np.array(path)[:, None])  # all that is right of it
    cheapest = min(sum(cost[row, column] for row, column in enumerate(p)) for p in paths(height, width))
    assert sum(cost[row, column] for row, column in enumerate(path)) == pytest.approx(cheapest)


def test_cuts_run_in_the_overlaps_that_hold_something() -> None:
    cost = np.ones((8, 8))
    cost[:, 2] = 0.0
    filled = np.zeros((8, 8), bool)
    assert new_side(cost, filled, 4).all()
    filled[:, :4] = True
    side = new_side(cost, filled, 4)
    assert not side[:, :2].any() and side[:, 2:].all()
    assert np.array_equal(new_side(cost.T, filled.T, 4), side.T)


# --- energies --------------------------------------------------------------------------------------------------------


def test_overlap_energy_is_the_sum_of_squares_over_common_texels() -> None:
    rng = np.random.default_rng(1)
    patches, canvas = rng.normal(size=(3, 4, 5, 3)).astype(np.float32), rng.normal(size=(4, 5, 3)).astype(np.float32)
    common = rng.uniform(size=(3, 4, 5)) < 0.5
    direct = [0.0, 0.0, 0.0]
    for n, y, x, c in np.ndindex(3, 4, 5, 3):
        if common[n, y, x]:
            direct[n] += (float(patches[n, y, x, c]) - float(canvas[y, x, c])) ** 2
    assert overlap_energy(patches, canvas, common) == pytest.approx(direct, rel=1e-5)
    patches[~common] = np.nan
    assert overlap_energy(patches, canvas, common) == pytest.approx(direct, rel=1e-5)


def test_cost_of_known_patches() -> None:
    """Equal: 0. Opposite: 4B / 2B. Doubled: B / 5B + (ln 2)². Too little in common: 1, like unrelated noise."""
    rng = np.random.default_rng(2)
    canvas = rng.normal(size=(40, 40, 3)).astype(np.float32)
    noise = rng.normal(size=(40, 40, 3)).astype(np.float32)
    patches = np.stack([canvas, -canvas, 2 * canvas, noise, canvas])
    common = np.ones((5, 40, 40), bool)
    common[4] = False
    common[4, 0, :7] = True
    found = patch_cost(patches, canvas, common)
    assert found[:3] == pytest.approx([0.0, 2.0, 0.2 + np.log(2) ** 2], abs=1e-6)
    assert found[3] == pytest.approx(1.0, abs=0.06)
    assert found[4] == 1.0


def test_the_smoothest_patch_does_not_win_for_being_smooth() -> None:
    """Unrelated noise of the canvas's strength costs less than weaker noise, although it differs more."""
    rng = np.random.default_rng(3)
    canvas, same, weak = rng.normal(size=(3, 30, 30, 1)).astype(np.float32)
    patches, common = np.stack([same, 0.3 * weak]), np.ones((2, 30, 30), bool)
    energy, cost = overlap_energy(patches, canvas, common), patch_cost(patches, canvas, common)
    assert energy[1] < energy[0] and cost[0] < cost[1]


# --- the quilt -------------------------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(5, 14), st.integers(1, 5))
def test_places_cover_the_skin_and_stay_inside(seed: int, side: int, overlap: int) -> None:
    skin = gaussian_filter(np.random.default_rng(seed).normal(size=(37, 29)), 3) > 0
    corners = patch_corners(skin, side, side - min(overlap, side // 2))
    covered = np.zeros_like(skin)
    for row, column in corners:
        assert 0 <= row <= 37 - side and 0 <= column <= 29 - side
        covered[row : row + side, column : column + side] = True
    assert not (skin & ~covered).any()


def test_identical_people_are_reproduced_exactly() -> None:
    one = library(people=1)
    same = replace(one, detail=np.repeat(one.detail, 5, axis=0), valid=np.repeat(one.valid, 5, axis=0))
    found = quilt(same, indifferent(same), 3, np.random.default_rng(0))
    assert len(np.unique(found.owner[same.skin])) > 1  # several people, and yet
    assert np.array_equal(found.canvas[same.skin], same.detail[0][same.skin])
    blended = blend(found, same.detail, same.valid, same.skin, 6.0)
    assert np.array_equal(blended[same.skin], same.detail[0][same.skin])
    assert not blended[~same.skin].any()


def test_only_valid_texels_are_copied_and_nothing_else_is_read() -> None:
    """NaN wherever a person may not be copied: no NaN arrives, and every texel is its owner's."""
    whole = library(seed=4)
    rng = np.random.default_rng(5)
    valid = whole.valid & (gaussian_filter(rng.normal(size=whole.valid.shape), (0, 3, 3)) > -0.1)
    toy = replace(whole, detail=np.where(valid[..., None], whole.detail, np.nan).astype(np.float32), valid=valid)
    found = quilt(toy, indifferent(toy), 3, np.random.default_rng(0))
    y, x = np.nonzero(found.owner >= 0)
    owner = found.owner[y, x]
    assert valid[owner, y, x].all()
    assert np.array_equal(found.canvas[y, x], toy.detail[owner, y, x])
    assert np.array_equal(found.owner >= 0, toy.skin & valid.any(axis=0))  # whatever anybody shows is filled
    assert np.isfinite(blend(found, toy.detail, valid, toy.skin, 6.0)).all()


def test_nobody_shows_it() -> None:
    toy = library()
    toy.valid[:, 20:30] = False
    found = quilt(toy, indifferent(toy), 2, np.random.default_rng(0))
    assert (found.owner[20:30] == -1).all() and not found.canvas[20:30].any()
    assert np.isfinite(blend(found, toy.detail, toy.valid, toy.skin, 6.0)).all()


def test_the_seed_decides_and_one_candidate_leaves_it_nothing() -> None:
    toy = library()
    quilts = [quilt(toy, indifferent(toy), 3, np.random.default_rng(seed)).owner for seed in (0, 0, 1)]
    assert np.array_equal(quilts[0], quilts[1]) and not np.array_equal(quilts[0], quilts[2])
    alone = [quilt(toy, indifferent(toy), 1, np.random.default_rng(seed)).owner for seed in (0, 1)]
    assert np.array_equal(*alone)


def test_the_global_model_decides_whose_patches_are_taken() -> None:
    toy = library()
    distance = np.full((len(toy.corners), 6), 50.0)
    distance[:, 4] = 0.0
    found = quilt(toy, distance, 1, np.random.default_rng(0))
    assert (found.owner[toy.skin] == 4).all()
    assert np.array_equal(found.canvas[toy.skin], toy.detail[4][toy.skin])


def test_nobody_goes_on_for_fitting_themself() -> None:
    """Without a global model a person's own continuation costs no less than a stranger's patch."""
    found = quilt(library(), indifferent(library()), 1, np.random.default_rng(0))
    shares = np.bincount(found.owner[found.owner >= 0], minlength=6) / (found.owner >= 0).sum()
    assert shares.max() < 0.7 and (shares > 0).sum() >= 3


def test_rough_stays_beside_rough() -> None:
    """Two rough and two smooth people: the first place decides for the whole face."""
    for first, strengths in (("rough", (1.0, 1.0, 0.1, 0.1)), ("smooth", (0.1, 0.1, 1.0, 1.0))):
        toy = library(people=4, strengths=strengths)
        distance = indifferent(toy)
        distance[0, 2:] = 50.0
        found = quilt(toy, distance, 1, np.random.default_rng(0))
        assert (found.owner[toy.skin] < 2).mean() > 0.99, first


# --- blending --------------------------------------------------------------------------------------------------------


def test_blending_solves_its_least_squares() -> None:
    """Against a dense solver, on 7 × 6 texels of two people."""
    rng = np.random.default_rng(6)
    detail = rng.normal(size=(2, 7, 6, 1)).astype(np.float32)
    skin, valid = np.ones((7, 6), bool), np.ones((2, 7, 6), bool)
    skin[0, 0] = False
    owner = np.where(np.arange(6) < 3, 0, 1) * np.ones((7, 1), int)
    canvas = np.where(skin[..., None], np.take_along_axis(detail, owner[None, ..., None], 0)[0], 0).astype(np.float32)
    radius = 2.0
    found = blend(Quilt(np.where(skin, owner, -1).astype(np.int16), canvas), detail, valid, skin, radius)

    number = np.cumsum(skin.ravel()).reshape(skin.shape) - 1
    rows, wanted = [], []
    for y, x in np.argwhere(skin):
        for down, right in ((0, 1), (1, 0)):
            if y + down < 7 and x + right < 6 and skin[y + down, x + right]:
                row = np.zeros(skin.sum())
                row[number[y + down, x + right]], row[number[y, x]] = 1, -1
                ends = {owner[y, x], owner[y + down, x + right]}
                rows.append(row)
                wanted.append(np.mean([detail[k, y + down, x + right, 0] - detail[k, y, x, 0] for k in ends]))
    rows += list(np.eye(skin.sum()) / radius)
    wanted += list(canvas[skin][:, 0] / radius)
    exact = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0]
    assert found[skin][:, 0] == pytest.approx(exact, abs=1e-3)


def test_a_step_of_level_vanishes() -> None:
    """Two people who differ by a constant alone: the step at the seam is spread until nobody sees it."""
    toy = library(people=1)
    detail = np.concatenate([toy.detail, toy.detail + 1.0])
    valid = np.repeat(toy.valid, 2, axis=0)
    owner = np.where(toy.skin, (np.arange(50) >= 25).astype(np.int16), -1).astype(np.int16)
    canvas = np.where(owner[..., None] == 1, detail[1], detail[0]) * toy.skin[..., None]
    found = blend(Quilt(owner, canvas), detail, valid, toy.skin, 12.0)
    inside = toy.skin[:, 1:] & toy.skin[:, :-1]
    step = np.abs(np.diff(found, axis=1) - np.diff(toy.detail[0], axis=1))[inside]
    # In one dimension the remaining step is 1 / 2r to first order: 1/24.
    assert step.max() < 0.06


# --- patches ---------------------------------------------------------------------------------------------------------


def test_appearance_is_block_means() -> None:
    textures = np.random.default_rng(7).uniform(size=(2, 20, 20, 3)).astype(np.float32)
    found = _appearance(textures, np.array([2, 3]), 16)
    means = textures[:, 2:18, 3:19].reshape(2, 8, 2, 8, 2, 3).mean(axis=(2, 4))
    assert found == pytest.approx(means.reshape(2, -1), abs=1e-6)
    # Where the side is no multiple of the blocks, a constant still is one.
    assert _appearance(np.ones((1, 20, 20, 3)), np.array([0, 0]), 13) == pytest.approx(1.0)


def test_local_pca_keeps_distances_between_people() -> None:
    """With all modes, distances of coefficients are those of the patches; unused modes are zero."""
    looks = np.random.default_rng(8).normal(size=(5, 12)).astype(np.float32)
    mean, basis, coefficients = _local_pca(looks, 7)
    assert basis.shape == (7, 12) and not basis[5:].any() and not coefficients[:, 5:].any()
    for a, b in product(range(5), repeat=2):
        apart = np.linalg.norm(coefficients[a] - coefficients[b])
        assert apart == pytest.approx(np.linalg.norm(looks[a] - looks[b]), abs=1e-4)
    assert mean + coefficients @ basis == pytest.approx(looks, abs=1e-4)


def test_roughness_is_the_log_of_the_root_mean_square() -> None:
    detail = np.stack([np.full((8, 8, 3), s, np.float32) for s in (0.1, 0.2, 0.4, 9.9)])
    valid = np.ones((4, 8, 8), bool)
    valid[1, :4] = False
    valid[3] = False
    valid[3, 0, 0] = True  # shows too little: takes the others' mean power
    found = np.exp(_roughness(detail, valid, np.array([0, 0]), 8))
    usual = np.sqrt((64 * 0.01 + 32 * 0.04 + 64 * 0.16) / 160)
    assert found == pytest.approx([0.1, 0.2, 0.4, usual], rel=1e-5)
