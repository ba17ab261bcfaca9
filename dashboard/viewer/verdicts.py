"""What raters said of the very pictures that are shown: counts by study, method and question; nobody is named.

Answers are those that the study's report analyses: main trials of sessions that quality lets count; of a rehearsal,
whose raters are models and which nobody reviews, all of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st
from sqlalchemy import Engine, func, select

from dashboard.catalogue import Run
from recon.errors import MesofaceError
from recon.runs.folder import ResultKey
from study.analysis.answers import choices_frame, rankings_frame, scores_frame, verdicts_frame
from study.contract import PHOTOGRAPH
from study.database import AssignmentRow, ResponseRow, StimulusRow, StudyRow, TrialRow
from study.designs import DESIGNS
from study.engine import reading
from study.progress import marks_of, without_seen
from study.report.data import read_study_data

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("question", "method", "verdict", "answers", "raters", "dispute")
_FRAMES = {"real-or-fake": verdicts_frame, "choice": choices_frame, "ranking": rankings_frame, "scales": scores_frame}


@dataclass(frozen=True)
class Rated:
    """A study that shows pictures of a run.

    Attributes:
        simulated: its raters are models.
        state: changes when answers come, when a session is handed in, and when quality decides on one.
    """

    name: str
    simulated: bool
    state: tuple[int, ...]


@st.cache_data(ttl=10.0, max_entries=32, show_spinner=False)
def studies_of(address: str, run: str, protocol: str, _engine: Engine) -> list[Rated]:
    """Studies with answers to pictures of ``run`` (the folder's name) under ``protocol``."""
    with reading(_engine) as session:
        shown = select(StimulusRow.study_id).filter_by(run=run, protocol=protocol).distinct()
        counts = (
            select(AssignmentRow.study_id, func.count(ResponseRow.id))
            .join(TrialRow, TrialRow.assignment_id == AssignmentRow.id)
            .join(ResponseRow, ResponseRow.trial_id == TrialRow.id)
            .where(AssignmentRow.study_id.in_(shown))
            .group_by(AssignmentRow.study_id)
        )
        answers = {study: int(count) for study, count in session.execute(counts)}
        rows = session.execute(select(StudyRow.id, StudyRow.name, StudyRow.simulated).order_by(StudyRow.id))
        found = [(name, simulated, answers[study]) for study, name, simulated in rows if study in answers]
    return [Rated(name, models, (count, *without_seen(marks_of(_engine, name)))) for name, models, count in found]


@st.cache_data(max_entries=16, show_spinner="Reading what raters said …")
def verdicts_of(
    address: str, name: str, state: tuple[int, ...], simulated: bool, run: str, protocol: str, _engine: Engine
) -> pd.DataFrame:
    """What raters of the study ``name`` said of each subject's pictures: ``subject``, :data:`COLUMNS`, and the
    ``result`` that raters saw, as stimuli say it.

    Raises:
        MesofaceError: no session of the study can be analysed, or its answers are not those of its design.
    """
    import pandas as pd

    data = read_study_data(_engine, name, all_sessions=simulated)
    page = DESIGNS.get(data.design).page
    stimuli = [one for one in data.stimuli if one.run == run and one.protocol == protocol and not one.degraded]
    known = {one.sha256 for one in stimuli}
    given = [one for one in data.answers() if set(one.trial.shown) <= known]
    frame = _FRAMES[page](given, stimuli)
    rows = {"real-or-fake": _real, "choice": _chosen, "ranking": _ranked, "scales": _scored}[page](frame)
    made = {(one.subject, one.condition): one.result for one in stimuli}
    found = pd.DataFrame(rows, columns=["subject", *COLUMNS])
    pairs = zip(found["subject"], found["method"], strict=True)
    return found.assign(result=[made[subject, method] for subject, method in pairs])


def _real(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    """How many took the picture for real."""
    rows: list[tuple[object, ...]] = []
    for (subject, question, condition), part in frame.groupby(["subject", "question", "condition"], sort=True):
        real, n = int(part["real"].sum()), len(part)
        verdict = f"{real} of {n} said real"
        rows.append((subject, question, condition, verdict, n, part["rater"].nunique(), _split(real / n)))
    return rows


def _chosen(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    """How many preferred it to another, by pair of methods."""
    rows: list[tuple[object, ...]] = []
    for (subject, question), part in frame.groupby(["subject", "question"], sort=True):
        for condition in sorted({*part["winner"], *part["loser"]}):
            own = part[(part["winner"] == condition) | (part["loser"] == condition)]
            for other in sorted({*own["winner"], *own["loser"]} - {condition}):
                pair = own[(own["winner"] == other) | (own["loser"] == other)]
                won, n = int((pair["winner"] == condition).sum()), len(pair)
                verdict = f"{won} of {n} chose it over {other}"
                raters = pair["rater"].nunique()
                rows.append((subject, question, condition, verdict, n, raters, _split(won / n)))
    return rows


def _ranked(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    """Mean rank, 1 for the most realistic; disputed is a rank that differs from rater to rater."""
    rows: list[tuple[object, ...]] = []
    frame = frame.dropna(subset=["rank"])
    most = max(2.0, float(frame["rank"].max())) if len(frame) else 2.0
    for (subject, question, condition), part in frame.groupby(["subject", "question", "condition"], sort=True):
        mean, n = float(part["rank"].mean()), len(part)
        first = int((part["rank"] == 1).sum())
        verdict = f"mean rank {mean:.2f}; first for {first} of {n}"
        dispute = min(1.0, 2 * float(part["rank"].std(ddof=0)) / (most - 1))
        rows.append((subject, question, condition, verdict, n, part["rater"].nunique(), dispute))
    return rows


def _scored(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    """Mean opinion score of each scale; disputed is a score that differs from rater to rater."""
    rows: list[tuple[object, ...]] = []
    for (subject, scale, condition), part in frame.groupby(["subject", "scale", "condition"], sort=True):
        score = part["score"].astype(float)
        mean, spread, n = float(score.mean()), float(score.std(ddof=0)), len(part)
        verdict = f"mean score {mean:.2f} (standard deviation {spread:.2f})"
        rows.append((subject, scale, condition, verdict, n, part["rater"].nunique(), min(1.0, spread / 2)))
    return rows


def _split(share: float) -> float:
    """1 where raters are divided into halves, 0 where they agree."""
    return 4 * share * (1 - share)


def rated_by_people(run: Run, protocol: str, address: str, engine: Engine | None) -> bool:
    """Whether a study of people, not of models, has answers to pictures of ``run``."""
    name = run.folder.path.resolve().name
    return engine is not None and any(not one.simulated for one in studies_of(address, name, protocol, engine))


def disputes(run: Run, protocol: str, address: str, engine: Engine | None) -> dict[str, float]:
    """How divided raters of people's studies were over each subject: the mean over its pictures, weighted by answers.

    Empty where no study of people has shown pictures of this run; simulated raters do not count.
    """
    if engine is None:
        return {}
    sums: dict[str, tuple[float, int]] = {}
    name = run.folder.path.resolve().name
    for study in studies_of(address, name, protocol, engine):
        if study.simulated:
            continue
        try:
            frame = verdicts_of(address, study.name, study.state, study.simulated, name, protocol, engine)
        except MesofaceError:  # a study that nothing can be concluded from yet disputes nothing
            continue
        for subject, dispute, count in zip(frame["subject"], frame["dispute"], frame["answers"], strict=True):
            total, n = sums.get(subject, (0.0, 0))
            sums[subject] = total + dispute * count, n + count
    return {subject: total / n for subject, (total, n) in sums.items() if n}


def of_subject(frame: pd.DataFrame, run: Run, protocol: str, subject: str, methods: Collection[str]) -> pd.DataFrame:
    """The rows of ``subject`` about ``methods`` and the photograph, as far as raters saw what the run holds now.

    A result that was made anew since is another picture: what was said of the old one is left out.
    """
    now = {method: _record(run, ResultKey(method, protocol, subject)) for method in methods}
    known = frame["method"].map(now)
    same = (frame["method"] == PHOTOGRAPH) | (known == frame["result"])
    return frame[(frame["subject"] == subject) & same].drop(columns=["subject", "dispute", "result"])


def _record(run: Run, key: ResultKey) -> str:
    """sha256 of ``result.json``, as stimuli say it; empty where there is no result."""
    path = run.folder.result(key) / "result.json"
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
