"""Power by simulation: what a planned study would detect, tested as its answers will be.

Model raters answer; every one has a bias and tastes of their own (normal, on the scale of Φ⁻¹ for verdicts and choices,
in points for scores), so that many trials of few raters are not worth as much as few trials of many. Of a pair of
conditions the rater-level differences are tested against 0 as :mod:`study.analysis.contrasts` does: by sign flips up to
:data:`metrics.statistics.EXACT` raters, above by Student's t, which decides alike there and is quicker. With several
pairs each must pass the significance divided by their number, which is what Holm's correction asks of the first.

======================  ==========================================================================  =================
page of the design      a rater's difference between conditions a and b                             planned difference
======================  ==========================================================================  =================
``real-or-fake``        share of a called real − share of b called real                             of the two shares
``choice``, ``ranking``  share of the pair's trials (rankings) with a above b, less ½               of that share from ½
``scales``              mean score of a − mean score of b                                           in points
======================  ==========================================================================  =================

Faces are taken as given: the power is that of a conclusion about the faces of the study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics import statistics
from metrics.statistics import EXACT, SEED, SIGNIFICANT
from recon.errors import UsageError
from study.analysis.proportions import wilson_interval
from study.contract import PHOTOGRAPH, Stimulus, Trial

Float = NDArray[np.float64]
Page = Literal["real-or-fake", "ranking", "choice", "scales"]

SIMULATIONS = 1000
MOST_RATERS = 20_000
# Shares of 0 and 1 have no Φ⁻¹.
_MARGIN = 0.01


@dataclass(frozen=True)
class Plan:
    """What of a study decides its power.

    Attributes:
        page: of the design.
        raters: whose answers will be used.
        judgements: trials of one rater that bear on one pair: pictures of *each* condition (``real-or-fake``,
            ``scales``), trials or rankings with the pair. On average: of 2.4 some raters have 2 and others 3.
        comparisons: pairs of conditions that are tested together.
    """

    page: Page
    raters: int
    judgements: float
    comparisons: int = 1


@dataclass(frozen=True)
class Variation:
    """How raters differ; assumptions until a pilot says better.

    Attributes:
        bias: σ of a rater's tendency to say *real*, or to score high.
        taste: σ of a rater's own liking of one condition (of a pair: of one above the other).
        noise: σ of a single score, in points; other answers are chance by themselves.
        level: share called real, or mean score, halfway between the two conditions.
        points: the highest score of a scale that begins at 1.
    """

    bias: float = 0.5
    taste: float = 0.3
    noise: float = 0.8
    level: float | None = None
    points: int = 5


ASSUMED = Variation()


@dataclass(frozen=True)
class Power:
    """Probability ``power`` that ``plan`` detects ``difference``, with the 95 % interval of its ``simulations``."""

    plan: Plan
    difference: float
    power: float
    low: float
    high: float
    simulations: int


@dataclass(frozen=True)
class DetectableDifference:
    """The smallest difference that ``plan`` detects with probability ``power``; NaN with a ``reason`` if none."""

    plan: Plan
    difference: float
    power: float
    simulations: int
    reason: str = ""


def plan_from_trials(page: Page, sessions: Sequence[Sequence[Trial]], stimuli: Sequence[Stimulus]) -> Plan:
    """The plan of a study as its design lays it out: what raters will really see.

    Args:
        sessions: trials of every slot; only main trials count.
        stimuli: of the study.

    Raises:
        UsageError: fewer than two sessions or competing conditions, or a trial shows a picture that is no stimulus.
    """
    condition = {one.sha256: one.condition for one in stimuli}
    seen = [trial.shown for session in sessions for trial in session if trial.part == "main"]
    strange = {name for shown in seen for name in shown} - set(condition)
    if strange:
        raise UsageError(f"a trial shows the picture {min(strange)[:12]}…, which is none of the study's stimuli.")
    shown = [tuple(condition[name] for name in names) for names in seen]
    competing = {name for names in shown for name in names}
    if page == "real-or-fake" and len(competing) > 2:
        competing.discard(PHOTOGRAPH)  # it does not compete, unless there is one method alone to set beside it
    if len(sessions) < 2 or len(competing) < 2:
        raise UsageError("a power simulation needs the trials of at least two raters, and two competing conditions.")
    pairs = math.comb(len(competing), 2)
    if page in ("real-or-fake", "scales"):
        judged, targets = sum(name in competing for names in shown for name in names), len(competing)
    else:
        judged, targets = sum(a != b for names in shown for a, b in combinations(names, 2)), pairs
    return Plan(page, len(sessions), judged / targets / len(sessions), pairs)


def power_of(
    plan: Plan,
    difference: float,
    variation: Variation = ASSUMED,
    *,
    simulations: int = SIMULATIONS,
    significance: float = SIGNIFICANT,
    seed: int = SEED,
) -> Power:
    """Share of simulated studies that tell two conditions apart by ``difference`` beyond chance.

    Raises:
        UsageError: a difference that shares or scores cannot have.
    """
    most = largest_difference(plan.page, variation)
    if not 0 <= difference <= most:
        raise UsageError(f"a difference of {difference:g} cannot be: it lies between 0 and {most:g}.")
    rng = np.random.default_rng([seed, plan.raters])
    p = _p_values(_differences(plan, difference, variation, simulations, rng))
    detected = int((p <= significance / plan.comparisons).sum())
    low, high = wilson_interval(detected, simulations)
    return Power(plan, difference, detected / simulations, float(low), float(high), simulations)


def detectable_difference(
    plan: Plan,
    variation: Variation = ASSUMED,
    *,
    power: float = 0.8,
    simulations: int = SIMULATIONS,
    significance: float = SIGNIFICANT,
    seed: int = SEED,
) -> DetectableDifference:
    """The smallest difference that the study detects with probability ``power``, to a hundredth of the largest one."""

    def reached(difference: float) -> bool:
        found = power_of(plan, difference, variation, simulations=simulations, significance=significance, seed=seed)
        return found.power >= power

    low, high = 0.0, largest_difference(plan.page, variation)
    if not reached(high):
        reason = f"not even the largest difference, {high:g}, would be detected: ask more raters or more trials"
        return DetectableDifference(plan, float("nan"), power, simulations, reason)
    step = high / 200
    while high - low > step:
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return DetectableDifference(plan, high, power, simulations)


def raters_needed(
    plan: Plan,
    difference: float,
    variation: Variation = ASSUMED,
    *,
    power: float = 0.8,
    simulations: int = SIMULATIONS,
    significance: float = SIGNIFICANT,
    seed: int = SEED,
) -> Plan:
    """``plan`` with as many raters as detect ``difference`` with probability ``power``.

    Raises:
        UsageError: a difference that cannot be, or for which more than :data:`MOST_RATERS` raters would be needed.
    """

    def reached(raters: int) -> bool:
        found = power_of(replace(plan, raters=raters), difference, variation, simulations=simulations,
                         significance=significance, seed=seed)  # fmt: skip
        return found.power >= power

    low, high = 1, 4
    while not reached(high):
        if high >= MOST_RATERS:
            raise UsageError(f"a difference of {difference:g} would need more than {MOST_RATERS} raters.")
        low, high = high, min(2 * high, MOST_RATERS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return replace(plan, raters=high)


def largest_difference(page: Page, variation: Variation = ASSUMED) -> float:
    """The largest difference that can be simulated."""
    level = _level(page, variation)
    if page == "scales":
        return 2 * min(level - 1, variation.points - level)
    if page == "real-or-fake":
        return 2 * (min(level, 1 - level) - _MARGIN)
    return 0.5 - _MARGIN


def _level(page: Page, variation: Variation) -> float:
    if page == "scales":
        level, lowest, highest = variation.level, 1.0, float(variation.points)
    else:
        level, lowest, highest = variation.level, 0.0, 1.0
    if level is None:
        return (lowest + highest) / 2
    if not lowest < level < highest:
        raise UsageError(f"the level {level:g} must lie between {lowest:g} and {highest:g}.")
    return level


def _differences(plan: Plan, difference: float, variation: Variation, studies: int, rng: np.random.Generator) -> Float:
    """Rater-level differences ``(studies, raters)``; NaN where a rater has no judgement of the pair."""
    from scipy.special import ndtr, ndtri

    shape = (studies, plan.raters)
    whole = math.floor(plan.judgements)
    judged = whole + (rng.random(shape) < plan.judgements - whole).astype(np.int64)
    with np.errstate(invalid="ignore"):
        if plan.page in ("choice", "ranking"):
            # Tastes flatten the mean share; the planned one is the share over all raters.
            centre = ndtri(0.5 + difference) * math.hypot(1, variation.taste)
            share = ndtr(centre + variation.taste * rng.normal(size=shape))
            return rng.binomial(judged, share) / judged - 0.5
        level = _level(plan.page, variation)
        bias = variation.bias * rng.normal(size=shape)
        sides = []
        for target in (level + difference / 2, level - difference / 2):
            taste = variation.taste * rng.normal(size=shape)
            if plan.page == "real-or-fake":
                centre = ndtri(target) * math.hypot(1, variation.bias, variation.taste)
                sides.append(rng.binomial(judged, ndtr(centre + bias + taste)) / judged)
            else:
                sides.append(_mean_scores(target + bias + taste, judged, variation, rng))
        return np.asarray(sides[0] - sides[1])


def _mean_scores(centre: Float, judged: NDArray[np.int64], variation: Variation, rng: np.random.Generator) -> Float:
    """Means of ``judged`` whole scores within the scale, around ``centre``."""
    total = np.zeros(centre.shape)
    for trial in range(int(judged.max(initial=0))):
        score = np.clip(np.rint(centre + variation.noise * rng.normal(size=centre.shape)), 1, variation.points)
        total += np.where(trial < judged, score, 0.0)
    return np.asarray(total / judged)


def _p_values(differences: Float) -> Float:
    """``(studies,)``, two-sided; 1 where no rater differs."""
    if differences.shape[1] <= EXACT:
        return np.nan_to_num(statistics.sign_flip_test(differences), nan=1.0)
    from scipy.special import stdtr

    n = np.isfinite(differences).sum(axis=1)
    mean = np.nansum(differences, axis=1) / np.maximum(n, 1)
    squares = np.nansum(np.square(differences - mean[:, None]), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.abs(mean) / np.sqrt(squares / (n - 1) / n)
        p = 2.0 * stdtr(n - 1.0, -t)
    return np.nan_to_num(p, nan=1.0)
