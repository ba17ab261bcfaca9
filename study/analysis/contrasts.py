"""Differences between conditions, rater by rater: everybody is their own control.

A rater's value of a condition is the mean over what they said of it (a share of *real*, a mean score), so strict and
lenient raters weigh alike and cancel in differences. Tests and intervals are those of :mod:`metrics.statistics`, with
raters in place of subjects: BCa intervals of means, the sign-flip permutation test, Holm's correction over all pairs,
ranks with ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from metrics import statistics
from metrics.statistics import SEED, SIGNIFICANT
from study.analysis.frames import Codes, Names
from study.analysis.resampling import with_width

Float = NDArray[np.float64]


@dataclass(frozen=True)
class ConditionContrast:
    """How much higher the first condition is than the second, over the ``raters`` who judged both.

    Attributes:
        difference, low, high: mean over raters, with its 95 % interval; NaN where all raters differ by the same.
        p: of the sign-flip permutation test, two-sided; ``p_holm`` after Holm's correction over all pairs.
        effect: Cohen's d_z; NaN where all raters differ by the same.
        higher: the one that is higher beyond chance, or empty.
    """

    first: str
    second: str
    raters: int
    difference: float
    low: float
    high: float
    p: float
    p_holm: float
    effect: float
    higher: str


def rater_means(values: Float, rater: Codes, condition: Codes, raters: int, conditions: int) -> tuple[Float, Float]:
    """Mean and number of a rater's values of each condition, ``(R, M)`` each; NaN and 0 where there is none.

    Args:
        values: ``(N,)``, with ``rater`` and ``condition`` ``(N,)`` as codes.
    """
    cells = rater * conditions + condition
    count = np.bincount(cells, minlength=raters * conditions).astype(np.float64)
    total = np.bincount(cells, weights=values, minlength=raters * conditions)
    with np.errstate(invalid="ignore"):
        mean = total / count
    return mean.reshape(raters, conditions), count.reshape(raters, conditions)


def condition_contrasts(names: Names, by_rater: Float, *, seed: int = SEED) -> tuple[ConditionContrast, ...]:
    """All pairs of conditions that somebody judged both of.

    Args:
        by_rater: ``(R, M)``, NaN where a rater has no value.
    """
    pairs = np.array(list(combinations(range(len(names)), 2)), np.int64).reshape(-1, 2)
    differences = (by_rater[:, pairs[:, 0]] - by_rater[:, pairs[:, 1]]).T
    judged = np.isfinite(differences).any(axis=1)
    pairs, differences = pairs[judged], differences[judged]
    if not len(pairs):
        return ()
    means = statistics.mean_intervals(differences, seed=seed)
    lows, highs = with_width(means.low, means.high)
    p = statistics.sign_flip_test(differences, seed=seed)
    corrected = statistics.holm(p[None])[0]
    effect = statistics.cohens_d(differences)
    contrasts = []
    for row, (first, second) in enumerate(pairs.tolist()):
        mean = float(means.value[row])
        beyond = corrected[row] <= SIGNIFICANT
        higher = "" if not beyond else names[first] if mean > 0 else names[second]
        contrasts.append(
            ConditionContrast(
                first=names[first],
                second=names[second],
                raters=int(means.n[row]),
                difference=mean,
                low=float(lows[row]),
                high=float(highs[row]),
                p=float(p[row]),
                p_holm=float(corrected[row]),
                effect=float(effect[row]),
                higher=higher,
            )
        )
    return tuple(contrasts)


def condition_ranks(
    names: Names, contrasts: tuple[ConditionContrast, ...], *, less_is_better: bool = False
) -> NDArray[np.int64]:
    """``(M,)``: rank 1 have the conditions that no other is better than beyond chance; ties share a rank."""
    better = np.zeros((1, len(names), len(names)), bool)
    for one in contrasts:
        if one.higher:
            lower = one.second if one.higher == one.first else one.first
            pair = (names.index(one.higher), names.index(lower))
            better[(0, *(pair[::-1] if less_is_better else pair))] = True
    return statistics.ranks_from_wins(better, np.ones((1, len(names)), bool))[0]
