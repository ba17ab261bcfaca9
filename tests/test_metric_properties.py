"""What holds for every metric of single pictures that needs no weights, those of other packages included.

The metrics are those of the registry, so a new one is held to the same: equal pictures have the ideal value, nothing is
better than equal, nothing outside the region is read, a batch gives what its members give alone, and a region or a
picture too small gives no number but no end either. Symmetry and monotony in noise are asked of those that promise it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from metrics import METRICS
from metrics.contract import Judged, Memo, Metric
from metrics.flip import FLIP
from metrics.ms_ssim import MS_SSIM

SIZE = 192
"""The least side at which every metric here has a value: MS-SSIM needs 176."""

few = settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
seeds = st.integers(0, 2**32 - 1)


def metrics_of_pictures() -> dict[str, Metric]:
    """Every metric that measures single pictures or maps without a network."""
    known = {"ms-ssim": MS_SSIM, "flip": FLIP} | {name: METRICS.get(name) for name in METRICS.names()}
    return {name: m for name, m in known.items() if m.weights is None and m.spaces & {"uv", "image"}}


ALL = metrics_of_pictures()
SYMMETRIC = ("psnr", "ssim", "ms-ssim", "flip", "delta-e")
"""Their formulas hold when result and reference change places."""
FAITHFUL = (*SYMMETRIC, "detail")
"""They compare pixel by pixel, or measure energy to which independent noise only adds: more noise, further away."""


def relief(seed: int) -> np.ndarray:
    """``(SIZE, SIZE, 3)`` skin tones with texture at every scale and shading, away from black and white."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(SIZE, SIZE))
    texture = 0.012 * noise + 0.1 * gaussian_filter(noise, 2) + 0.4 * gaussian_filter(noise, 8)
    tone = generator.uniform((0.55, 0.42, 0.35), (0.7, 0.55, 0.48))
    return np.clip(tone + texture[..., None], 0.2, 0.8).astype(np.float32)


def noisy(picture: np.ndarray, seed: int, sigma: float) -> np.ndarray:
    """The same noise for every σ, so that a larger σ only scales it."""
    noise = np.random.default_rng(seed + 1).normal(size=picture.shape)
    return np.clip(picture + sigma * noise, 0, 1).astype(np.float32)


def blob(seed: int) -> np.ndarray:
    """A region that nearly fills the picture, its outline wavy, with a hole: never a rectangle."""
    generator = np.random.default_rng(seed + 2)
    rows, columns = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    angle = np.arctan2(rows, columns)
    outline = 92 + 3 * np.cos(generator.integers(3, 7) * angle)
    region = np.hypot(rows, columns) < outline
    down, right = generator.integers(40, 60, 2)
    region[down : down + 7, right : right + 9] = False
    return region


@dataclass(frozen=True)
class Named:
    """One number of a metric, with its direction."""

    name: str
    direction: str
    value: float

    @property
    def badness(self) -> float:
        """Grows as the number gets worse."""
        if self.direction == "higher":
            return -self.value
        return abs(math.log2(self.value)) if self.direction == "one" else self.value


def numbers(metric: Metric, result: np.ndarray, reference: np.ndarray, region: np.ndarray) -> list[Named]:
    (values,) = metric.measure([Judged(result, reference, region, region, region, "someone")], "cpu")
    return [Named(c.name, c.direction, float(v)) for c, v in zip(metric.components, values, strict=True)]


@pytest.mark.parametrize("name", ALL)
def test_equal_pictures_have_the_ideal_value(name: str) -> None:
    @few
    @given(seeds)
    def holds(seed: int) -> None:
        picture, other, region = relief(seed), relief(seed + 1), blob(seed)
        again = numbers(ALL[name], other.copy(), other, region)
        for found, second in zip(numbers(ALL[name], picture.copy(), picture, region), again, strict=True):
            if found.direction == "one":
                assert found.value == pytest.approx(1.0, abs=1e-5), found
            elif found.direction == "lower":
                assert found.value == pytest.approx(0.0, abs=1e-4), found
            elif found.direction == "higher":
                assert found.value == pytest.approx(second.value, abs=1e-5), found

    holds()


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_better_than_equal(name: str) -> None:
    @few
    @given(seeds)
    def holds(seed: int) -> None:
        picture, region = relief(seed), blob(seed)
        best = numbers(ALL[name], picture.copy(), picture, region)
        for spoiled in (noisy(picture, seed, 0.1), gaussian_filter(picture, (3, 3, 0)), picture * np.float32(0.8)):
            for equal, found in zip(best, numbers(ALL[name], spoiled, picture, region), strict=True):
                if found.direction != "none":
                    assert math.isfinite(found.value)
                    assert found.badness >= equal.badness - 1e-4, (equal, found)

    holds()


