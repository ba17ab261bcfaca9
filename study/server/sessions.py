"""A rater's session in the database: arrival, consent, screen, slot and trials, answers, the end.

::

    arrive ── consent ──> consented ── screen ──> training ── answers ──> active ── last answer ──> submitted
                              └── the screen will not do ──> screened-out

Each step is one transaction, and doing it again changes nothing: a request may be repeated after any failure. The slot
is taken and its trials are written in the same transaction, so a session either has all of its trials or none. An
answer is kept even if the rater was silent for so long that the slot was given to another.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Integer, bindparam, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from recon.errors import InputError, MesofaceError, StudyDatabaseError
from study.contacts import remember
from study.contract import Stimulus, Trial
from study.database import AssignmentRow, ParticipantRow, ResponseRow, StudyRow, TrialRow
from study.engine import reading, transaction
from study.leases import finish_slot, renew_slot, take_slot
from study.pseudonyms import pseudonym
from study.server.arrivals import Arrival, completion
from study.server.messages import Answer, AnswerView, Feedback, Picture, Screen, ScreenView, SessionView, ShownTrial
from study.server.screen import screen_problems
from study.server.settings import ServerSettings
from study.server.tokens import issue
from study.stimuli.catalogue import file_name

_UNFINISHED = ("consented", "training", "active")
# Longest wait for the writer's turn: of those who queue behind a database that does not answer, none waits for all.
TURN_SECONDS = 8.0

# The statements of every answer are put together once: anew each time they take the server's processor a while.
_NUMBER, _STUDY, _INDEX = (
    bindparam("number", type_=Integer),
    bindparam("study", type_=Integer),
    bindparam("index_", type_=Integer),
)
_FIRST_OPEN = (
    select(func.min(TrialRow.index))
    .outerjoin(ResponseRow, ResponseRow.trial_id == TrialRow.id)
    .where(TrialRow.assignment_id == _NUMBER, ResponseRow.id.is_(None))
)
_LOCKED = (
    select(AssignmentRow)
    .where(AssignmentRow.id == _NUMBER, AssignmentRow.study_id == _STUDY)
    .options(joinedload(AssignmentRow.slot))
    .with_for_update(of=AssignmentRow)
)
_TRIAL = (
    select(TrialRow, ResponseRow, _FIRST_OPEN.scalar_subquery().correlate(None))
    .outerjoin(ResponseRow, ResponseRow.trial_id == TrialRow.id)
    .where(TrialRow.assignment_id == _NUMBER, TrialRow.index.in_((_INDEX, _INDEX + 1)))
    .order_by(TrialRow.index)
)


class ConflictError(MesofaceError):
    """What is asked does not fit where the session stands; ``next`` is the trial to answer."""

    def __init__(self, message: str, next_index: int | None = None) -> None:
        super().__init__(message)
        self.next = next_index


@dataclass(frozen=True)
class Host:
    """What every step needs; made once, shared by all threads.

    Attributes:
        engine: of the study database.
        settings: of the study.
        study_id, simulated: of its row.
        stimuli: by sha256.
        token_key: signs session tokens.
        turn: whose holder may write, on SQLite.
    """

    engine: Engine
    settings: ServerSettings
    study_id: int
    simulated: bool
    stimuli: Mapping[str, Stimulus]
    token_key: bytes
    turn: threading.Lock

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A writing transaction. On SQLite the threads of this process queue here: its own waiting is by sleeping.

        Raises:
            StudyDatabaseError: the database does not answer, or those who came before have waited for it too long.
        """
        if self.engine.dialect.name != "sqlite":
            with transaction(self.engine) as session:
                yield session
            return
        if not self.turn.acquire(timeout=TURN_SECONDS):
            raise StudyDatabaseError("the study database is busy: other requests wait for it.")
        try:
            with transaction(self.engine) as session:
                yield session
        finally:
            self.turn.release()


def find(host: Host, arrival: Arrival, visitor: str, at: datetime) -> SessionView | None:
    """The session of a rater who comes again, or None."""
    with reading(host.engine) as session:
        assignment = _assignment_of(host, session, arrival, visitor)
        return None if assignment is None else _view(host, session, assignment, arrival, at)


def consent(host: Host, arrival: Arrival, visitor: str, version: str, at: datetime) -> SessionView:
    """A session for a rater who agreed; the one that is there if it was made before.

    Raises:
        ConflictError: the study takes nobody now, the text has changed meanwhile, or the marketplace's session is
            another rater's.
    """
    if version != host.settings.words.consent_version:
        raise ConflictError("the text that you agreed to has changed: load the page again.")
    try:
        return _consent(host, arrival, visitor, at)
    except IntegrityError:
        # Two requests of one rater at once: the other was first, and this one finds what it made.
        try:
            return _consent(host, arrival, visitor, at)
        except IntegrityError as error:
            raise ConflictError("this session of the marketplace belongs to another rater.") from error


