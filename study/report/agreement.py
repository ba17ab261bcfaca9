"""Whether raters agree with each other (Krippendorff's alpha), and the run's automatic metrics with raters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from metrics.comparison import Estimate
from metrics.statistics import SIGNIFICANT
from recon.errors import MesofaceError
from study.analysis.metric_agreement import Agreements, MetricAgreement, metric_agreement, values_of_run
from study.analysis.rater_agreement import Agreement, Level, krippendorff_alpha, ratings_from_frame
from study.contract import PHOTOGRAPH, Page
from study.report.figures import estimates_plot
from study.report.tables import Cell, Column, Figure, Section, Table

if TYPE_CHECKING:
    from study.report.data import StudyData

MOST_DRAWN = 24
MOST_OPEN = 12
"""Rows of a table of metrics that a page shows unasked."""
MOST_CONTRASTS = 15
RESAMPLES = 500


def rater_agreement(page: Page, frame: pd.DataFrame) -> Section:
    """Krippendorff's alpha of the answers in ``frame``, of opinion scores for each scale."""
    found: list[tuple[str, str, Agreement]] = []
    if page == "real-or-fake":
        found.append(("verdicts", "picture", _alpha(frame, ("subject", "condition"), "real", "nominal")))
    elif page == "ranking":
        found.append(("ranks", "picture", _alpha(frame, ("subject", "condition"), "rank", "ordinal")))
    elif page == "choice":
        pairs = np.sort(frame[["winner", "loser"]].to_numpy(dtype=str), axis=1)
        turned = frame.assign(first=pairs[:, 0], second=pairs[:, 1], won=frame["winner"].to_numpy() == pairs[:, 0])
        found.append(("choices", "pair of a person", _alpha(turned, ("subject", "first", "second"), "won", "nominal")))
    else:
        for scale in frame["scale"].unique():
            mine = frame[frame["scale"] == scale]
            found.append((f"scores: {scale}", "picture", _alpha(mine, ("stimulus",), "score", "ordinal")))
    columns: tuple[Column, ...] = (
        Column("of", "words"), Column("unit", "words"), Column("level", "words"), Column("alpha"), Column("units"),
        Column("ratings"), Column("", "words"),
    )  # fmt: skip
    rows: tuple[tuple[Cell, ...], ...] = tuple(
        (what, unit, one.level, Estimate(one.alpha, one.low, one.high, one.units), one.units, one.ratings, one.reason)
        for what, unit, one in found
    )
    if not any(one.reason for _, _, one in found):
        columns, rows = columns[:-1], tuple(row[:-1] for row in rows)
    notes = (
        "1 is perfect agreement, 0 none beyond chance. 95 % interval by bootstrap over units.",
        "Low values are no fault: where conditions look alike, raters cannot agree.",
    )
    table = Table("rater_agreement", "Krippendorff's alpha", columns, rows, notes)
    return Section("agreement", "Do raters agree", (), (table,))


def _alpha(frame: pd.DataFrame, units: Sequence[str], value: str, level: Level) -> Agreement:
    return krippendorff_alpha(ratings_from_frame(frame, units, value), level)


