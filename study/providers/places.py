"""Places that go to another rater: a marketplace offers anew what was returned, timed out or rejected, and whoever
takes it needs a slot here. Without one they would be sent away from a place that they were promised.

A slot is free again when nobody keeps it: everybody who had it gave the work back, was rejected, or fell silent.
Answers stay where they are, and whether they are analysed is decided apart.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from study.database import AssignmentRow, SlotRow
from study.leases import release_slot

REJECTED = "rejected"
GONE = ("returned", "timed out", "screened out")
"""In which a marketplace neither pays nor rejects any more."""


def standing(row: AssignmentRow) -> str:
    """What the marketplace last said of a session, in small letters, with spaces: one word for all spellings."""
    return row.provider_state.lower().replace("-", " ").replace("_", " ")


def reopen(session: Session, study_id: int, *, rejected: bool) -> int:
    """Free the slots that nobody keeps; how many there were. May be repeated.

    Args:
        session: of a writing transaction.
        rejected: whether the places of rejected raters are offered again, too.
    """
    lost = {*GONE, REJECTED} if rejected else {*GONE}
    seated = select(AssignmentRow).where(AssignmentRow.study_id == study_id, AssignmentRow.slot_id.is_not(None))
    left = {row.slot_id for row in session.scalars(seated) if standing(row) in lost}
    if not left:
        return 0
    taken = select(SlotRow).where(SlotRow.id.in_(left), SlotRow.state != "free").order_by(SlotRow.id)
    slots = session.scalars(taken.with_for_update()).all()
    # Read again: a slot that is locked gets no new rater, and who came a moment before is seen now.
    holders = session.scalars(seated.execution_options(populate_existing=True)).all()
    kept = {row.slot_id for row in holders if standing(row) not in lost and row.state != "abandoned"}
    free = [slot for slot in slots if slot.id not in kept]
    for slot in free:
        release_slot(slot)
    session.flush()
    return len(free)
