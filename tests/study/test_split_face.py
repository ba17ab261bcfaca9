"""Split faces: the left half the photograph, the seam on the midline, nothing given away where both are real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import study_runs
from PIL import Image

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import InputError
from recon.progress import no_progress
from recon.runs.folder import ResultKey, RunFolder
from study.contract import PHOTOGRAPH
from study.stimuli import StimuliOrder, build_stimuli
from study.stimuli.catalogue import picture_of
from study.stimuli.face import blended
from study.stimuli.frame import Frame, frame_of
from study.stimuli.split_face import matching_gain, right_half

SIZE = (192, 240)  # of the toy face's frame: nothing is averaged


def shown(run: RunFolder, folder: Path, **other: Any) -> dict[str, np.ndarray]:
    """8-bit pixels of the first subject's stimuli by condition."""
    usual: dict[str, Any] = {"composition": "split", "gold": False, "subjects": ("s1",)}
    order = StimuliOrder((run.path,), (PHOTOGRAPH, "alpha"), width=SIZE[0], height=SIZE[1], **{**usual, **other})
    made = build_stimuli(order, folder, no_progress)
    assert all(one.composition == order.composition for one in made)
    return {one.condition: np.asarray(Image.open(picture_of(folder, one))).astype(int) for one in made}


def frame(**points: float) -> Frame:
    return frame_of(study_runs.landmarks(**points), (240, 300), SIZE)


@pytest.mark.parametrize("seam", [0.0, 0.03, 0.3])
def test_photograph_beside_photograph_is_the_photograph(tmp_path: Path, seam: float) -> None:
    """Byte for byte the file of the whole face: no seam, soft or hard, can give it away."""
    run = study_runs.make_run(tmp_path / "first")
    for composition in ("split", "single"):
        order = StimuliOrder((run.path,), (PHOTOGRAPH,), width=96, height=120, composition=composition, gold=False,
                             seam=seam)  # fmt: skip
        build_stimuli(order, tmp_path / composition, no_progress)
    split, single = ({path.name for path in (tmp_path / name / "stimuli").iterdir()} for name in ("split", "single"))
    assert split == single and len(split) == 2


def test_blending_a_picture_with_itself_changes_no_bit() -> None:
    """The composition itself, with a share that is everything between 0 and 1."""
    linear = srgb_to_linear(study_runs.photograph())
    share = np.random.default_rng(0).uniform(size=linear.shape[:2]).astype(np.float32)
    assert np.array_equal(blended(linear, linear, share), linear)


@pytest.mark.parametrize("seam", [0.0, 0.1])
def test_the_left_half_is_the_photograph(tmp_path: Path, seam: float) -> None:
    run = study_runs.make_run(tmp_path / "first")
    pictures = shown(run, tmp_path / "study", seam=seam)
    middle = 120 - frame().box[0]
    reach = int(np.ceil(seam / 2 * study_runs.EYES))
    same = (pictures["alpha"] == pictures[PHOTOGRAPH]).all(axis=-1)
    assert same[:, : middle - reach].all()
    assert not same[:, middle + reach + 1 :].all()
    assert same[:, middle + 70 :].all()  # hair and background run through


def test_the_right_half_is_the_method_with_matched_colour(tmp_path: Path) -> None:
    """A rendering that is the photograph under half the light is the photograph once it is matched."""
    run = study_runs.make_run(tmp_path / "first")
    left, top, right, bottom = study_runs.CROP
    real = study_runs.photograph(0)[top:bottom, left:right]
    dim = study_runs.eight_bits(linear_to_srgb(0.5 * srgb_to_linear(real)))
    study_runs.add_result(run, ResultKey("alpha", "identity", "s1"), dim, study_runs.skin())
    matched = shown(run, tmp_path / "matched")
    # Half a step of 8 bits in the dim picture is less than one after doubling.
    assert np.abs(matched["alpha"] - matched[PHOTOGRAPH]).max() <= 1
    plain = shown(run, tmp_path / "plain", match_colour=False)
    nose = np.s_[150 - frame().box[1] : 156 - frame().box[1], 125 - frame().box[0] : 130 - frame().box[0]]
    half = np.round(linear_to_srgb(0.5 * srgb_to_linear(plain[PHOTOGRAPH][nose] / 255)) * 255)
    assert np.abs(plain["alpha"][nose] - half).max() <= 1


