"""Abilities of conditions on one scale, with what is known of their uncertainty; the result of all models of choice.

Only differences of abilities mean anything; here their mean is 0, and :meth:`Scale.relative_to` moves the origin to a
condition. ``error`` is from the inverse Hessian, which takes all choices for independent. Raters differ, though, so
intervals and tests are from the bootstrap over raters wherever there are raters to resample.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics import statistics
from metrics.statistics import LEAST_FOR_INTERVAL, LEVEL, SIGNIFICANT, expanded_edge
from recon.errors import UsageError
from study.analysis.frames import Names
from study.analysis.resampling import block_size, percentile_interval, resampling_weights

Float = NDArray[np.float64]
Model = Literal["Bradley–Terry", "Thurstone case V", "Plackett–Luce"]


@dataclass(frozen=True)
class AbilityDifference:
    """How much the first of two conditions is above the second, and whether that is beyond chance.

    Attributes:
        estimate, error, low, high: in the unit of the scale, with the 95 % interval.
        probability: with which the model says that the first is preferred to the second.
        p: two-sided, from the difference over its error (Student's t over raters).
        p_holm: after Holm's correction over all pairs of the scale.
    """

    first: str
    second: str
    estimate: float
    error: float
    low: float
    high: float
    probability: float
    p: float
    p_holm: float


@dataclass(frozen=True, eq=False)
class Scale:
    """Conditions on one scale.

    Attributes:
        model: that was fitted.
        unit: ``logit`` (of the odds of being preferred) or ``z`` (standard deviations of the difference of two).
        names: of the M conditions.
        ability: ``(M,)`` maximum-likelihood estimates.
        error: ``(M,)`` their standard errors, of ``covariance`` ``(M, M)``: the inverse Hessian.
        low, high: ``(M,)`` 95 % interval by bootstrap over raters; NaN below 3 raters.
        replicates: ``(B, M)`` abilities of the resamples.
        raters: how many there are; ``answers`` choices or rankings.
        separated: groups of which the first won every choice against the later ones; estimates were then made finite
            by half a win either way for each pair, and the distance between groups is a lower bound.
        separated_replicates: share of the resamples where that was needed.
        notes: what a reader must know.
    """

    model: Model
    unit: Literal["logit", "z"]
    names: Names
    ability: Float
    error: Float
    covariance: Float
    low: Float
    high: Float
    replicates: Float
    raters: int
    answers: int
    separated: tuple[Names, ...]
    separated_replicates: float
    notes: tuple[str, ...]

    def index(self, name: str) -> int:
        """Where ``name`` stands.

        Raises:
            UsageError: it is not on the scale.
        """
        if name not in self.names:
            raise UsageError(f"'{name}' is not on the scale: it has {', '.join(self.names)}.")
        return self.names.index(name)

    def relative_to(self, name: str) -> Scale:
        """The same scale with its origin at ``name``, whose ability, error and interval become 0.

        Raises:
            UsageError: ``name`` is not on the scale.
        """
        origin = self.index(name)
        moved = np.eye(len(self.names))
        moved[:, origin] -= 1.0
        covariance = moved @ self.covariance @ moved.T
        error = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
        ability, replicates = self.ability @ moved.T, self.replicates @ moved.T
        low, high = _intervals(ability, error, replicates, self.raters, bool(self.separated))
        return replace(
            self, ability=ability, error=error, covariance=covariance, replicates=replicates, low=low, high=high
        )

    def probability(self) -> Float:
        """``(M, M)``: with which the model says that the row's condition is preferred to the column's."""
        from scipy.special import expit, ndtr

        difference = self.ability[:, None] - self.ability[None]
        found: Float = expit(difference) if self.unit == "logit" else ndtr(difference)
        return found

    def differences(self) -> tuple[AbilityDifference, ...]:
        """All pairs, in the order of :attr:`names`.

        The error is the larger one of bootstrap and inverse Hessian: raters who all agree leave a bootstrap none.
        """
        from scipy.special import ndtr, stdtr

        pairs = np.array(list(combinations(range(len(self.names)), 2)))
        first, second = pairs.T
        estimate = self.ability[first] - self.ability[second]
        variance = np.diagonal(self.covariance)
        error = np.sqrt(variance[first] + variance[second] - 2 * self.covariance[first, second])
        replicates = self.replicates[:, first] - self.replicates[:, second]
        low, high = _intervals(estimate, error, replicates, self.raters, bool(self.separated))
        if self.raters >= LEAST_FOR_INTERVAL:
            error = np.maximum(error, replicates.std(axis=0, ddof=1))
            p = 2.0 * stdtr(self.raters - 1, -np.abs(estimate / error))
        else:
            p = 2.0 * ndtr(-np.abs(estimate / error))
        corrected = statistics.holm(p[None])[0]
        probability = self.probability()[first, second]
        columns = (estimate, error, low, high, probability, p, corrected)
        return tuple(
            AbilityDifference(self.names[i], self.names[j], *map(float, row))
            for i, j, row in zip(first, second, np.stack(columns, axis=1), strict=True)
        )

    def ranks(self) -> NDArray[np.int64]:
        """``(M,)``: rank 1 have those whom no other is above beyond chance (p after Holm ≤ 0.05); ties share a rank."""
        better = np.zeros((1, len(self.names), len(self.names)), bool)
        for one in self.differences():
            if one.p_holm <= SIGNIFICANT:
                pair = (self.index(one.first), self.index(one.second))
                better[(0, *(pair if one.estimate > 0 else pair[::-1]))] = True
        return statistics.ranks_from_wins(better, np.ones((1, len(self.names)), bool))[0]


Solve = Callable[[Float], tuple[Float, NDArray[np.bool_]]]
"""Abilities ``(B, M)`` for weights of the raters ``(B, R)``, and which of them needed half wins ``(B,)``."""


def build_scale(
    model: Model,
    names: Names,
    solve: Solve,
    covariance: Callable[[Float], Float],
    *,
    raters: int,
    answers: int,
    separated: tuple[Names, ...],
    numbers: int,
    resamples: int,
    seed: int,
) -> Scale:
    """Fits ``model`` once and to resamples of the raters.

    Args:
        covariance: ``(M, M)`` at abilities ``(M,)``.
        numbers: that one resample holds while it is solved, so that memory stays bounded.
        resamples: 0 for no bootstrap; nor is there any below 3 raters.
    """
    ability = solve(np.ones((1, raters)))[0][0]
    spread = covariance(ability)
    error = np.sqrt(np.maximum(np.diagonal(spread), 0.0))
    replicates, needed = np.empty((0, len(names))), np.zeros(0, bool)
    if raters >= LEAST_FOR_INTERVAL and resamples:
        weights = resampling_weights(raters, resamples, seed)
        step = block_size(numbers)
        parts = [solve(weights[start : start + step]) for start in range(0, resamples, step)]
        replicates, needed = np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
    low, high = _intervals(ability, error, replicates, raters, bool(separated))
    share = float(needed.mean()) if len(needed) else 0.0
    notes = _notes(separated, share, raters)
    return Scale(model, "z" if model == "Thurstone case V" else "logit", names, ability, error, spread, low, high,
                 replicates, raters, answers, separated, share, notes)  # fmt: skip


def _intervals(ability: Float, error: Float, replicates: Float, raters: int, separated: bool) -> tuple[Float, Float]:
    if not len(replicates):
        return np.full(len(ability), np.nan), np.full(len(ability), np.nan)
    if separated:  # resamples of choices that all went one way say nothing of how far apart groups may be
        edge = expanded_edge(raters)
        return ability - edge * error, ability + edge * error
    return percentile_interval(replicates, raters)


def _notes(separated: tuple[Names, ...], share: float, raters: int) -> tuple[str, ...]:
    notes = []
    if separated:
        groups = " over ".join("/".join(group) for group in separated)
        notes.append(
            f"every choice between these groups went one way ({groups}): their distance has no upper bound; half a win "
            f"either way for each pair keeps it finite, and intervals are from the inverse Hessian."
        )
    elif share > 1.0 - LEVEL:
        notes.append(
            f"in {share:.0%} of the resamples of raters every choice between some groups went one way, and half a win "
            "either way for each pair kept abilities finite: ask more raters before trusting the intervals."
        )
    if raters < LEAST_FOR_INTERVAL:
        notes.append(
            f"fewer than {LEAST_FOR_INTERVAL} raters cannot be resampled: errors are from the inverse Hessian."
        )
    return tuple(notes)
