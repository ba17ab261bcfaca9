"""From a study file to a study that raters can enter; may be killed anywhere and run again, and does nothing twice.

The order: costs and cap are looked at before anything is made, then the pictures, then the whole check with them; then
the study enters the database, and its posting is offered by its provider, whose ledger checks the cap once more before
each call that costs. Progress, pausing and closing are read and written here too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import yaml
from sqlalchemy import Engine, and_, case, delete, func, select

from recon.errors import InputError, UsageError
from recon.progress import Progress
from recon.storage import write_text
from study import ledger
from study.check import check_study
from study.costs import estimate, objections_to_costs
from study.database import (
    STUDY_STATES,
    AssignmentRow,
    HitRow,
    PaymentRow,
    ResponseRow,
    SlotRow,
    StimulusRow,
    StudyRow,
    TrialRow,
    now,
)
from study.engine import open_database, reading, require_schema, schema_version, transaction, upgrade
from study.hosting import server_settings
from study.ledger import Budget
from study.offer import posting_of
from study.providers import PROVIDERS, launching
from study.providers.contract import Posted, Posting, Provider, ProviderSettings
from study.pseudonyms import COMPLETED, SCREENED, secret_key, shared_code
from study.quality.records import find_study
from study.rewards import fit_to_raters
from study.server.registration import enter_study, require_same_file
from study.specification import Specification, read_specification
from study.stimuli import build_stimuli, read_catalogue
from study.stimuli.catalogue import Catalogue

LOCAL_ADDRESS = "http://127.0.0.1:8000/"
FILE = "study.yaml"
TEST = "-test"
"""How the name of a study that only test participants answer ends."""

Step = Literal["offer", "draft", "test", "replace"]
"""Offer a study; make a draft alone; offer a copy to the provider's test participants; or offer the places of rejected
raters again."""

_STEPS: Mapping[Step, Callable[[Engine, Provider, Posting], tuple[Posted, ...]]] = {
    "offer": launching.launch,
    "draft": launching.draft,
    "test": launching.test,
    "replace": launching.replace_rejected,
}


@dataclass(frozen=True)
class Launched:
    """A study that raters can enter.

    Attributes:
        folder: of the study.
        pictures: how many there are; ``gaps`` how many could not be made.
        posted: its parts at the provider.
        address: of its first page.
        completion_code, screen_out_code: that the server must be told (Prolific); else empty.
        budget: what is set aside of the cap.
    """

    name: str
    folder: Path
    provider: str
    pictures: int
    gaps: int
    posted: tuple[Posted, ...]
    address: str
    completion_code: str
    screen_out_code: str
    budget: Budget


def prepared_database(url: str | None) -> Engine:
    """The study database, made where there is none.

    Raises:
        StudyDatabaseError: it cannot be reached, or has the schema of another mesoface.
    """
    engine = open_database(url)
    if schema_version(engine)[0] is None:
        upgrade(engine)
    require_schema(engine)
    return engine


def place_study(file: Path, studies: Path, name: str) -> Path:
    """The study file ``studies/<name>/study.yaml``: that of ``file`` under ``name``, runs named from there.

    Raises:
        InputError: ``file`` cannot be read, or another study lies there.
    """
    target = studies / name / FILE
    specification = read_specification(file)
    if target.exists() and target.samefile(file):
        if specification.name == name:
            return target
        raise InputError(f"'{file}' calls the study '{specification.name}': change that, or leave --name out.")
    record = specification.record()
    runs = [_from_there(file.parent / run, target.parent) if not Path(run).is_absolute() else run
            for run in specification.stimuli.runs]  # fmt: skip
    record |= {"name": name, "stimuli": {**record["stimuli"], "runs": runs}}
    if target.exists():
        if read_specification(target).record() != record:
            raise InputError(f"'{target}' is another study: give this one another --name, or launch that file.")
        return target
    write_text(target, yaml.safe_dump(record, sort_keys=False, allow_unicode=True))
    return target


def place_test(file: Path) -> Path:
    """The study file of the study's test, beside its folder: what test participants answer stays apart.

    Raises:
        InputError: see :func:`place_study`.
    """
    name = read_specification(file).name
    return file if name.endswith(TEST) else place_study(file, file.resolve().parent.parent, f"{name}{TEST}")


def _from_there(run: Path, folder: Path) -> str:
    return Path(os.path.relpath(run.resolve(), folder.resolve())).as_posix()


def launch_study(
    file: Path,
    engine: Engine,
    progress: Progress,
    *,
    address: str = "",
    completion_code: str = "",
    screen_out_code: str = "",
    step: Step = "offer",
    live: bool = False,
    endpoint: str = "",
) -> Launched:
    """Check the study ``file``, make its pictures, enter it, and offer it to raters.

    Args:
        engine: of a migrated database.
        progress: of the pictures.
        address: at which raters reach the server; empty for this machine, which only raters of our own can use.
        completion_code, screen_out_code: that all raters of Prolific hand in; empty for codes of this installation.
        step: how far, and to whom; what test participants answer is a study of its own, beside ``file``.
        live: whether real money may move.
        endpoint: of the provider, where it is not the provider's own.

    Raises:
        InputError: what stands against the study.
        UsageError: the provider needs ``live`` or an address, or does not know this step; or the study is paused.
        BudgetError: the cap does not allow it.
        ProviderError: the provider refused.
    """
    specification = read_specification(file)
    provider_name = specification.payment.provider
    if not address and provider_name != "local":
        raise UsageError(f"raters of '{provider_name}' need the https address of your server: give --url.")
    _refuse(specification.name, objections_to_costs(specification, estimate(specification)))
    # Opened before anything is made: a missing token or package, or test participants, are missed at once.
    provider = PROVIDERS.get(provider_name)(ProviderSettings(live, endpoint, engine))
    if step == "test":
        launching.with_test_participants(provider)
        file = place_test(file)
        specification = read_specification(file)
    name, folder = specification.name, file.parent
    catalogue = _entered(file, specification, engine, progress)
    if provider_name == "prolific":
        key = secret_key()
        completion_code = completion_code or shared_code(key, name, COMPLETED)
        screen_out_code = screen_out_code or shared_code(key, name, SCREENED)
    with reading(engine) as session:
        study = find_study(session, name)
        if study.state != "open":
            mend = f"open it with 'mesoface study resume {name}'" if study.state == "paused" else "give another --name"
            raise UsageError(f"'{name}' is {study.state}, so nobody could enter: {mend}.")
        posting = posting_of(study, address or LOCAL_ADDRESS, description=_description(specification),
                             completion_code=completion_code, screen_out_code=screen_out_code)  # fmt: skip
    posted = _STEPS[step](engine, provider, posting)
    with reading(engine) as session:
        budget = ledger.budget(session, find_study(session, name))
    return Launched(
        name, folder, provider_name, len(catalogue.stimuli), len(catalogue.gaps), posted, posting.url,
        posting.completion_code, posting.screen_out_code, budget,
    )  # fmt: skip


def _entered(file: Path, specification: Specification, engine: Engine, progress: Progress) -> Catalogue:
    """The pictures of the study, which is in the database now."""
    name, folder, payment = specification.name, file.parent, specification.payment
    _require_same_or_never_offered(engine, name, specification.sha256())
    build_stimuli(specification.stimuli_order(folder), folder, progress)
    _refuse(name, check_study(file, simulations=0).objections)
    catalogue = read_catalogue(folder)
    enter_study(engine, server_settings(specification, secret_key()), specification.record(), catalogue.stimuli,
                currency=payment.currency, cap_cents=payment.cap)  # fmt: skip
    return catalogue


def _require_same_or_never_offered(engine: Engine, name: str, digest: str) -> None:
    """Before the pictures of a study that may be served are replaced: its file is the same, or nobody ever saw it.

    A study that its cap or its marketplace kept from being offered is taken out again, so that its file can be mended.

    Raises:
        InputError: the file is another one than that of a study that raters may have seen.
    """
    with transaction(engine) as session:
        study = session.scalar(select(StudyRow).where(StudyRow.name == name))
        if study is None or study.specification_sha256 == digest:
            return
        came = session.scalar(select(AssignmentRow.id).where(AssignmentRow.study_id == study.id).limit(1))
        posted = session.scalar(
            select(HitRow.id).where(HitRow.study_id == study.id, HitRow.provider_id.is_not(None)).limit(1)
        ) or session.scalar(  # or it may be posted, and the answer was lost
            select(PaymentRow.id).where(PaymentRow.study_id == study.id, PaymentRow.state.in_(("sent", "confirmed")))
        )
        # Raters of our own may have a link to what is served without ever having been launched.
        if came is not None or posted is not None or study.provider == "local" or study.simulated:
            require_same_file(study, digest)
        for table in (PaymentRow, HitRow, SlotRow, StimulusRow):
            session.execute(delete(table).where(table.study_id == study.id))
        session.execute(delete(StudyRow).where(StudyRow.id == study.id))


def _refuse(name: str, objections: tuple[str, ...]) -> None:
    if objections:
        count = f" ({len(objections)} in all; see 'mesoface study check')" * (len(objections) > 1)
        raise InputError(f"'{name}' cannot be launched: {objections[0]}{count}")


def _description(specification: Specification) -> str:
    """What raters read before they take it: the consent text's first paragraph."""
    return " ".join(specification.consent.text.strip().split("\n\n")[0].split())


