"""Batch results of Mechanical Turk become sessions of a study, all or nothing; the same file again adds nothing.

A worker is one rater, whatever the number of tasks done: a participant under a pseudonym, one session that was handed
in, its trials in the order of the file (``study.batch_trials`` says how columns become trials). What was rejected at
Mechanical Turk is checked and left out. Rewards were paid there, so these sessions are reviewed and analysed as others
are, and never paid by us. The worker's own id is not kept. What a batch does not tell stays open: the window's size is
0, and the moment is that of the import.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recon.errors import InputError, UsageError
from study.batch_trials import BatchReader, BatchTrial
from study.database import IMPORTED, AssignmentRow, HitRow, ParticipantRow, ResponseRow, StudyRow, TrialRow, now
from study.engine import require_schema, transaction
from study.hosting import server_settings
from study.ledger import lock_study
from study.providers.mturk_results import BatchResult, read_batch_results
from study.pseudonyms import pseudonym, secret_key
from study.quality.rules import SUBMITTED
from study.server.registration import enter_study
from study.specification import read_specification
from study.stimuli import read_catalogue

_NAMES = uuid.UUID("5f0c3f0e-6a56-5f5c-9d52-3b1c7c0f7a11")


@dataclass(frozen=True)
class Imported:
    """What an import did.

    Attributes:
        raters, answers: that are new.
        known: answers that were there.
        rejected: rows that were left out.
    """

    study: str
    raters: int
    answers: int
    known: int
    rejected: int


def import_batch(engine: Engine, folder: Path, file: Path) -> Imported:
    """Enter the results of ``file`` as answers to the study in ``folder``, and the study where it is not there yet.

    Raises:
        InputError: the study, the file or one of its rows cannot be used; nothing was imported.
        UsageError: the study's raters are not Mechanical Turk's, or it was launched there by us.
        StudyDatabaseError: the database cannot be used.
    """
    require_schema(engine)
    specification = read_specification(folder / "study.yaml")
    payment = specification.payment
    if payment.provider != "mturk":
        raise UsageError(
            f"the raters of '{specification.name}' come from '{payment.provider}': batch results are for a study "
            "with payment.provider: mturk."
        )
    settings, stimuli = server_settings(specification, secret_key()), read_catalogue(folder).stimuli
    results = read_batch_results(file)
    reader = BatchReader(settings.design, settings.design_settings, {one.sha256: one for one in stimuli})
    try:
        read = {result.row: reader.trials(result) for result in results}  # before anything is written
    except InputError as error:
        raise InputError(f"'{file}', {error}") from error
    study_id = enter_study(
        engine, settings, specification.record(), stimuli, currency=payment.currency, cap_cents=payment.cap
    )
    accepted = [result for result in results if result.submission.state != "rejected"]
    by_worker: dict[str, list[BatchResult]] = {}
    for result in accepted:
        by_worker.setdefault(result.submission.participant, []).append(result)
    with transaction(engine) as session:
        study = lock_study(session, study_id)
        if session.scalar(select(HitRow.id).where(HitRow.study_id == study_id).limit(1)) is not None:
            raise UsageError(f"'{study.name}' was launched, and its answers come by itself: import under another name.")
        done = [_enter(session, study, settings.key, worker, rows, read) for worker, rows in by_worker.items()]
    return Imported(
        study=specification.name,
        raters=sum(new for new, _ in done),
        answers=sum(count for _, count in done),
        known=sum(len(read[result.row]) for result in accepted) - sum(count for _, count in done),
        rejected=len(results) - len(accepted),
    )


def _enter(
    session: Session,
    study: StudyRow,
    key: bytes,
    worker: str,
    rows: Sequence[BatchResult],
    read: Mapping[int, Sequence[BatchTrial]],
) -> tuple[bool, int]:
    """One worker's session: whether it is new, and how many answers are."""
    who = pseudonym(key, study.name, "mturk", worker)
    row = _session_of(session, study, who)
    created = row is None
    if row is None:
        row = _new_session(session, study, who, rows[0])
    elif row.consent_version != IMPORTED:
        raise InputError(
            f"the worker of row {rows[0].row} took part in '{study.name}' itself (session {row.id}): import the batch "
            "under another name."
        )
    undecided = any(result.submission.state == "submitted" for result in rows)
    row.provider_state = "Submitted" if undecided else "Approved"
    return created, _enter_answers(session, row.id, study.name, [one for result in rows for one in read[result.row]])


def _enter_answers(session: Session, assignment_id: int, study: str, trials: Sequence[BatchTrial]) -> int:
    """How many of them were not there."""
    rows = session.scalars(select(TrialRow).where(TrialRow.assignment_id == assignment_id)).all()
    before = {row.response.client_uuid: (row, row.response) for row in rows if row.response is not None}
    count = 0
    for trial in trials:
        name = str(uuid.uuid5(_NAMES, f"{study}\0{trial.name}"))
        if name in before:
            _require_same(trial, *before[name])
            continue
        session.add(_answered(assignment_id, len(rows) + count, trial, name))
        count += 1
    session.flush()
    return count


def _session_of(session: Session, study: StudyRow, who: str) -> AssignmentRow | None:
    return session.scalar(
        select(AssignmentRow)
        .join(AssignmentRow.participant)
        .where(ParticipantRow.study_id == study.id, ParticipantRow.provider == "mturk", ParticipantRow.pseudonym == who)
    )


def _new_session(session: Session, study: StudyRow, who: str, first: BatchResult) -> AssignmentRow:
    name = first.submission.provider_id
    other = session.scalar(
        select(StudyRow.name)
        .join(AssignmentRow, AssignmentRow.study_id == StudyRow.id)
        .where(AssignmentRow.provider == "mturk", AssignmentRow.provider_assignment_id == name)
    )
    if other is not None:
        raise InputError(f"the assignment '{name}' of row {first.row} is part of the study '{other}' already.")
    participant = ParticipantRow(study_id=study.id, provider="mturk", pseudonym=who)
    session.add(participant)
    session.flush()
    at = now()
    row = AssignmentRow(
        study_id=study.id, participant_id=participant.id, provider="mturk", provider_assignment_id=name,
        state=SUBMITTED, consent_version=IMPORTED, consented_at=at, started_at=at, last_seen_at=at, submitted_at=at,
        completion_code=first.submission.code[:40] or None,
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def _answered(assignment_id: int, index: int, given: BatchTrial, name: str) -> TrialRow:
    trial = given.trial
    row = TrialRow(
        assignment_id=assignment_id, index=index, part=trial.part, question=trial.question,
        shown=list(trial.shown), reference=trial.reference,
        expected=None if trial.expected is None else dict(trial.expected),
    )  # fmt: skip
    row.response = ResponseRow(
        client_uuid=name, answer=dict(given.answer), correct=given.correct, reaction_ms=given.reaction_ms,
        viewport_width=0, viewport_height=0, device_pixel_ratio=0.0,
    )  # fmt: skip
    return row


def _require_same(given: BatchTrial, trial: TrialRow, response: ResponseRow) -> None:
    """An answer is never changed: a file that tells another one than before is not the same batch."""
    if trial.shown != list(given.trial.shown) or response.answer != given.answer:
        raise InputError(
            f"row {given.row} gives another answer than the one that was imported before: answers are never changed. "
            "Import the batch it belongs to under another name."
        )
