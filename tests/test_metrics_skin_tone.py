"""Skin tone: the published angle, the groups' cuts, FAIR's scores in closed form, and masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.color import lab2rgb

from metrics.contract import Judged
from metrics.skin_tone import (
    TONE,
    TONE_GROUP_ERRORS,
    angle_between,
    fair_scores,
    tone_error,
    typology_angle,
)
from recon.colour import linear_to_srgb, srgb_to_linear
from recon.skin_tone import TONE_CUTS, TONE_GROUPS, tone_group

SIZE = 64
LIGHT, DARKER = (70.0, 10.0, 15.0), (55.0, 10.0, 15.0)
LIGHT_ANGLE, DARKER_ANGLE = 53.130, 18.435  # atan2(20, 15) and atan2(5, 15) in degrees


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    region = np.zeros((SIZE, SIZE), bool)
    region[8:-8, 4:-12] = True
    return region


def patch(lab: tuple[float, float, float]) -> np.ndarray:
    """A picture of one colour, sRGB-encoded."""
    return np.broadcast_to(lab2rgb(np.array([[lab]])), (SIZE, SIZE, 3)).astype(np.float32)


def judged(result: np.ndarray, reference: np.ndarray, region: np.ndarray) -> Judged:
    return Judged(result, reference, region, region, region, "anna")


def test_typology_angle_of_a_known_colour(mask: np.ndarray) -> None:
    """L* = 70, b* = 15: atan2(20, 15) = 53.130°."""
    assert typology_angle(patch(LIGHT), mask) == pytest.approx(LIGHT_ANGLE, abs=0.01)


def test_error_reference_and_difference(mask: np.ndarray) -> None:
    wanted = [LIGHT_ANGLE - DARKER_ANGLE, LIGHT_ANGLE, DARKER_ANGLE - LIGHT_ANGLE]
    assert tone_error(judged(patch(DARKER), patch(LIGHT), mask)) == pytest.approx(wanted, abs=0.02)
    wanted = [LIGHT_ANGLE - DARKER_ANGLE, DARKER_ANGLE, LIGHT_ANGLE - DARKER_ANGLE]
    assert tone_error(judged(patch(LIGHT), patch(DARKER), mask)) == pytest.approx(wanted, abs=0.02)
    assert tone_error(judged(patch(LIGHT), patch(LIGHT), mask)) == pytest.approx([0, LIGHT_ANGLE, 0], abs=0.01)
    names = [component.name for component in TONE.components]
    assert names == ["ITA error", "ITA of the reference", "ITA difference"]


@pytest.mark.parametrize(("first", "second", "apart"), [(170, -170, -20), (-170, 170, 20), (30, 50, -20), (90, 90, 0)])
def test_angles_are_apart_the_short_way_round(first: float, second: float, apart: float) -> None:
    assert angle_between(first, second) == pytest.approx(apart)


def test_tone_is_averaged_in_linear_light(mask: np.ndarray) -> None:
    """A chequerboard of two colours has the tone of the mean of their linear values."""
    colours = np.array([[0.8, 0.6, 0.5], [0.3, 0.2, 0.15]], np.float32)
    board = colours[np.indices((SIZE, SIZE)).sum(axis=0) % 2]
    even = np.broadcast_to(linear_to_srgb(srgb_to_linear(colours).mean(axis=0)), board.shape)
    assert typology_angle(board, mask) == pytest.approx(typology_angle(even, mask), abs=0.01)


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_outside_the_mask_is_read(mask: np.ndarray, poison: float) -> None:
    rng = np.random.default_rng(0)
    result, reference = (rng.uniform(0.25, 0.7, (SIZE, SIZE, 3)).astype(np.float32) for _ in range(2))
    spoiled = [np.where(mask[..., None], image, np.float32(poison)) for image in (result, reference)]
    assert tone_error(judged(*spoiled, mask)) == tone_error(judged(result, reference, mask))


def test_an_empty_region_has_no_tone(mask: np.ndarray) -> None:
    assert np.isnan(tone_error(judged(patch(LIGHT), patch(DARKER), np.zeros_like(mask)))).all()


@pytest.mark.parametrize(
    ("angle", "group"),
    [(89, "very light"), (55.01, "very light"), (55, "light"), (41.01, "light"), (41, "intermediate"), (28, "tan"),
     (10.01, "tan"), (10, "brown"), (-29.99, "brown"), (-30, "dark"), (-90, "dark"), (np.nan, "")],
)  # fmt: skip
def test_the_groups_are_cut_at_the_published_angles(angle: float, group: str) -> None:
    """Above 55, 41, 28, 10 and −30 degrees (Chardon et al. 1991; Del Bino and Bernerd 2013)."""
    assert tone_group(angle) == group


def test_scores_in_closed_form() -> None:
    """Errors 1 … 6 in the six groups: mean 3.5, deviation √(17.5 / 5) = 1.8708; more people of one group, who have its
    mean error, change nothing."""
    groups = np.array([0, 1, 2, 3, 4, 5, 5, 5])
    errors = np.array([1.0, 2, 3, 4, 5, 5, 6, 7])
    average, bias, total, by_group = fair_scores(errors, groups)
    assert (average, bias, total) == pytest.approx((3.5, np.sqrt(3.5), 3.5 + np.sqrt(3.5)))
    assert by_group == pytest.approx([1, 2, 3, 4, 5, 6])


def test_groups_without_people_are_left_out_and_said() -> None:
    average, bias, total, by_group = fair_scores(np.array([2.0, 4.0, 9.0]), np.array([1, 1, 3]))
    assert (average, bias, total) == pytest.approx((6.0, np.sqrt(18.0), 6.0 + np.sqrt(18.0)))
    assert by_group[[1, 3]] == pytest.approx([3, 9])
    assert np.isnan(by_group[[0, 2, 4, 5]]).all()
    average, bias, total, _ = fair_scores(np.array([2.0, 4.0]), np.array([1, 1]))
    assert average == 3.0
    assert np.isnan([bias, total]).all(), "one group has no spread"
    assert np.isnan(fair_scores(np.zeros(0), np.zeros(0, int))[:3]).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 180), st.integers(0, 5)), min_size=2, max_size=30), st.randoms())
def test_scores_do_not_depend_on_the_order_and_bias_is_none_for_equal_errors(people: list, shuffler) -> None:
    errors, groups = np.array([e for e, _ in people]), np.array([g for _, g in people])
    order = list(range(len(people)))
    shuffler.shuffle(order)
    for first, second in zip(fair_scores(errors, groups), fair_scores(errors[order], groups[order]), strict=True):
        assert first == pytest.approx(second, nan_ok=True)
    assert fair_scores(np.full(len(people), 7.0), groups)[0] == pytest.approx(7.0)
    if len(set(groups)) > 1:
        assert fair_scores(np.full(len(people), 7.0), groups)[1] == pytest.approx(0.0, abs=1e-6)


def test_a_set_is_grouped_by_its_references(mask: np.ndarray) -> None:
    """Two light people 34.695° and 0° wrong, one tan person 34.695° wrong."""
    pairs = [(DARKER, LIGHT), (LIGHT, LIGHT), (LIGHT, DARKER)]
    batch = [judged(patch(result), patch(reference), mask) for result, reference in pairs]
    described = TONE_GROUP_ERRORS.describe(batch, "cpu")
    assert all(side.shape == (1,) and side.dtype == np.float32 for both in described for side in both)
    ours, theirs = (np.stack([both[k] for both in described]) for k in (0, 1))
    found = TONE_GROUP_ERRORS.gather(["a", "b", "c"], ours, theirs)
    apart = LIGHT_ANGLE - DARKER_ANGLE
    assert found["ITA error (light)"] == pytest.approx(apart / 2, abs=0.02)
    assert found["ITA error (tan)"] == pytest.approx(apart, abs=0.02)
    assert found["ITA error (average of groups)"] == pytest.approx(0.75 * apart, abs=0.02)
    assert found["ITA error (bias)"] == pytest.approx(0.5 * apart / np.sqrt(2), abs=0.02)
    assert found["ITA error (total)"] == pytest.approx((0.75 + 0.5 / np.sqrt(2)) * apart, abs=0.04)
    assert [found[f"people ({group})"] for group in TONE_GROUPS] == [0, 2, 0, 1, 0, 0]
    assert set(found) == {component.name for component in TONE_GROUP_ERRORS.components}


def test_one_side_is_worked_out_once(mask: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    """The set metric and the metric of single results ask for the same angles."""
    asked = []

    def counted(srgb: np.ndarray, region: np.ndarray) -> float:
        asked.append(region)
        return typology_angle(srgb, region)

    monkeypatch.setattr("metrics.skin_tone.typology_angle", counted)
    both = judged(patch(DARKER), patch(LIGHT), mask)
    tone_error(both)
    TONE_GROUP_ERRORS.describe([both], "cpu")
    assert len(asked) == 2


def test_there_is_one_cut_between_two_groups() -> None:
    assert len(TONE_CUTS) == len(TONE_GROUPS) - 1
    assert list(TONE_CUTS) == sorted(TONE_CUTS, reverse=True)
