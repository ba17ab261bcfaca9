"""Whether automatic metrics say what people say: SRCC, PLCC and KRCC of each, and tests between them.

Items are results: one condition of one subject. Each has what people said of it (a mean opinion score, a fooling rate,
an ability) and a value of every metric. Values are oriented first, so that a positive correlation is always agreement:
those that are better when low change sign, ratios count by their distance from 1, ``−|log₂|``. PLCC is of the plain
values, without a fitted curve, so SRCC is the fairer one where a metric saturates.

Items of one subject are alike, so intervals are by bootstrap over subjects. Metrics are compared in pairs, over the
items that both have: Williams' test of their PLCC, the classic one, which takes items for independent; and beside it
the bootstrap interval of the difference in SRCC over subjects, which does not.

Rankings and choices say which condition of one subject is better and nothing of different subjects; nor do people's
scores forgive that a metric finds one face harder than another. ``within`` takes each subject's mean away from both
sides first, so that only differences within subjects count.

===========  ========================================================================================================
frame        columns
===========  ========================================================================================================
people       condition, subject, score (the higher, the better)
values       metric, direction (``higher``, ``lower``, ``one``, ``none``), condition, subject, value (NaN: none); and,
             if there is one, reason (why there is no value)
===========  ========================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics import statistics
from metrics.comparison import Estimate
from metrics.rows import WHOLE_SET
from metrics.statistics import SEED
from recon.errors import InputError, PairingError
from study.analysis.correlation import COEFFICIENTS, LEAST_ITEMS, Coefficient, correlation, correlations, williams_test
from study.analysis.frames import check_columns, coded, numbers
from study.analysis.resampling import percentile_interval, resampling_weights

if TYPE_CHECKING:
    import pandas as pd

Float = NDArray[np.float64]

RESAMPLES = 1000
LEAST_RATIO = 2.0**-20
DIRECTIONS = ("higher", "lower", "one", "none")


@dataclass(frozen=True)
class MetricAgreement:
    """How far a metric agrees with people.

    Attributes:
        srcc, plcc, krcc: in [−1, 1], with 95 % intervals; their ``n`` is the number of subjects.
        items: results with a value; ``missing`` those that people judged and the metric has none of.
        reason: why there are no numbers, if there are none.
    """

    metric: str
    srcc: Estimate
    plcc: Estimate
    krcc: Estimate
    items: int
    missing: int
    reason: str = ""


@dataclass(frozen=True)
class MetricContrast:
    """Whether people agree more with the first metric than with the second, over ``items`` that both have.

    Attributes:
        srcc_difference: first less second, with its interval by bootstrap over subjects.
        plcc_difference: first less second; ``t``, ``p`` of Williams' test, ``p_holm`` after Holm's correction over all
            pairs; NaN where the test is not defined.
    """

    first: str
    second: str
    items: int
    srcc_difference: Estimate
    plcc_difference: float
    t: float
    p: float
    p_holm: float


@dataclass(frozen=True)
class Agreements:
    """Metrics, those that agree most first (by SRCC), and all pairs of those that have numbers."""

    metrics: tuple[MetricAgreement, ...]
    contrasts: tuple[MetricContrast, ...]


def oriented(values: Float, direction: str) -> Float:
    """``values`` so that higher is better.

    Raises:
        InputError: a direction that there is not.
    """
    if direction not in DIRECTIONS:
        raise InputError(f"'{direction}' is no direction of a metric: it is one of {', '.join(DIRECTIONS)}.")
    if direction == "lower":
        return -values
    if direction == "one":
        return -np.abs(np.log2(np.maximum(values, LEAST_RATIO)))
    return values


def values_of_run(rows: pd.DataFrame, protocol: str) -> pd.DataFrame:
    """The frame *values* from a run's table (:func:`metrics.rows.read_frame`): one protocol, every place by name.

    A metric's name here says where it was measured: ``PSNR, fitted, skin/all``; ``…, truth`` if against the truth.
    Values of a whole set of subjects have no place here.

    Raises:
        InputError: the run has no values under ``protocol``.
    """
    import pandas as pd

    mine = rows[(rows["protocol"] == protocol) & (rows["subject"] != WHOLE_SET) & (rows["view"] != "")]
    if mine.empty:
        known = ", ".join(sorted(set(rows["protocol"].astype(str)))) or "none"
        raise InputError(f"there are no values under protocol '{protocol}': the run was measured under {known}.")
    parts = mine[["metric", "view", "region"]].astype(str).agg(", ".join, axis=1)
    against = mine["reference"].astype(str)
    labels = parts.where(against == "photograph", parts + ", " + against)
    columns = {"metric": labels, "direction": mine["direction"].astype(str), "condition": mine["method"].astype(str),
               "subject": mine["subject"].astype(str), "value": mine["value"],
               "reason": mine["reason"].astype(str)}  # fmt: skip
    return pd.DataFrame(columns).reset_index(drop=True)


def metric_agreement(
    people: pd.DataFrame,
    values: pd.DataFrame,
    *,
    within: bool = False,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Agreements:
    """Agreement of every metric of ``values`` with ``people``; both frames as the module says.

    Args:
        within: subjects, see the module.

    Raises:
        InputError: a column is missing, an item occurs twice, or a metric has two directions.
        PairingError: something that people judged is in no row of ``values``.
    """
    table = _Table(people, values, within, resamples, seed)
    found = [table.agreement(index) for index in range(len(table.metrics))]
    found.sort(key=lambda one: (bool(one.reason), -one.srcc.value if not one.reason else 0.0, one.metric))
    with_numbers = [table.metrics.index(one.metric) for one in found if not one.reason]
    contrasts = [table.contrast(first, second) for first, second in combinations(with_numbers, 2)]
    return Agreements(tuple(found), _corrected(contrasts))


class _Table:
    """Scores ``(N,)``, oriented values ``(K, N)`` and subjects ``(N,)`` of the items; coefficients are kept."""

    def __init__(self, people: pd.DataFrame, values: pd.DataFrame, within: bool, resamples: int, seed: int) -> None:
        check_columns(people, ("condition", "subject", "score"), "scores of items")
        check_columns(values, ("metric", "direction", "condition", "subject"), "values of metrics")
        items = _items(people, "people")
        self.score = numbers(people, "score", "scores of items")
        self.metrics, self.values = _values(values, items)
        self.reasons = _reasons(values)
        self.subject = coded(people["subject"])[1]
        self.within, self.resamples, self.seed = within, resamples, seed
        self._known: dict[tuple[Any, ...], tuple[float, Float]] = {}

    def correlated(self, metric: int, kept: NDArray[np.bool_], coefficient: Coefficient) -> tuple[float, Float]:
        """The coefficient over the items ``kept`` ``(N,)``, and its resamples ``(B,)``."""
        key = (metric, kept.tobytes(), coefficient)
        if key not in self._known:
            mine, score = self.sides(metric, kept)
            subjects, subject = np.unique(self.subject[kept], return_inverse=True)
            weights = resampling_weights(len(subjects), self.resamples, self.seed)[:, subject]
            self._known[key] = (
                correlation(mine, score, coefficient),
                correlations(mine, score, weights, coefficient),
            )
        return self._known[key]

    def sides(self, metric: int, kept: NDArray[np.bool_]) -> tuple[Float, Float]:
        """Values of a metric and scores of people, of the items ``kept`` ``(N,)``."""
        mine, score = self.values[metric, kept], self.score[kept]
        if not self.within:
            return mine, score
        return _within(mine, self.subject[kept]), _within(score, self.subject[kept])

    def present(self, *metrics: int) -> NDArray[np.bool_]:
        """``(N,)``: items of which people and all ``metrics`` say something."""
        return np.isfinite(self.score) & np.isfinite(self.values[list(metrics)]).all(axis=0)

    def subjects(self, kept: NDArray[np.bool_]) -> int:
        return len(np.unique(self.subject[kept]))

    def agreement(self, metric: int) -> MetricAgreement:
        kept = self.present(metric)
        items, judged = int(kept.sum()), int(np.isfinite(self.score).sum())
        where = " of a subject" if self.within else ""
        reason = ""
        if items < LEAST_ITEMS:
            reason = f"not defined: it has values of {items} of the {judged} results that people judged"
            reason = self.reasons.get(self.metrics[metric], reason)
        elif not np.ptp(self.sides(metric, kept)[0]) > 0:
            reason = f"not defined: all its values{where} are equal"
        elif not np.ptp(self.sides(metric, kept)[1]) > 0:
            reason = f"not defined: people scored all results{where} alike"
        if reason:
            none = Estimate(float("nan"), float("nan"), float("nan"), self.subjects(kept))
            return MetricAgreement(self.metrics[metric], none, none, none, items, judged - items, reason)
        srcc, plcc, krcc = (self._estimate(*self.correlated(metric, kept, name), kept) for name in COEFFICIENTS)
        return MetricAgreement(self.metrics[metric], srcc, plcc, krcc, items, judged - items)

    def _estimate(self, value: float, replicates: Float, kept: NDArray[np.bool_]) -> Estimate:
        subjects = self.subjects(kept)
        low, high = percentile_interval(replicates[:, None], subjects)
        return Estimate(value, float(low[0]), float(high[0]), subjects)

    def contrast(self, first: int, second: int) -> MetricContrast:
        kept = self.present(first, second)
        one, two = (self.correlated(metric, kept, "srcc") for metric in (first, second))
        linear = [self.correlated(metric, kept, "plcc")[0] for metric in (first, second)]
        between = correlation(self.sides(first, kept)[0], self.sides(second, kept)[0], "plcc")
        # Every mean that was taken away costs a degree of freedom, but for the one that a correlation takes anyway.
        independent = int(kept.sum()) - (self.subjects(kept) - 1 if self.within else 0)
        t, p = williams_test(linear[0], linear[1], between, independent)
        difference = self._estimate(one[0] - two[0], one[1] - two[1], kept)
        return MetricContrast(self.metrics[first], self.metrics[second], int(kept.sum()), difference,
                              linear[0] - linear[1], t, p, float("nan"))  # fmt: skip


def _reasons(frame: pd.DataFrame) -> dict[str, str]:
    """The commonest reason of each metric that has some."""
    if "reason" not in frame.columns:
        return {}
    said = frame[frame["reason"].fillna("").astype(str) != ""]
    grouped = said["reason"].astype(str).groupby(said["metric"].astype(str), observed=True)
    return {str(name): str(part.value_counts().index[0]) for name, part in grouped}


def _within(values: Float, subject: NDArray[np.int64]) -> Float:
    """``values`` less their subject's mean; what rounding leaves of equal ones is 0."""
    sums, counts = np.bincount(subject, weights=values), np.bincount(subject)
    centred = values - (sums / np.maximum(counts, 1))[subject]
    return np.where(np.abs(centred) > 1e-12 * np.abs(values).max(initial=0.0), centred, 0.0)


