"""Mean opinion scores (ITU-T P.800, P.910): of each stimulus, and of each condition beside the others.

A stimulus' MOS is the mean over raters, its interval Student's ``t`` over them (P.910, "95 % confidence interval").
Conditions are compared rater by rater (:mod:`study.analysis.contrasts`), since the same raters judge all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metrics import statistics
from metrics.statistics import LEVEL, SEED
from recon.errors import InputError
from study.analysis.contrasts import ConditionContrast, condition_contrasts, condition_ranks, rater_means
from study.analysis.frames import Names, check_columns, coded, numbers
from study.analysis.resampling import with_width

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scores:
    """Opinion scores as a table.

    Attributes:
        names: of the S stimuli (or conditions).
        raters: of the R raters.
        score: ``(S, R)`` float64, mean over a rater's repeated scores; NaN where they gave none.
        repeats: ``(S, R)`` how many they gave.
    """

    names: Names
    raters: Names
    score: Float
    repeats: Float


def scores_from_frame(frame: pd.DataFrame, by: str = "stimulus") -> Scores:
    """Reads the frame *scores* (columns rater, ``by``, score).

    Args:
        by: the column that says what was scored: ``stimulus``, or ``condition`` for one row a condition.

    Raises:
        InputError: a column is missing, there is no row, or a score is no number.
    """
    check_columns(frame, ("rater", by, "score"), "scores")
    raters, rater = coded(frame["rater"])
    names, stimulus = coded(frame[by])
    mean, count = rater_means(numbers(frame, "score", "scores"), rater, stimulus, len(raters), len(names))
    return Scores(names, raters, mean.T, count.T)


@dataclass(frozen=True, eq=False)
class MeanOpinion:
    """Mean opinion scores ``(S,)`` with their 95 % intervals, standard deviations and numbers of raters.

    ``low`` and ``high`` are NaN where fewer than two raters scored, or all scored alike; ``deviation`` where fewer did.
    """

    names: Names
    mean: Float
    low: Float
    high: Float
    deviation: Float
    raters: NDArray[np.int64]


def mean_opinion(scores: Scores) -> MeanOpinion:
    """The MOS of every stimulus."""
    from scipy.special import stdtrit

    present = np.isfinite(scores.score)
    n = present.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, scores.score, 0.0).sum(axis=1) / n
        squares = np.where(present, np.square(scores.score - mean[:, None]), 0.0).sum(axis=1)
        deviation = np.where(n > 1, np.sqrt(squares / np.maximum(n - 1, 1)), np.nan)
        half = stdtrit(np.maximum(n - 1, 1), 0.5 + LEVEL / 2) * deviation / np.sqrt(n)
    low, high = with_width(mean - half, mean + half)
    return MeanOpinion(scores.names, mean, low, high, deviation, n.astype(np.int64))


@dataclass(frozen=True, eq=False)
class ConditionOpinion:
    """Conditions beside one another.

    Attributes:
        names: of the M conditions.
        mean, low, high: ``(M,)`` mean over raters of their own means, with the 95 % interval (BCa over raters); NaN
            where all raters have the same mean.
        raters: ``(M,)`` who scored it.
        shares: ``(M, K)`` how the scores spread over ``values`` ``(K,)``, the different scores that were given.
        ranks: ``(M,)`` 1 for those that none is better than beyond chance.
        contrasts: all pairs.
    """

    names: Names
    mean: Float
    low: Float
    high: Float
    raters: NDArray[np.int64]
    values: Float
    shares: Float
    ranks: NDArray[np.int64]
    contrasts: tuple[ConditionContrast, ...]


def condition_opinions(frame: pd.DataFrame, *, less_is_better: bool = False, seed: int = SEED) -> ConditionOpinion:
    """Compares the conditions of the frame *scores* (columns rater, condition, score).

    Args:
        less_is_better: low scores are the good ones, as those of creepiness; contrasts stay of what is higher.

    Raises:
        InputError: see :func:`scores_from_frame`.
    """
    scores = scores_from_frame(frame, by="condition")
    means = statistics.mean_intervals(scores.score, seed=seed)
    contrasts = condition_contrasts(scores.names, scores.score.T, seed=seed)
    given = numbers(frame, "score", "scores")
    values, which = np.unique(given, return_inverse=True)
    _, condition = coded(frame["condition"])
    counts = np.zeros((len(scores.names), len(values)))
    np.add.at(counts, (condition, which), 1.0)
    shares = counts / counts.sum(axis=1, keepdims=True)
    ranks = condition_ranks(scores.names, contrasts, less_is_better=less_is_better)
    low, high = with_width(means.low, means.high)
    return ConditionOpinion(scores.names, means.value, low, high, means.n, values, shares, ranks, contrasts)


def check_scores(scores: Scores, raters: int, stimuli: int, what: str) -> None:
    """That enough was scored for ``what``.

    Raises:
        InputError: there are fewer raters or stimuli.
    """
    if len(scores.raters) < raters or len(scores.names) < stimuli:
        raise InputError(
            f"{what} needs at least {raters} raters and {stimuli} stimuli: there are {len(scores.raters)} and "
            f"{len(scores.names)}."
        )
