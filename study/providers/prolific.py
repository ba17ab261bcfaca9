"""Prolific (docs.prolific.com/api-reference, v1 of the interface, read in 2026).

A posting is one Prolific study. It is drafted and found again by our request token, which is its ``internal_name``:
participants do not see that. Submissions are reviewed by hand (``MANUALLY_REVIEW``), because quality rules decide who
is paid. What the interface says of repeating:

- a submission's transition "is idempotent, so if you make the same request twice, the second request will be ignored";
- ``bulk-bonus-payments/{id}/pay/`` is "**not idempotent**": it is sent once, and where no answer comes back the
  submission's own list of bonus payments decides whether it arrived, or else a person.

There is no sandbox: without ``live`` studies are drafted, tested and read, and nothing else. The token comes from
the variable ``PROLIFIC_API_TOKEN``.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from recon.errors import OutcomeUnknownError, ProviderError, UsageError
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
    check_posting,
    require_live,
)
from study.providers.http import JsonClient

ENDPOINT = "https://api.prolific.com/api/v1"
TOKEN_VARIABLE = "PROLIFIC_API_TOKEN"
PAGE_SIZE = 100

STUDY_STATES: dict[str, PostingState] = {
    "UNPUBLISHED": "draft",
    "PUBLISHING": "open",
    "SCHEDULED": "open",
    "ACTIVE": "open",
    "PAUSED": "paused",
    "AWAITING REVIEW": "closed",
    "COMPLETED": "closed",
}
SUBMISSION_STATES: dict[str, SubmissionState] = {
    "RESERVED": "started",
    "ACTIVE": "started",
    "PROCESSING": "started",
    "TIMED OUT": "timed-out",
    "AWAITING REVIEW": "submitted",
    "APPROVED": "approved",
    "PARTIALLY APPROVED": "approved",
    "RETURNED": "returned",
    "REJECTED": "rejected",
    "SCREENED OUT": "screened-out",
}

REJECTION_CATEGORY = "OTHER"
"""The reason itself says what was wrong; Prolific's own categories fit our rules at the edges alone."""
REASON_LEAST = 100
"""Characters that the message of a rejection must have at least."""


