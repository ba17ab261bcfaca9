"""How a study goes: who came how far, how evenly conditions were seen, how long answers take, what one rater answered.

Nothing here decides anything: slots, cost and state are :func:`study.launching.study_status`, quality is
:mod:`study.quality`. Raters are named by the number of their session and the first digits of their pseudonym.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from recon.errors import UsageError
from study.contract import Stimulus
from study.database import (
    STUDY_STATES,
    AssignmentRow,
    HitRow,
    ParticipantRow,
    PaymentRow,
    QaDecisionRow,
    ResponseRow,
    StimulusRow,
    TrialRow,
    now,
)
from study.engine import reading
from study.quality.records import PSEUDONYM_DIGITS, find_study
from study.quality.rules import SUBMITTED

STEPS = ("agreed to take part", "began the trials", "first answer", "half of the trials", "all trials", "handed in")
PACE_OF = 20
"""The pace is that of so many sessions that were handed in last."""
LEAST_FOR_PACE = 3
_SEEN = 4  # which of the marks says when a rater was last seen


@dataclass(frozen=True, eq=False)
class Way:
    """How far raters came.

    Attributes:
        steps: sessions that reached each of :data:`STEPS`.
        reached: ``(T,)`` int64: sessions that answered trial ``t``, of ``begun`` that were given trials.
        handed_in: moments, the earliest first.
    """

    steps: tuple[tuple[str, int], ...]
    reached: NDArray[np.int64]
    begun: int
    handed_in: tuple[datetime, ...]

    def seconds_left(self, places: int, at: datetime | None = None) -> float | None:
        """How long ``places`` more sessions take at the present pace; None where there is no pace yet."""
        last = self.handed_in[-PACE_OF:]
        if not places or len(last) < LEAST_FOR_PACE:
            return None
        elapsed = ((at or now()) - last[0]).total_seconds()
        return places * max(elapsed, 1.0) / (len(last) - 1)


def way_of(engine: Engine, name: str) -> Way:
    """How far the raters of the study ``name`` came.

    Raises:
        UsageError: there is no such study.
        StudyDatabaseError: the database cannot be read.
    """
    with reading(engine) as session:
        study = find_study(session, name)
        rows = session.execute(
            select(AssignmentRow.state, AssignmentRow.submitted_at, func.count(TrialRow.id), func.count(ResponseRow.id))
            .outerjoin(TrialRow, TrialRow.assignment_id == AssignmentRow.id)
            .outerjoin(ResponseRow, ResponseRow.trial_id == TrialRow.id)
            .where(AssignmentRow.study_id == study.id)
            .group_by(AssignmentRow.id)
        ).tuples()
        found = list(rows)
    trials = np.array([row[2] for row in found], np.int64)
    answered = np.array([row[3] for row in found], np.int64)
    begun = trials > 0
    handed_in = np.array([row[0] == SUBMITTED for row in found], bool)
    reached = (
        len(found), begun.sum(), (answered > 0).sum(), (begun & (2 * answered >= trials)).sum(),
        (begun & (answered == trials)).sum(), handed_in.sum(),
    )  # fmt: skip
    return Way(
        tuple((step, int(count)) for step, count in zip(STEPS, reached, strict=True)),
        np.array([(answered > index).sum() for index in range(int(trials.max(initial=0)))], np.int64),
        int(begun.sum()),
        tuple(sorted(row[1] for row in found if row[1] is not None)),
    )


class Tally:
    """Counts over all answers of a study, brought up to date by reading only those that came since.

    Attributes:
        answers: how many were read.
        seconds: reaction times by trial index, from 0.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._forget()

    def _forget(self) -> None:
        self.answers = 0
        self.seconds: dict[int, list[float]] = {}
        self._pictures: Counter[str] = Counter()
        self._last = 0

    def update(self, engine: Engine) -> None:
        """Read the answers that came since the last call.

        Raises:
            UsageError: there is no such study.
            StudyDatabaseError: the database cannot be read.
        """
        with reading(engine) as session:
            study = find_study(session, self.name).id
            self._read(session, study)
            if _count(session, study) != self.answers:  # of two that came at once the later number was seen first
                self._forget()
                self._read(session, study)

    def _read(self, session: Session, study: int) -> None:
        rows = session.execute(
            select(ResponseRow.id, TrialRow.index, TrialRow.part, TrialRow.shown, ResponseRow.reaction_ms)
            .join(TrialRow, TrialRow.id == ResponseRow.trial_id)
            .join(AssignmentRow, AssignmentRow.id == TrialRow.assignment_id)
            .where(AssignmentRow.study_id == study, ResponseRow.id > self._last)
        )
        for number, index, part, shown, milliseconds in rows:
            self._last = max(self._last, number)
            self.answers += 1
            self.seconds.setdefault(index, []).append(milliseconds / 1000)
            if part == "main":
                self._pictures.update(shown)

    def views(self, stimuli: Sequence[Stimulus]) -> dict[str, int]:
        """How often a picture of each condition was judged in main trials."""
        counts: Counter[str] = Counter({one.condition: 0 for one in stimuli})
        for one in stimuli:
            counts[one.condition] += self._pictures[one.sha256]
        return dict(sorted(counts.items()))


