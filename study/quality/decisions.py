"""What was decided of sessions: rows are added and never changed, the latest one holds.

The rules decide what nobody decided, and again where their own view has changed; a person's decision stays until a
person changes it. Sessions that were not handed in are not decided, because their raters may come back. What was paid
cannot be taken back by a decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from recon.errors import UsageError
from study.database import AssignmentRow, PaymentRow, QaDecisionRow
from study.engine import reading, transaction
from study.ledger import lock_study
from study.quality.records import Records, find_study, read_records
from study.quality.rules import SUBMITTED, Judgement, judge

RULES = "rules"
"""``decided_by`` of the rules; any other name is a person's."""

PAID = "was paid before this was decided"


@dataclass(frozen=True)
class Decision:
    """What holds of a session."""

    pay: bool
    use: bool
    reasons: tuple[str, ...]
    decided_by: str
    at: datetime


@dataclass(frozen=True)
class Standing:
    """A session: what the rules say, and what was decided (None: nothing yet)."""

    judgement: Judgement
    decision: Decision | None

    @property
    def pay(self) -> bool:
        """As decided, or as the rules would."""
        return self.judgement.pay if self.decision is None else self.decision.pay

    @property
    def use(self) -> bool:
        """Likewise."""
        return self.judgement.use if self.decision is None else self.decision.use

    @property
    def reasons(self) -> tuple[str, ...]:
        """Likewise."""
        return tuple(map(str, self.judgement.reasons)) if self.decision is None else self.decision.reasons


@dataclass(frozen=True)
class Review:
    """A study's sessions by number; ``simulated``: of model raters, who are decided and never paid."""

    study: str
    simulated: bool
    standings: tuple[Standing, ...]


def review(engine: Engine, name: str) -> Review:
    """Every session of the study ``name``, judged by the rules, beside what was decided.

    Raises:
        UsageError, InputError, StudyDatabaseError: see ``study.quality.records.read_records``.
    """
    records = read_records(engine, name)
    with reading(engine) as session:
        held = latest(session, records.study_id)
    standings = (Standing(one, held.get(one.session)) for one in _judged(records))
    return Review(records.study, records.simulated, tuple(standings))


def _judged(records: Records) -> tuple[Judgement, ...]:
    return judge(records.sessions, records.trials, records.rules)


def latest(session: Session, study_id: int) -> dict[int, Decision]:
    """The decision that holds, by number of the assignment; sessions without one are absent."""
    newest = (
        select(func.max(QaDecisionRow.id))
        .join(AssignmentRow, AssignmentRow.id == QaDecisionRow.assignment_id)
        .where(AssignmentRow.study_id == study_id)
        .group_by(QaDecisionRow.assignment_id)
    )
    rows = session.scalars(select(QaDecisionRow).where(QaDecisionRow.id.in_(newest)))
    return {
        row.assignment_id: Decision(row.pay, row.use, tuple(map(str, row.reasons)), row.decided_by, row.created_at)
        for row in rows
    }


def decide_by_rules(engine: Engine, name: str) -> int:
    """Decide every session that was handed in as the rules say; how many decisions were written.

    May be repeated: what is decided so already is not written again, and a person's decision stays.

    Raises:
        UsageError, InputError, StudyDatabaseError: see ``study.quality.records.read_records``.
    """
    records = read_records(engine, name)
    judged = [one for one in _judged(records) if one.finished]
    with transaction(engine) as session:
        lock_study(session, records.study_id)  # two reviews at once, and payments, wait for each other
        held, paid = latest(session, records.study_id), _paid(session, records.study_id)
        written = 0
        for one in judged:
            decision, wanted = held.get(one.session), _by_rules(one, one.session in paid)
            if decision is None or (decision.decided_by == RULES and _of(decision) != _of(wanted)):
                session.add(_row(one.session, wanted))
                written += 1
    return written


def _by_rules(judgement: Judgement, paid: bool) -> QaDecisionRow:
    reasons = [str(reason) for reason in judgement.reasons]
    if paid and not judgement.pay:
        reasons.append(PAID)
    return QaDecisionRow(pay=judgement.pay or paid, use=judgement.use, reasons=reasons, decided_by=RULES)


def _of(decision: Decision | QaDecisionRow) -> tuple[bool, bool, tuple[str, ...]]:
    return decision.pay, decision.use, tuple(decision.reasons)


def _row(assignment_id: int, wanted: QaDecisionRow) -> QaDecisionRow:
    wanted.assignment_id = assignment_id
    return wanted


def decide_by_person(
    engine: Engine, name: str, assignment_id: int, *, pay: bool, use: bool, reason: str, by: str
) -> None:
    """Keep the decision of a person called ``by``; it holds over the rules.

    Raises:
        UsageError: no such study or session, one that was not handed in or was paid already, no reason, or no name.
    """
    if not reason.strip():
        raise UsageError("a decision of yours needs a reason: give --reason.")
    if not by.strip() or by.strip() == RULES:
        raise UsageError(f"'{by}' is no name of a person: say with --by who decides.")
    with transaction(engine) as session:
        study = lock_study(session, find_study(session, name).id)
        row = session.get(AssignmentRow, assignment_id)
        if row is None or row.study_id != study.id:
            raise UsageError(f"the study '{name}' has no session {assignment_id}: 'mesoface study review' lists them.")
        if row.state != SUBMITTED:
            raise UsageError(f"session {assignment_id} was not handed in ({row.state}): wait for its rater.")
        if not pay and assignment_id in _paid(session, study.id):
            raise UsageError(f"session {assignment_id} was paid, which a decision cannot take back: say pay=yes.")
        session.add(
            QaDecisionRow(
                assignment_id=assignment_id, pay=pay, use=use, reasons=[reason.strip()], decided_by=by.strip()
            )
        )


def _paid(session: Session, study_id: int) -> frozenset[int]:
    """Sessions whose reward was sent, or may have been."""
    rows = session.scalars(
        select(PaymentRow.assignment_id).where(
            PaymentRow.study_id == study_id,
            PaymentRow.assignment_id.is_not(None),
            PaymentRow.kind == "reward",
            PaymentRow.state.in_(("sent", "confirmed")),
        )
    )
    return frozenset(number for number in rows if number is not None)
