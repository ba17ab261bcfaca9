"""Post a study, follow it, close it: each step may be killed anywhere and run again, and posts nothing twice.

The order for every part of a posting is: set its whole cost aside in the ledger (the cap is checked here), look for it
at the provider by its token, draft it, note that it is being published, publish it, note that it was.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recon.errors import OutcomeUnknownError, ProviderError, UsageError
from study import ledger
from study.database import AssignmentRow, HitRow, PaymentRow, StudyRow
from study.engine import reading, transaction
from study.providers import places
from study.providers.contract import HasTestParticipants, Posted
from study.quality.records import find_study

if TYPE_CHECKING:
    from study.providers.contract import Posting, Provider, Submission


@dataclass(frozen=True)
class Progress:
    """What the provider says of a study's raters.

    Attributes:
        counts: submissions by their state.
        unknown: submissions of raters who never reached our server.
    """

    counts: dict[str, int]
    unknown: int


def launch(engine: Engine, provider: Provider, posting: Posting) -> tuple[Posted, ...]:
    """Offer a study to raters, or go on where an earlier launch was cut off.

    Raises:
        BudgetError: the cap does not allow all of it; nothing was called that costs.
        UsageError: there is no such study, or it was posted to the other place (live, sandbox).
        ProviderError: the provider refused; parts that were published before stay published.
    """
    with reading(engine) as session:
        _check_study(find_study(session, posting.study), provider)
    parts = provider.parts(posting)
    wishes = [ledger.Wish(part.token, provider.cost(part)) for part in parts]
    with transaction(engine) as session:
        study = find_study(session, posting.study)
        for part in parts:
            _note_posting(session, study, provider, part)
        ledger.promise(session, study.id, wishes)
    return tuple(_launch_part(engine, provider, part) for part in parts)


def draft(engine: Engine, provider: Provider, posting: Posting) -> tuple[Posted, ...]:
    """Make what nobody sees and nothing costs, where the provider has such a thing; ``launch`` goes on from there."""
    with reading(engine) as session:
        _check_study(find_study(session, posting.study), provider)
    parts = provider.parts(posting)
    with transaction(engine) as session:
        for part in parts:
            _note_posting(session, find_study(session, posting.study), provider, part)
    made = tuple(provider.create(part) for part in parts)
    for posted in made:
        _note_state(engine, posted)
    return made


def with_test_participants(provider: Provider) -> HasTestParticipants:
    """The provider, which has test participants.

    Raises:
        UsageError: it has none.
    """
    if isinstance(provider, HasTestParticipants):
        return provider
    mend = "its sandbox is for that: leave --live out" if provider.has_sandbox else "open the study yourself"
    raise UsageError(f"'{provider.name}' has no test participants: {mend}.")


def test(engine: Engine, provider: Provider, posting: Posting) -> tuple[Posted, ...]:
    """Offer a study to the provider's test participants, once; costs nothing.

    Raises:
        UsageError: the provider has none.
        ProviderError: the provider refused.
    """
    tested = with_test_participants(provider)
    (drafted,) = draft(engine, provider, posting)
    if drafted.state != "draft":
        raise UsageError(f"'{posting.study}' was offered to raters before: test a study of another name.")
    with transaction(engine) as session:
        study = find_study(session, posting.study)
        token = ledger.request_token(study, "test")
        copy = replace(posting, token=token)
        _note_posting(session, study, provider, copy)
        row = session.scalars(select(HitRow).where(HitRow.request_token == token)).one()
        if row.provider_id is not None:
            return (Posted(row.provider_id, token, "open", row.assignments, row.url),)
    posted = replace(tested.test_study(posting), token=token)
    _note_state(engine, posted)
    return (posted,)


def _launch_part(engine: Engine, provider: Provider, part: Posting) -> Posted:
    posted = provider.find(part.token)
    first = False
    if posted is None or posted.state == "draft":
        posted = provider.create(part)
        _note_state(engine, posted)
    if posted.state == "draft":
        with transaction(engine) as session:
            first = ledger.move(session, part.token, "planned", "sent")
        try:
            posted = provider.publish(part)
        except OutcomeUnknownError:
            raise  # it may be there: the money stays set aside, and the next launch looks
        except (ProviderError, UsageError):
            if first:  # refused, and never called before: nothing can have been published
                with transaction(engine) as session:
                    ledger.move(session, part.token, "sent", "failed")
            raise
    with transaction(engine) as session:
        # It is there, whatever was thought before: its money counts.
        for before in ("planned", "sent", "failed"):
            ledger.move(session, part.token, before, "confirmed", posted.provider_id)
    _note_state(engine, posted)
    return posted


def _note_posting(session: Session, study: StudyRow, provider: Provider, part: Posting) -> None:
    row = session.scalar(select(HitRow).where(HitRow.request_token == part.token))
    if row is None:
        row = HitRow(study_id=study.id, provider=provider.name, request_token=part.token, assignments=part.places)
        row.state, row.live = "planned", provider.live
        session.add(row)
        session.flush()
    if row.state in {"planned", "draft"}:
        row.live = provider.live  # nobody saw it yet
    check_place(study.name, row, provider)


def check_place(study: str, row: HitRow, provider: Provider) -> None:
    """Nothing where ``provider`` is the place to which a posting went: of real money, or the sandbox.

    Raises:
        UsageError: it is the other one.
    """
    if provider.has_sandbox and row.live != provider.live:
        place, mend = ("live", "give --live") if row.live else ("in the sandbox", "leave --live out")
        raise UsageError(f"'{study}' was posted {place}: {mend}, or make a study of another name.")


def _note_state(engine: Engine, posted: Posted) -> None:
    with transaction(engine) as session:
        row = session.scalar(select(HitRow).where(HitRow.request_token == posted.token))
        if row is not None:
            row.state = posted.state
            row.provider_id = posted.provider_id or row.provider_id
            row.url = posted.url or row.url


def replace_rejected(engine: Engine, provider: Provider, posting: Posting, most: int = 9) -> tuple[Posted, ...]:
    """Offer the places of rejected raters again, where the provider does not do so itself; may be repeated.

    They go into postings of their own, of at most ``most`` places: Mechanical Turk does not let a HIT of nine
    assignments grow, and takes more for larger ones. Their money is what the rejections gave back, and whoever takes
    them gets the slots of those who were rejected.

    Raises:
        UsageError: the study was never launched.
        BudgetError, ProviderError: see :func:`launch`.
    """
    if provider.rejection_reopens:
        return ()
    if not _posted_ids(engine, provider, posting.study):
        raise UsageError(f"'{posting.study}' was never launched on {provider.name}: launch it first.")
    with transaction(engine) as session:
        study = find_study(session, posting.study)
        places.reopen(session, study.id, rejected=True)
        rejected = session.scalars(
            select(PaymentRow.id).where(
                PaymentRow.study_id == study.id, PaymentRow.provider_reference == ledger.RELEASED
            )
        ).all()
        offered: list[tuple[str, int]] = []
        for number in itertools.count():  # those that were begun, finished or not
            token = ledger.request_token(study, "replacement", str(number))
            hit = session.scalar(select(HitRow).where(HitRow.request_token == token))
            left = len(rejected) - sum(count for _, count in offered)
            if hit is None and left <= 0:
                break
            offered.append((token, min(most, left) if hit is None else hit.assignments))
    again = (replace(posting, token=token, places=count) for token, count in offered)
    return tuple(posted for part in again for posted in launch(engine, provider, part))


def close(engine: Engine, provider: Provider, study: str) -> tuple[Posted, ...]:
    """Take no more raters. What was set aside stays so: raters at work are still paid."""
    closed = []
    for posting_id in _posted_ids(engine, provider, study):
        posted = provider.close(posting_id)
        closed.append(posted)
        with transaction(engine) as session:
            row = session.scalar(
                select(HitRow).where(HitRow.provider == provider.name, HitRow.provider_id == posting_id)
            )
            if row is not None:
                row.state = posted.state
    return tuple(closed)


def follow(engine: Engine, provider: Provider, study: str) -> Progress:
    """Bring ``provider_state`` of every session up to what the provider says, and keep its raters from coming again.

    Slots of raters whose places the provider offers to others are free again.
    """
    counts: dict[str, int] = {}
    unknown = 0
    for posting_id in _posted_ids(engine, provider, study):
        found = list(provider.submissions(posting_id))
        provider.exclude(study, _newcomers(engine, provider, found))
        with transaction(engine) as session:
            hit = session.scalar(
                select(HitRow).where(HitRow.provider == provider.name, HitRow.provider_id == posting_id)
            )
            for submission in found:
                counts[submission.state] = counts.get(submission.state, 0) + 1
                unknown += not _note_submission(session, provider, submission, hit)
    if provider.name != "local":
        with transaction(engine) as session:
            places.reopen(session, find_study(session, study).id, rejected=provider.rejection_reopens)
    return Progress(counts, unknown)


def _newcomers(engine: Engine, provider: Provider, found: list[Submission]) -> list[str]:
    """Raters of whom we did not hear before; noted as heard of only after they are excluded."""
    with reading(engine) as session:
        known = set(
            session.scalars(
                select(AssignmentRow.provider_assignment_id).where(
                    AssignmentRow.provider == provider.name, AssignmentRow.provider_state != ""
                )
            )
        )
    new = [submission for submission in found if submission.provider_id not in known]
    return [submission.participant for submission in new if submission.participant]


def _note_submission(session: Session, provider: Provider, submission: Submission, hit: HitRow | None) -> bool:
    if provider.name == "local":  # its submissions are our rows
        return True
    row = session.scalar(
        select(AssignmentRow).where(
            AssignmentRow.provider == provider.name, AssignmentRow.provider_assignment_id == submission.provider_id
        )
    )
    if row is None:
        return False
    row.provider_state = submission.provider_state
    if hit is not None:
        row.hit_id = hit.id
    return True


def _posted_ids(engine: Engine, provider: Provider, study: str) -> list[str]:
    with reading(engine) as session:
        rows = session.scalars(
            select(HitRow)
            .where(HitRow.study_id == find_study(session, study).id, HitRow.provider == provider.name)
            .where(HitRow.provider_id.is_not(None))
            .order_by(HitRow.id)
        ).all()
        for row in rows:
            check_place(study, row, provider)
        return [row.provider_id for row in rows if row.provider_id]


def _check_study(study: StudyRow, provider: Provider) -> None:
    if study.provider != provider.name:
        raise UsageError(f"the raters of '{study.name}' come from '{study.provider}', not from '{provider.name}'.")
    if study.simulated and provider.name != "local":
        raise UsageError(f"'{study.name}' is answered by models: it is never offered to people.")
