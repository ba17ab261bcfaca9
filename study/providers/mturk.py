"""Amazon Mechanical Turk (API of 2017-01-17, through boto3), with ExternalQuestion.

AWS's documentation announces the end of Mechanical Turk on 30 September 2026. This adapter serves endpoints that speak
its protocol; where none answers, the error says so. Its batch results are imported by ``study.batch_import``.

A posting is one HIT or several: HITs with ten assignments or more cost another 20 % of the reward, so a study is cut
into HITs of at most nine where that is cheaper. What repeating does (AWS, *Use request tokens*): CreateHIT and
SendBonus with the same ``UniqueRequestToken`` are refused the second time, for 24 hours. After that the token is
forgotten, so state is always read first: HITs are found by ``RequesterAnnotation``, which is our token, and bonuses by
a mark at the end of their reason. A HIT has no draft: it is posted when it is published.

A worker who took one HIT of a study gets a qualification that keeps the others of it out of sight. Credentials come
from boto3's own environment variables.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import escape

import boto3  # type: ignore[import-untyped, unused-ignore]
from botocore import exceptions as aws  # type: ignore[import-untyped, unused-ignore]
from botocore.config import Config  # type: ignore[import-untyped, unused-ignore]

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
)
from study.providers.fees import FEES
from study.providers.http import check_endpoint

LIVE_ENDPOINT = "https://mturk-requester.us-east-1.amazonaws.com"
SANDBOX_ENDPOINT = "https://mturk-requester-sandbox.us-east-1.amazonaws.com"
PAGE_SIZE = 100
SMALL_HIT = 9
FRAME_HEIGHT = 900
END = "AWS's documentation announces the end of Mechanical Turk on 30 September 2026"

SUBMISSION_STATES: dict[str, SubmissionState] = {
    "Submitted": "submitted",
    "Approved": "approved",
    "Rejected": "rejected",
}
_HIT_STATES: dict[str, PostingState] = {
    "Assignable": "open",
    "Unassignable": "open",
    "Reviewable": "closed",
    "Reviewing": "closed",
    "Disposed": "closed",
}


class MTurkProvider:
    """Mechanical Turk through a boto3 client; see ``study.providers.contract.Provider``."""

    name = "mturk"
    has_sandbox = True
    rejection_reopens = False

    def __init__(self, client: Any, live: bool) -> None:
        self.live = live
        self._client = client

    def parts(self, posting: Posting) -> tuple[Posting, ...]:
        """HITs of at most nine where that is cheaper."""
        schedule = FEES[self.name]
        dearer = schedule.of(posting.reward_cents, posting.places) > schedule.of(posting.reward_cents)
        if posting.places <= SMALL_HIT or not dearer:
            return (posting,)
        counts = [min(SMALL_HIT, posting.places - first) for first in range(0, posting.places, SMALL_HIT)]
        return tuple(
            replace(posting, places=count, token=_part_token(posting.token, number))
            for number, count in enumerate(counts)
        )

    def cost(self, part: Posting) -> Cost:
        """Rewards and fees of all places."""
        fee = FEES[self.name].of(part.reward_cents, part.places)
        return Cost(part.places * part.reward_cents, part.places * fee)

    def find(self, token: str) -> Posted | None:
        """The HIT whose annotation is ``token``."""
        for hit in self._pages("list_hits", "HITs", {}):
            if hit.get("RequesterAnnotation") == token:
                return _posted(hit)
        return None

    def create(self, part: Posting) -> Posted:
        """The HIT if it is there; else a draft that only we know of, because Mechanical Turk has none."""
        check_posting(part)
        if part.currency != "USD":
            raise UsageError(f"Mechanical Turk pays in USD; '{part.study}' is in {part.currency}.")
        if part.screen_out_cents:
            raise UsageError("Mechanical Turk has no payment for raters who are screened out: leave it out.")
        return self.find(part.token) or Posted("", part.token, "draft", part.places)

    def publish(self, part: Posting) -> Posted:
        """Post the HIT."""
        posted = self.create(part)
        if posted.state != "draft":
            return posted
        hit_type = self._call(
            "create_hit_type",
            AutoApprovalDelayInSeconds=int(part.options.get("auto_approval_days", 14)) * 86400,
            AssignmentDurationInSeconds=part.minutes_allowed * 60,
            Reward=_dollars(part.reward_cents),
            Title=part.title,
            Keywords=str(part.options.get("keywords", "images, faces, opinion")),
            Description=part.description,
            QualificationRequirements=self._requirements(part),
        )["HITTypeId"]
        try:
            answer = self._call(
                "create_hit_with_hit_type",
                HITTypeId=hit_type,
                MaxAssignments=part.places,
                LifetimeInSeconds=part.days * 86400,
                Question=external_question(part.url, int(part.options.get("frame_height", FRAME_HEIGHT))),
                RequesterAnnotation=part.token,
                UniqueRequestToken=part.token,
            )
        except ProviderError as error:
            # Also where an earlier attempt got through and boto3's own repetition was refused for its token.
            found = self._find_or_unknown(part.token)
            if found is not None:
                return found
            if _says_done(error):
                raise OutcomeUnknownError(str(error)) from error
            raise
        return _posted(answer["HIT"])

    def _find_or_unknown(self, token: str) -> Posted | None:
        try:
            return self.find(token)
        except ProviderError as error:
            raise OutcomeUnknownError(f"a HIT may have been posted, and then: {error}") from error

    def _requirements(self, part: Posting) -> list[dict[str, Any]]:
        given = list(part.options.get("qualifications", ()))
        again = {
            "QualificationTypeId": self._qualification(part.study),
            "Comparator": "DoesNotExist",
            "ActionsGuarded": "DiscoverPreviewAndAccept",
        }
        return [*given, again]

    def _qualification(self, study: str) -> str:
        """The qualification of those who took part; made once, its name is unique in an account."""
        name = f"took part in {study} ({hashlib.sha256(study.encode()).hexdigest()[:12]})"
        query = {"Query": name, "MustBeRequestable": False, "MustBeOwnedByCaller": True}
        for kind in self._pages("list_qualification_types", "QualificationTypes", query):
            if kind.get("Name") == name:
                return str(kind["QualificationTypeId"])
        answer = self._call(
            "create_qualification_type",
            Name=name,
            Description="Given to those who took part; each may take part once.",
            QualificationTypeStatus="Active",
        )
        return str(answer["QualificationType"]["QualificationTypeId"])

    def close(self, posting_id: str) -> Posted:
        """Let the HIT expire now."""
        posted = _posted(self._call("get_hit", HITId=posting_id)["HIT"])
        if posted.state == "open":
            self._call("update_expiration_for_hit", HITId=posting_id, ExpireAt=datetime(2000, 1, 1, tzinfo=UTC))
            posted = _posted(self._call("get_hit", HITId=posting_id)["HIT"])
        return posted

    def submissions(self, posting_id: str) -> Iterator[Submission]:
        """Assignments that were handed in; those at work are not told by Mechanical Turk."""
        for entry in self._pages("list_assignments_for_hit", "Assignments", {"HITId": posting_id}):
            yield _submission(entry)

    def approve(self, submission_id: str) -> None:
        """Pay the reward."""
        self._decide(submission_id, "approved", "approve_assignment", {"OverrideRejection": False})

    def reject(self, submission_id: str, reason: str) -> None:
        """Pay nothing, and tell the worker why."""
        if not reason.strip():
            raise UsageError("a rejection needs a reason that the worker reads.")
        self._decide(submission_id, "rejected", "reject_assignment", {"RequesterFeedback": reason.strip()})

    def _decide(self, submission_id: str, wanted: SubmissionState, operation: str, content: dict[str, Any]) -> None:
        present = self._assignment(submission_id)
        if present.state == wanted:
            return
        if present.state != "submitted":
            raise ProviderError(
                f"Mechanical Turk's assignment {submission_id} is {present.provider_state}: it cannot become {wanted}."
            )
        try:
            self._call(operation, AssignmentId=submission_id, **content)
        except ProviderError as error:
            try:
                done = self._assignment(submission_id).state == wanted
            except ProviderError:
                raise OutcomeUnknownError(f"assignment {submission_id} may have been {wanted}: {error}") from error
            if not done:
                raise

    def _assignment(self, submission_id: str) -> Submission:
        return _submission(self._call("get_assignment", AssignmentId=submission_id)["Assignment"])

    def exclude(self, study: str, participants: Sequence[str]) -> None:
        """Give them the qualification of those who took part."""
        if not participants:
            return
        qualification = self._qualification(study)
        for worker in participants:
            self._call(
                "associate_qualification_with_worker",
                QualificationTypeId=qualification,
                WorkerId=worker,
                IntegerValue=1,
                SendNotification=False,
            )

    def prepare_bonus(self, bonus: Bonus) -> PreparedBonus:
        """The fee on a bonus is that of a small HIT."""
        return PreparedBonus(bonus.token, Cost(bonus.amount_cents, FEES[self.name].of(bonus.amount_cents)))

    def pay_bonus(self, bonus: Bonus, reference: str) -> None:
        """Pay it, under its token."""
        try:
            self._call(
                "send_bonus",
                WorkerId=bonus.participant,
                AssignmentId=bonus.submission_id,
                BonusAmount=_dollars(bonus.amount_cents),
                Reason=f"{bonus.reason} {_mark(bonus.token)}",
                UniqueRequestToken=bonus.token,
            )
        except ProviderError as error:
            try:
                paid = self.bonus_was_paid(bonus, reference)
            except ProviderError:
                raise OutcomeUnknownError(f"a bonus may have been paid: {error}") from error
            if paid:
                return
            if _says_done(error):
                raise OutcomeUnknownError(str(error)) from error
            raise

    def bonus_was_paid(self, bonus: Bonus, reference: str) -> bool | None:
        """Whether the assignment's bonuses have one with the mark of this token."""
        listed = self._pages("list_bonus_payments", "BonusPayments", {"AssignmentId": bonus.submission_id})
        return any(str(entry.get("Reason", "")).endswith(_mark(bonus.token)) for entry in listed)

    def _pages(self, operation: str, key: str, content: dict[str, Any]) -> Iterator[dict[str, Any]]:
        further: dict[str, str] = {}
        while True:
            answer = self._call(operation, **content, MaxResults=PAGE_SIZE, **further)
            yield from answer.get(key, ())
            token = answer.get("NextToken")
            # The last page of Mechanical Turk still names a next one, which is empty.
            if not token or not answer.get("NumResults"):
                return
            further = {"NextToken": token}

    def _call(self, operation: str, **content: Any) -> dict[str, Any]:
        """One call; boto3 repeats it after throttling, 5xx and lost connections."""
        call: Callable[..., dict[str, Any]] = getattr(self._client, operation)
        try:
            return call(**content)
        except aws.ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400))
            kind = OutcomeUnknownError if status >= 500 else ProviderError
            raise kind(f"Mechanical Turk did not carry out {operation}: {_said(error)}") from error
        except aws.NoCredentialsError as error:
            raise UsageError(
                "Mechanical Turk needs credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
            ) from error
        except (aws.ConnectionError, aws.HTTPClientError) as error:
            raise OutcomeUnknownError(
                f"Mechanical Turk's endpoint {self._client.meta.endpoint_url} does not answer "
                f"({type(error).__name__}). {END}: there may be none any more. Batch results that were downloaded "
                "before are imported with 'mesoface study import-batch'."
            ) from error
        except aws.BotoCoreError as error:
            raise ProviderError(f"Mechanical Turk cannot be asked for {operation}: {error}") from error


