"""Metrics on arrays: the same numbers as in a run, and a sentence for everything that cannot be measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from metrics import METRICS
from metrics.arrays import TOLERANCE, checked_pair, measure
from metrics.contract import COVERAGE, Component, Judged, Metric, one_by_one
from metrics.pixel import delta_e, psnr, ssim
from recon.errors import AssetError, ImageError, MesofaceError, PairingError, UsageError


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    clean = generator.uniform(0.2, 0.8, (40, 50, 3)).astype(np.float32)
    return np.clip(clean + generator.normal(0, 0.05, clean.shape), 0, 1).astype(np.float32), clean


def test_arrays_give_the_numbers_of_the_metrics(pair: tuple[np.ndarray, np.ndarray]) -> None:
    result, reference = pair
    region = np.zeros(result.shape[:2], bool)
    region[5:35, 8:44] = True
    assert measure("psnr", result, reference, region) == {"PSNR": psnr(result, reference, region)}
    assert measure("ssim", result, reference, region) == {"SSIM": ssim(result, reference, region)}
    everywhere = np.ones_like(region)
    assert measure("delta-e", result, reference) == {"ΔE2000": delta_e(result, reference, everywhere)}


def test_float64_and_lists_are_taken_and_nothing_is_changed(pair: tuple[np.ndarray, np.ndarray]) -> None:
    result, reference = pair
    before = result.copy()
    assert measure("psnr", result.astype(float), reference.tolist()) == measure("psnr", result, reference)
    assert (result == before).all()


def test_rounding_beyond_the_range_is_clipped(pair: tuple[np.ndarray, np.ndarray]) -> None:
    result, reference = pair
    white = np.ones_like(result)
    assert measure("psnr", white + np.float32(TOLERANCE / 2), reference) == measure("psnr", white, reference)


def to_8_bits(picture: np.ndarray) -> np.ndarray:
    return (picture * 255).astype(np.uint8)


def to_16_bits(picture: np.ndarray) -> np.ndarray:
    return (picture * 65535).astype(np.uint16)


def with_alpha(picture: np.ndarray) -> np.ndarray:
    return np.concatenate([picture, np.ones_like(picture[..., :1])], axis=-1)


def with_nan(picture: np.ndarray) -> np.ndarray:
    spoiled = picture.copy()
    spoiled[3, 7, 1] = np.nan
    return spoiled


UNFIT: Mapping[str, tuple[Callable[[np.ndarray], Any], type[MesofaceError], str]] = {
    "8-bit": (to_8_bits, ImageError, "divide by 255"),
    "16-bit": (to_16_bits, ImageError, "divide by 65535"),
    "32-bit integers": (lambda p: (p * 1000).astype(np.int32), ImageError, "divide by what stands for white"),
    "bool": (lambda p: p > 0.5, ImageError, "no colours"),
    "text": (lambda p: "face.png", ImageError, "no colours"),
    "complex": (lambda p: p + 1j, ImageError, "complex"),
    "alpha": (with_alpha, ImageError, "alpha channel"),
    "grey": (lambda p: p[..., 0], ImageError, "grey.*three equal channels"),
    "grey with an axis": (lambda p: p[..., :1], ImageError, "grey.*three equal channels"),
    "channels first": (lambda p: np.moveaxis(p, -1, 0), ImageError, "move the channels to the end"),
    "a batch": (lambda p: p[None], ImageError, "one picture"),
    "no pixels": (lambda p: p[:0], ImageError, "no pixels"),
    "NaN": (with_nan, ImageError, "1 pixels in the region.*row 3, column 7"),
    "infinite": (lambda p: np.where(p == p.max(), np.inf, p), ImageError, "no numbers"),
    "0 to 255": (lambda p: p * 255, ImageError, "divide by 255"),
    "beyond the range": (lambda p: p - 1, ImageError, r"values from -.* encode it as sRGB in \[0, 1\]"),
    "another size": (lambda p: p[:-1], PairingError, "50×39.*50×40|50×40.*50×39"),
}


@pytest.mark.parametrize("side", ["result", "reference"])
@pytest.mark.parametrize("kind", UNFIT)
def test_unfit_pictures_are_refused_by_name(pair: tuple[np.ndarray, np.ndarray], kind: str, side: str) -> None:
    spoil, error, said = UNFIT[kind]
    result, reference = pair
    given = {"result": result, "reference": reference}
    given[side] = spoil(given[side])
    with pytest.raises(error, match=said) as caught:
        measure("ssim", given["result"], given["reference"])
    assert str(caught.value).startswith("ssim: ") and side in str(caught.value)


def test_files_can_be_named(pair: tuple[np.ndarray, np.ndarray]) -> None:
    result, reference = pair
    with pytest.raises(ImageError, match=r"^lpips: 'views/fitted.png' has an alpha"):
        checked_pair("lpips", with_alpha(result), reference, result_name="'views/fitted.png'")


def test_what_lies_outside_the_region_is_not_looked_at(pair: tuple[np.ndarray, np.ndarray]) -> None:
    result, reference = pair
    region = np.ones(result.shape[:2], bool)
    region[3, 7] = False
    assert measure("psnr", with_nan(result), reference, region) == measure("psnr", result, reference, region)


@pytest.mark.parametrize(
    ("region", "error", "said"),
    [
        (np.zeros((40, 50), bool), ImageError, "empty"),
        (np.ones((40, 50), np.uint8), ImageError, "region > 0"),
        (np.ones((40, 49), bool), PairingError, r"\(40, 49\)"),
        (np.ones((40, 50, 1), bool), PairingError, "one bool a pixel"),
    ],
)
def test_unfit_regions_are_refused(
    pair: tuple[np.ndarray, np.ndarray], region: np.ndarray, error: type[MesofaceError], said: str
) -> None:
    with pytest.raises(error, match=said):
        measure("psnr", *pair, region)


def test_a_single_pixel_is_no_picture() -> None:
    pixel = np.full((1, 1, 3), 0.5, np.float32)
    with pytest.raises(ImageError, match="single pixel"):
        measure("psnr", pixel, pixel)


def test_constant_pictures_are_measured(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """MSE of constants 0.4 and 0.5 is 0.01, 20 dB; a texture without detail has no ratio."""
    flat = [np.full((64, 64, 3), value, np.float32) for value in (0.4, 0.5)]
    assert measure("psnr", *flat)["PSNR"] == pytest.approx(20, abs=1e-4)
    assert np.isnan(list(measure("detail", *(np.zeros_like(p) for p in flat), space="uv").values())).all()


def test_regions_that_are_too_small_have_no_value(pair: tuple[np.ndarray, np.ndarray]) -> None:
    region = np.zeros(pair[0].shape[:2], bool)
    region[20, 20] = True
    assert np.isnan(measure("ssim", *pair, region)["SSIM"])


def test_unknown_metrics_and_spaces_are_refused(pair: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(UsageError, match="did you mean 'ssim'"):
        measure("sssim", *pair)
    with pytest.raises(UsageError, match="give space='uv'"):
        measure("detail", *pair)
    with pytest.raises(UsageError, match="measures heads"):
        measure("truth-shape", *pair, space="uv")


def a_metric(**changes: Any) -> Metric:
    """A plugin's: how many landmarks it was given."""
    given: dict[str, Any] = {
        "components": (Component("landmarks"),),
        "library": "mine",
        "version": "1",
        "parameters": {},
        "spaces": frozenset({"image"}),
        "measure": one_by_one(lambda judged: [float("nan") if judged.landmarks is None else len(judged.landmarks)]),
    }
    return Metric(**{**given, **changes})


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Callable[[Metric], None]:
    """Makes every name of the registry that metric."""

    def install(metric: Metric) -> None:
        monkeypatch.setattr(METRICS, "get", lambda name: metric)

    return install


