"""Approve, reject, and pay bonuses: each rater once, and never past the cap, wherever a program is killed.

Rewards may be approved again and again: marketplaces take the second time for the first. Bonuses may not, so a bonus
whose outcome is unknown is looked up before anything is sent again; where a marketplace cannot tell, it stays
``sent`` and counts as spent until somebody says what happened (``study.ledger.settle``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from recon.errors import InputError, OutcomeUnknownError, ProviderError, UsageError
from study import ledger
from study.database import AssignmentRow, HitRow, PaymentRow, StudyRow, WorkerContactRow
from study.engine import reading, transaction
from study.providers import places
from study.providers.contract import AsksForReturns, Bonus, Cost
from study.providers.launching import check_place

if TYPE_CHECKING:
    from study.providers.contract import Provider


@dataclass(frozen=True)
class _Rater:
    """What must be known of a session to pay it."""

    study_id: int
    assignment_id: int
    submission_id: str
    posting_id: str
    participant: str
    reward: ledger.Wish
    bonus_paid_cents: int


def approve(engine: Engine, provider: Provider, assignment_id: int) -> None:
    """Pay the reward of a session out of its posting's promise; nothing where it was paid.

    Raises:
        ProviderError: the provider refused; ``OutcomeUnknownError`` where it may have done it: run it again.
        InputError: the session is not one of this provider's, or its money was never set aside.
    """
    rater = _read(engine, provider, assignment_id)
    with transaction(engine) as session:
        row = ledger.plan_reward(session, rater.study_id, assignment_id, rater.reward)
        if row.state == "confirmed":
            return
        if row.provider_reference == ledger.RELEASED:
            raise InputError(f"session {assignment_id} was rejected and its money came back: pay it with a bonus.")
        first = ledger.move(session, rater.reward.token, "planned", "sent")
    try:
        provider.approve(rater.submission_id)
    except OutcomeUnknownError:
        raise
    except (ProviderError, UsageError):
        if first:
            _move(engine, rater.reward.token, "sent", "failed")
        raise
    _move(engine, rater.reward.token, "sent", "confirmed", rater.submission_id)
    with transaction(engine) as session:
        session.get_one(AssignmentRow, assignment_id).provider_state = "approved"


def reject(engine: Engine, provider: Provider, assignment_id: int, reason: str) -> None:
    """Refuse the reward of a session, with a reason that its rater reads; nothing where it was refused.

    Raises:
        ProviderError: the provider refused; ``OutcomeUnknownError`` where it may have done it: run it again.
        InputError: the session is not one of this provider's, or it was paid.
    """
    rater = _read(engine, provider, assignment_id)
    with reading(engine) as session:
        row = ledger.find_payment(session, rater.reward.token)
        if row is not None and row.state in {"sent", "confirmed"}:
            raise InputError(f"session {assignment_id} was approved, or may have been, so it cannot be rejected.")
    provider.reject(rater.submission_id, reason)
    with transaction(engine) as session:
        session.get_one(AssignmentRow, assignment_id).provider_state = places.REJECTED
        if provider.rejection_reopens:
            places.reopen(session, rater.study_id, rejected=True)
        else:
            ledger.release_reward(session, rater.study_id, assignment_id, rater.reward)


def request_return(engine: Engine, provider: Provider, assignment_id: int, reason: str) -> None:
    """Ask the rater of a session to give the work back, instead of rejecting it; asked once.

    Raises:
        UsageError: the provider has no such thing.
        ProviderError: the provider refused.
        InputError: the session is not one of this provider's, or it was paid.
    """
    if not isinstance(provider, AsksForReturns):
        raise UsageError(f"'{provider.name}' cannot ask for work back: decide with 'mesoface study review'.")
    rater = _read(engine, provider, assignment_id)
    with reading(engine) as session:
        row = ledger.find_payment(session, rater.reward.token)
        if row is not None and row.state in {"sent", "confirmed"}:
            raise InputError(f"session {assignment_id} was paid, or may have been: there is nothing to give back.")
    provider.request_return(rater.submission_id, [reason])


def pay_bonus(engine: Engine, provider: Provider, assignment_id: int, cents: int, reason: str, purpose: str) -> bool:
    """Pay a bonus once for each ``purpose``; False where it was paid before.

    Args:
        cents: that the rater gets.
        reason: read by the rater.
        purpose: what it is for; two bonuses of one session have two purposes.

    Raises:
        BudgetError: the cap does not allow it.
        OutcomeUnknownError: it may have been paid, and the provider cannot tell.
        ProviderError: the provider refused.
    """
    if cents <= 0:
        raise UsageError("a bonus must be at least one cent.")
    rater = _read(engine, provider, assignment_id)
    with reading(engine) as session:
        study = session.get_one(StudyRow, rater.study_id)
        token = ledger.request_token(study, "bonus", provider.name, rater.submission_id, purpose)
    bonus = Bonus(
        token, rater.posting_id, rater.submission_id, rater.participant, cents, reason, rater.bonus_paid_cents
    )
    if not _may_send(engine, provider, assignment_id, bonus):
        return False
    prepared = provider.prepare_bonus(bonus)
    with transaction(engine) as session:
        wish = ledger.Wish(token, prepared.cost)
        row = ledger.plan_bonus(session, rater.study_id, assignment_id, wish, prepared.reference)
        if row.amount_cents != cents:
            raise UsageError(
                f"the bonus '{purpose}' of session {assignment_id} was begun with {row.amount_cents} cents."
            )
        reference = row.provider_reference
        first = ledger.move(session, token, "planned", "sent")
        if not first and row.state != "sent":
            return False  # another program was faster
    try:
        provider.pay_bonus(bonus, reference)
    except OutcomeUnknownError:
        raise
    except (ProviderError, UsageError):
        if first:
            _move(engine, token, "sent", "failed")
        raise
    _move(engine, token, "sent", "confirmed")
    return True


def _may_send(engine: Engine, provider: Provider, assignment_id: int, bonus: Bonus) -> bool:
    """Whether the bonus is still to be sent; what is open is looked up at the provider first."""
    with reading(engine) as session:
        open_rows = session.scalars(
            select(PaymentRow).where(
                PaymentRow.assignment_id == assignment_id, PaymentRow.kind == "bonus", PaymentRow.state == "sent"
            )
        ).all()
        others = [row.request_token for row in open_rows if row.request_token != bonus.token]
        row = ledger.find_payment(session, bonus.token)
        state = "" if row is None else row.state
        reference = "" if row is None else row.provider_reference
    if others:
        raise OutcomeUnknownError(
            f"session {assignment_id} has a bonus of which nobody knows whether it arrived ({others[0][:12]}): "
            "look at the marketplace, and settle it first."
        )
    if state == "confirmed":
        return False
    if state != "sent":
        return True
    paid = provider.bonus_was_paid(bonus, reference)
    if paid is None:
        raise OutcomeUnknownError(
            f"nobody knows whether payment {bonus.token[:12]} arrived: look at the marketplace, and settle it."
        )
    if paid:
        _move(engine, bonus.token, "sent", "confirmed")
    return not paid


def _read(engine: Engine, provider: Provider, assignment_id: int) -> _Rater:
    with reading(engine) as session:
        row = session.get(AssignmentRow, assignment_id)
        if row is None or row.provider != provider.name:
            raise InputError(f"there is no session {assignment_id} of raters from '{provider.name}'.")
        submission = f"local-{row.id}" if provider.name == "local" else row.provider_assignment_id
        if not submission:
            raise InputError(f"session {assignment_id} has no name at '{provider.name}', so it cannot be paid.")
        study = session.get_one(StudyRow, row.study_id)
        hit = _hit(session, row, provider.name)
        check_place(study.name, hit, provider)
        contact = session.scalar(select(WorkerContactRow).where(WorkerContactRow.participant_id == row.participant_id))
        if provider.name == "mturk" and contact is None:
            raise InputError(f"the id of the rater of session {assignment_id} was erased: nobody can be paid any more.")
        token = ledger.request_token(study, "reward", provider.name, submission)
        return _Rater(
            study_id=study.id,
            assignment_id=row.id,
            submission_id=submission,
            posting_id=hit.provider_id or "",
            participant="" if contact is None else contact.raw_id,
            reward=ledger.Wish(token, _share(session, study, hit)),
            bonus_paid_cents=_bonuses(session, row.id),
        )


def _hit(session: Session, row: AssignmentRow, provider: str) -> HitRow:
    """The posting of a session; where the session does not say, the study's only one."""
    if row.hit_id is not None:
        return session.get_one(HitRow, row.hit_id)
    hits = session.scalars(select(HitRow).where(HitRow.study_id == row.study_id, HitRow.provider == provider)).all()
    if len(hits) != 1:
        raise InputError(f"session {row.id} belongs to none of {len(hits)} postings: bring the study up to date first.")
    return hits[0]


def _share(session: Session, study: StudyRow, hit: HitRow) -> Cost:
    """One place of a promise; broken cents are left out, so that what comes back is never more than was set aside."""
    promise = ledger.find_payment(session, hit.request_token)
    if promise is None or promise.state == "failed":
        raise InputError("the money of this study was never set aside: launch it first.")
    payment = study.specification.get("payment", {})
    screened = payment.get("screen_out", 0) * payment.get("screen_out_raters", 0)  # of the promise, and no reward
    rewards = promise.amount_cents - screened
    count = max(1, hit.assignments)  # a study of our own that was closed before anybody came keeps none
    fees = promise.fee_cents * rewards // max(1, promise.amount_cents)
    return Cost(rewards // count, fees // count)


def _bonuses(session: Session, assignment_id: int) -> int:
    paid = select(func.coalesce(func.sum(PaymentRow.amount_cents), 0)).where(
        PaymentRow.assignment_id == assignment_id, PaymentRow.kind == "bonus", PaymentRow.state == "confirmed"
    )
    return session.scalar(paid) or 0


def _move(engine: Engine, token: str, before: str, after: str, reference: str | None = None) -> None:
    with transaction(engine) as session:
        ledger.move(session, token, before, after, reference)