def _consent(host: Host, arrival: Arrival, visitor: str, at: datetime) -> SessionView:
    with host.writing() as session:
        assignment = _assignment_of(host, session, arrival, visitor)
        if assignment is None:
            _require_open(session, host)
            assignment = _new_assignment(host, session, arrival, visitor, at)
        elif arrival.assignment and assignment.state in (*_UNFINISHED, "abandoned"):
            # Who returned the work and took it again has a new name for it there, and is paid under that one.
            assignment.provider_assignment_id = arrival.assignment
        session.flush()
        return _view(host, session, assignment, arrival, at)


def _require_open(session: Session, host: Host) -> None:
    if session.scalar(select(StudyRow.state).where(StudyRow.id == host.study_id)) != "open":
        raise ConflictError(host.settings.words.said("no-new-raters"))


def _who(host: Host, arrival: Arrival, visitor: str) -> str:
    raw_id = arrival.raw_id or f"visitor {visitor}"
    return pseudonym(host.settings.key, host.settings.study, host.settings.provider, raw_id)


def _assignment_of(host: Host, session: Session, arrival: Arrival, visitor: str) -> AssignmentRow | None:
    return session.scalar(
        select(AssignmentRow)
        .join(AssignmentRow.participant)
        .where(
            ParticipantRow.study_id == host.study_id,
            ParticipantRow.provider == host.settings.provider,
            ParticipantRow.pseudonym == _who(host, arrival, visitor),
        )
    )


def _new_assignment(host: Host, session: Session, arrival: Arrival, visitor: str, at: datetime) -> AssignmentRow:
    provider = host.settings.provider
    participant = ParticipantRow(
        study_id=host.study_id,
        provider=provider,
        pseudonym=_who(host, arrival, visitor),
        simulated=host.simulated,
        created_at=at,
    )
    session.add(participant)
    session.flush()
    if arrival.raw_id and provider != "local":  # we pay nobody ourselves, so a name of our own is not needed again
        remember(session, participant, arrival.raw_id, at.date())
    assignment = AssignmentRow(
        study_id=host.study_id,
        participant_id=participant.id,
        provider=provider,
        provider_assignment_id=arrival.assignment or None,
        consent_version=host.settings.words.consent_version,
        consented_at=at,
        started_at=at,
        last_seen_at=at,
    )
    session.add(assignment)
    return assignment


def screen(host: Host, number: int, measured: Screen, at: datetime) -> ScreenView:
    """What the screen is; a slot and its trials where it will do, else ``problems``.

    Raises:
        ConflictError: no slot is free, the study is not open, or there is no such session.
    """
    with host.writing() as session:
        assignment = _locked(host, session, number)
        if assignment.state != "consented":  # said before, and what we replied was lost on its way
            return ScreenView(state=assignment.state, problems=[])
        problems = screen_problems(measured, host.settings.screen, host.settings.words)
        assignment.screen = measured.model_dump(exclude={"unsuitable"})
        assignment.last_seen_at = at
        if measured.unsuitable:
            assignment.state = "screened-out"
        elif not problems:
            _require_open(session, host)
            _seat(host, session, assignment, at)
        return ScreenView(state=assignment.state, problems=problems)


def _seat(host: Host, session: Session, assignment: AssignmentRow, at: datetime) -> None:
    """A slot for the rater, with its trials."""
    slot = take_slot(session, host.study_id, host.settings.lease, at)
    if slot is None:
        raise ConflictError(host.settings.words.said("all-taken"))
    # Who had it before and fell silent; what they answered stays, and they may still come back.
    session.execute(
        update(AssignmentRow)
        .where(AssignmentRow.slot_id == slot.id, AssignmentRow.state.in_(_UNFINISHED))
        .values(state="abandoned")
    )
    assignment.slot_id = slot.id
    trials = host.settings.design.plan(host.settings.design_settings, tuple(host.stimuli.values()), slot.number)
    require_words(host.settings, trials)
    session.add_all(
        TrialRow(
            assignment_id=assignment.id,
            index=trial.index,
            part=trial.part,
            question=trial.question,
            shown=list(trial.shown),
            reference=trial.reference,
            expected=None if trial.expected is None else dict(trial.expected),
        )
        for trial in trials
    )
    assignment.state = "training" if trials[0].part == "training" else "active"


def require_words(settings: ServerSettings, trials: Sequence[Trial]) -> None:
    """Nothing where every question of ``trials`` has a text.

    Raises:
        InputError: there are no trials, or one asks what the study file has no words for.
    """
    if not trials:
        raise InputError(f"the design '{settings.design.name}' lays out no trials: check the study file.")
    for trial in trials:
        if trial.question not in settings.words.questions:
            raise InputError(f"the question '{trial.question}' has no text: add it to wording.questions of the study.")


def answer(host: Host, number: int, given: Answer, at: datetime) -> AnswerView:
    """Keep an answer; the same one again is acknowledged again.

    Raises:
        ConflictError: it is not this trial's turn, or the trial has another answer.
        InputError: it is no answer to this trial.
    """
    try:
        return _answer(host, number, given, at)
    except IntegrityError as error:
        raise ConflictError("this answer's identifier was used before: load the page again.") from error


