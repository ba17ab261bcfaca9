"""Fooling rates and signal detection: closed forms, published values, and recovery of what was put in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import binom, binomtest, norm

from recon.errors import InputError
from study.analysis.fooling import Verdicts, box_plot, fooling_rates, verdicts_from_frame
from study.analysis.proportions import wilson_interval
from study.analysis.signal_detection import LEAST_OWN_TRIALS, detections, sensitivity
from study.contract import PHOTOGRAPH

Array = NDArray[np.float64]


def simulated(d_prime: dict[str, float], raters: int, trials: int, seed: int, spread: float = 0.5) -> Verdicts:
    """Raters with criteria of their own see ``trials`` pictures of each condition and of photographs."""
    rng = np.random.default_rng(seed)
    criterion = spread * rng.normal(size=(raters, 1))
    names = (*sorted(d_prime), PHOTOGRAPH)
    # A photograph is noise at −d′/2 and a rendering signal at +d′/2 of the first condition; fake is said above c.
    base = next(iter(d_prime.values()))
    strength = np.array([d_prime[name] - base / 2 for name in sorted(d_prime)] + [-base / 2])
    fake = rng.binomial(trials, ndtr(strength[None] - criterion))
    shown = np.full(fake.shape, float(trials))
    return Verdicts(names, tuple(f"{i:04}" for i in range(raters)), shown - fake, shown)


def test_sensitivity_and_criterion_of_textbook_rates() -> None:
    """H = 0.8, F = 0.3: d′ = 1.3660 and c = −0.1586 (Φ⁻¹(0.8) = 0.8416, Φ⁻¹(0.3) = −0.5244)."""
    found = sensitivity(80, 100, 30, 100, log_linear=False)
    assert float(found.d_prime) == pytest.approx(1.3660, abs=5e-5)
    assert float(found.criterion) == pytest.approx(-0.1586, abs=5e-5)


def test_the_log_linear_correction_adds_half_a_count() -> None:
    """Hautus 1995: (h + ½)/(n + 1). 20 of 20 hits and no false alarm of 20 are z(20.5/21) − z(0.5/21)."""
    found = sensitivity(20, 20, 0, 20)
    assert float(found.d_prime) == pytest.approx(2 * norm.ppf(20.5 / 21))
    assert float(found.criterion) == pytest.approx(0, abs=1e-12)
    assert np.isinf(sensitivity(20, 20, 0, 20, log_linear=False).d_prime)


def test_errors_of_sensitivity_are_those_of_simulation() -> None:
    """20,000 raters of d′ = 1, c = 0.2 and 200 trials of either kind; the standard deviation is known to 1 %."""
    rng = np.random.default_rng(1)
    hits = rng.binomial(200, ndtr(0.5 - 0.2), 20_000)
    alarms = rng.binomial(200, ndtr(-0.5 - 0.2), 20_000)
    found = sensitivity(hits, 200, alarms, 200)
    assert found.d_prime.std() == pytest.approx(np.median(found.d_prime_error), rel=0.02)
    assert found.criterion.std() == pytest.approx(np.median(found.criterion_error), rel=0.02)
    assert found.d_prime.mean() == pytest.approx(1.0, abs=0.01)
    assert found.criterion.mean() == pytest.approx(0.2, abs=0.01)


@given(st.integers(1, 50), st.integers(1, 50), st.data())
@settings(max_examples=60, deadline=None)
def test_who_answers_the_other_way_round_has_the_opposite_sign(signals: int, noises: int, data: Any) -> None:
    hits, alarms = data.draw(st.integers(0, signals)), data.draw(st.integers(0, noises))
    found = sensitivity(hits, signals, alarms, noises)
    turned = sensitivity(signals - hits, signals, noises - alarms, noises)
    swapped = sensitivity(alarms, noises, hits, signals)
    assert np.isfinite([found.d_prime, found.criterion, found.d_prime_error]).all()
    np.testing.assert_allclose([turned.d_prime, turned.criterion], [-found.d_prime, -found.criterion], atol=1e-9)
    np.testing.assert_allclose([swapped.d_prime, swapped.criterion], [-found.d_prime, found.criterion], atol=1e-9)


def test_bias_is_not_mistaken_for_realism() -> None:
    """Half the raters nearly always say real, half nearly always fake; conditions of d′ 0 and 1.5 come out as such."""
    found = {one.condition: one for one in detections(simulated({"good": 0.0, "poor": 1.5}, 80, 60, 2, spread=0.8))}
    assert found["good"].mean_low < 0 < found["good"].mean_high
    assert found["poor"].mean_low < 1.5 < found["poor"].mean_high
    # Criteria that differ draw the pooled d′ towards 0, here by about √(1 + 0.8²).
    assert found["poor"].d_prime == pytest.approx(1.5 / np.sqrt(1.64), abs=0.12)
    assert found["poor"].d_prime_low < found["poor"].d_prime < found["poor"].d_prime_high
    assert found["poor"].raters == 80 and found["poor"].by_rater.d_prime.shape == (80,)


def test_raters_own_sensitivity_of_few_pictures_is_no_mean() -> None:
    """What the correction does to one rendering beside six photographs, worked out exactly for d′ = 0 and c = 0.5: the
    mean over all outcomes is 0.217; of 8 beside 40 it is 0.011."""
    share = float(ndtr(-0.5))

    def mean(signals: int, noises: int) -> float:
        hits, alarms = np.arange(signals + 1)[:, None], np.arange(noises + 1)[None]
        likely = binom.pmf(hits, signals, share) * binom.pmf(alarms, noises, share)
        return float((likely * sensitivity(hits, signals, alarms, noises).d_prime).sum())

    assert mean(1, 6) == pytest.approx(0.217, abs=2e-3) and abs(mean(LEAST_OWN_TRIALS, 40)) < 0.02
    few = simulated({"a": 0.0}, 30, 8, 3)
    few.shown[:20, 0], few.real[:20, 0] = 7, np.minimum(few.real[:20, 0], 7)
    (found,) = detections(few)
    assert (found.raters, found.own_raters) == (30, 10)
    assert found.mean_d_prime == pytest.approx(found.by_rater.d_prime[20:].mean())
    few.shown[:, 1], few.real[:, 1] = 2, 1
    (nobody,) = detections(few)
    assert nobody.own_raters == 0 and np.isnan(nobody.mean_d_prime) and np.isfinite(nobody.d_prime)


def test_intervals_of_pooled_sensitivity_hold_the_truth() -> None:
    """100 studies of 30 raters of one criterion, d′ = 0.7; 95 % ± 3 σ."""
    held = 0
    for seed in range(100):
        (one,) = detections(simulated({"a": 0.7}, 30, 30, seed, spread=0.0), resamples=300)
        held += one.d_prime_low <= 0.7 <= one.d_prime_high
    assert held >= 88


def test_a_rater_without_photographs_has_no_sensitivity() -> None:
    verdicts = simulated({"a": 0.5}, 6, 10, 3)
    verdicts.shown[0, 1] = verdicts.real[0, 1] = 0
    (found,) = detections(verdicts)
    assert found.raters == 5 and np.isnan(found.by_rater.d_prime[0])
    only = Verdicts(("a",), ("r",), np.ones((1, 1)), np.ones((1, 1)))
    with pytest.raises(InputError, match="no verdicts of photographs"):
        detections(only)
    never_both = Verdicts(("a", PHOTOGRAPH), ("r", "s"), np.eye(2), np.eye(2))
    (nobody,) = detections(never_both)
    assert nobody.raters == 0 and np.isnan([nobody.d_prime, nobody.mean_d_prime, nobody.d_prime_low]).all()


def test_fooling_rates_are_means_over_raters() -> None:
    """Rates ¼, ½, ¾ and 1 of unequal numbers of trials: mean 0.625, median 0.625, quartiles by type 7."""
    real = np.array([[1.0, 4], [1, 4], [6, 4], [2, 4]])
    shown = np.array([[4.0, 4], [2, 4], [8, 4], [2, 4]])
    found = fooling_rates(Verdicts(("meso", PHOTOGRAPH), tuple("rstu"), real, shown))
    meso, photographs = found.rates
    assert (meso.condition, photographs.condition) == ("meso", PHOTOGRAPH)
    np.testing.assert_allclose(meso.by_rater, [0.25, 0.5, 0.75, 1.0])
    assert (meso.mean, meso.box.q25, meso.box.median, meso.box.q75) == pytest.approx((0.625, 0.4375, 0.625, 0.8125))
    assert meso.pooled == 10 / 16 and meso.verdicts == 16 and meso.raters == 4
    assert meso.shortfall == pytest.approx(0.375) and photographs.shortfall == 0
    assert (meso.rank, photographs.rank) == (1, 0) and found.contrasts == ()


def test_boxes_are_tukeys() -> None:
    """1 … 9 and 30: quartiles 3.25 and 7.75, so whiskers reach to 14.5: the last is apart."""
    box = box_plot(np.array([*range(1, 10), 30.0, np.nan]))
    assert (box.q25, box.median, box.q75, box.low_whisker, box.high_whisker) == (3.25, 5.5, 7.75, 1.0, 9.0)
    assert box.outliers.tolist() == [30.0]
    assert np.isnan(box_plot(np.array([np.nan])).median)
    alone = box_plot(np.array([0.4]))
    assert (alone.low_whisker, alone.q25, alone.high_whisker) == (0.4, 0.4, 0.4)


def test_conditions_that_differ_are_ranked_and_those_that_do_not_tie() -> None:
    found = fooling_rates(simulated({"a": 0.4, "b": 0.4, "c": 1.6}, 60, 12, 4))
    assert {one.condition: one.rank for one in found.rates} == {"a": 1, "b": 1, "c": 2, PHOTOGRAPH: 0}
    by_pair = {(one.first, one.second): one for one in found.contrasts}
    assert set(by_pair) == {("a", "b"), ("a", "c"), ("b", "c")}
    assert by_pair["a", "c"].higher == "a" and by_pair["a", "b"].higher == ""
    one = by_pair["a", "c"]
    rates = {rate.condition: rate for rate in found.rates}
    assert one.difference == pytest.approx(np.mean(rates["a"].by_rater - rates["c"].by_rater))
    assert 0 < one.low < one.difference < one.high and one.raters == 60


def test_what_cannot_be_told_from_photographs_is_not_said_to_be() -> None:
    """d′ 0 and 1.5; where nothing differs, 200 studies err in 5 % ± 3 σ."""
    rates = {one.condition: one for one in fooling_rates(simulated({"good": 0.0, "poor": 1.5}, 40, 10, 5)).rates}
    assert rates["poor"].shortfall_p < 0.001 and rates["poor"].shortfall_low > 0
    assert np.isnan(rates[PHOTOGRAPH].shortfall_p)
    p = [fooling_rates(simulated({"a": 0.0}, 12, 8, seed)).rates[0].shortfall_p for seed in range(200)]
    assert np.mean(np.array(p) <= 0.05) <= 0.097


def test_raters_who_all_say_the_same_leave_no_certainty() -> None:
    """Six raters call everything real: Wilson's interval of 6 of 6 begins at 6 / (6 + 1.96²), that of d′ is the delta
    method's, and differences have no interval rather than one of a single point."""
    verdicts = Verdicts(("a", "b", PHOTOGRAPH), tuple("rstuvw"), np.ones((6, 3)), np.ones((6, 3)))
    found = fooling_rates(verdicts)
    for rate in found.rates:
        assert (rate.mean, rate.high) == (1, 1) and rate.low == pytest.approx(6 / (6 + 1.959964**2), abs=1e-6)
    assert np.isnan([found.rates[0].shortfall_low, found.rates[0].shortfall_high, found.contrasts[0].low]).all()
    assert found.contrasts[0].difference == 0 and found.contrasts[0].p == 1
    error = float(sensitivity(0, 6, 0, 6).d_prime_error)
    for one in detections(verdicts):
        assert (one.d_prime, one.d_prime_high) == (0, pytest.approx(1.959964 * error))
        assert one.criterion_low < one.criterion < one.criterion_high