@dataclass(frozen=True)
class Status:
    """Where a study stands.

    Attributes:
        state: ``open``, ``paused`` and so on.
        simulated: its raters are models.
        slots: by state; a lease that ran out counts as free.
        sessions: by state.
        answers: to trials of all kinds.
        postings: at the provider: state, places, address.
        budget: cost against cap.
    """

    name: str
    design: str
    provider: str
    state: str
    simulated: bool
    slots: Mapping[str, int]
    sessions: Mapping[str, int]
    answers: int
    postings: tuple[tuple[str, int, str], ...]
    budget: Budget
    opened_at: datetime | None
    closed_at: datetime | None


def study_status(engine: Engine, name: str) -> Status:
    """Where the study ``name`` stands at this moment.

    Raises:
        UsageError: there is no such study.
        StudyDatabaseError: the database does not answer.
    """
    with reading(engine) as session:
        study = find_study(session, name)
        over = and_(SlotRow.state == "leased", SlotRow.lease_expires_at <= now())
        slot = case((over, "free"), else_=SlotRow.state)
        slots = session.execute(select(slot, func.count()).where(SlotRow.study_id == study.id).group_by(slot)).tuples()
        sessions = session.execute(
            select(AssignmentRow.state, func.count())
            .where(AssignmentRow.study_id == study.id)
            .group_by(AssignmentRow.state)
        ).tuples()
        answers = session.scalar(
            select(func.count(ResponseRow.id))
            .join(TrialRow, ResponseRow.trial_id == TrialRow.id)
            .join(AssignmentRow, TrialRow.assignment_id == AssignmentRow.id)
            .where(AssignmentRow.study_id == study.id)
        )
        hits = session.scalars(select(HitRow).where(HitRow.study_id == study.id).order_by(HitRow.id)).all()
        return Status(
            study.name, study.design, study.provider, study.state, study.simulated,
            dict(slots.all()), dict(sessions.all()), answers or 0,
            tuple((hit.state, hit.assignments, hit.url) for hit in hits), ledger.budget(session, study),
            study.opened_at, study.closed_at,
        )  # fmt: skip


