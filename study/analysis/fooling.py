"""Fooling rates: of the renderings of a condition that a rater saw, the share that they called real.

One value a rater, shown as a box plot per condition: box from quartile to quartile (linear interpolation), whiskers to
the farthest rater within 1.5 times the box's height of it, the rest apart (Tukey 1977). A rate means nothing without
the rate at which photographs are called real (a rater who says *real* to everything is fooled by everything), so the
photographs' rate stands beside it, and each condition's *shortfall* of it, rater by rater.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metrics import statistics
from metrics.statistics import SEED
from recon.errors import InputError
from study.analysis.contrasts import ConditionContrast, condition_contrasts, condition_ranks, rater_means
from study.analysis.frames import Names, check_columns, coded, truths
from study.analysis.proportions import wilson_interval
from study.analysis.resampling import with_width
from study.contract import PHOTOGRAPH

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Verdicts:
    """Who called what real.

    Attributes:
        names: of the M conditions; photographs are :data:`study.contract.PHOTOGRAPH`.
        raters: of the R raters.
        real, shown: ``(R, M)`` float64: how many pictures of a condition a rater called real, and saw.
    """

    names: Names
    raters: Names
    real: Float
    shown: Float


def verdicts_from_frame(frame: pd.DataFrame) -> Verdicts:
    """Counts the frame *verdicts* (columns rater, condition, real).

    Raises:
        InputError: a column is missing, there is no row, or ``real`` is neither true nor false.
    """
    check_columns(frame, ("rater", "condition", "real"), "verdicts")
    raters, rater = coded(frame["rater"])
    names, condition = coded(frame["condition"])
    said = truths(frame, "real", "verdicts").astype(np.float64)
    mean, shown = rater_means(said, rater, condition, len(raters), len(names))
    return Verdicts(names, raters, np.round(np.where(shown > 0, mean, 0.0) * shown), shown)


@dataclass(frozen=True, eq=False)
class BoxPlot:
    """The numbers of one box: quartiles, whiskers, and the values ``(K,)`` beyond them."""

    q25: float
    median: float
    q75: float
    low_whisker: float
    high_whisker: float
    outliers: Float


def box_plot(values: Float) -> BoxPlot:
    """The box of the finite ``values`` ``(N,)``; NaN throughout where there is none."""
    present = np.sort(values[np.isfinite(values)])
    if not len(present):
        nan = float("nan")
        return BoxPlot(nan, nan, nan, nan, nan, present)
    q25, median, q75 = map(float, statistics.quartiles(present[None])[0])
    reach = 1.5 * (q75 - q25)
    inside = (present >= q25 - reach) & (present <= q75 + reach)
    # Between quartiles there may be no value at all: the whisker then ends at the box.
    low, high = min(q25, float(present[inside].min(initial=q25))), max(q75, float(present[inside].max(initial=q75)))
    return BoxPlot(q25, median, q75, low, high, present[~inside])


@dataclass(frozen=True, eq=False)
class FoolingRate:
    """How often the pictures of a condition were called real.

    Attributes:
        mean, low, high: over raters, each counting alike, with the 95 % interval (BCa over raters; Wilson's of all
            verdicts where all raters have one rate).
        raters: who saw pictures of it; ``verdicts`` is how many they gave.
        by_rater: ``(R,)`` rate of each rater, in the order of the raters of :class:`Fooling`; NaN if they saw none.
        pooled, wilson_low, wilson_high: share of all verdicts, with Wilson's interval, as if all were independent.
        shortfall, shortfall_low, shortfall_high: by how much the condition stays below photographs, mean over raters
            who saw both; NaN without photographs, and the interval where all fall short by the same. ``shortfall_p``
            is of the sign-flip test that there is none, after Holm's correction over conditions; NaN for photographs
            themselves.
        rank: 1 for those that fool most; 0 for photographs, which do not compete.
    """

    condition: str
    mean: float
    low: float
    high: float
    raters: int
    verdicts: int
    by_rater: Float
    box: BoxPlot
    pooled: float
    wilson_low: float
    wilson_high: float
    shortfall: float
    shortfall_low: float
    shortfall_high: float
    shortfall_p: float
    rank: int


@dataclass(frozen=True, eq=False)
class Fooling:
    """Rates of all conditions, photographs last, and the contrasts between those that compete."""

    raters: Names
    rates: tuple[FoolingRate, ...]
    contrasts: tuple[ConditionContrast, ...]


def fooling_rates(verdicts: Verdicts, *, seed: int = SEED) -> Fooling:
    """Rates, boxes, intervals and contrasts of all conditions.

    Raises:
        InputError: there is nothing but photographs.
    """
    competing = [name for name in verdicts.names if name != PHOTOGRAPH]
    if not competing:
        raise InputError("there are verdicts of photographs alone: nobody could be fooled.")
    order = [*competing, *([PHOTOGRAPH] if PHOTOGRAPH in verdicts.names else [])]
    columns = np.array([verdicts.names.index(name) for name in order])
    real, shown = verdicts.real[:, columns], verdicts.shown[:, columns]
    with np.errstate(invalid="ignore"):
        rate = real / shown
    contrasts = condition_contrasts(tuple(competing), rate[:, : len(competing)], seed=seed)
    ranks = np.append(condition_ranks(tuple(competing), contrasts), 0)
    means = statistics.mean_intervals(rate.T, seed=seed)
    photographs = rate[:, [-1]] if len(order) > len(competing) else np.full((len(rate), 1), np.nan)
    below = (photographs - rate).T
    short = statistics.mean_intervals(below, seed=seed)
    p = np.append(statistics.holm(statistics.sign_flip_test(below[: len(competing)], seed=seed)[None])[0], np.nan)
    with np.errstate(invalid="ignore"):
        pooled = real.sum(axis=0) / shown.sum(axis=0)
    wilson = wilson_interval(real.sum(axis=0), shown.sum(axis=0))
    flat = means.high == means.low
    low, high = (np.where(flat, end, own) for end, own in zip(wilson, (means.low, means.high), strict=True))
    short_low, short_high = with_width(short.low, short.high)
    rates = tuple(
        FoolingRate(
            name, float(means.value[i]), float(low[i]), float(high[i]), int(means.n[i]),
            int(shown[:, i].sum()), rate[:, i], box_plot(rate[:, i]), float(pooled[i]), float(wilson[0][i]),
            float(wilson[1][i]), float(short.value[i]), float(short_low[i]), float(short_high[i]), float(p[i]),
            int(ranks[i]),
        )
        for i, name in enumerate(order)
    )  # fmt: skip
    return Fooling(verdicts.raters, rates, contrasts)
