"""Raw ids of raters: kept alone, as long as a marketplace needs them to pay, then erased. Answers stay."""

from __future__ import annotations

from datetime import date, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from study.database import ParticipantRow, StudyRow, WorkerContactRow

KEPT_DAYS = 90
"""Longer than marketplaces let a rater complain about a payment, no longer."""


def remember(session: Session, participant: ParticipantRow, raw_id: str, today: date, days: int = KEPT_DAYS) -> None:
    """Keep ``raw_id`` for ``days`` from ``today``; a rater who comes again is kept once, with the later date."""
    contact = session.scalar(select(WorkerContactRow).where(WorkerContactRow.participant_id == participant.id))
    until = today + timedelta(days=days)
    if contact is None:
        session.add(WorkerContactRow(participant_id=participant.id, raw_id=raw_id, delete_after=until))
    else:
        contact.delete_after = max(contact.delete_after, until)


def erase_due(session: Session, today: date) -> int:
    """Erase what is kept no longer; how many there were."""
    erased = delete(WorkerContactRow).where(WorkerContactRow.delete_after < today).returning(WorkerContactRow.id)
    return len(session.scalars(erased).all())


def erase(session: Session, study: str | None = None) -> int:
    """Erase the raw ids of one study, or of all; how many there were."""
    erased = delete(WorkerContactRow)
    if study is not None:
        people = select(ParticipantRow.id).join(StudyRow).where(StudyRow.name == study)
        erased = erased.where(WorkerContactRow.participant_id.in_(people))
    return len(session.scalars(erased.returning(WorkerContactRow.id)).all())
