"""Automatic metrics beside what people said: computed in the background, and shaped for a table and a scatter plot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sqlalchemy import Engine

from dashboard.catalogue import Run
from dashboard.studies.folders import folder_of
from dashboard.studies.listing import Listed
from metrics.report.layout import shown, shown_interval
from metrics.statistics import mean_intervals
from study.analysis.metric_agreement import Agreements, metric_agreement
from study.designs import DESIGNS
from study.report.agreement import metric_values, people_scores
from study.report.data import read_study_data
from study.report.findings import judgements

RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class Agreed:
    """What people and metrics say of the same results.

    Attributes:
        within: subjects' means are taken away from both sides, because people compared pictures of one subject.
        people: frames condition, subject, score, by what people said.
        values: frame metric, direction, condition, subject, value.
        found: agreement of every metric, by what people said.
    """

    within: bool
    raters: int
    people: Mapping[str, pd.DataFrame]
    values: pd.DataFrame
    found: Mapping[str, Agreements]


def used_by(run: Run, listed: Mapping[str, Listed]) -> dict[str, Listed]:
    """The launched studies whose pictures came from ``run``."""
    wanted = run.folder.path.resolve()
    found = {}
    for name, one in listed.items():
        folder = folder_of(name)
        if one.status is None or folder is None or folder.specification is None:
            continue
        if wanted in {place.resolve() for place in folder.specification.run_folders(folder.path)}:
            found[name] = one
    return found


def agreed(engine: Engine, name: str, folder: Path, every: bool) -> Agreed:
    """Computes the agreement of metrics with the raters of the study ``name``.

    Args:
        folder: of the study.
        every: all sessions that were handed in count, whatever quality decided.

    Raises:
        InputError, UsageError: nothing to analyse, or the runs are not there or not measured.
    """
    data = read_study_data(engine, name, all_sessions=every)
    page, frame = DESIGNS.get(data.design).page, judgements(data)
    people, values = people_scores(page, frame), metric_values(data, folder)
    within = page in ("ranking", "choice")
    found = {
        what: metric_agreement(scores, values, within=within, resamples=RESAMPLES) for what, scores in people.items()
    }
    return Agreed(within, int(frame["rater"].nunique()), people, values, found)


def table(found: Agreements) -> pd.DataFrame:
    """A row a metric, those that agree most first; without numbers last, with the reason."""
    leader = next((one.metric for one in found.metrics if not one.reason), "")
    p = {one.second: one.p_holm for one in found.contrasts if one.first == leader}
    rows = []
    for one in found.metrics:
        row: dict[str, object] = {"metric": one.metric}
        for name, estimate in (("SRCC", one.srcc), ("PLCC", one.plcc), ("KRCC", one.krcc)):
            row[name] = estimate.value
            row[f"{name} interval"] = shown_interval(estimate, 2)
        row |= {"p": p.get(one.metric, float("nan")), "results": one.items, "people": one.srcc.n, "reason": one.reason}
        rows.append(row)
    return pd.DataFrame(rows)


def points(found: Agreed, what: str, metric: str) -> pd.DataFrame:
    """The results behind a correlation: condition, subject, value, score; means taken away where ``found`` says so."""
    mine = found.values[found.values["metric"] == metric][["condition", "subject", "value"]]
    joined = found.people[what].merge(mine, on=["condition", "subject"]).dropna(subset=["value", "score"])
    if found.within:
        for name in ("value", "score"):
            joined[name] = joined[name] - joined.groupby("subject")[name].transform("mean")
    return joined.sort_values(["condition", "subject"], ignore_index=True)


def means(results: pd.DataFrame) -> pd.DataFrame:
    """A row a condition: mean value and score over subjects, each with its 95 % interval (BCa over subjects)."""
    rows: dict[str, object] = {}
    for name in ("value", "score"):
        matrix = results.pivot(index="condition", columns="subject", values=name)
        found = mean_intervals(matrix.to_numpy(dtype=np.float64))
        rows |= {"condition": list(matrix.index), name: found.value, f"{name} low": found.low}
        rows |= {f"{name} high": found.high, "people": found.n}
    return pd.DataFrame(rows)


def direction_of(found: Agreed, metric: str) -> str:
    """Whether higher or lower is better, in words."""
    known = found.values.loc[found.values["metric"] == metric, "direction"]
    words = {"higher": "higher is better", "lower": "lower is better", "one": "1 is best"}
    return words.get(str(known.iloc[0]), "") if len(known) else ""


def in_words(found: Agreements, metric: str) -> str:
    """One metric's coefficients with their intervals."""
    one = next(each for each in found.metrics if each.metric == metric)
    if one.reason:
        return one.reason
    parts = (("SRCC", one.srcc), ("PLCC", one.plcc), ("KRCC", one.krcc))
    said = ", ".join(f"{name} {shown(each.value, 2)} {shown_interval(each, 2)}" for name, each in parts)
    return f"{said}; {one.items} results of {one.srcc.n} people"
