"""Errors against the truth: closed forms, the published typology angle, scikit-image's differences, and masks."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, lab2rgb

from metrics.contract import Judged
from metrics.truth import albedo_error, gained, one_gain, typology_angle, typology_angle_error
from recon.colour import linear_to_srgb, srgb_to_linear

SIZE = 64


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    """Colours between dark and light skin, sRGB-encoded."""
    return np.random.default_rng(0).uniform(0.25, 0.7, (SIZE, SIZE, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    region = np.zeros((SIZE, SIZE), bool)
    region[8:-8, 4:-12] = True
    return region


def patch(lab: tuple[float, float, float]) -> np.ndarray:
    """A picture of one colour, sRGB-encoded."""
    return np.broadcast_to(lab2rgb(np.array([[lab]])), (SIZE, SIZE, 3)).astype(np.float32)


def judged(result: np.ndarray, truth: np.ndarray, region: np.ndarray, whole: np.ndarray | None = None) -> Judged:
    return Judged(result, truth, region, region, region if whole is None else whole)


def test_the_truth_itself_has_no_error(truth: np.ndarray, mask: np.ndarray) -> None:
    assert albedo_error(judged(truth, truth, mask)) == pytest.approx([0.0, 0.0], abs=1e-3)
    assert typology_angle_error(truth, truth, mask) == 0.0


@pytest.mark.parametrize("gain", [0.5, 1.3])
def test_a_scaled_truth_has_no_error_after_one_gain(truth: np.ndarray, mask: np.ndarray, gain: float) -> None:
    """Scaled in linear light, undone by its inverse; float32 and the encoding there and back leave a thousandth."""
    scaled = gained(truth, gain)
    plain, corrected = albedo_error(judged(scaled, truth, mask))
    assert one_gain(scaled, truth, mask) == pytest.approx(1 / gain, rel=1e-4)
    assert plain > 5
    assert corrected == pytest.approx(0.0, abs=2e-3)


def test_two_patches_differ_as_scikit_image_says(mask: np.ndarray) -> None:
    ours, true = (62.0, 14.0, 18.0), (70.0, 9.0, 15.0)
    plain, corrected = albedo_error(judged(patch(ours), patch(true), mask))
    assert plain == pytest.approx(float(deltaE_ciede2000(np.array(true), np.array(ours))), abs=1e-3)
    assert 0 < corrected < plain, "the gain takes the difference in lightness and leaves that in hue"


def test_the_gain_belongs_to_the_picture_not_to_the_region(truth: np.ndarray, mask: np.ndarray) -> None:
    """Three quarters are exact, so the median quotient is 1, and the quarter that is too dark stays too dark."""
    quarter = mask.copy()
    quarter[:, SIZE // 4 :] = False
    assert 0 < quarter.sum() < 0.4 * mask.sum()
    result = np.where(quarter[..., None], gained(truth, 0.5), truth)
    plain, corrected = albedo_error(judged(result, truth, quarter, whole=mask))
    assert corrected == pytest.approx(plain, rel=1e-6)
    assert corrected > 5


def test_typology_angle_of_a_known_colour(mask: np.ndarray) -> None:
    """L* = 70, b* = 15: atan2(20, 15) = 53.130°."""
    assert typology_angle(patch((70.0, 10.0, 15.0)), mask) == pytest.approx(53.130, abs=0.01)


def test_typology_error_is_the_difference_of_the_angles(mask: np.ndarray) -> None:
    """atan2(20, 15) − atan2(5, 15) = 53.130° − 18.435°."""
    light, dark = patch((70.0, 10.0, 15.0)), patch((55.0, 10.0, 15.0))
    assert typology_angle_error(dark, light, mask) == pytest.approx(53.130 - 18.435, abs=0.02)
    assert typology_angle_error(light, dark, mask) == pytest.approx(53.130 - 18.435, abs=0.02)


def test_tone_is_averaged_in_linear_light(mask: np.ndarray) -> None:
    """A chequerboard of two colours has the tone of the mean of their linear values."""
    colours = np.array([[0.8, 0.6, 0.5], [0.3, 0.2, 0.15]], np.float32)
    board = colours[np.indices((SIZE, SIZE)).sum(axis=0) % 2]
    even = np.broadcast_to(linear_to_srgb(srgb_to_linear(colours).mean(axis=0)), board.shape)
    assert typology_angle(board, mask) == pytest.approx(typology_angle(even, mask), abs=0.01)


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_outside_the_mask_is_read(truth: np.ndarray, mask: np.ndarray, poison: float) -> None:
    result = gained(truth, 0.8)
    spoiled = [np.where(mask[..., None], image, np.float32(poison)) for image in (result, truth)]
    assert albedo_error(judged(*spoiled, mask)) == pytest.approx(albedo_error(judged(result, truth, mask)), rel=1e-9)
    assert typology_angle_error(*spoiled, mask) == typology_angle_error(result, truth, mask)


def test_where_nothing_is_judged_or_all_is_black_there_is_no_value(truth: np.ndarray, mask: np.ndarray) -> None:
    empty = np.zeros_like(mask)
    assert np.isnan(albedo_error(judged(truth, truth, empty))).all()
    assert np.isnan(typology_angle_error(truth, truth, empty))
    plain, corrected = albedo_error(judged(np.zeros_like(truth), truth, mask))
    assert plain > 20
    assert np.isnan(corrected), "black has no gain that would bring it to any brightness"
