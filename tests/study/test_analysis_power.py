"""Power by simulation: closed forms where there are some, and that it moves as it must."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recon.errors import UsageError
from study.analysis.power import (
    Plan,
    Variation,
    detectable_difference,
    largest_difference,
    plan_from_trials,
    power_of,
    raters_needed,
)
from study.contract import PHOTOGRAPH, Stimulus, Trial

ALIKE = Variation(bias=0.0, taste=0.0)


def test_sixty_against_fifty_percent_needs_about_199_answers() -> None:
    """199 raters of one choice each have power 0.80, as the exact test says; simulation knows it to ± 0.013 (2 σ)."""
    found = power_of(Plan("choice", 199, 1), 0.1, ALIKE, simulations=4000)
    exact = sum(stats.binom.pmf(k, 199, 0.6) for k in range(200) if stats.binomtest(k, 199).pvalue <= 0.05)
    assert found.power == pytest.approx(exact, abs=0.02)
    assert found.low <= found.power <= found.high
    assert raters_needed(Plan("choice", 2, 1), 0.1, ALIKE, simulations=2000).raters == pytest.approx(197, abs=10)


def test_scores_have_the_power_of_the_paired_t_test() -> None:
    """Whole scores of noise σ have variance σ² + 1/12 (Sheppard); a difference of means of k has twice that / k."""
    raters, each, difference, noise = 25, 6, 0.3, 0.8
    found = power_of(
        Plan("scales", raters, each), difference, Variation(0, 0, noise, points=9, level=5), simulations=4000
    )
    effect = difference / math.sqrt(2 * (noise**2 + 1 / 12) / each)
    edge = stats.t.ppf(0.975, raters - 1)
    expected = stats.nct.sf(edge, raters - 1, effect * math.sqrt(raters))
    assert found.power == pytest.approx(expected, abs=0.025)


def test_verdicts_have_the_power_of_two_shares() -> None:
    """Normal approximation for raters alike: a difference of 0.5 ± δ/2 over n verdicts each has variance p q / n."""
    raters, each, difference = 60, 5, 0.14
    found = power_of(Plan("real-or-fake", raters, each), difference, ALIKE, simulations=4000)
    error = math.sqrt(2 * (0.25 - (difference / 2) ** 2) / (raters * each))
    assert found.power == pytest.approx(stats.norm.cdf(difference / error - 1.96), abs=0.025)


@pytest.mark.parametrize("page", ["real-or-fake", "choice", "ranking", "scales"])
def test_no_difference_is_found_as_often_as_the_significance_says(page: str) -> None:
    """5 % ± 3.5 standard errors, over 3,000 studies of raters with tastes and 2.5 judgements; of 10 pairs, 0.5 %."""
    plan = Plan(page, 40, 2.5)  # type: ignore[arg-type]
    assert power_of(plan, 0.0, simulations=3000).power == pytest.approx(0.05, abs=0.014)
    assert power_of(replace(plan, comparisons=10), 0.0, simulations=3000).power < 0.012
    assert power_of(replace(plan, raters=8), 0.0, simulations=2000).power <= 0.065


@pytest.mark.parametrize("page", ["real-or-fake", "choice", "ranking", "scales"])
def test_more_raters_trials_and_agreement_detect_smaller_differences(page: str) -> None:
    plan = Plan(page, 40, 4)  # type: ignore[arg-type]

    def detected(plan: Plan, variation: Variation) -> float:
        return detectable_difference(plan, variation, simulations=400).difference

    base = detected(plan, Variation())
    assert detected(replace(plan, raters=160), Variation()) == pytest.approx(base / 2, rel=0.2)
    assert detected(replace(plan, judgements=16), Variation()) < base
    assert detected(plan, replace(Variation(), taste=1.0)) > base
    assert detected(replace(plan, comparisons=10), Variation()) > base


def test_many_trials_of_few_raters_are_not_worth_as_much() -> None:
    """As many answers, of raters with tastes of their own."""
    few = power_of(Plan("choice", 15, 40), 0.08, Variation(taste=0.5)).power
    many = power_of(Plan("choice", 150, 4), 0.08, Variation(taste=0.5)).power
    assert few < 0.5 < 0.9 < many


def test_raters_needed_and_detectable_difference_agree() -> None:
    plan = Plan("real-or-fake", 80, 3.3, comparisons=3)
    found = detectable_difference(plan)
    assert power_of(plan, found.difference).power == pytest.approx(0.8, abs=0.03)
    assert raters_needed(plan, found.difference).raters == pytest.approx(80, rel=0.12)


def test_what_cannot_be_detected_has_a_reason_or_is_refused() -> None:
    found = detectable_difference(Plan("choice", 3, 1))
    assert math.isnan(found.difference) and "ask more raters" in found.reason
    with pytest.raises(UsageError, match=r"lies between 0 and 0\.49"):
        power_of(Plan("choice", 30, 1), 0.6)
    with pytest.raises(UsageError, match="must lie between"):
        power_of(Plan("scales", 30, 1), 0.1, Variation(level=7))
    with pytest.raises(UsageError, match="more than 20000 raters"):
        raters_needed(Plan("choice", 3, 1), 0.001, simulations=50)
    assert largest_difference("scales", Variation(level=4.5)) == pytest.approx(1.0)


def stimulus(condition: str) -> Stimulus:
    return Stimulus(condition, "image/png", 8, 8, "single", condition, "s", "r", "identity", "fitted", "CC0")


def trial(index: int, *shown: str, part: str = "main") -> Trial:
    return Trial(index, part, "q", shown)  # type: ignore[arg-type]


def test_trials_as_they_are_laid_out_are_counted() -> None:
    stimuli = [stimulus(name) for name in ("meso", "pca", "mirror", PHOTOGRAPH)]
    verdicts = [
        [trial(0, "meso"), trial(1, PHOTOGRAPH), trial(2, "pca"), trial(3, "mirror"), trial(4, "pca", part="gold")]
    ] * 4
    assert plan_from_trials("real-or-fake", verdicts, stimuli) == Plan("real-or-fake", 4, 1, 3)
    alone = [[trial(0, "meso"), trial(1, PHOTOGRAPH), trial(2, "meso"), trial(3, PHOTOGRAPH)]] * 3
    assert plan_from_trials("real-or-fake", alone, stimuli) == Plan("real-or-fake", 3, 2, 1)
    choices = [[trial(0, "meso", "pca"), trial(1, "pca", "mirror")], [trial(0, "mirror", "meso")]]
    assert plan_from_trials("choice", choices, stimuli) == Plan("choice", 2, 0.5, 3)
    rankings = [[trial(0, "meso", "pca", "mirror")], [trial(0, "mirror", "meso", "pca")]]
    assert plan_from_trials("ranking", rankings, stimuli) == Plan("ranking", 2, 1, 3)
    with pytest.raises(UsageError, match="none of the study's stimuli"):
        plan_from_trials("choice", choices, stimuli[:2])
    with pytest.raises(UsageError, match="two competing conditions"):
        plan_from_trials("real-or-fake", [[trial(0, "meso")], [trial(0, "meso")]], stimuli)


def test_equal_seeds_give_equal_answers() -> None:
    first, second = (power_of(Plan("scales", 30, 2.5), 0.2, seed=5) for _ in range(2))
    assert first == second
    assert np.isfinite(power_of(Plan("scales", 30, 0.4), 0.2, seed=6).power)