def test_raters_who_saw_one_of_two_do_not_compare_them() -> None:
    real, shown = np.zeros((4, 3)), np.array([[2.0, 0, 2], [0, 2, 2], [2, 0, 2], [0, 2, 2]])
    found = fooling_rates(Verdicts(("a", "b", PHOTOGRAPH), tuple("rstu"), real, shown))
    assert found.contrasts == ()
    assert [one.raters for one in found.rates] == [2, 2, 4]


def test_verdicts_are_read_from_a_frame() -> None:
    frame = pd.DataFrame(
        [("r", "meso", True), ("r", "meso", False), ("s", PHOTOGRAPH, True), ("r", "meso", True)],
        columns=["rater", "condition", "real"],
    )
    found = verdicts_from_frame(frame)
    assert (found.names, found.raters) == (("meso", PHOTOGRAPH), ("r", "s"))
    np.testing.assert_array_equal(found.real, [[2, 0], [0, 1]])
    np.testing.assert_array_equal(found.shown, [[3, 0], [0, 1]])
    with pytest.raises(InputError, match="true or false"):
        verdicts_from_frame(frame.assign(real=2))
    with pytest.raises(InputError, match="photographs alone"):
        fooling_rates(verdicts_from_frame(frame[frame["condition"] == PHOTOGRAPH]))


def test_wilsons_interval_is_the_published_one() -> None:
    """60 of 100: 0.5020 to 0.6906; SciPy's for others; nothing of nothing."""
    assert [float(end) for end in wilson_interval(60, 100)] == pytest.approx([0.5020, 0.6906], abs=5e-5)
    for k, n in [(0, 7), (3, 7), (7, 7), (150, 1000)]:
        theirs = binomtest(k, n).proportion_ci(method="wilson")
        np.testing.assert_allclose([float(end) for end in wilson_interval(k, n)], [theirs.low, theirs.high], atol=1e-12)
    assert np.isnan(wilson_interval([0], [0])).all()


def test_wilsons_interval_covers_about_as_often_as_it_says() -> None:
    """Brown, Cai and DasGupta 2001: on average over shares from 0 to 1 its coverage is close to the nominal one."""
    shares = np.linspace(0.05, 0.95, 181)
    low, high = wilson_interval(np.arange(41), 40)
    inside = (low[None] <= shares[:, None]) & (shares[:, None] <= high[None])
    assert (binom.pmf(np.arange(41), 40, shares[:, None]) * inside).sum(axis=1).mean() == pytest.approx(0.95, abs=0.007)