@pytest.mark.parametrize("name", FAITHFUL)
def test_more_noise_is_worse(name: str) -> None:
    @few
    @given(seeds)
    def holds(seed: int) -> None:
        picture, region = relief(seed), blob(seed)
        rising = [numbers(ALL[name], noisy(picture, seed, sigma), picture, region) for sigma in (0.01, 0.03, 0.09)]
        for little, more, most in zip(*rising, strict=True):
            assert little.badness < more.badness < most.badness

    holds()


@pytest.mark.parametrize("name", SYMMETRIC)
def test_result_and_reference_may_change_places(name: str) -> None:
    @few
    @given(seeds)
    def holds(seed: int) -> None:
        one, other, region = relief(seed), noisy(relief(seed), seed, 0.05), blob(seed)
        (there,), (back,) = numbers(ALL[name], one, other, region), numbers(ALL[name], other, one, region)
        assert there.value == pytest.approx(back.value, rel=1e-5)

    holds()


@pytest.mark.parametrize("name", ALL)
def test_nothing_outside_the_region_is_read(name: str) -> None:
    @few
    @given(seeds, st.sampled_from([np.nan, 1e9, -np.inf]))
    def holds(seed: int, poison: float) -> None:
        reference, region = relief(seed), blob(seed)
        result = noisy(reference, seed, 0.05)
        spoiled = [np.where(region[..., None], p, np.float32(poison)) for p in (result, reference)]
        clean = [found.value for found in numbers(ALL[name], result, reference, region)]
        assert [found.value for found in numbers(ALL[name], *spoiled, region)] == pytest.approx(
            clean, rel=1e-6, nan_ok=True
        )

    holds()


@pytest.mark.parametrize("name", ALL)
def test_a_batch_gives_what_its_members_give_alone(name: str) -> None:
    """With memos shared by the results of several methods and by overlapping regions, as in a run."""

    @few
    @given(seeds)
    def holds(seed: int) -> None:
        reference, whole = relief(seed), blob(seed)
        results = [noisy(reference, seed + step, 0.02 * step) for step in (1, 2)]
        of_results, of_reference = [Memo() for _ in results], Memo()
        parts = (whole, whole & (np.arange(SIZE) < 186))
        together = [
            ALL[name].measure(
                [
                    Judged(result, reference, part, part, whole, "someone", of_result=memo, of_reference=of_reference)
                    for result, memo in zip(results, of_results, strict=True)
                ],
                "cpu",
            )
            for part in parts
        ]
        for result, values in zip(results, together[1], strict=True):
            alone = Judged(result, reference, parts[1], parts[1], whole, "someone")
            (expected,) = ALL[name].measure([alone], "cpu")
            assert list(values) == pytest.approx(list(expected), rel=1e-5, nan_ok=True)

    holds()


@pytest.mark.parametrize("name", ALL)
def test_an_empty_region_has_no_value(name: str) -> None:
    picture = relief(0)
    found = numbers(ALL[name], noisy(picture, 0, 0.1), picture, np.zeros((SIZE, SIZE), bool))
    assert all(math.isnan(number.value) for number in found)


@pytest.mark.parametrize("name", ALL)
def test_tiny_pictures_and_regions_are_no_end(name: str) -> None:
    """A number or none: never infinite, and never an exception."""
    picture = relief(0)
    spot = np.zeros((SIZE, SIZE), bool)
    spot[100, 90] = True
    for size, region in ((1, np.ones((1, 1), bool)), (8, np.ones((8, 8), bool)), (SIZE, spot)):
        part = picture[:size, :size]
        for found in numbers(ALL[name], noisy(part, 0, 0.1), part, region):
            assert not math.isinf(found.value)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_constant_pictures_have_a_number_or_none(name: str, level: float) -> None:
    """Never an infinite one; the metrics of :data:`SYMMETRIC` always have one."""
    flat, textured, region = np.full((SIZE, SIZE, 3), level, np.float32), relief(0), blob(0)
    for result, reference in ((flat, flat.copy()), (flat, textured), (textured, flat)):
        for found in numbers(ALL[name], result, reference, region):
            assert math.isfinite(found.value) or (math.isnan(found.value) and name not in SYMMETRIC), found
