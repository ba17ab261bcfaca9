"""Raters of our own: a link, a list of signed links, or a screen in the laboratory. The default.

The study database is this provider's only memory: a posting is a row of ``hit``, a submission a row of ``assignment``,
and approving or rejecting one writes its ``provider_state``. Money goes from hand to hand, outside of this program:
the ledger counts it against the cap, and ``pay_bonus`` has nothing to call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from recon.errors import ProviderError, UsageError
from study.database import AssignmentRow, HitRow, ParticipantRow, StudyRow
from study.engine import reading, transaction
from study.providers.contract import (
    Bonus,
    Cost,
    Posted,
    Posting,
    PostingState,
    PreparedBonus,
    ProviderSettings,
    Submission,
    SubmissionState,
)
from study.providers.fees import FEES

_STATES: dict[str, PostingState] = {"draft": "draft", "open": "open", "paused": "paused", "closed": "closed"}
_DECIDED: dict[str, SubmissionState] = {"approved": "approved", "rejected": "rejected"}
_LOCAL: dict[str, SubmissionState] = {
    "submitted": "submitted",
    "abandoned": "returned",
    "screened-out": "screened-out",
}
PAGE_SIZE = 500


class LocalProvider:
    """This machine; see ``study.providers.contract.Provider``."""

    name = "local"
    has_sandbox = False
    rejection_reopens = True

    def __init__(self, settings: ProviderSettings) -> None:
        if settings.engine is None:
            raise UsageError("the provider 'local' lives in the study database: open it with one.")
        self.live = settings.live
        self._engine: Engine = settings.engine

    def parts(self, posting: Posting) -> tuple[Posting, ...]:
        """One address for all."""
        return (posting,)

    def cost(self, part: Posting) -> Cost:
        """What raters get; nobody stands between."""
        amount = part.places * part.reward_cents + part.screen_out_places * part.screen_out_cents
        return Cost(amount, FEES[self.name].of(amount))

    def find(self, token: str) -> Posted | None:
        """The posting in the database."""
        with reading(self._engine) as session:
            row = _hit(session, token)
            return None if row is None or row.provider_id is None else _posted(row)

    def create(self, part: Posting) -> Posted:
        """A row of ``hit``."""
        with transaction(self._engine) as session:
            row = _hit(session, part.token)
            if row is None:
                study = session.scalar(select(StudyRow).where(StudyRow.name == part.study))
                if study is None:
                    raise UsageError(f"there is no study '{part.study}' in this database.")
                row = HitRow(study_id=study.id, provider=self.name, request_token=part.token, assignments=part.places)
                row.state, row.live = "draft", self.live
                session.add(row)
            if row.provider_id is None:
                row.provider_id, row.url, row.state = f"local-{part.token}", part.url, "draft"
            session.flush()
            return _posted(row)

    def publish(self, part: Posting) -> Posted:
        """Open it."""
        posted = self.create(part)
        return self._set(posted.provider_id, "open") if posted.state == "draft" else posted

    def close(self, posting_id: str) -> Posted:
        """No more raters."""
        return self._set(posting_id, "closed")

    def _set(self, posting_id: str, state: PostingState) -> Posted:
        with transaction(self._engine) as session:
            row = _hit_by_id(session, posting_id)
            row.state = state
            return _posted(row)

    def submissions(self, posting_id: str) -> Iterator[Submission]:
        """The sessions of the study, some hundred at a time; without raw ids, which nobody needs here."""
        last = 0
        while True:
            with reading(self._engine) as session:
                hit = _hit_by_id(session, posting_id)
                page = session.execute(
                    select(AssignmentRow, ParticipantRow.pseudonym)
                    .join(ParticipantRow, AssignmentRow.participant_id == ParticipantRow.id)
                    .where(AssignmentRow.study_id == hit.study_id, AssignmentRow.provider == self.name)
                    .where(AssignmentRow.id > last)
                    .order_by(AssignmentRow.id)
                    .limit(PAGE_SIZE)
                ).all()
                found = [_submission(posting_id, row, pseudonym) for row, pseudonym in page]
                last = page[-1][0].id if page else last
            yield from found
            if len(found) < PAGE_SIZE:
                return

    def approve(self, submission_id: str) -> None:
        """Note that the reward is to be handed out."""
        self._decide(submission_id, "approved")

    def reject(self, submission_id: str, reason: str) -> None:
        """Note that it is not."""
        if not reason.strip():
            raise UsageError("a rejection needs a reason.")
        self._decide(submission_id, "rejected")

    def _decide(self, submission_id: str, wanted: str) -> None:
        with transaction(self._engine) as session:
            number = submission_id.removeprefix("local-")
            row = session.get(AssignmentRow, int(number)) if number.isdigit() else None
            if row is None or row.provider != self.name:
                raise ProviderError(f"there is no submission '{submission_id}' of our own raters.")
            if row.provider_state == wanted:
                return
            if row.state != "submitted" or row.provider_state in _DECIDED:
                present = row.provider_state or row.state
                raise ProviderError(f"submission '{submission_id}' is {present}, so it cannot become {wanted}.")
            row.provider_state = wanted

    def exclude(self, study: str, participants: Sequence[str]) -> None:
        """Nothing to do: the server lets a named rater into a study once."""

    def prepare_bonus(self, bonus: Bonus) -> PreparedBonus:
        """No fee."""
        return PreparedBonus("by hand", Cost(bonus.amount_cents, FEES[self.name].of(bonus.amount_cents)))

    def pay_bonus(self, bonus: Bonus, reference: str) -> None:
        """Nothing to call: the ledger holds it, and a person hands it out."""

    def bonus_was_paid(self, bonus: Bonus, reference: str) -> bool | None:
        """No call moves money here, so repeating one cannot pay twice."""
        return False


def _hit(session: Session, token: str) -> HitRow | None:
    return session.scalar(select(HitRow).where(HitRow.request_token == token))


def _hit_by_id(session: Session, posting_id: str) -> HitRow:
    row = session.scalar(select(HitRow).where(HitRow.provider == "local", HitRow.provider_id == posting_id))
    if row is None:
        raise ProviderError(f"there is no posting '{posting_id}' of our own.")
    return row


def _posted(row: HitRow) -> Posted:
    return Posted(row.provider_id or "", row.request_token, _STATES.get(row.state, "draft"), row.assignments, row.url)


def _submission(posting_id: str, row: AssignmentRow, pseudonym: str) -> Submission:
    decided = _DECIDED.get(row.provider_state)
    return Submission(
        provider_id=f"local-{row.id}",
        posting_id=posting_id,
        participant=pseudonym,
        state=decided or _LOCAL.get(row.state, "started"),
        provider_state=row.provider_state or row.state,
        code=row.completion_code or "",
    )
