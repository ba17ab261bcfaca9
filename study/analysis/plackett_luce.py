"""The Plackett–Luce model of full and partial rankings (Luce 1959; Plackett 1975).

A ranking is a series of choices: the first is chosen among all that were shown, the second among those left, and so on:
``P(r) = Π_k exp(θ_{r_k}) / Σ_{l ≥ k} exp(θ_{r_l})``. It may stop early; conditions that were shown and not ranked stay
among those not chosen. Of two conditions it is the Bradley–Terry model.

What the likelihood needs of a rater's rankings is how often each condition was chosen, and how often each set of
conditions was chosen from; both are sums over raters, so all resamples are fitted together. Estimates are finite if the
graph of who was ranked above whom is strongly connected (Hunter 2004).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metrics.statistics import RESAMPLES, SEED
from recon.errors import InputError
from study.analysis.choice_model import covariance, newton
from study.analysis.choices import Choices, are_separated, check_connected, half_wins, separated_groups
from study.analysis.frames import Names, check_columns, coded, numbers
from study.analysis.scale import Scale, build_scale

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rankings:
    """Rankings as positions.

    Attributes:
        names: of the M conditions.
        raters: of the R raters.
        rater: ``(N,)`` int64: whose ranking each is.
        place: ``(N, M)`` float64: 1 for the most realistic; infinite where shown and left below all that were ranked;
            NaN where not shown.
    """

    names: Names
    raters: Names
    rater: NDArray[np.int64]
    place: Float

    def as_choices(self) -> Choices:
        """Every pair of a ranking as a choice: for preference matrices. (Pairs of one ranking are not independent.)"""
        size = len(self.names)
        wins = np.zeros((len(self.raters), size, size))
        with np.errstate(invalid="ignore"):
            for first in range(size):
                above = (self.place[:, [first]] < self.place).astype(np.float64)
                np.add.at(wins[:, first], self.rater, above)
        return Choices(self.names, self.raters, wins)


def rankings_from_frame(frame: pd.DataFrame) -> Rankings:
    """Reads the frame *rankings* (columns rater, trial, condition, rank).

    Raises:
        InputError: a column is missing, a ranking names a condition twice or gives two the same rank, or a rank is no
            number.
    """
    check_columns(frame, ("rater", "trial", "condition"), "rankings")
    if "rank" not in frame.columns:
        raise InputError("the frame of rankings lacks the column rank: it needs rater, trial, condition, rank.")
    raters, rater = coded(frame["rater"])
    names, condition = coded(frame["condition"])
    _, trial = coded(frame["trial"])
    both, ranking = np.unique(rater * (trial.max() + 1) + trial, return_inverse=True)
    place = np.full((len(both), len(names)), np.nan)
    cells = ranking * len(names) + condition
    if len(np.unique(cells)) < len(cells):
        raise InputError("a ranking names a condition twice: give each ranking of a rater a trial of its own.")
    ranks = numbers(frame, "rank", "rankings")
    place.ravel()[cells] = np.where(np.isnan(ranks), np.inf, ranks)
    _check_places(place)
    return Rankings(names, raters, (both // (trial.max() + 1)).astype(np.int64), place)


def _check_places(place: Float) -> None:
    ordered = np.sort(np.where(np.isfinite(place), place, np.nan), axis=1)
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise InputError("a ranking gives two conditions the same rank: only those that were left unranked may tie.")


@dataclass(frozen=True, eq=False)
class _Stages:
    """What the likelihood needs: ``chosen`` ``(R, M)``, ``sets`` ``(U, M)`` of 0 and 1, ``counts`` ``(R, U)``."""

    chosen: Float
    sets: Float
    counts: Float


def _stages(rankings: Rankings) -> _Stages:
    """Every choice from at least two conditions; equal sets are counted together."""
    place = rankings.place
    deepest = int(np.isfinite(place).sum(axis=1).max(initial=0))
    order = np.argsort(np.where(np.isnan(place), np.inf, place), axis=1, kind="stable")
    rows = np.arange(len(place))
    left = ~np.isnan(place)
    rater, choice, available = [], [], []
    for stage in range(deepest):
        pick = order[:, stage]
        real = np.isfinite(place[rows, pick]) & (left.sum(axis=1) > 1)
        rater.append(rankings.rater[real])
        choice.append(pick[real])
        available.append(left[real].copy())
        left[rows, pick] = False
    who, what = np.concatenate(rater), np.concatenate(choice)
    sets, which = np.unique(np.concatenate(available), axis=0, return_inverse=True)
    chosen = np.zeros((len(rankings.raters), len(rankings.names)))
    counts = np.zeros((len(rankings.raters), len(sets)))
    np.add.at(chosen, (who, what), 1.0)
    np.add.at(counts, (who, which.reshape(-1)), 1.0)
    return _Stages(chosen, sets.astype(np.float64), counts)


def set_derivatives(chosen: Float, counts: Float, sets: Float, ability: Float) -> tuple[Float, Float]:
    """Gradient ``(B, M)`` and negative Hessian ``(B, M, M)`` at ``ability`` ``(B, M)``.

    Args:
        chosen: ``(B, M)`` how often each condition was chosen.
        counts: ``(B, U)`` how often each of the ``sets`` ``(U, M)`` was chosen from.
    """
    worth = np.exp(ability)
    within = worth @ sets.T
    rate = counts / within
    expected = worth * (rate @ sets)
    size = ability.shape[1]
    together = (sets[:, :, None] * sets[:, None, :]).reshape(len(sets), size * size)
    information = -((rate / within) @ together).reshape(-1, size, size) * worth[:, :, None] * worth[:, None, :]
    diagonal = np.arange(size)
    information[:, diagonal, diagonal] += expected
    return chosen - expected, information


def plackett_luce(rankings: Rankings, *, resamples: int = RESAMPLES, seed: int = SEED) -> Scale:
    """Maximum-likelihood abilities in logits, errors from the inverse Hessian, intervals by bootstrap over raters.

    Args:
        resamples: of the raters; 0 for none.

    Raises:
        DisconnectedError: the conditions fall into groups that were never ranked together.
        InputError: there is only one condition, or no ranking of at least two.
    """
    pairs = rankings.as_choices()
    total, names, size = pairs.total, rankings.names, len(rankings.names)
    check_connected(names, total)
    groups = separated_groups(names, total)
    stages = _stages(rankings)
    halves = half_wins(total)
    first, second = np.nonzero(np.triu(halves))
    pair_sets = np.zeros((len(first), size))
    pair_sets[np.arange(len(first)), first] = pair_sets[np.arange(len(first)), second] = 1.0
    sets = np.concatenate([stages.sets, pair_sets])
    flat = pairs.wins.reshape(len(rankings.raters), size * size)
    # Half a win either way: each of the two is chosen half a time, from the pair once.
    chosen_half, counted = halves.sum(axis=1), np.ones(len(first))

    def tables(weights: Float, needy: NDArray[np.bool_]) -> tuple[Float, Float]:
        chosen = weights @ stages.chosen + needy[:, None] * chosen_half
        return chosen, np.concatenate([weights @ stages.counts, needy[:, None] * counted], axis=1)

    def solve(weights: Float) -> tuple[Float, NDArray[np.bool_]]:
        needy = are_separated((weights @ flat).reshape(-1, size, size))
        chosen, counts = tables(weights, needy)
        start = np.zeros((len(weights), size))
        return newton(lambda ability: set_derivatives(chosen, counts, sets, ability), start), needy

    def spread(ability: Float) -> Float:
        chosen, counts = tables(np.ones((1, len(rankings.raters))), np.array([bool(groups)]))
        return covariance(set_derivatives(chosen, counts, sets, ability[None])[1][0])

    return build_scale("Plackett–Luce", names, solve, spread, raters=len(rankings.raters),
                       answers=len(rankings.place), separated=groups, numbers=8 * size * size + 4 * len(sets),
                       resamples=resamples, seed=seed)  # fmt: skip