def test_matching_takes_light_and_leaves_texture() -> None:
    """Light that changes slowly over the face is taken over; noise, which is texture, is not."""
    rng = np.random.default_rng(3)
    height, width, eyes = 240, 192, 80.0
    skin = np.ones((height, width), bool)
    slow = np.exp(np.linspace(-0.3, 0.3, width, dtype=np.float32))[None, :, None] * np.ones((height, 1, 3), np.float32)
    noise = rng.uniform(0.2, 0.4, (height, width, 3)).astype(np.float32)
    gain = matching_gain(np.full((height, width, 3), 0.3, np.float32) * slow, noise, skin, eyes)
    inside = np.s_[:, 60:-60]  # the Gaussian, 40 px wide, reaches over the border elsewhere
    # The noise has mean 0.3, so the light itself is left; blurring it widens nothing: a Gaussian of e^{ax} is
    # e^{a²σ²/2} e^{ax}, and a = 0.6 / 192, σ = 40 give a factor of 1.008.
    assert np.abs(gain[inside] / slow[inside] - 1).max() < 0.04
    assert np.abs(np.diff(np.log(gain), axis=0)).max() < 0.01  # no texture of either has passed into it


def test_a_constant_factor_is_found_exactly() -> None:
    rng = np.random.default_rng(4)
    photograph = rng.uniform(0.1, 1, (100, 80, 3)).astype(np.float32)
    factors = np.array([2.0, 1.0, 0.5], np.float32)
    skin = rng.uniform(size=(100, 80)) > 0.3
    assert matching_gain(photograph, photograph / factors, skin, 40.0) == pytest.approx(
        np.broadcast_to(factors, (100, 80, 3)), rel=1e-4
    )
    wide = np.pad(photograph, ((0, 0), (0, 400), (0, 0)))
    far = np.pad(skin, ((0, 0), (0, 400)))
    assert (matching_gain(wide, wide / 2, far, 40.0)[:, 300:] == 1).all()  # beyond four standard deviations of 20 px
    with pytest.raises(InputError, match="black where it would be shown"):
        matching_gain(photograph, np.zeros_like(photograph), skin, 40.0)


@pytest.mark.parametrize("slope", [-0.2, 0.0, 0.1])
def test_the_seam_lies_on_the_midline(slope: float) -> None:
    """The landmarks lie on x = 120 + slope (y − 120), so the line is theirs and its share there is one half."""
    found = frame(slope=slope)
    assert found.midline == pytest.approx((120 - 120 * slope, slope), abs=1e-9)
    half = right_half(found, 0.2)
    for y in (130, 180, 210):
        x = 120 + slope * (y - 120)
        row = half[y - found.box[1]]
        at = np.interp(x, np.arange(found.box[0], found.box[2]), row)
        assert at == pytest.approx(0.5, abs=0.05)
        assert row[0] == 0 and row[-1] == 1 and (np.diff(row) >= 0).all()


def test_a_hard_seam_is_hard() -> None:
    assert set(np.unique(right_half(frame(), 0.0))) == {0.0, 1.0}


def test_a_head_that_is_turned_too_far_is_a_gap_for_all(tmp_path: Path) -> None:
    """20 px of 80 off the middle leave a quarter on the narrower side; the photograph must not stand alone."""
    assert frame(shift=20).narrower == pytest.approx(0.25)
    run = study_runs.make_run(tmp_path / "first", points=study_runs.landmarks(shift=20))
    with pytest.raises(InputError, match="turned too far for a split face: 25%"):
        shown(run, tmp_path / "study")
    assert set(shown(run, tmp_path / "single", composition="single")) == {PHOTOGRAPH, "alpha"}


def test_degraded_halves_leave_the_left_half_alone(tmp_path: Path) -> None:
    run = study_runs.make_run(tmp_path / "first")
    order = StimuliOrder((run.path,), (PHOTOGRAPH,), width=SIZE[0], height=SIZE[1], composition="split",
                         subjects=("s1",), seam=0.0)  # fmt: skip
    real, spoilt = (np.asarray(Image.open(picture_of(tmp_path / "study", one))).astype(int) for one in
                    build_stimuli(order, tmp_path / "study", no_progress))  # fmt: skip
    middle = 121 - frame().box[0]
    assert np.array_equal(real[:, :middle], spoilt[:, :middle])
    assert np.abs(real - spoilt)[:, middle:].mean() > 5
