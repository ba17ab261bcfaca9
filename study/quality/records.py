"""The sessions of a study as the rules of quality read them. No marketplace's id of a rater is among it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recon.errors import InputError, UsageError
from study.contract import Page
from study.database import AssignmentRow, ParticipantRow, ResponseRow, StudyRow, TrialRow, WorkerContactRow
from study.designs import DESIGNS
from study.engine import reading, require_schema
from study.quality.measures import SESSIONS, TRIALS
from study.quality.readings import read
from study.specification import QualityBlock

if TYPE_CHECKING:
    import pandas as pd

PSEUDONYM_DIGITS = 12
"""So many digits of a pseudonym are shown: enough to tell raters apart."""

_SIGNATURE = (
    "screen_width", "screen_height", "viewport_width", "viewport_height", "device_pixel_ratio", "colour_depth", "zoom",
    "touch",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Records:
    """A study, its rules, and the frames of ``study.quality.measures``."""

    study_id: int
    study: str
    simulated: bool
    rules: QualityBlock
    sessions: pd.DataFrame
    trials: pd.DataFrame


def find_study(session: Session, name: str) -> StudyRow:
    """The row of the study ``name``.

    Raises:
        UsageError: there is none.
    """
    study = session.scalar(select(StudyRow).where(StudyRow.name == name))
    if study is None:
        known = ", ".join(session.scalars(select(StudyRow.name).order_by(StudyRow.name))) or "none"
        raise UsageError(f"there is no study '{name}' in this database; it has: {known}.")
    return study


def read_records(engine: Engine, name: str) -> Records:
    """All sessions of the study ``name`` as they stand now.

    Raises:
        UsageError: there is no such study.
        InputError: the study was entered with rules that this mesoface does not know.
        StudyDatabaseError: the database cannot be read.
    """
    require_schema(engine)
    with reading(engine) as session:
        study = find_study(session, name)
        page = DESIGNS.get(study.design).page
        return Records(
            study_id=study.id,
            study=study.name,
            simulated=study.simulated,
            rules=rules_of(study.name, study.specification),
            sessions=_sessions(session, study.id),
            trials=_trials(session, study.id, page),
        )


def rules_of(name: str, specification: Mapping[str, Any]) -> QualityBlock:
    """The rules of a stored study file; the defaults where it says nothing.

    Raises:
        InputError: they are not those of this version.
    """
    try:
        # As JSON, in which a list may stand for a tuple.
        return QualityBlock.model_validate_json(json.dumps(specification.get("quality", {})))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"the quality rules of the study '{name}' cannot be read ({'.'.join(map(str, first['loc']))}: "
            f"{first['msg']}): review it with the mesoface that launched it."
        ) from error


def _sessions(session: Session, study_id: int) -> pd.DataFrame:
    import pandas as pd

    rows = session.execute(
        select(AssignmentRow, ParticipantRow, WorkerContactRow.raw_id)
        .join(ParticipantRow, ParticipantRow.id == AssignmentRow.participant_id)
        .outerjoin(WorkerContactRow, WorkerContactRow.participant_id == ParticipantRow.id)
        .where(AssignmentRow.study_id == study_id)
        .order_by(AssignmentRow.id)
    ).all()
    # One pseudonym is one person. A changed key makes two of one person: as long as the ids are kept, that is seen.
    people: dict[tuple[str, str], int] = {}
    found = [
        (
            assignment.id,
            participant.pseudonym[:PSEUDONYM_DIGITS],
            participant.id if raw_id is None else people.setdefault((participant.provider, raw_id), participant.id),
            assignment.state,
            assignment.started_at,
            _signature(assignment.screen),
        )
        for assignment, participant, raw_id in rows
    ]
    return pd.DataFrame(found, columns=list(SESSIONS))


def _signature(screen: Mapping[str, Any] | None) -> str:
    """Of a screen; equal for equal ones. A hint at most: many raters have the same."""
    if not screen:
        return ""
    text = json.dumps([screen.get(name) for name in _SIGNATURE])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _trials(session: Session, study_id: int, page: Page) -> pd.DataFrame:
    import pandas as pd

    rows = session.execute(
        select(
            TrialRow.assignment_id, TrialRow.index, TrialRow.part, TrialRow.shown,
            ResponseRow.answer, ResponseRow.correct, ResponseRow.reaction_ms,
        )
        .join(AssignmentRow, AssignmentRow.id == TrialRow.assignment_id)
        .outerjoin(ResponseRow, ResponseRow.trial_id == TrialRow.id)
        .where(AssignmentRow.study_id == study_id)
    )  # fmt: skip
    return pd.DataFrame([_trial(page, *row) for row in rows], columns=list(TRIALS)).astype(
        {"answered": bool, "correct": float, "reaction_ms": float, "place": float, "straight": bool,
         "first_kind": float, "judgements": int}
    )  # fmt: skip


def _trial(
    page: Page, number: int, index: int, part: str, shown: list[Any], answer: dict[str, Any] | None,
    correct: bool | None, reaction_ms: int | None,
) -> tuple[Any, ...]:  # fmt: skip
    if answer is None:
        return number, index, part, False, math.nan, math.nan, "", 0, math.nan, 0, False, math.nan, 0
    seen = read(page, len(shown), answer)
    right = math.nan if correct is None else float(correct)
    return (
        number, index, part, True, right, reaction_ms, seen.key, seen.answers, seen.place, seen.places, seen.straight,
        seen.first_kind, seen.judgements,
    )  # fmt: skip