def _items(frame: pd.DataFrame, what: str) -> dict[tuple[str, str], int]:
    pairs = list(zip(frame["condition"].astype(str), frame["subject"].astype(str), strict=True))
    items = {pair: index for index, pair in enumerate(pairs)}
    if len(items) < len(pairs):
        twice = next(pair for index, pair in enumerate(pairs) if items[pair] != index)
        raise InputError(f"{what} say two things of '{twice[0]}' of subject '{twice[1]}': average them first.")
    return items


def _values(frame: pd.DataFrame, items: dict[tuple[str, str], int]) -> tuple[tuple[str, ...], Float]:
    """Names of the metrics, and their oriented values ``(K, N)`` of the items, NaN where there is none."""
    if "value" not in frame.columns:
        raise InputError("the frame of values of metrics lacks the column value.")
    seen = set(zip(frame["condition"].astype(str), frame["subject"].astype(str), strict=True))
    lost = sorted(set(items) - seen)
    if lost:
        raise PairingError(
            f"people judged '{lost[0][0]}' of subject '{lost[0][1]}', which no metric has a row of "
            f"({len(lost)} such results): measure the runs that the stimuli came from."
        )
    names, _ = coded(frame["metric"])
    found = np.full((len(names), len(items)), np.nan)
    for row, (name, part) in enumerate(frame.groupby(frame["metric"].astype(str), sort=True, observed=True)):
        directions = sorted(set(part["direction"].astype(str)))
        if len(directions) > 1:
            raise InputError(f"metric '{name}' has two directions, {' and '.join(directions)}: it can have one.")
        mine = _items(part, f"values of metric {name}")
        values = oriented(numbers(part, "value", "values of metrics"), directions[0])
        known = [(items[pair], index) for pair, index in mine.items() if pair in items]
        for item, index in known:
            found[row, item] = values[index]
    return names, found


def _corrected(contrasts: Sequence[MetricContrast]) -> tuple[MetricContrast, ...]:
    p = statistics.holm(np.array([[one.p for one in contrasts]], np.float64))[0]
    return tuple(replace(one, p_holm=float(value)) for one, value in zip(contrasts, p, strict=True))
