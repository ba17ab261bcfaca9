"""Pay what was decided: every session with *pay* and no reward yet is approved, every one decided against is rejected.

A session without a decision is left alone: it is neither paid nor rejected by default. So are one that was not handed
in, and one that was imported, whose rater was paid elsewhere. Every step may be killed and run again: marketplaces take
a second approval for the first, and the ledger (``study.ledger``) holds what may have happened. Model raters are never
paid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recon.errors import InputError, OutcomeUnknownError, UsageError
from recon.progress import Progress, no_progress
from study import ledger
from study.database import IMPORTED, AssignmentRow, HitRow, ParticipantRow, PaymentRow, StudyRow
from study.engine import reading, require_schema, transaction
from study.providers import launching, paying
from study.providers.contract import Cost, Posting
from study.providers.places import GONE, REJECTED, standing
from study.quality.decisions import RULES, Decision, latest
from study.quality.records import PSEUDONYM_DIGITS, find_study, rules_of
from study.quality.rules import SUBMITTED, rules_that_withhold

if TYPE_CHECKING:
    from study.providers.contract import Provider

_MAY_BE_OWED = ("training", "active", SUBMITTED)


@dataclass(frozen=True)
class Due:
    """A session and what is to be done.

    Attributes:
        session: number of its assignment; ``rater``: first digits of the pseudonym.
        code: that the rater was shown at the end.
        decision: that holds.
    """

    session: int
    rater: str
    code: str
    decision: Decision


@dataclass(frozen=True)
class Dues:
    """What is to be paid and rejected in a study now, by number of the session.

    Attributes:
        reward_cents: of one rater, as the study file says; fees come on top.
        approve, reject: still to be done; ``paid`` was confirmed before.
        gone: decided, and returned or timed out at the marketplace meanwhile: only a bonus could pay them.
        undecided: sessions that were handed in and are not decided.
        withholding_pay: names of the study's quality rules that withhold pay.
    """

    study: str
    provider: str
    currency: str
    reward_cents: int
    approve: tuple[Due, ...]
    reject: tuple[Due, ...]
    paid: tuple[Due, ...]
    gone: tuple[Due, ...]
    undecided: tuple[int, ...]
    withholding_pay: frozenset[str]


@dataclass(frozen=True)
class Settled:
    """What was done.

    Attributes:
        approved, rejected: sessions.
        failed: sessions and why; the others were done.
        stopped: why nothing further was tried; empty where all was.
    """

    approved: tuple[int, ...]
    rejected: tuple[int, ...]
    failed: dict[int, str]
    stopped: str = ""


def dues(engine: Engine, name: str) -> Dues:
    """What is due in the study ``name``.

    Raises:
        UsageError: there is no such study, or its raters are models.
        StudyDatabaseError: the database cannot be read.
    """
    require_schema(engine)
    with reading(engine) as session:
        study = find_study(session, name)
        if study.simulated:
            raise UsageError(f"the raters of '{name}' are models: nobody is paid.")
        found = _handed_in(session, study.id)
        held = latest(session, study.id)
        confirmed = _confirmed(session, study.id)
        known = [Due(row.id, row_rater[:PSEUDONYM_DIGITS], row.completion_code or "", held[row.id])
                 for row, row_rater in found if row.id in held]  # fmt: skip
        states = {row.id: standing(row) for row, _ in found}
        refused = {number for number, state in states.items() if state == REJECTED}
        gone = {number for number, state in states.items() if state in GONE} - confirmed
        left = [one for one in known if one.session not in confirmed | gone]
        return Dues(
            study=study.name,
            provider=study.provider,
            currency=study.currency,
            reward_cents=int(study.specification.get("payment", {}).get("reward", 0)),
            approve=tuple(one for one in left if one.decision.pay),
            reject=tuple(one for one in left if not one.decision.pay and one.session not in refused),
            paid=tuple(one for one in known if one.session in confirmed),
            gone=tuple(one for one in known if one.session in gone),
            undecided=tuple(row.id for row, _ in found if row.id not in held),
            withholding_pay=rules_that_withhold(rules_of(study.name, study.specification), "pay"),
        )


def _handed_in(session: Session, study_id: int) -> list[tuple[AssignmentRow, str]]:
    rows = session.execute(
        select(AssignmentRow, ParticipantRow.pseudonym)
        .join(ParticipantRow, ParticipantRow.id == AssignmentRow.participant_id)
        .where(AssignmentRow.study_id == study_id, AssignmentRow.state == SUBMITTED, ~ParticipantRow.simulated)
        .where(AssignmentRow.consent_version != IMPORTED)
        .order_by(AssignmentRow.id)
    )
    return [(assignment, pseudonym) for assignment, pseudonym in rows]


def _confirmed(session: Session, study_id: int) -> frozenset[int]:
    rows = session.scalars(
        select(PaymentRow.assignment_id).where(
            PaymentRow.study_id == study_id, PaymentRow.kind == "reward", PaymentRow.state == "confirmed"
        )
    )
    return frozenset(number for number in rows if number is not None)


def settle(engine: Engine, provider: Provider, name: str, progress: Progress = no_progress) -> Settled:
    """Approve and reject what is due in the study ``name``; nothing that was done before is done again.

    One session that fails does not stop the others; a marketplace that does not answer does.

    Args:
        progress: told after each session how many are done.

    Raises:
        UsageError: the study was never launched, is at another place (live, sandbox), or money needs ``live``.
        BudgetError: of our own raters, the cap does not allow their rewards.
        ProviderError: the marketplace refused to tell the state of the study.
    """
    _prepare(engine, provider, dues(engine, name))
    due = dues(engine, name)  # with what the marketplace said of the sessions just now
    approved: list[int] = []
    rejected: list[int] = []
    failed: dict[int, str] = {}
    wanted = [(one, True) for one in due.approve] + [(one, False) for one in due.reject]
    for place, (one, pay) in enumerate(wanted, start=1):
        try:
            if pay:
                paying.approve(engine, provider, one.session)
                approved.append(one.session)
            else:
                paying.reject(engine, provider, one.session, rejection(name, one.decision, due.withholding_pay))
                rejected.append(one.session)
        except OutcomeUnknownError as error:
            failed[one.session] = str(error)
            return Settled(tuple(approved), tuple(rejected), failed, f"{provider.name} did not answer: run it again")
        except InputError as error:
            failed[one.session] = str(error)
        progress(place, len(wanted))
    return Settled(tuple(approved), tuple(rejected), failed)


def give_bonus(engine: Engine, provider: Provider, name: str, number: int, cents: int, reason: str) -> bool:
    """Pay the rater of session ``number`` a bonus of ``cents``, once for each ``reason``; whatever was decided.

    Returns:
        Whether it was paid now; False where it was before.

    Raises:
        UsageError: no such study or session, model raters, no reason, or a study that was never launched.
        BudgetError: the cap does not allow it.
        OutcomeUnknownError: it may have been paid, and the marketplace cannot tell.
        ProviderError: the marketplace refused.
    """
    if not reason.strip():
        raise UsageError("a bonus needs a reason, which the rater reads: give --reason.")
    _prepare_one(engine, provider, name, number)
    return paying.pay_bonus(engine, provider, number, cents, reason.strip(), reason.strip())


def ask_return(engine: Engine, provider: Provider, name: str, number: int, reason: str) -> None:
    """Ask the rater of session ``number``, once, to give the work back: neither paid nor rejected.

    Raises:
        UsageError: no such study or session, no reason, or a provider that has no such thing.
        InputError: it was paid.
        ProviderError: the marketplace refused.
    """
    if not reason.strip():
        raise UsageError("to ask for work back needs a reason, which the rater reads: give --reason.")
    _prepare_one(engine, provider, name, number)
    paying.request_return(engine, provider, number, reason.strip())


def _prepare_one(engine: Engine, provider: Provider, name: str, number: int) -> None:
    """The session is one of the study, and knows its posting."""
    due = dues(engine, name)
    with reading(engine) as session:
        row = session.get(AssignmentRow, number)
        if row is None or row.study_id != find_study(session, name).id:
            raise UsageError(f"the study '{name}' has no session {number}: 'mesoface study review' lists them.")
        _require_posting(session, due.study, provider)
    if provider.name != "local":
        launching.follow(engine, provider, name)


def rejection(name: str, decision: Decision, withholding_pay: frozenset[str]) -> str:
    """What a rater reads: the reasons, and of the rules' decisions that the rules were there before.

    Args:
        withholding_pay: rules that withhold pay; what the others found says nothing to a rater who is not paid.
    """
    told = [one for one in decision.reasons if one.partition(": ")[0] in withholding_pay]
    reasons = "; ".join(told if decision.decided_by == RULES and told else decision.reasons)
    by_rules = "This follows from rules that were fixed before the study began"
    how = by_rules if decision.decided_by == RULES else "A person looked at it and decided this"
    return (
        f"We are sorry that we cannot accept this submission to the study '{name}': {reasons}. {how}. If you think "
        "that it is a mistake, please write to us, and we will look at it again."
    )


def _prepare(engine: Engine, provider: Provider, due: Dues) -> None:
    """Sessions know their postings, and the money of all rewards is set aside."""
    if provider.name == "local":
        _prepare_local(engine, provider, due)
        return
    with reading(engine) as session:
        _require_posting(session, due.study, provider)
    launching.follow(engine, provider, due.study)


def _posting(session: Session, study: str, provider: str) -> HitRow | None:
    """A posting of the study, where it has one."""
    wanted = select(HitRow).join(StudyRow).where(StudyRow.name == study, HitRow.provider == provider)
    return session.scalar(wanted.order_by(HitRow.id).limit(1))


def _require_posting(session: Session, study: str, provider: Provider) -> None:
    if _posting(session, study, provider.name) is None:
        raise UsageError(
            f"'{study}' was never launched on {provider.name}, so no money was set aside for it: "
            "launch it first, with 'mesoface study launch'."
        )


def _prepare_local(engine: Engine, provider: Provider, due: Dues) -> None:
    """Set the rewards of our own raters aside, for as many as the study has places; the cap is checked here."""
    with reading(engine) as session:
        posted = _posting(session, due.study, provider.name)
        study = find_study(session, due.study)
        slots = len(study.slots)
        places = slots if posted is None else posted.assignments
        token = ledger.request_token(study, "posting")
    needed = len(due.paid) + len(due.approve)
    if needed > max(places, slots):
        raise UsageError(
            f"'{due.study}' set rewards aside for {places} raters, and {needed} are to be "
            "paid: decide against the others with 'mesoface study review', and pay them by hand."
        )
    if posted is None and (due.approve or due.reject):
        text = f"Rewards of '{due.study}'"
        posting = Posting(due.study, token, text, text, "", places, due.reward_cents, due.currency)
        launching.launch(engine, provider, posting)
    elif needed > places:  # raters who came back after it was closed
        _set_places(engine, due.study, needed)


def fit_to_raters(engine: Engine, name: str) -> None:
    """Of a closed study of our own: set rewards aside for those who answered or still do, and for nobody else.

    Raises:
        UsageError: there is no such study.
    """
    with reading(engine) as session:
        study = find_study(session, name)
        rows = session.scalars(
            select(AssignmentRow).where(AssignmentRow.study_id == study.id, AssignmentRow.state.in_(_MAY_BE_OWED))
        )
        owed = sum(standing(row) != REJECTED for row in rows)
        posted = _posting(session, name, "local")
        if posted is None or ledger.find_payment(session, posted.request_token) is None:
            return  # nothing was set aside
        places = min(owed, posted.assignments)
    _set_places(engine, name, places)


def _set_places(engine: Engine, name: str, places: int) -> None:
    with transaction(engine) as session:
        study = find_study(session, name)
        posted = _posting(session, name, "local")
        if posted is None:
            raise InputError(f"'{name}' has no posting of our own any more: another program changed the database.")
        reward = int(study.specification.get("payment", {}).get("reward", 0))
        ledger.resize(session, study.id, ledger.Wish(posted.request_token, Cost(places * reward, 0)))
        posted.assignments = places
