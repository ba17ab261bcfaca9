"""From the answers of a study to the sections of its report: the analysis that fits the design, and what stands beside.

The form of the answers decides (``Design.page``), so a design of an outside package is reported like ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metrics.comparison import Estimate
from recon.errors import InputError
from study.analysis.answers import choices_frame, rankings_frame, scores_frame, verdicts_frame
from study.analysis.choices import Preferences, choices_from_frame, preferences
from study.analysis.plackett_luce import rankings_from_frame
from study.analysis.published import PublishedStudy, published_for
from study.contract import Page
from study.designs import DESIGNS
from study.report.agreement import automatic_metrics, rater_agreement
from study.report.data import NOT_REVIEWED, SUBMITTED, StudyData
from study.report.figures import hues_of
from study.report.opinions import opinion_sections
from study.report.preferences import choice_sections, preferred_share, ranking_sections
from study.report.tables import Cell, Column, Section, Table, counted
from study.report.verdicts import verdict_sections
from study.wording import is_less_better

if TYPE_CHECKING:
    import pandas as pd

    from study.contract import Stimulus

SIMULATED = "Simulated raters: these answers come from a model, not from people. They say nothing of any method."
FEW_RATERS = 20
MOST_REASONS = 20

_FRAMES: dict[Page, Callable[..., pd.DataFrame]] = {
    "real-or-fake": verdicts_frame,
    "ranking": rankings_frame,
    "choice": choices_frame,
    "scales": scores_frame,
}
_SECTIONS: dict[Page, Callable[..., tuple[Section, ...]]] = {
    "real-or-fake": verdict_sections,
    "ranking": ranking_sections,
    "choice": choice_sections,
    "scales": opinion_sections,
}


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report says.

    Attributes:
        made: when, to the day.
        warnings: what must be read before anything else, the banner of simulated raters first.
        hues: colour of each condition, an index of ``metrics.report.palette.HUES``.
    """

    data: StudyData
    design: str
    made: str
    warnings: tuple[str, ...]
    hues: dict[str, int]
    sections: tuple[Section, ...]
    raters: int
    answers: int

    @property
    def size(self) -> str:
        """Raters and answers in words."""
        return f"{counted(self.raters, 'rater')}, {counted(self.answers, 'answer')}"


def build_report(data: StudyData, folder: Path | None = None) -> Report:
    """Analyses the answers of ``data`` as its design asks.

    Args:
        folder: of the study, beside which its runs are looked for.

    Raises:
        InputError: there is no answer to a main trial, or answers do not fit the design.
        UsageError: a design that this installation does not know.
    """
    design, answers = DESIGNS.get(data.design), data.answers()
    frame = judgements(data)
    hues = hues_of(_conditions(frame))
    questions = sorted(frame["question"].unique())
    sections: list[Section] = []
    for question in questions:
        part = frame[frame["question"] == question]
        found = _SECTIONS[design.page](part, hues)
        sections += found if len(questions) == 1 else [_of(question, one) for one in found]
    sections += [
        rater_agreement(design.page, frame),
        automatic_metrics(data, design.page, frame, folder),
        *_published(design.page, data.design, frame),
        _sessions(data, answers_of=len(answers)),
    ]
    raters = frame["rater"].nunique()
    return Report(
        data, design.title, datetime.now(UTC).strftime("%Y-%m-%d"), _warnings(data, raters), hues, tuple(sections),
        raters, len(answers),
    )  # fmt: skip


def _as_asked(frame: pd.DataFrame, data: StudyData) -> pd.DataFrame:
    """Scores in the order of the study file's scales, which a database may not keep; ``less_is_better`` of each."""
    if "scale" not in frame.columns:
        return frame
    scales = {str(one["name"]): one.get("less_is_better") for one in data.specification.get("scales", ())}
    asked = {name: place for place, name in enumerate(scales)}
    places = frame["scale"].map(lambda name: (asked.get(name, len(asked)), name))
    turned = frame["scale"].map(lambda name: is_less_better(name, scales.get(name)))
    return frame.assign(less_is_better=turned).loc[places.sort_values(kind="stable").index].reset_index(drop=True)


def judgements(data: StudyData) -> pd.DataFrame:
    """The answers that count, as the frame of their form (:mod:`study.analysis.answers`).

    Raises:
        InputError, UsageError: as of :func:`build_report`.
    """
    answers = data.answers()
    if not answers:
        raise InputError(f"no rater of '{data.name}' who counts has answered a main trial: wait for answers.")
    return _as_asked(_FRAMES[DESIGNS.get(data.design).page](answers, data.stimuli), data)


