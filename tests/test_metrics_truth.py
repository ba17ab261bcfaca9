"""Errors against the truth: closed forms, scikit-image's differences, and masks."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, lab2rgb

from metrics.contract import Judged, Memo
from metrics.detail import detail_energy_ratio
from metrics.truth import DETAIL, TONE, TONE_GROUP_ERRORS, albedo_error, gained, one_gain

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


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_outside_the_mask_is_read(truth: np.ndarray, mask: np.ndarray, poison: float) -> None:
    result = gained(truth, 0.8)
    spoiled = [np.where(mask[..., None], image, np.float32(poison)) for image in (result, truth)]
    assert albedo_error(judged(*spoiled, mask)) == pytest.approx(albedo_error(judged(result, truth, mask)), rel=1e-9)


def test_where_nothing_is_judged_or_all_is_black_there_is_no_value(truth: np.ndarray, mask: np.ndarray) -> None:
    empty = np.zeros_like(mask)
    assert np.isnan(albedo_error(judged(truth, truth, empty))).all()
    plain, corrected = albedo_error(judged(np.zeros_like(truth), truth, mask))
    assert plain > 20
    assert np.isnan(corrected), "black has no gain that would bring it to any brightness"


def test_detail_of_the_truth_is_worked_out_once_for_all_methods(truth: np.ndarray, mask: np.ndarray) -> None:
    kept, nothing = Memo(), np.full_like(truth, np.nan)
    for result, reference in ((truth, truth), (gained(truth, 0.7), nothing)):
        pair = Judged(result, reference, mask, mask, mask, of_reference=kept)
        found = DETAIL.measure([pair], "cpu")[0]
        # A map of 64² has no texels fine enough for the first band.
        assert list(found) == pytest.approx(detail_energy_ratio(result, truth, mask).tolist(), rel=1e-12, nan_ok=True)
        assert np.isfinite(found[1:]).all()


def test_names_against_the_truth_are_names_of_their_own() -> None:
    """Tables are keyed by the component's name: the same number against the photograph is another one."""
    from metrics import skin_tone

    for ours, photographed in ((TONE, skin_tone.TONE), (TONE_GROUP_ERRORS, skin_tone.TONE_GROUP_ERRORS)):
        names = {component.name for component in ours.components}
        assert len(names) == len(ours.components) == len(photographed.components)
        assert all("truth" in name for name in names)
        assert not names & {component.name for component in photographed.components}
        assert (ours.reference, photographed.reference) == ("truth", "photograph")
