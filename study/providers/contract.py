"""What every provider of raters can do, so that a study is launched, reviewed and paid in one way on all of them.

A study is offered as a :class:`Posting`; a provider may split it into several parts (Mechanical Turk takes a lower fee
for small ones). Every part carries a *request token* of ours that the provider keeps with it: after a crash, or with a
lost database, the part is found again by its token, and nothing is posted twice.

Whoever implements :class:`Provider` keeps three promises, which the conformance suite checks:

- A call that changes something reads the state first, and does nothing where that is what it wants already.
- A refusal is a ``ProviderError``: nothing was changed. Where the answer never came, and repeating could do the thing
  twice, it is an ``OutcomeUnknownError``.
- Calls that cost real money need ``live``.

Money is integer minor units (cents) of the posting's currency.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from recon.errors import UsageError

if TYPE_CHECKING:
    from sqlalchemy import Engine

PostingState = Literal["draft", "open", "paused", "closed"]
SubmissionState = Literal["started", "submitted", "approved", "rejected", "returned", "timed-out", "screened-out"]


@dataclass(frozen=True)
class ProviderSettings:
    """What a provider is opened with. Secrets are not among it: they come from the environment alone.

    Attributes:
        live: whether real money may move.
        endpoint: address of the interface, where it is not the provider's own; empty for the provider's own.
        engine: the study database, for providers that have no other memory (``local``).
        options: what this provider alone takes.
    """

    live: bool = False
    endpoint: str = ""
    engine: Engine | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Posting:
    """A study, or a part of one, as it is offered to raters.

    Attributes:
        study: its name in the database.
        token: request token, at most 64 characters; see ``study.ledger.request_token``.
        title, description: what raters read before they take it.
        url: address of the study's first page, https.
        places: how many raters.
        reward_cents: for each.
        currency: three letters, ISO 4217.
        minutes: how long it takes; ``minutes_allowed`` how long a rater may take.
        completion_code: that raters hand in; ``screen_out_code`` of those whose screen will not do, may be empty.
        screen_out_cents, screen_out_places: what such raters get, and how many of them at most.
        days: how long the offer stands.
        options: further fields for this provider.
    """

    study: str
    token: str
    title: str
    description: str
    url: str
    places: int
    reward_cents: int
    currency: str = "USD"
    minutes: int = 10
    minutes_allowed: int = 60
    completion_code: str = ""
    screen_out_code: str = ""
    screen_out_cents: int = 0
    screen_out_places: int = 0
    days: int = 7
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Posted:
    """A posting as the provider knows it.

    Attributes:
        provider_id: the provider's name of it; empty for a draft that the provider does not keep.
        url: of its page at the provider; may be empty.
        places: raters that it takes in all.
    """

    provider_id: str
    token: str
    state: PostingState
    places: int
    url: str = ""


@dataclass(frozen=True)
class Submission:
    """One rater's work as the provider knows it.

    Attributes:
        provider_id: of the submission (Prolific's session, Mechanical Turk's assignment).
        posting_id: of the posting.
        participant: raw id of the rater; personal, kept out of ``repr``.
        state: in the words of this contract; ``provider_state`` in the provider's.
        code: that the rater handed in.
    """

    provider_id: str
    posting_id: str
    participant: str = field(repr=False)
    state: SubmissionState
    provider_state: str
    code: str = ""


@dataclass(frozen=True)
class Cost:
    """What something costs: what raters get, and what the provider takes, in cents."""

    amount_cents: int
    fee_cents: int


@dataclass(frozen=True)
class Bonus:
    """A payment beyond the reward.

    Attributes:
        token: request token of this payment.
        posting_id, submission_id, participant: to whom, for what.
        paid_before_cents: bonuses of the same submission that are known to have arrived: where a provider tells sums
            alone, this one is there when the sum is larger by it.
    """

    token: str
    posting_id: str
    submission_id: str
    participant: str = field(repr=False)
    amount_cents: int
    reason: str
    paid_before_cents: int = 0


@dataclass(frozen=True)
class PreparedBonus:
    """A bonus whose cost is known and that is not yet paid; ``reference`` is the provider's name of it."""

    reference: str
    cost: Cost