def _conditions(frame: pd.DataFrame) -> list[str]:
    columns = [name for name in ("condition", "winner", "loser") if name in frame.columns]
    return sorted({str(value) for name in columns for value in frame[name].unique()})


def _of(question: str, section: Section) -> Section:
    """The same section under a question's name."""
    from dataclasses import replace

    tables = tuple(replace(table, key=f"{question}_{table.key}") for table in section.tables)
    return replace(section, key=f"{question}-{section.key}", title=f"{section.title} ({question})", tables=tables)


def _warnings(data: StudyData, raters: int) -> tuple[str, ...]:
    said = [SIMULATED] if data.simulated else []
    if not data.decided:
        said.append("Every session that was handed in is analysed: decisions of quality were not asked.")
    waiting = sum(one.reason == NOT_REVIEWED for one in data.sessions)
    if waiting:
        said.append(f"Handed in and not reviewed yet, so left out: {waiting} of {len(data.sessions)} sessions.")
    if data.state in ("open", "paused"):
        said.append(f"The study is {data.state}: further answers will change these numbers.")
    if raters < FEW_RATERS:
        said.append(f"Few raters ({raters}): intervals are wide, and little can be beyond chance.")
    return tuple(said)


def _sessions(data: StudyData, answers_of: int) -> Section:
    """Who took part, and who was left out for what."""
    used = data.used
    main = [one for one in data.given if one.trial.part == "main" and one.rater in used]
    gold = [one.correct for one in data.given if one.trial.part == "gold" and one.rater in used]
    right = [one for one in gold if one is not None]
    seconds = np.array([one.reaction_ms for one in main]) / 1000
    rows: list[tuple[Cell, ...]] = [
        ("sessions begun", len(data.sessions)),
        ("handed in", sum(one.state == SUBMITTED for one in data.sessions)),
        ("analysed", len(used)),
        ("answers analysed", answers_of),
        ("seconds an answer, median", f"{float(np.median(seconds)):.1f}"),
        ("seconds an answer, middle half", "{:.1f} to {:.1f}".format(*np.quantile(seconds, (0.25, 0.75)))),
    ]
    if right:
        rows.append(("gold trials answered right, by those analysed", f"{sum(right)} of {len(right)}"))
    tables = [Table("sessions", "Sessions", (Column("", "words"), Column("number")), tuple(rows))]
    reasons = data.left_out()
    if reasons:
        shown = tuple((reason, count) for reason, count in reasons[:MOST_REASONS])
        further = sum(count for _, count in reasons[MOST_REASONS:])
        notes = (f"And {further} more, for other reasons.",) if further else ()
        columns = (Column("why", "words"), Column("sessions"))
        tables.append(Table("left_out", "Sessions left out", columns, shown, notes))
    return Section("sessions", "Who took part, and who was left out", (), tuple(tables))


def _published(page: Page, design: str, frame: pd.DataFrame) -> list[Section]:
    """Studies of others that asked the same, beside ours."""
    studies = published_for(design)
    if not studies:
        return []
    shares = None
    if page == "ranking":
        shares = preferences(rankings_from_frame(frame).as_choices())
    elif page == "choice":
        shares = preferences(choices_from_frame(frame))
    raters = frame["rater"].nunique()
    return [
        Section("published", "Beside published results", (), tuple(_beside(one, shares, raters) for one in studies))
    ]


def _beside(study: PublishedStudy, shares: Preferences | None, raters: int) -> Table:
    rows: list[tuple[Cell, ...]] = [("raters", str(study.raters), str(raters))]
    for one in study.shares:
        remark = f" ({one.remark})" if one.remark else ""
        ours = "not asked"
        if shares is not None and {one.preferred, one.other} <= set(shares.names):
            i, j = shares.names.index(one.preferred), shares.names.index(one.other)
            ours = _percent(preferred_share(shares, i, j))
        rows.append((f"{one.preferred} preferred to {one.other}{remark}", f"{one.share:.0%}", ours))
    notes = (
        *((f"There is nothing to set beside our numbers: {study.reason}.",) if study.reason else ()),
        f"{study.question} {study.stimuli}; methods: {study.methods}. Other faces and other raters than here.",
        f"Source: {study.source}.",
    )
    columns = (Column("", "words"), Column("published"), Column("here"))
    return Table(f"published_{study.design}", study.title, columns, tuple(rows), notes)


def _percent(one: Estimate) -> str:
    if not np.isfinite(one.value):
        return "never compared"
    interval = f" [{one.low:.0%}, {one.high:.0%}]" if np.isfinite(one.low) else ""
    return f"{one.value:.0%}{interval}"


def stimuli_by_name(data: StudyData) -> dict[str, Stimulus]:
    """The stimuli of a study by their sha256."""
    return {one.sha256: one for one in data.stimuli}
