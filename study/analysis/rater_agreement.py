"""Agreement between raters: Krippendorff's alpha (Krippendorff 1970; Hayes and Krippendorff 2007), by `krippendorff`.

``α = 1 − D_o / D_e``: disagreement within units over what chance would give. 1 is perfect agreement, 0 is none beyond
chance, below 0 systematic disagreement. Intervals are by bootstrap over units (stimuli).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.statistics import SEED
from study.analysis.frames import check_columns, coded, numbers
from study.analysis.resampling import percentile_interval, resampling_weights

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]

RESAMPLES = 500
MOST_VALUES = 64
"""Different values up to which the package's time does not grow beyond reason; scores have 5."""


@dataclass(frozen=True)
class Agreement:
    """Krippendorff's alpha with its 95 % interval; NaN with a ``reason`` where it is not defined.

    ``units`` are those with at least two ratings, which alone count; ``ratings`` are theirs.
    """

    alpha: float
    low: float
    high: float
    level: Level
    units: int
    ratings: int
    reason: str = ""


def krippendorff_alpha(
    ratings: NDArray[np.floating], level: Level = "interval", *, resamples: int = RESAMPLES, seed: int = SEED
) -> Agreement:
    """Alpha of ``ratings`` ``(R, U)``, raters by units, NaN where missing.

    Args:
        level: of measurement: verdicts ``nominal``, ranks and scores ``ordinal``, mean scores ``interval``.
        resamples: of the units; 0 for no interval.
    """
    import krippendorff

    values = np.asarray(ratings, np.float64)
    values = values[:, np.isfinite(values).sum(axis=0) > 1]
    units, count = values.shape[1], int(np.isfinite(values).sum())
    domain = np.unique(values[np.isfinite(values)])
    reason = ""
    if units == 0:
        reason = "not defined: no unit was rated twice"
    elif len(domain) == 1:
        reason = "not defined: all ratings are equal, so there is nothing to agree about"
    elif len(domain) > MOST_VALUES:
        reason = f"not defined: {len(domain)} different values, more than the {MOST_VALUES} of a rating scale"
    if reason:
        return Agreement(float("nan"), float("nan"), float("nan"), level, units, count, reason)
    counts = (values[:, :, None] == domain).sum(axis=0)

    def alpha(often: Float) -> float:
        # A unit that is drawn twice counts as two units.
        drawn = np.repeat(counts, often.astype(np.int64), axis=0)
        if (drawn.sum(axis=0) > 0).sum() < 2:
            return float("nan")
        return float(krippendorff.alpha(value_counts=drawn, value_domain=domain, level_of_measurement=level))

    replicates = np.array([alpha(often) for often in resampling_weights(units, resamples, seed)])
    low, high = percentile_interval(replicates.reshape(-1, 1), units)
    return Agreement(alpha(np.ones(units)), float(low[0]), float(high[0]), level, units, count)


def ratings_from_frame(frame: pd.DataFrame, units: Sequence[str], value: str) -> Float:
    """Ratings ``(R, U)``, raters by units, for :func:`krippendorff_alpha`; the mean of a rater's repeated ratings.

    Args:
        frame: with the columns ``rater``, ``units`` and ``value``; rows without a value do not count.
        units: columns that together say what was rated: subject and condition.
        value: column of the ratings; ``real`` of verdicts, ``rank`` of rankings of equal sets, ``score`` of scores.

    Raises:
        InputError: a column is missing, there is no row, or a value is no number.
    """
    check_columns(frame, ("rater", *units), "ratings")
    check_columns(frame[frame[value].notna()] if value in frame.columns else frame, (value,), "ratings")
    given = numbers(frame, value, "ratings")
    raters, rater = coded(frame["rater"])
    codes = np.stack([coded(frame[name])[1] for name in units], axis=1)
    each, unit = np.unique(codes, axis=0, return_inverse=True)
    cells = rater * len(each) + unit.reshape(-1)
    present = np.isfinite(given)
    count = np.bincount(cells[present], minlength=len(raters) * len(each))
    total = np.bincount(cells[present], weights=given[present], minlength=len(raters) * len(each))
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count).reshape(len(raters), len(each))