class Provider(Protocol):
    """A source of raters; registered under the entry-point group ``mesoface.providers``.

    Attributes:
        name: registry name.
        live: whether real money may move.
        has_sandbox: whether there is another place without real money, used where not ``live``.
        rejection_reopens: whether the provider gives the place of a rejected rater to another, out of the same money;
            where not, the money of that place is free again.
    """

    name: str
    live: bool
    has_sandbox: bool
    rejection_reopens: bool

    def parts(self, posting: Posting) -> tuple[Posting, ...]:
        """The posting, split as is cheapest; each part has a token that follows from the posting's."""
        ...

    def cost(self, part: Posting) -> Cost:
        """What ``part`` costs when all its places are filled and approved; the most that it can cost."""
        ...

    def find(self, token: str) -> Posted | None:
        """The part that was posted with ``token``, however long ago; None where there is none."""
        ...

    def create(self, part: Posting) -> Posted:
        """A draft that costs nothing and that nobody sees; the part itself where it is there already."""
        ...

    def publish(self, part: Posting) -> Posted:
        """Offer it to raters, creating it where it is not there; costs."""
        ...

    def close(self, posting_id: str) -> Posted:
        """Take no more raters; those at work may finish."""
        ...

    def submissions(self, posting_id: str) -> Iterator[Submission]:
        """All that raters handed in or began, over all pages, each once."""
        ...

    def approve(self, submission_id: str) -> None:
        """Pay the reward; nothing where it is approved. A rejected one is a ``ProviderError``."""
        ...

    def reject(self, submission_id: str, reason: str) -> None:
        """Pay no reward, and say why; nothing where it is rejected. An approved one is a ``ProviderError``."""
        ...

    def exclude(self, study: str, participants: Sequence[str]) -> None:
        """Keep these raters from taking a place in the study again; may be repeated."""
        ...

    def prepare_bonus(self, bonus: Bonus) -> PreparedBonus:
        """What the bonus costs with fees; pays nothing, and may be repeated."""
        ...

    def pay_bonus(self, bonus: Bonus, reference: str) -> None:
        """Pay a prepared bonus; costs."""
        ...

    def bonus_was_paid(self, bonus: Bonus, reference: str) -> bool | None:
        """Whether it arrived. False promises that paying it again cannot pay it twice; None: nobody can tell now."""
        ...


@runtime_checkable
class HasTestParticipants(Protocol):
    """A provider with test participants."""

    def test_study(self, part: Posting) -> Posted:
        """Offer a copy of the draft to the test participants; costs nothing."""
        ...


@runtime_checkable
class AsksForReturns(Protocol):
    """A provider that can ask a rater to give the work back."""

    def request_return(self, submission_id: str, reasons: Sequence[str]) -> None:
        """Ask once; nobody is paid, nobody is rejected, and the place is another's once the rater has done it."""
        ...


def require_live(provider: str, live: bool, call: str) -> None:
    """Nothing where real money may move.

    Raises:
        UsageError: it may not.
    """
    if not live:
        raise UsageError(f"'{call}' on {provider} moves real money: give --live if that is what you want.")


def check_posting(posting: Posting) -> None:
    """Nothing where a posting can be offered at all.

    Raises:
        UsageError: it cannot; the message says what is wrong.
    """
    if not 1 <= len(posting.token) <= 64:
        raise UsageError(f"the request token of '{posting.study}' must have 1 to 64 characters.")
    if posting.places < 1 or posting.reward_cents < 0:
        raise UsageError(f"'{posting.study}' must offer at least one place, and a reward that is not negative.")
    if not posting.url.startswith("https://") and posting.options.get("allow_http") is not True:
        raise UsageError(f"'{posting.study}' lies at '{posting.url}': marketplaces open https addresses alone.")
    if posting.screen_out_cents and not (posting.screen_out_code and posting.screen_out_places > 0):
        raise UsageError(f"'{posting.study}' pays raters who are screened out: give their code and how many at most.")