def open_mturk(settings: ProviderSettings) -> MTurkProvider:
    """Mechanical Turk: its sandbox, or where real money moves.

    Options: ``attempts``, how often boto3 tries a call.
    """
    endpoint = settings.endpoint or (LIVE_ENDPOINT if settings.live else SANDBOX_ENDPOINT)
    check_endpoint("Mechanical Turk", endpoint)
    attempts = int(settings.options.get("attempts", 6))
    config = Config(retries={"mode": "standard", "total_max_attempts": attempts}, connect_timeout=10, read_timeout=60)
    client = boto3.client("mturk", region_name="us-east-1", endpoint_url=endpoint, config=config)
    return MTurkProvider(client, settings.live)


def external_question(url: str, height: int) -> str:
    """The ExternalQuestion that shows ``url`` in a frame (schema of 2006-07-14)."""
    schema = "http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2006-07-14/ExternalQuestion.xsd"
    return (
        f'<ExternalQuestion xmlns="{schema}"><ExternalURL>{escape(url)}</ExternalURL>'
        f"<FrameHeight>{height}</FrameHeight></ExternalQuestion>"
    )


def _part_token(token: str, number: int) -> str:
    return hashlib.sha256(f"{token}\0part {number}".encode()).hexdigest()


def _mark(token: str) -> str:
    return f"[{token[:16]}]"