def test_landmarks_reach_the_metric(pair: tuple[np.ndarray, np.ndarray], plugin: Callable[[Metric], None]) -> None:
    plugin(a_metric())
    assert measure("mine", *pair, landmarks=np.zeros((68, 2))) == {"landmarks": 68.0}
    assert np.isnan(measure("mine", *pair)["landmarks"])
    for unfit in (np.zeros((5, 2)), np.full((68, 2), np.nan)):
        with pytest.raises(ImageError, match=r"\(68, 2\) finite"):
            measure("mine", *pair, landmarks=unfit)


def test_absent_weights_are_said(pair: tuple[np.ndarray, np.ndarray], plugin: Callable[[Metric], None]) -> None:
    def absent() -> None:
        raise AssetError("'vgg16' is not there: fetch it.")

    plugin(a_metric(weights=absent))
    with pytest.raises(AssetError, match="fetch it"):
        measure("mine", *pair)


def test_arrays_are_judged_wherever_the_region_is(pair: tuple[np.ndarray, np.ndarray]) -> None:
    """Coverage is the part of the demanded region that is vouched for: for arrays, all of it."""
    region = np.zeros(pair[0].shape[:2], bool)
    region[:7] = True
    assert measure("coverage", *pair, region) == {"coverage": 1.0}
    nothing = np.zeros_like(region)
    assert np.isnan(COVERAGE.measure([Judged(*pair, nothing, nothing, region)], "cpu")[0][0])