def _answer(host: Host, number: int, given: Answer, at: datetime) -> AnswerView:
    with host.writing() as session:
        assignment = _locked(host, session, number)
        row, response, following, turn = _trial(session, number, given.index)
        if response is not None and response.client_uuid == str(given.client_uuid):
            return _acknowledgement(assignment, row, response, turn)
        if turn != given.index:
            raise ConflictError("this is not the next question.", turn)
        trial = _as_trial(row)
        stored = host.settings.design.read_answer(host.settings.design_settings, trial, given.answer)
        response = ResponseRow(
            trial_id=row.id,
            client_uuid=str(given.client_uuid),
            answer=stored,
            correct=host.settings.design.correct(trial, stored),
            reaction_ms=given.reaction_ms,
            viewport_width=given.viewport_width,
            viewport_height=given.viewport_height,
            device_pixel_ratio=given.device_pixel_ratio,
            received_at=at,
        )
        session.add(response)
        _go_on(host, assignment, following, at)
        session.flush()
        return _acknowledgement(assignment, row, response, None if following is None else following.index)


def _go_on(host: Host, assignment: AssignmentRow, following: TrialRow | None, at: datetime) -> None:
    """The session's state and its slot after an answer.

    A slot whose lease ran out may have two raters on its plan. Both go on: it is leased while one of them answers, and
    done when the first has finished.
    """
    assignment.last_seen_at = at
    slot = assignment.slot
    if following is None:
        assignment.state, assignment.submitted_at = "submitted", at
        assignment.completion_code = host.settings.completion_code or secrets.token_hex(5).upper()
        if slot is not None:
            finish_slot(slot)
        return
    assignment.state = "training" if following.part == "training" else "active"
    if slot is not None and not renew_slot(slot, host.settings.lease, at) and slot.state != "done":
        slot.state, slot.lease_expires_at = "leased", at + host.settings.lease


def _acknowledgement(assignment: AssignmentRow, row: TrialRow, response: ResponseRow, turn: int | None) -> AnswerView:
    feedback = Feedback(correct=response.correct, expected=row.expected) if row.part == "training" else None
    return AnswerView(next=turn, state=assignment.state, feedback=feedback)


def _locked(host: Host, session: Session, number: int) -> AssignmentRow:
    """The assignment with its slot; its other requests wait (PostgreSQL; on SQLite all writers do)."""
    assignment = session.scalar(_LOCKED, {"number": number, "study": host.study_id})
    if assignment is None:
        raise ConflictError("this session is not known here: open the study again through its link.")
    return assignment


def _trial(
    session: Session, assignment: int, index: int
) -> tuple[TrialRow, ResponseRow | None, TrialRow | None, int | None]:
    """The trial, its answer if it has one, the trial after it, and the index of the first without an answer."""
    # One statement apart from that which locks: only what is read after the lock is had is sure to be the newest.
    found = session.execute(_TRIAL, {"number": assignment, "index_": index}).all()
    if not found or found[0][0].index != index:
        raise ConflictError("there is no such question.", _next(session, assignment))
    return found[0][0], found[0][1], found[1][0] if len(found) > 1 else None, found[0][2]


def _next(session: Session, assignment: int) -> int | None:
    """Index of the first trial without an answer."""
    return session.scalar(_FIRST_OPEN, {"number": assignment})


def _as_trial(row: TrialRow) -> Trial:
    part: Any = row.part
    return Trial(row.index, part, row.question, tuple(row.shown), row.reference, row.expected)


def _view(host: Host, session: Session, assignment: AssignmentRow, arrival: Arrival, at: datetime) -> SessionView:
    trials: Sequence[TrialRow] = ()
    # An abandoned session is one that fell silent: its rater, who is here now, goes on where it stood.
    state: Any = "active" if assignment.state == "abandoned" else assignment.state
    following, total = None, 0
    if state in ("training", "active"):
        trials = session.scalars(select(TrialRow).filter_by(assignment_id=assignment.id).order_by(TrialRow.index)).all()
        following, total = _next(session, assignment.id), len(trials)
    code = assignment.completion_code if state == "submitted" else None
    if state == "screened-out":
        code = host.settings.screen_out_code or None
    return SessionView(
        token=issue(host.token_key, assignment.id, at + host.settings.session_life),
        session=assignment.id,
        state=state,
        next=following,
        total=total,
        trials=[_shown(host, trial) for trial in trials if following is not None and trial.index >= following],
        completion=None if code is None else completion(host.settings.provider, arrival, code),
    )


def _shown(host: Host, row: TrialRow) -> ShownTrial:
    return ShownTrial(
        index=row.index,
        training=row.part == "training",
        question=host.settings.words.questions[row.question],
        shown=[_picture(host, sha256) for sha256 in row.shown],
        reference=_picture(host, row.reference) if row.reference else None,
    )


def _picture(host: Host, sha256: str) -> Picture:
    stimulus = host.stimuli[sha256]
    name, store = file_name(stimulus), host.settings.pictures
    address = f"stimuli/{name}" if store is None else store.address(name)
    return Picture(url=address, width=stimulus.width, height=stimulus.height)