def _dollars(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02d}"


def _says_done(error: ProviderError) -> bool:
    """Whether a refusal says that the token was used: then it was done, and is merely not listed yet."""
    return any(sign in str(error).lower() for sign in ("already exist", "alreadyexist", "already been", "duplicate"))


def _said(error: aws.ClientError) -> str:
    given = (error.response.get("TurkErrorCode"), error.response.get("Error", {}).get("Message") or str(error))
    return ": ".join(str(part) for part in given if part)[:300]


def _posted(hit: dict[str, Any]) -> Posted:
    state = _HIT_STATES.get(str(hit.get("HITStatus")), "open")
    expires = hit.get("Expiration")
    if state == "open" and isinstance(expires, datetime) and expires <= datetime.now(UTC):
        state = "closed"
    return Posted(str(hit["HITId"]), str(hit.get("RequesterAnnotation") or ""), state, int(hit["MaxAssignments"]))


def _submission(entry: dict[str, Any]) -> Submission:
    status = str(entry["AssignmentStatus"])
    if status not in SUBMISSION_STATES:
        raise ProviderError(f"Mechanical Turk calls an assignment '{status}', which this mesoface does not know.")
    return Submission(
        provider_id=str(entry["AssignmentId"]),
        posting_id=str(entry["HITId"]),
        participant=str(entry["WorkerId"]),
        state=SUBMISSION_STATES[status],
        provider_state=status,
    )