class ProlificProvider:
    """Prolific through its HTTP interface; see ``study.providers.contract.Provider``."""

    name = "prolific"
    has_sandbox = False
    rejection_reopens = True

    def __init__(self, client: JsonClient, live: bool) -> None:
        self.live = live
        self._client = client

    def parts(self, posting: Posting) -> tuple[Posting, ...]:
        """One study takes all raters."""
        return (posting,)

    def cost(self, part: Posting) -> Cost:
        """What the account of this token is charged, VAT included, as Prolific itself computes it."""
        fee = 0
        amount = 0
        payments = [(part.reward_cents, part.places), (part.screen_out_cents, part.screen_out_places)]
        for cents, places in payments:
            if cents * places == 0:
                continue
            body = {"reward": cents, "total_available_places": places}
            answer = self._client.post("/study-cost-calculator/", body, repeatable=True)
            total = _cents_up(answer, "total_cost")
            amount += cents * places
            fee += max(0, total - cents * places)
        return Cost(amount, fee)

    def find(self, token: str) -> Posted | None:
        """The study whose internal name is ``token``; the oldest, should there be several."""
        found = [study for study in self._pages("/studies/", {}) if study.get("internal_name") == token]
        if not found:
            return None
        return _posted(min(found, key=lambda study: str(study.get("date_created", ""))))

    def create(self, part: Posting) -> Posted:
        """A draft."""
        check_posting(part)
        found = self.find(part.token)
        if found is not None:
            return found
        return _posted(self._client.post("/studies/", study_body(part), repeatable=False))

    def publish(self, part: Posting) -> Posted:
        """Offer it; Prolific locks its whole cost in the account's balance."""
        require_live(self.name, self.live, "publish")
        posted = self.create(part)
        if posted.state != "draft":
            return posted
        self._check_money(posted.provider_id, part)
        try:
            # Repeatable: a study that is published cannot be published again.
            self._client.post(f"/studies/{posted.provider_id}/transition/", {"action": "PUBLISH"}, repeatable=True)
        except ProviderError:  # also a refusal, because another program of ours published it a moment ago
            posted = self._study_or_unknown(posted.provider_id)
            if posted.state == "draft":
                raise
            return posted
        return self._study_or_unknown(posted.provider_id)

    def _check_money(self, posting_id: str, part: Posting) -> None:
        """A draft can be changed on Prolific's pages; what is published must be what was set aside."""
        study = self._client.get(f"/studies/{posting_id}/")
        found = (_field(study, "reward"), _field(study, "total_available_places"))
        if found != (part.reward_cents, part.places):
            raise ProviderError(
                f"Prolific's draft {posting_id} offers {found[1]} places at {found[0]} cents, the study file "
                f"{part.places} at {part.reward_cents}: delete the draft at Prolific, and launch again."
            )

    def test_study(self, part: Posting) -> Posted:
        """Offer a copy to the test participants of the workspace; costs nothing, needs no ``live``."""
        posted = self.create(part)
        answer = self._client.post(f"/studies/{posted.provider_id}/test-study", {}, repeatable=False)
        return Posted(
            provider_id=str(_field(answer, "study_id")),
            token=part.token,
            state="open",
            places=part.places,
            url=str(answer.get("study_url") or ""),
        )

    def close(self, posting_id: str) -> Posted:
        """Stop a study that takes raters; a draft that nobody saw is left as it is."""
        posted = self._study(posting_id)
        if posted.state in {"open", "paused"}:
            self._client.post(f"/studies/{posting_id}/transition/", {"action": "STOP"}, repeatable=True)
            posted = self._study(posting_id)
        return posted

    def submissions(self, posting_id: str) -> Iterator[Submission]:
        """All submissions, page by page."""
        for entry in self._pages("/submissions/", {"study": posting_id}):
            state = str(_field(entry, "status"))
            yield Submission(
                provider_id=str(_field(entry, "id")),
                posting_id=posting_id,
                participant=str(entry.get("participant_id") or entry.get("participant") or ""),
                state=submission_state(state),
                provider_state=state,
                code=str(entry.get("study_code") or entry.get("entered_code") or ""),
            )

    def approve(self, submission_id: str) -> None:
        """Pay the reward."""
        require_live(self.name, self.live, "approve")
        self._transition(submission_id, "approved", {"action": "APPROVE"})

    def reject(self, submission_id: str, reason: str) -> None:
        """Pay nothing; the place goes to another rater.

        Args:
            reason: read by the rater; at least :data:`REASON_LEAST` characters.
        """
        require_live(self.name, self.live, "reject")
        if len(reason.strip()) < REASON_LEAST:
            raise UsageError(
                f"Prolific wants a reason of at least {REASON_LEAST} characters for a rejection; this one has "
                f"{len(reason.strip())}: say what was asked, and what was missing."
            )
        body = {"action": "REJECT", "message": reason.strip(), "rejection_category": REJECTION_CATEGORY}
        self._transition(submission_id, "rejected", body)

    def _transition(self, submission_id: str, wanted: SubmissionState, body: Mapping[str, str]) -> None:
        status = str(_field(self._client.get(f"/submissions/{submission_id}/"), "status"))
        present = submission_state(status)
        if present == wanted:
            return
        if present != "submitted":
            raise ProviderError(f"Prolific's submission {submission_id} is {status}, so it cannot become {wanted}.")
        self._client.post(f"/submissions/{submission_id}/transition/", body, repeatable=True)

    def request_return(self, submission_id: str, reasons: Sequence[str]) -> None:
        """Ask a rater, once, to return the submission; the rater reads the reasons."""
        require_live(self.name, self.live, "ask for a return")
        answer = self._client.get(f"/submissions/{submission_id}/")
        if submission_state(str(_field(answer, "status"))) == "returned" or answer.get("return_requested"):
            return
        body = {"request_return_reasons": list(reasons)}
        self._client.post(f"/submissions/{submission_id}/request-return/", body, repeatable=True)

    def exclude(self, study: str, participants: Sequence[str]) -> None:
        """Nothing to do: Prolific lets a participant take a study once."""

    def prepare_bonus(self, bonus: Bonus) -> PreparedBonus:
        """Set the bonus up; Prolific answers with what it costs, and pays nothing yet."""
        body = {
            "study_id": bonus.posting_id,
            # By submission, in units of the currency: "4.25".
            "csv_bonuses": f"{bonus.submission_id},{bonus.amount_cents // 100}.{bonus.amount_cents % 100:02d}",
        }
        answer = self._client.post("/submissions/bonus-payments/", body, repeatable=True)
        total = _cents_up(answer, "total_amount")
        if total < bonus.amount_cents:
            raise ProviderError(
                f"Prolific set up {total} cents for a bonus of {bonus.amount_cents}: it understood another amount."
            )
        return PreparedBonus(str(_field(answer, "id")), Cost(bonus.amount_cents, total - bonus.amount_cents))

    def pay_bonus(self, bonus: Bonus, reference: str) -> None:
        """Pay it, once: Prolific says that this call is not idempotent."""
        require_live(self.name, self.live, "bonus")
        self._client.post(f"/bulk-bonus-payments/{reference}/pay/", {}, repeatable=False)

    def bonus_was_paid(self, bonus: Bonus, reference: str) -> bool | None:
        """True once the submission lists it. Prolific pays some minutes later, so absence proves nothing: None."""
        answer = self._client.get(f"/submissions/{bonus.submission_id}/")
        paid = sum(round(float(cents)) for cents in answer.get("bonus_payments") or ())
        return True if paid >= bonus.paid_before_cents + bonus.amount_cents else None

    def _study_or_unknown(self, posting_id: str) -> Posted:
        """A study that was just published: where it cannot be read, this must not look like a refusal."""
        try:
            return self._study(posting_id)
        except ProviderError as error:
            raise OutcomeUnknownError(f"Prolific took the study {posting_id}, and then: {error}") from error

    def _study(self, posting_id: str) -> Posted:
        return _posted(self._client.get(f"/studies/{posting_id}/"))

    def _pages(self, path: str, parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Every entry of a list once, though pages shift while raters come, and may be shorter than was asked for.

        A list that ends early is an error: a study that was overlooked would be posted twice.
        """
        seen: set[str] = set()
        page = 1
        while True:
            answer = self._client.get(path, {**parameters, "page": page, "page_size": PAGE_SIZE})
            entries = _field(answer, "results")
            fresh = [entry for entry in entries if str(_field(entry, "id")) not in seen]
            seen.update(str(entry["id"]) for entry in fresh)
            yield from fresh
            count = (answer.get("meta") or {}).get("count")
            # A list without a count is whole where a page brings nothing that was not there.
            if (count is None and not fresh) or (count is not None and len(seen) >= int(count)):
                return
            if not fresh:
                raise ProviderError(f"Prolific listed {len(seen)} of {count} entries of {path}: run it again.")
            page += 1


def open_prolific(settings: ProviderSettings) -> ProlificProvider:
    """Prolific with the token of the environment.

    Raises:
        UsageError: there is none.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise UsageError(f"Prolific needs a token: set the variable {TOKEN_VARIABLE} (Prolific: Settings, API tokens).")
    return ProlificProvider(JsonClient("Prolific", settings.endpoint or ENDPOINT, "Token", token), settings.live)


def study_body(part: Posting) -> dict[str, Any]:
    """The study as Prolific wants it; ``options`` add to it (filters, devices).

    Raises:
        UsageError: an option would replace what follows from the study.
    """
    completed = {"code": part.completion_code, "code_type": "COMPLETED", "actions": [{"action": "MANUALLY_REVIEW"}]}
    codes: list[dict[str, Any]] = [completed]
    if part.screen_out_code and part.screen_out_cents:
        action = {
            "action": "FIXED_SCREEN_OUT_PAYMENT",
            "fixed_screen_out_reward": part.screen_out_cents,
            "slots": part.screen_out_places,
        }
        codes.append({"code": part.screen_out_code, "code_type": "FIXED_SCREENOUT", "actions": [action]})
    elif part.screen_out_code:
        reason = "Your screen or browser does not fit this study."
        action = {"action": "REQUEST_RETURN", "return_reason": reason}
        codes.append({"code": part.screen_out_code, "code_type": "INCOMPATIBLE_DEVICE", "actions": [action]})
    own = {
        "name": part.title,
        "internal_name": part.token,
        "description": part.description,
        "external_study_url": entry_url(part.url),
        "prolific_id_option": "url_parameters",
        "completion_codes": codes,
        "total_available_places": part.places,
        "estimated_completion_time": part.minutes,
        "maximum_allowed_time": part.minutes_allowed,
        "reward": part.reward_cents,
    }
    further = {key: value for key, value in part.options.items() if key != "allow_http"}
    for name in sorted({*further} & {*own}):
        raise UsageError(f"payment.options cannot say '{name}', which follows from the study: take it out.")
    return {**further, **own}


def entry_url(url: str) -> str:
    """``url`` with Prolific's placeholders for participant, study and session, which ``study.server`` reads."""
    parts = urlsplit(url)
    given = urlencode(parse_qsl(parts.query))
    ids = "&".join(f"{name}={{{{%{name}%}}}}" for name in ("PROLIFIC_PID", "STUDY_ID", "SESSION_ID"))
    return urlunsplit(parts._replace(query=f"{given}&{ids}" if given else ids))


def submission_state(status: str) -> SubmissionState:
    """Prolific's word in ours.

    Raises:
        ProviderError: a word that Prolific's documentation does not know.
    """
    try:
        return SUBMISSION_STATES[status.upper().replace("_", " ").replace("-", " ")]
    except KeyError:
        raise ProviderError(f"Prolific calls a submission '{status}', which this mesoface does not know.") from None


def _posted(study: Mapping[str, Any]) -> Posted:
    status = str(_field(study, "status")).upper().replace("_", " ")
    if status not in STUDY_STATES:
        raise ProviderError(f"Prolific calls a study '{status}', which this mesoface does not know.")
    identifier = str(_field(study, "id"))
    return Posted(
        provider_id=identifier,
        token=str(study.get("internal_name") or ""),
        state=STUDY_STATES[status],
        places=int(study.get("total_available_places") or 0),
        url=f"https://app.prolific.com/researcher/studies/{identifier}",
    )


def _cents_up(answer: Any, name: str) -> int:
    """An amount, which Prolific gives with a fraction, rounded up, so that no cap is passed."""
    try:
        return math.ceil(float(_field(answer, name)))
    except (TypeError, ValueError, OverflowError) as error:
        raise ProviderError(f"Prolific's answer has no amount in '{name}': its interface may have changed.") from error


def _field(answer: Any, name: str) -> Any:
    if not isinstance(answer, Mapping) or name not in answer:
        raise ProviderError(f"Prolific's answer has no '{name}': its interface may have changed.")
    return answer[name]
