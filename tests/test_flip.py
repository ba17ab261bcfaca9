"""FLIP: its own command line on whole pictures, exactness of masks, and arguments checked before the library exits."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from metrics.flip import PIXELS_PER_DEGREE, flip, flip_map, reach
from recon.errors import ImageError, PairingError, UsageError


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    """A colour photograph and a noisy copy, both of 8 bits."""
    clean = data.astronaut()[:160, 140:320]
    noise = np.random.default_rng(0).normal(0, 12, clean.shape)
    noisy = np.clip(clean + noise, 0, 255).astype(np.uint8)
    return (clean / 255.0).astype(np.float32), (noisy / 255.0).astype(np.float32)


@pytest.mark.parametrize("ppd", [PIXELS_PER_DEGREE, 30.0])
def test_a_whole_picture_gives_what_flips_own_command_prints(
    pair: tuple[np.ndarray, np.ndarray], tmp_path: Path, ppd: float
) -> None:
    for name, picture in zip(("reference", "test"), pair, strict=True):
        Image.fromarray((picture * 255 + 0.5).astype(np.uint8)).save(tmp_path / f"{name}.png")
    command = [sys.executable, "-m", "flip_evaluator.flip_python_api", "-r", "reference.png", "-t", "test.png"]
    subprocess.run(
        [*command, "-ppd", str(ppd), "-c", "values.csv", "-nerm", "-v", "0"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
    )
    with (tmp_path / "values.csv").open(newline="") as stream:
        row = next(csv.DictReader(stream, skipinitialspace=True))
    clean, noisy = pair
    # The command prints six decimals.
    assert flip(noisy, clean, np.ones(clean.shape[:2], bool), ppd) == pytest.approx(float(row["Mean"]), abs=2e-6)


def test_nothing_is_printed_and_no_argument_is_changed(
    pair: tuple[np.ndarray, np.ndarray], capfd: pytest.CaptureFixture[str]
) -> None:
    clean, noisy = (picture.copy() for picture in pair)
    flip_map(noisy, clean)
    printed = capfd.readouterr()
    assert printed.out == "" and printed.err == ""
    assert (clean == pair[0]).all() and (noisy == pair[1]).all()


def test_the_map_reaches_as_far_as_stated() -> None:
    """A pixel that differs shows within the reach and nowhere else; the masks rely on it."""
    noise = np.random.default_rng(0).random((90, 90, 3), np.float32)
    for ppd in (20.0, PIXELS_PER_DEGREE, 100.0):
        changed = noise.copy()
        changed[45, 45] = 1 - changed[45, 45]
        rows, columns = np.nonzero(flip_map(changed, noise, ppd))
        assert max(abs(rows - 45).max(), abs(columns - 45).max()) == reach(ppd)


def test_inside_a_mask_it_is_the_unmasked_map(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Pixels whose window lies in the mask, by brute force, have the values of the whole pictures."""
    clean, noisy = pair
    mask = np.hypot(*np.mgrid[-80:80, -90:90]) < 70
    mask[60:70, 80:95] = False
    radius = reach()
    counted = np.ones_like(mask)
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            counted &= np.roll(mask, (down, right), (0, 1))  # the mask keeps clear of the border
    assert flip(noisy, clean, mask) == pytest.approx(float(flip_map(noisy, clean)[counted].mean()), rel=1e-6)


def test_a_mask_at_the_border_sees_the_border_as_flip_does(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    left = np.zeros(clean.shape[:2], bool)
    left[:, :100] = True
    expected = flip_map(noisy, clean)[:, : 100 - reach()].mean(dtype=np.float64)
    assert flip(noisy, clean, left) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("poison", [np.nan, 1e9])
def test_nothing_outside_the_mask_is_read(pair: tuple[np.ndarray, np.ndarray], poison: float) -> None:
    clean, noisy = pair
    mask = np.hypot(*np.mgrid[-80:80, -90:90]) < 60
    spoiled = [np.where(mask[..., None], picture, np.float32(poison)) for picture in pair]
    assert flip(spoiled[1], spoiled[0], mask) == flip(noisy, clean, mask)


def test_a_region_without_a_whole_window_has_no_value(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    narrow = np.zeros(clean.shape[:2], bool)
    assert np.isnan(flip(noisy, clean, narrow))
    narrow[:, 50 : 50 + 2 * reach()] = True
    assert np.isnan(flip(noisy, clean, narrow))


@pytest.mark.parametrize("ppd", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_viewing_is_an_error_and_not_the_end(pair: tuple[np.ndarray, np.ndarray], ppd: float) -> None:
    with pytest.raises(UsageError, match="pixels per degree"):
        flip_map(*pair, ppd)


def test_unfit_pictures_are_errors_and_not_the_end(pair: tuple[np.ndarray, np.ndarray]) -> None:
    clean, noisy = pair
    with pytest.raises(PairingError, match="equal sizes"):
        flip_map(noisy[:50], clean)
    for unfit in (noisy * 255, noisy - 1, np.full_like(noisy, np.nan), (noisy * 255).astype(np.uint8)):
        with pytest.raises(ImageError, match=r"\[0, 1\]"):
            flip_map(unfit, clean)
    with pytest.raises(ImageError, match=r"\(H, W, 3\)"):
        flip_map(noisy[..., 0], clean[..., 0])
    with pytest.raises(ImageError, match=r"\(H, W, 3\)"):
        flip_map(noisy[:0], clean[:0])
