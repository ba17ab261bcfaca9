"""What a study has promised and paid, so that no cap is passed and nothing is paid twice.

Every payment is a row that goes ``planned → sent → confirmed``, or ``failed`` where the marketplace refused it. It is
``planned`` after the cap was checked and before anything is called, and ``sent`` before the call that moves money, each
in a transaction of its own: wherever a program is killed, the row says what may have happened. A row that stays
``sent`` counts as spent until somebody knows better.

Three kinds of rows::

    assignment   kind     what it is
    none         reward   the promise of one posting: reward and fee of all its places
    a rater's    reward   the reward of that rater, out of the promise
    a rater's    bonus    a payment beyond the reward

    committed = promises + bonuses − rewards that were refused and whose money came back

Only rows that are not ``failed`` count; ``committed ≤ cap`` holds after every transaction. A rater's own reward moves
no sum: it was promised before.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from recon.errors import BudgetError, InputError, UsageError
from study.database import PaymentRow, StudyRow, now
from study.providers.contract import Cost

RELEASED = "released"
"""``provider_reference`` of a reward that was refused and whose money the marketplace gave back."""


@dataclass(frozen=True)
class Budget:
    """Where a study stands, in cents of its currency.

    Attributes:
        cap_cents: what may be committed at most.
        committed_cents: promised, paid or perhaps paid.
        confirmed_cents: of that, what marketplaces confirmed as paid to raters, with fees.
        unsettled: tokens of payments of which nobody knows whether they arrived.
    """

    cap_cents: int
    committed_cents: int
    confirmed_cents: int
    currency: str
    unsettled: tuple[str, ...]


def request_token(study: StudyRow, *parts: str) -> str:
    """64 hexadecimal digits that name one request to a marketplace, the same whenever it is made again.

    They follow from the study's name and file, not from its place in a database: a study that was restored from a
    back-up, or whose database was lost, finds what it posted.
    """
    message = "\0".join((study.name, study.specification_sha256, *parts)).encode()
    return hashlib.sha256(message).hexdigest()


def lock_study(session: Session, study_id: int) -> StudyRow:
    """The study, so that of two programs that spend its money one waits for the other (until the transaction ends)."""
    study = session.scalar(select(StudyRow).where(StudyRow.id == study_id).with_for_update())
    if study is None:
        raise UsageError(f"there is no study with the number {study_id} in this database.")
    return study


def committed_cents(session: Session, study_id: int) -> int:
    """Promises and bonuses that were not refused, less the rewards whose money came back."""
    cents = func.coalesce(func.sum(PaymentRow.amount_cents + PaymentRow.fee_cents), 0)
    alive = PaymentRow.state != "failed"
    promises = _sum(session, cents, study_id, PaymentRow.assignment_id.is_(None), alive)
    bonuses = _sum(session, cents, study_id, PaymentRow.kind == "bonus", PaymentRow.assignment_id.is_not(None), alive)
    returned = _sum(session, cents, study_id, PaymentRow.provider_reference == RELEASED, ~alive)
    return promises + bonuses - returned


def _sum(session: Session, cents: ColumnElement[int], study_id: int, *conditions: ColumnElement[bool]) -> int:
    return session.scalar(select(cents).where(PaymentRow.study_id == study_id, *conditions)) or 0


def budget(session: Session, study: StudyRow) -> Budget:
    """Where ``study`` stands."""
    rows = session.scalars(select(PaymentRow).where(PaymentRow.study_id == study.id)).all()
    paid = [row for row in rows if row.assignment_id is not None and row.state == "confirmed"]
    return Budget(
        cap_cents=study.cap_cents,
        committed_cents=committed_cents(session, study.id),
        confirmed_cents=sum(row.amount_cents + row.fee_cents for row in paid),
        currency=study.currency,
        unsettled=tuple(sorted(row.request_token for row in rows if row.state == "sent")),
    )


@dataclass(frozen=True)
class Wish:
    """Money that is to be set aside under ``token``."""

    token: str
    cost: Cost


def promise(session: Session, study_id: int, wishes: Iterable[Wish]) -> None:
    """Set aside the whole cost of postings, all of them or none; what is set aside already is not counted twice.

    Raises:
        BudgetError: the cap does not allow it.
    """
    study = lock_study(session, study_id)
    for wish in wishes:
        _set_aside(session, study, wish, None, "reward", "")
    _check_cap(session, study)


def resize(session: Session, study_id: int, wish: Wish) -> None:
    """Set another sum aside for a posting: fewer raters came than it had places, or more.

    Raises:
        InputError: nothing was set aside for it.
        BudgetError: the cap does not allow it.
    """
    study = lock_study(session, study_id)
    row = find_payment(session, wish.token)
    if row is None:
        raise InputError(f"nothing was set aside for '{study.name}': launch it first.")
    row.amount_cents, row.fee_cents = wish.cost.amount_cents, wish.cost.fee_cents
    session.flush()
    _check_cap(session, study)


def plan_bonus(session: Session, study_id: int, assignment_id: int, wish: Wish, reference: str) -> PaymentRow:
    """Set aside a bonus; ``reference`` is the marketplace's name of it.

    Raises:
        BudgetError: the cap does not allow it.
    """
    study = lock_study(session, study_id)
    row = _set_aside(session, study, wish, assignment_id, "bonus", reference)
    _check_cap(session, study)
    return row


def plan_reward(session: Session, study_id: int, assignment_id: int, wish: Wish) -> PaymentRow:
    """Note that a rater's reward is to be paid out of its posting's promise."""
    study = lock_study(session, study_id)
    return _set_aside(session, study, wish, assignment_id, "reward", "")


def release_reward(session: Session, study_id: int, assignment_id: int, wish: Wish) -> None:
    """Note that a rater's reward was refused, and that the marketplace keeps its money for us; may be repeated.

    Raises:
        InputError: the reward was paid.
    """
    study = lock_study(session, study_id)
    row = find_payment(session, wish.token)
    if row is not None and row.state == "confirmed":
        raise InputError(f"payment {wish.token[:12]} was confirmed, so its money cannot come back.")
    if row is None:
        row = _set_aside(session, study, wish, assignment_id, "reward", "")
    row.state, row.provider_reference = "failed", RELEASED
    session.flush()


def _set_aside(
    session: Session, study: StudyRow, wish: Wish, assignment_id: int | None, kind: str, reference: str
) -> PaymentRow:
    row = find_payment(session, wish.token)
    if row is None:
        row = PaymentRow(
            study_id=study.id,
            assignment_id=assignment_id,
            kind=kind,
            amount_cents=wish.cost.amount_cents,
            fee_cents=wish.cost.fee_cents,
            currency=study.currency,
            request_token=wish.token,
            provider_reference=reference,
        )
        session.add(row)
    elif row.state in {"planned", "failed"} and row.provider_reference != RELEASED:
        # Nothing was called under this row yet, or it was refused: costs may be others today.
        row.state, row.provider_reference = "planned", reference
        row.amount_cents, row.fee_cents = wish.cost.amount_cents, wish.cost.fee_cents
    session.flush()
    return row


def _check_cap(session: Session, study: StudyRow) -> None:
    from study.costs import money

    committed = committed_cents(session, study.id)
    if committed > study.cap_cents:
        raise BudgetError(
            f"this would bring '{study.name}' to {money(committed, study.currency)}, its cap is "
            f"{money(study.cap_cents, study.currency)}: it was not done. Ask for less, or raise payment.cap, which "
            "can be done until the study is offered."
        )


def find_payment(session: Session, token: str) -> PaymentRow | None:
    """The payment that was made under ``token``."""
    return session.scalar(select(PaymentRow).where(PaymentRow.request_token == token))


def move(session: Session, token: str, before: str, after: str, reference: str | None = None) -> bool:
    """Bring a payment from one state to the next; False where it was not in ``before``, so that of two programs that
    try at once one alone goes on to call."""
    changed: dict[str, object] = {"state": after, "updated_at": now()}
    if reference is not None:
        changed["provider_reference"] = reference
    row = update(PaymentRow).where(PaymentRow.request_token == token, PaymentRow.state == before)
    return session.scalar(row.values(**changed).returning(PaymentRow.id)) is not None


def settle(session: Session, token: str, paid: bool) -> PaymentRow:
    """Say of a payment that stayed ``sent`` whether it arrived, after somebody looked at the marketplace's own page.

    Raises:
        UsageError: there is no such payment, or it is not open.
    """
    rows = session.scalars(select(PaymentRow).where(PaymentRow.request_token.startswith(token, autoescape=True))).all()
    if len(rows) != 1:
        mend = "give more of the token" if rows else "'mesoface study status STUDY --json' lists the unsettled ones"
        raise UsageError(f"{len(rows) or 'no'} payments begin with '{token}': {mend}.")
    if rows[0].state != "sent":
        raise UsageError(f"payment {token[:12]} is {rows[0].state}, so there is nothing to settle.")
    rows[0].state = "confirmed" if paid else "failed"
    session.flush()
    return rows[0]
