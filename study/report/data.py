"""What the database says of a study: its stimuli, whose answers count, and the answers themselves.

A session counts where the latest decision of quality says *use*; ``all_sessions`` takes every session that was handed
in instead. Others are counted with the reason why they are left out.

Raters become numbers from 1, in the order of their keyed pseudonyms: neither the pseudonym nor the order in which
people came leaves the database. The number of a rater changes when further raters answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recon.errors import InputError
from study.analysis.answers import Answer
from study.contract import Stimulus, Trial
from study.database import (
    AssignmentRow,
    ParticipantRow,
    ResponseRow,
    StimulusRow,
    TrialRow,
)
from study.engine import reading, require_schema
from study.quality.decisions import RULES, Decision, latest
from study.quality.records import find_study, rules_of
from study.quality.rules import SUBMITTED, rules_that_withhold

NOT_REVIEWED = "not reviewed yet"


@dataclass(frozen=True)
class RaterSession:
    """One rater's session.

    Attributes:
        rater: its number in the report.
        state: of the session, as in the database.
        use: whether its answers are analysed; ``reason`` why not.
    """

    rater: int
    state: str
    use: bool
    reason: str


@dataclass(frozen=True)
class Given:
    """One answer of any part of a session, with what else was stored of it."""

    rater: int
    trial: Trial
    answer: Mapping[str, Any]
    correct: bool | None
    reaction_ms: int


@dataclass(frozen=True, eq=False)
class StudyData:
    """A study and all answers to it.

    Attributes:
        specification: the study file as it was launched.
        simulated: its raters are models.
        decided: whether quality decided whose answers count; if not, every session that was handed in does.
        sessions: all that were begun.
        given: all answers, by rater and trial.
    """

    name: str
    design: str
    provider: str
    seed: int
    made_with: str
    state: str
    simulated: bool
    specification: Mapping[str, Any]
    specification_sha256: str
    stimuli: tuple[Stimulus, ...]
    decided: bool
    sessions: tuple[RaterSession, ...]
    given: tuple[Given, ...]

    @property
    def title(self) -> str:
        """What raters saw as the study's title, or its name."""
        return str(self.specification.get("title") or self.name)

    @property
    def used(self) -> frozenset[int]:
        """Numbers of the raters whose answers are analysed."""
        return frozenset(one.rater for one in self.sessions if one.use)

    def answers(self) -> list[Answer]:
        """The answers that are analysed, for :mod:`study.analysis.answers`."""
        used = self.used
        return [
            Answer(f"{one.rater:05}", one.trial, one.answer)
            for one in self.given
            if one.rater in used and one.trial.part == "main"
        ]

    def left_out(self) -> list[tuple[str, int]]:
        """Why sessions are left out, and how many for each reason; the commonest first."""
        return Counter(one.reason for one in self.sessions if not one.use).most_common()


def read_study_data(engine: Engine, name: str, *, all_sessions: bool = False) -> StudyData:
    """The study ``name`` as it stands now, of one moment.

    Args:
        all_sessions: analyse every session that was handed in, whatever quality decided.

    Raises:
        UsageError: there is no such study.
        InputError: no session can be analysed; the message says why.
        StudyDatabaseError: the database cannot be read.
    """
    require_schema(engine)
    with reading(engine) as session:
        study = find_study(session, name)
        stimuli = tuple(map(_stimulus, session.scalars(select(StimulusRow).filter_by(study_id=study.id))))
        withholding = rules_that_withhold(rules_of(study.name, study.specification), "use")
        sessions = _sessions(session, study.id, all_sessions, withholding)
        _check_any(study.name, list(sessions.values()), all_sessions)
        return StudyData(
            name=study.name, design=study.design, provider=study.provider, seed=study.seed,
            made_with=study.made_with, state=study.state, simulated=study.simulated,
            specification=study.specification, specification_sha256=study.specification_sha256, stimuli=stimuli,
            decided=not all_sessions, sessions=tuple(sorted(sessions.values(), key=lambda one: one.rater)),
            given=_given(session, study.id, sessions),
        )  # fmt: skip


def _stimulus(row: StimulusRow) -> Stimulus:
    return Stimulus(**{name: getattr(row, name) for name in Stimulus.__dataclass_fields__})


def _sessions(session: Session, study: int, all_sessions: bool, withholding: frozenset[str]) -> dict[int, RaterSession]:
    """By number of the assignment."""
    decisions = latest(session, study)
    begun = session.execute(
        select(AssignmentRow.id, AssignmentRow.state)
        .join(ParticipantRow, ParticipantRow.id == AssignmentRow.participant_id)
        .where(AssignmentRow.study_id == study)
        .order_by(ParticipantRow.pseudonym, AssignmentRow.id)
    )
    found = {}
    for rater, (assignment, state) in enumerate(begun, start=1):
        reason = _why_not(state, decisions.get(assignment), all_sessions, withholding)
        found[assignment] = RaterSession(rater, state, not reason, reason)
    return found


def _why_not(state: str, decision: Decision | None, all_sessions: bool, withholding: frozenset[str]) -> str:
    """Why a session is left out; empty where it is not."""
    if all_sessions or decision is None:
        if state != SUBMITTED:
            return f"not handed in ({state})"
        return "" if all_sessions else NOT_REVIEWED
    return "" if decision.use else _in_words(decision, withholding)


def _in_words(decision: Decision, withholding: frozenset[str]) -> str:
    """Which rules struck, of those that withhold use; those that only withhold pay are no reason here.

    Not their whole texts, which speak of other sessions, nor what a person wrote of a rater.
    """
    if decision.decided_by != RULES:
        return "a person decided"
    struck = (one.partition(": ")[0] for one in decision.reasons if ": " in one)
    names = dict.fromkeys(name for name in struck if name in withholding)
    return f"rule {', '.join(names)}" if names else "by rule"


def _check_any(name: str, sessions: Sequence[RaterSession], all_sessions: bool) -> None:
    if any(one.use for one in sessions):
        return
    submitted = sum(one.state == SUBMITTED for one in sessions)
    if not submitted:
        raise InputError(f"nobody has handed in a session of '{name}' yet ({len(sessions)} begun): wait for answers.")
    waiting = sum(one.reason == NOT_REVIEWED for one in sessions)
    if waiting and not all_sessions:
        raise InputError(
            f"no session of '{name}' may be analysed yet: {waiting} of {submitted} that were handed in are not "
            f"reviewed; 'mesoface study review {name}' decides, or --all-sessions takes all of them."
        )
    raise InputError(
        f"no session of '{name}' may be analysed: quality left out all {submitted} that were handed in; "
        "--all-sessions analyses them all the same."
    )


def _given(session: Session, study: int, sessions: Mapping[int, RaterSession]) -> tuple[Given, ...]:
    rows = session.execute(
        select(
            TrialRow.assignment_id, TrialRow.index, TrialRow.part, TrialRow.question, TrialRow.shown,
            TrialRow.reference, TrialRow.expected, ResponseRow.answer, ResponseRow.correct, ResponseRow.reaction_ms,
        )
        .join(ResponseRow, ResponseRow.trial_id == TrialRow.id)
        .join(AssignmentRow, AssignmentRow.id == TrialRow.assignment_id)
        .where(AssignmentRow.study_id == study)
    )  # fmt: skip
    found = [
        Given(
            sessions[assignment].rater, Trial(index, part, question, tuple(shown), reference, expected), answer,
            correct, reaction_ms,
        )
        for assignment, index, part, question, shown, reference, expected, answer, correct, reaction_ms in rows
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.rater, one.trial.index)))
