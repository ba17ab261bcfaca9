"""A study enters the database: its row, its stimuli, its slots; once, whatever is repeated."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Engine, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from recon import __version__
from recon.errors import InputError
from study.contract import Stimulus
from study.database import StimulusRow, StudyRow, now
from study.engine import transaction
from study.leases import add_slots
from study.pseudonyms import KEY_VARIABLE, key_check
from study.server.settings import ServerSettings
from study.specification import specification_from


def enter_study(
    engine: Engine,
    settings: ServerSettings,
    specification: Mapping[str, Any],
    stimuli: Sequence[Stimulus],
    *,
    simulated: bool = False,
    currency: str = "USD",
    cap_cents: int = 0,
    new_key: bool = False,
) -> int:
    """Number of the study's row; the study is open afterwards, unless somebody paused or closed it.

    Several machines may enter the same study at the same moment.

    Args:
        engine: of a migrated database.
        settings: name, design, provider, slots and seed.
        specification: the study file as validated, every default written out; JSON.
        stimuli: that its trials may show.
        simulated: its raters are models.
        currency: of its payments, ISO 4217; ``cap_cents``: what it may cost.
        new_key: the key that it was entered with is lost, and that of ``settings`` takes its place.

    Raises:
        InputError: what stands against the design with these stimuli, a study of this name that is another one, or that
            was entered with another key.
    """
    problems = settings.design.check(settings.design_settings, stimuli)
    if problems:
        raise InputError(f"the study '{settings.study}' cannot run: {' '.join(problems)}")
    text = json.dumps(specification, sort_keys=True, ensure_ascii=False, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    check = key_check(settings.key, settings.study)

    def enter() -> int:
        with transaction(engine) as session:
            study = session.scalar(select(StudyRow).where(StudyRow.name == settings.study).with_for_update())
            if study is None:
                study = StudyRow(
                    name=settings.study,
                    design=settings.design.name,
                    specification=json.loads(text),
                    specification_sha256=digest,
                    made_with=f"mesoface {__version__}",
                    seed=settings.design_settings.seed,
                    provider=settings.provider,
                    state="open",
                    simulated=simulated,
                    currency=currency,
                    cap_cents=cap_cents,
                    opened_at=now(),
                    key_check=check,
                )
                _add(session, study, stimuli, settings.design_settings.raters)
                return study.id
            _same(session.scalars(select(StimulusRow).filter_by(study_id=study.id)).all(), study, digest, stimuli)
            if study.simulated != simulated:
                kind = "model raters" if study.simulated else "people"
                raise InputError(f"the study '{study.name}' is one of {kind}: give this one another name.")
            if not new_key:
                _require_same_key(study, check)
            study.key_check = check
            if study.state == "draft":
                study.state, study.opened_at = "open", now()
            return study.id

    try:
        return enter()
    except IntegrityError:  # another machine was first: what it has entered is found now
        return enter()


def _add(session: Session, study: StudyRow, stimuli: Sequence[Stimulus], slots: int) -> None:
    session.add(study)
    session.flush()
    session.add_all(_row(study.id, stimulus) for stimulus in stimuli)
    add_slots(session, study.id, slots)


def _require_same_key(study: StudyRow, check: str) -> None:
    """A second key would make a second rater of everybody who comes again, and codes that nobody knows.

    Raises:
        InputError: ``check`` is not of the key that ``study`` was entered with.
    """
    if study.key_check not in (None, check):
        raise InputError(
            f"the study '{study.name}' was entered with another secret key than this machine's, so its raters would "
            f"not be known here: give {KEY_VARIABLE} what stands in 'study.key' in the mesoface home of the machine "
            "that entered it, or, where that is lost, serve it with --new-key."
        )


def _row(study_id: int, stimulus: Stimulus) -> StimulusRow:
    fields = {name: getattr(stimulus, name) for name in Stimulus.__dataclass_fields__}
    return StimulusRow(study_id=study_id, **fields)


def require_same_file(study: StudyRow, digest: str) -> None:
    """Answers to one study file must not be mixed with answers to another.

    A later mesoface may know more fields than the one that entered the study: a file says the same when it does with
    their defaults.

    Raises:
        InputError: ``digest`` is not the sha256 of the study file that ``study`` was entered with.
    """
    if digest not in (study.specification_sha256, _as_read_now(study)):
        raise InputError(
            f"the study '{study.name}' was entered with another study file: give the changed one another name."
        )


def _as_read_now(study: StudyRow) -> str:
    """sha256 of the stored study file with the fields that this mesoface knows; empty where it cannot read it."""
    try:
        return specification_from(study.specification).sha256()
    except InputError:
        return ""


def _same(rows: Sequence[StimulusRow], study: StudyRow, digest: str, stimuli: Sequence[Stimulus]) -> None:
    require_same_file(study, digest)
    if {row.sha256 for row in rows} != {stimulus.sha256 for stimulus in stimuli}:
        raise InputError(f"the study '{study.name}' was entered with other stimuli: give this one another name.")
