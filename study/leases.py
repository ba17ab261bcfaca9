"""Slots: places for raters, each with its own balanced order, leased while a rater is at work.

A free slot, or one whose lease ran out, is given to one rater alone, however many start at the same moment: on
PostgreSQL by ``FOR UPDATE SKIP LOCKED``, so that nobody waits; on SQLite by the writer's turn that ``BEGIN IMMEDIATE``
takes. Slots are given in the order of their numbers, so a study that is stopped early is balanced as far as it went.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import and_, literal_column, or_, select
from sqlalchemy.orm import Session

from study.database import SlotRow

_OPEN = SlotRow.state != literal_column("'done'")
"""Follows from the rest, and written out it lets the database take the index of open slots."""

_RENEWED_AFTER = 1 / 60
"""Share of a lease: with every answer the slot and its index would be written, for seconds that nobody misses."""


def add_slots(session: Session, study_id: int, count: int) -> None:
    """Slots ``0 … count − 1`` of a study that has none yet."""
    session.add_all(SlotRow(study_id=study_id, number=number) for number in range(count))


def take_slot(session: Session, study_id: int, lease: timedelta, at: datetime) -> SlotRow | None:
    """The first slot that is free at ``at``, leased until ``at + lease``; None where all are taken.

    Must run in a writing transaction (``study.engine.transaction``).
    """
    free = or_(
        SlotRow.state == "free",
        and_(SlotRow.state == "leased", SlotRow.lease_expires_at <= at),
    )
    wanted = (
        select(SlotRow)
        .where(SlotRow.study_id == study_id, _OPEN, free)
        .order_by(SlotRow.number)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    slot = session.scalar(wanted)
    if slot is not None:
        slot.state, slot.lease_expires_at = "leased", at + lease
        session.flush()
    return slot


def renew_slot(slot: SlotRow, lease: timedelta, at: datetime) -> bool:
    """Lease on while its rater answers; False where the lease had run out, because another may have the slot now.

    A lease of an hour that was begun or renewed less than a minute ago is left as it is.
    """
    if slot.state != "leased" or slot.lease_expires_at is None or slot.lease_expires_at <= at:
        return False
    if slot.lease_expires_at < at + lease * (1 - _RENEWED_AFTER):
        slot.lease_expires_at = at + lease
    return True


def release_slot(slot: SlotRow) -> None:
    """Free again, also one that was done: its rater gave the work back, or was rejected."""
    slot.state, slot.lease_expires_at = "free", None


def finish_slot(slot: SlotRow) -> None:
    """Done for good: its rater has submitted."""
    slot.state, slot.lease_expires_at = "done", None