def study_names(engine: Engine) -> tuple[str, ...]:
    """All studies of the database, by name."""
    with reading(engine) as session:
        return tuple(session.scalars(select(StudyRow.name).order_by(StudyRow.name)))


def set_state(engine: Engine, name: str, wanted: str) -> bool:
    """Open, pause or close a study for new raters; those at work may finish. False where it is so already.

    Raises:
        UsageError: there is no such study.
        InputError: it is closed, which is for good.
    """
    if wanted not in STUDY_STATES:
        raise UsageError(f"a study cannot be '{wanted}': it is one of {', '.join(STUDY_STATES)}.")
    with transaction(engine) as session:
        study = find_study(session, name)
        if study.state == wanted:
            return False
        if study.state == "closed":
            raise InputError(f"'{name}' is closed, and its results may be known: launch it under another name.")
        study.state = wanted
        if wanted == "closed":
            study.closed_at = now()
        elif study.opened_at is None:
            study.opened_at = now()
        return True


def close_study(
    engine: Engine, name: str, *, live: bool = False, endpoint: str = ""
) -> tuple[bool, tuple[Posted, ...]]:
    """Close a study here first, then its postings at the provider; may be repeated until both are done.

    Returns:
        Whether it was not closed before, and its postings.

    Raises:
        UsageError: there is no such study, or it was posted to the other place (live, sandbox).
        ProviderError: the provider refused; here it is closed.
    """
    changed = set_state(engine, name, "closed")
    with reading(engine) as session:
        study = find_study(session, name)
        provider, posted = study.provider, session.scalar(select(HitRow.id).where(HitRow.study_id == study.id).limit(1))
    if posted is None:
        return changed, ()
    opened = PROVIDERS.get(provider)(ProviderSettings(live, endpoint, engine))
    closed = launching.close(engine, opened, name)
    if provider == "local":
        fit_to_raters(engine, name)
    return changed, closed