def people_scores(page: Page, frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What people said of each condition of each subject: frames condition, subject, score, by what they said.

    Verdicts: share called real. Scores: their mean, by scale. Rankings: mean share of the others of the page that a
    picture was ranked above. Choices: share won. More is better in all of them: on scales where less is, the sign is
    changed.
    """
    if page == "real-or-fake":
        parts = {"called real": frame.assign(score=frame["real"].astype(float))}
    elif page == "ranking":
        shown = frame.groupby(["rater", "trial"])["condition"].transform("size")
        parts = {"rank": frame.assign(score=(shown - frame["rank"]) / (shown - 1)).dropna(subset=["score"])}
    elif page == "choice":
        won = frame.assign(condition=frame["winner"], score=1.0)
        parts = {"preferred": pd.concat([won, frame.assign(condition=frame["loser"], score=0.0)])}
    else:
        turned = frame.assign(score=np.where(frame["less_is_better"], -frame["score"], frame["score"]))
        parts = {
            f"{scale}, less is better" if part["less_is_better"].iloc[0] else str(scale): part
            for scale, part in turned.groupby("scale", sort=False)
        }
    return {
        name: part[part["condition"] != PHOTOGRAPH].groupby(["condition", "subject"])["score"].mean().reset_index()
        for name, part in parts.items()
    }


def automatic_metrics(data: StudyData, page: Page, frame: pd.DataFrame, folder: Path | None) -> Section:
    """Agreement of the runs' metrics with people.

    Args:
        folder: of the study, to which the runs of the study file are relative; None if it is not known.
    """
    key, title = "metrics", "Do automatic metrics say what people say"
    try:
        values = metric_values(data, folder)
        found = {
            what: metric_agreement(people, values, within=page in ("ranking", "choice"), resamples=RESAMPLES)
            for what, people in people_scores(page, frame).items()
        }
    except MesofaceError as error:
        return Section(key, title, (f"Not computed: {error}",))
    words = (
        "Correlation of each metric with what people said of the same results, oriented so that positive is agreement"
        + (", after each person's mean is taken away." if page in ("ranking", "choice") else ".")
        + " Metrics that claim nothing of quality, such as the tone of the photograph, are left out.",
    )
    tables = [table for what, one in found.items() for table in _tables(what, one)]
    return Section(key, title, words, tuple(tables), tuple(_figure(what, one) for what, one in found.items()))


def metric_values(data: StudyData, folder: Path | None) -> pd.DataFrame:
    """The frame *values* of all runs that the stimuli came from, under the study's names of conditions.

    Without metrics that know no better and worse, and without the share of the face that was measured at all.

    Raises:
        InputError: the runs are not where the study file says, or were not measured.
    """
    from metrics.headline import COVERAGE
    from metrics.rows import read_frame
    from recon.errors import InputError
    from recon.runs.folder import RunFolder

    if folder is None:
        raise InputError(
            f"there is no folder 'studies/{data.name}' here from which its runs are found; name the study's folder."
        )
    places = data.specification.get("stimuli", {}).get("runs", [])
    paths = {(folder / place).resolve().name: folder / place for place in places}
    shown = {(one.run, one.condition, one.protocol) for one in data.stimuli if one.condition != PHOTOGRAPH}
    parts = []
    for run, condition, protocol in sorted(shown):
        path = paths.get(run)
        if path is None or not RunFolder(path).metrics.is_file():
            where = f"'{path}' has no metrics.parquet" if path else f"the study file names no run '{run}'"
            raise InputError(f"{where}: bring the run there, and measure it with 'mesoface metrics'.")
        rows = read_frame(RunFolder(path))
        rows = rows[(rows["method"] == condition.rpartition("/")[2]) & (rows["region"] != "skin/visible")]
        rows = rows[(rows["direction"].astype(str) != "none") & (rows["metric"] != COVERAGE)]
        parts.append(values_of_run(rows, protocol).assign(condition=condition))
    if not parts:
        raise InputError("the study shows photographs alone, of which there are no metrics.")
    return pd.concat(parts, ignore_index=True)


def _tables(what: str, found: Agreements) -> list[Table]:
    columns = (Column("metric, where", "words"), Column("SRCC"), Column("PLCC"), Column("KRCC"), Column("results"),
               Column("people"))  # fmt: skip
    with_numbers = [one for one in found.metrics if not one.reason]
    rows = tuple((one.metric, one.srcc, one.plcc, one.krcc, one.items, one.srcc.n) for one in with_numbers)
    notes = ["95 % intervals by bootstrap over the people shown: with few of them they are wide, or not there."]
    without = [one for one in found.metrics if one.reason]
    if without:
        notes.append(f"Metrics without numbers here: {len(without)}, for example {_why(without[0])}")
    table = Table(f"metric_agreement_{_key(what)}", f"Agreement with people: {what}", columns, rows, tuple(notes),
                  folded=len(rows) > MOST_OPEN)  # fmt: skip
    return [table, *_contrasts(what, found)]


def _contrasts(what: str, found: Agreements) -> list[Table]:
    """The pairs that Williams' test comes nearest to telling apart."""
    told = [one for one in found.contrasts if np.isfinite(one.p_holm)]
    if not told:
        return []
    nearest = sorted(told, key=lambda one: one.p)[:MOST_CONTRASTS]
    columns = (Column("pair", "words"), Column("SRCC difference"), Column("PLCC difference"), Column("p", "p"),
               Column("p, Holm", "p"))  # fmt: skip
    rows = tuple((f"{one.first} − {one.second}", one.srcc_difference, one.plcc_difference, one.p, one.p_holm)
                 for one in nearest)  # fmt: skip
    beyond = sum(one.p_holm <= SIGNIFICANT for one in told)
    notes = (
        f"Beyond chance after Holm's correction: {beyond} of {len(told)} pairs; shown are the {len(rows)} of least p.",
        "Williams' test of PLCC, which takes results for independent. The interval of the SRCC difference does not: it "
        "is by bootstrap over the people shown.",
    )
    return [
        Table(
            f"metric_contrasts_{_key(what)}", f"Metrics against each other: {what}", columns, rows, notes, folded=True
        )
    ]


def _key(what: str) -> str:
    return what.partition(",")[0]


def _why(one: MetricAgreement) -> str:
    return f"{one.metric}: {one.reason.rstrip('.')}."


def _figure(what: str, found: Agreements) -> Figure:
    drawn = [one for one in found.metrics if not one.reason][:MOST_DRAWN]
    rows = [(one.metric, one.srcc, 0 if one.srcc.low > 0 or one.srcc.high < 0 else None) for one in drawn]
    words = f"Filled where the 95 % interval leaves 0 out. The {len(drawn)} metrics that agree most."
    return estimates_plot(f"SRCC with people: {what}", "SRCC", rows, zero=0.0, words=words)
