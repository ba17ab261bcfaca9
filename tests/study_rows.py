"""A small study in the database, for tests of every part of the room ``study``."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from study.database import AssignmentRow, ParticipantRow, ResponseRow, SlotRow, StudyRow, TrialRow, now
from study.leases import add_slots


def add_study(session: Session, name: str = "trial", slots: int = 3, **changed: Any) -> StudyRow:
    """A study that is open, with free slots."""
    fields: dict[str, Any] = {
        "name": name,
        "design": "split-face",
        "specification": {"design": "split-face", "wording": {"question": "Echt? — ∂'本物"}},
        "specification_sha256": "0" * 64,
        "made_with": "test",
        "seed": 1,
        "provider": "local",
        "state": "open",
        "cap_cents": 1000,
    }
    study = StudyRow(**{**fields, **changed})
    session.add(study)
    session.flush()
    add_slots(session, study.id, slots)
    session.flush()
    return study


def add_assignment(session: Session, study: StudyRow, slot: SlotRow | None, pseudonym: str = "a" * 64) -> AssignmentRow:
    """A rater who consented and sits in ``slot``."""
    participant = ParticipantRow(study_id=study.id, provider="local", pseudonym=pseudonym, simulated=study.simulated)
    session.add(participant)
    session.flush()
    assignment = AssignmentRow(
        study_id=study.id,
        participant_id=participant.id,
        slot_id=None if slot is None else slot.id,
        provider="local",
        consent_version="1",
        consented_at=now(),
    )
    session.add(assignment)
    session.flush()
    return assignment


def add_response(session: Session, assignment: AssignmentRow, index: int, uuid: str) -> ResponseRow:
    """A trial of two pictures, and the answer to it."""
    trial = TrialRow(
        assignment_id=assignment.id, index=index, part="main", question="which", shown=["1" * 64, "2" * 64]
    )
    session.add(trial)
    session.flush()
    response = ResponseRow(
        trial_id=trial.id,
        client_uuid=uuid,
        answer={"choice": 1},
        correct=None,
        reaction_ms=1234,
        viewport_width=1280,
        viewport_height=720,
        device_pixel_ratio=1.5,
    )
    session.add(response)
    session.flush()
    return response