def _count(session: Session, study: int) -> int:
    counted = select(func.count(ResponseRow.id)).join(TrialRow, TrialRow.id == ResponseRow.trial_id)
    counted = counted.join(AssignmentRow, AssignmentRow.id == TrialRow.assignment_id)
    return session.scalar(counted.where(AssignmentRow.study_id == study)) or 0


def stimuli_of(engine: Engine, name: str) -> tuple[Stimulus, ...]:
    """The stimuli with which the study ``name`` was launched.

    Raises:
        UsageError: there is no such study.
    """
    with reading(engine) as session:
        study = find_study(session, name)
        rows = session.scalars(select(StimulusRow).where(StimulusRow.study_id == study.id).order_by(StimulusRow.id))
        return tuple(
            Stimulus(**{field: getattr(row, field) for field in Stimulus.__dataclass_fields__}) for row in rows
        )


@dataclass(frozen=True)
class Answered:
    """A trial of one rater, and the answer; ``answer`` is None where there is none yet."""

    index: int
    part: str
    question: str
    shown: tuple[str, ...]
    reference: str
    expected: Mapping[str, Any] | None
    answer: Mapping[str, Any] | None
    correct: bool | None
    reaction_ms: int | None


@dataclass(frozen=True)
class RaterAnswers:
    """All trials of session ``session``; ``rater`` is the beginning of the pseudonym."""

    session: int
    rater: str
    state: str
    started_at: datetime
    submitted_at: datetime | None
    trials: tuple[Answered, ...]


def answers_of_session(engine: Engine, name: str, number: int) -> RaterAnswers:
    """What the rater of session ``number`` was shown, and said.

    Raises:
        UsageError: there is no such study or session.
        StudyDatabaseError: the database cannot be read.
    """
    with reading(engine) as session:
        study = find_study(session, name)
        row = session.get(AssignmentRow, number)
        if row is None or row.study_id != study.id:
            raise UsageError(f"the study '{name}' has no session {number}: 'mesoface study review' lists them.")
        rater = session.get_one(ParticipantRow, row.participant_id).pseudonym[:PSEUDONYM_DIGITS]
        trials = session.execute(
            select(
                TrialRow.index, TrialRow.part, TrialRow.question, TrialRow.shown, TrialRow.reference, TrialRow.expected,
                ResponseRow.answer, ResponseRow.correct, ResponseRow.reaction_ms,
            )
            .outerjoin(ResponseRow, ResponseRow.trial_id == TrialRow.id)
            .where(TrialRow.assignment_id == number)
            .order_by(TrialRow.index)
        )  # fmt: skip
        found = tuple(Answered(one[0], one[1], one[2], tuple(one[3]), *one[4:]) for one in trials)
        return RaterAnswers(
            number, rater, row.state, row.started_at, row.submitted_at, found
        )  # fmt: skip


def posted_live(engine: Engine, name: str) -> bool:
    """Whether the study ``name`` was offered where real money moves."""
    with reading(engine) as session:
        study = find_study(session, name)
        return session.scalar(select(HitRow.id).where(HitRow.study_id == study.id, HitRow.live).limit(1)) is not None


def marks_of(engine: Engine, name: str) -> tuple[int, ...]:
    """Numbers that change whenever answers, sessions, decisions or payments of the study ``name`` do; quickly read.

    Raises:
        UsageError: there is no such study.
    """
    with reading(engine) as session:
        study = find_study(session, name)
        of_study = AssignmentRow.study_id == study.id
        seen = select(func.count(), func.count(AssignmentRow.submitted_at), func.max(AssignmentRow.last_seen_at))
        sessions = session.execute(seen.where(of_study)).one()
        latest = select(func.max(QaDecisionRow.id)).join(AssignmentRow, AssignmentRow.id == QaDecisionRow.assignment_id)
        decisions = session.scalar(latest.where(of_study))
        paid = select(func.count(), func.max(PaymentRow.updated_at)).where(PaymentRow.study_id == study.id)
        payments = session.execute(paid).one()
        return (
            study.id, STUDY_STATES.index(study.state), sessions[0], sessions[1], _ticks(sessions[2]), decisions or 0,
            payments[0], _ticks(payments[1]),
        )  # fmt: skip


def without_seen(marks: tuple[int, ...]) -> tuple[int, ...]:
    """:func:`marks_of` less the moment at which a rater was last seen: what changes results, and not with every answer
    of a session that is still under way."""
    return marks[:_SEEN] + marks[_SEEN + 1 :]


def _ticks(moment: datetime | None) -> int:
    return 0 if moment is None else int(moment.timestamp() * 1e6)
