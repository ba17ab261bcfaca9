"""Agreement between raters: Krippendorff's alpha (1970; *Computing Krippendorff's alpha-reliability*, 2011).

``α = 1 − D_o / D_e``: disagreement within units over what chance would give. 1 is perfect agreement, 0 is none beyond
chance, below 0 systematic disagreement. With ``n_uc`` ratings c of unit u, ``m_u`` in all, the coincidences are
``o_ck = Σ_u n_uc (n_uk − [c = k]) / (m_u − 1)``, with the margins ``n_c`` and the total n; then

    α = 1 − (n − 1) Σ o_ck δ_ck / Σ n_c n_k δ_ck,

where δ is ``[c ≠ k]`` (nominal), ``(c − k)²`` (interval), ``((c − k) / (c + k))²`` (ratio), or the square of how many
ratings lie between c and k, half of those at either end counted (ordinal). Everything is a sum over units, so intervals
by bootstrap over units (stimuli) are one matrix product. (The package `krippendorff` gives the same numbers; its
licence, GPL-3.0, would become that of everybody who passes mesoface on.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.statistics import RESAMPLES, SEED
from study.analysis.frames import check_columns, coded, numbers
from study.analysis.resampling import block_size, percentile_interval, resampling_weights

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]
Level = Literal["nominal", "ordinal", "interval", "ratio"]

MOST_VALUES = 64
"""Different values of a rating scale; more are measurements, for which coincidences are no summary."""


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
    values = np.asarray(ratings, np.float64)
    values = values[:, np.isfinite(values).sum(axis=0) > 1]
    units, count = values.shape[1], int(np.isfinite(values).sum())
    domain = np.unique(values[np.isfinite(values)])
    reason = _reason(domain, units, level)
    if reason:
        return Agreement(float("nan"), float("nan"), float("nan"), level, units, count, reason)
    often = (values[:, :, None] == domain).sum(axis=0).astype(np.float64)
    pairs = often[:, :, None] * often[:, None, :]
    diagonal = np.arange(len(domain))
    pairs[:, diagonal, diagonal] -= often
    pairs /= often.sum(axis=1)[:, None, None] - 1
    coincidences = pairs.reshape(units, -1)
    weights = resampling_weights(units, resamples, seed)
    step = block_size(6 * len(domain) ** 2)
    blocks = [weights[start : start + step] for start in range(0, resamples, step)]
    replicates = [_alpha(block @ coincidences, domain, level) for block in blocks]
    low, high = percentile_interval(np.concatenate([np.empty(0), *replicates])[:, None], units)
    whole = _alpha(coincidences.sum(axis=0, keepdims=True), domain, level)
    return Agreement(float(whole[0]), float(low[0]), float(high[0]), level, units, count)


def _reason(domain: Float, units: int, level: Level) -> str:
    """Why alpha is not defined, if it is not."""
    if units == 0:
        return "not defined: no unit was rated twice"
    if len(domain) == 1:
        return "not defined: all ratings are equal, so there is nothing to agree about"
    if len(domain) > MOST_VALUES:
        return f"not defined: {len(domain)} different values, more than the {MOST_VALUES} of a rating scale"
    if level == "ratio" and domain[0] < 0:
        return "not defined: ratings on a ratio scale cannot be negative"
    return ""


def _alpha(coincidences: Float, domain: Float, level: Level) -> Float:
    """``(B,)`` of coincidences ``(B, V²)``; NaN where only one value occurs."""
    size = len(domain)
    table = coincidences.reshape(-1, size, size)
    margin = table.sum(axis=2)
    distance = _distance(margin, domain, level)
    expected = (margin[:, :, None] * margin[:, None, :] * distance).sum(axis=(1, 2))
    observed = (margin.sum(axis=1) - 1) * (table * distance).sum(axis=(1, 2))
    return np.where(expected > 0, 1 - observed / np.where(expected > 0, expected, 1.0), np.nan)


def _distance(margin: Float, domain: Float, level: Level) -> Float:
    """δ of every two values, ``(B, V, V)`` or ``(V, V)``."""
    first, second = domain[:, None], domain[None]
    if level == "nominal":
        return (first != second).astype(np.float64)
    if level == "ordinal":
        middle = np.cumsum(margin, axis=1) - margin / 2
        return np.square(middle[:, :, None] - middle[:, None, :])
    if level == "ratio":
        total = first + second
        return np.square((first - second) / np.where(total > 0, total, 1.0))
    return np.square(first - second)


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
