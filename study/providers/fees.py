"""What marketplaces take, as data with its source. Cents; a broken cent is rounded up, so that no cap is passed.

A rate is a fraction of what the rater gets, kept as a pair of integers: no cent is lost to binary fractions.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FeeSchedule:
    """What a provider takes.

    Attributes:
        rate: of what the rater gets, in thousandths.
        crowd_rate: on top, for postings of at least ``crowd`` places, in thousandths.
        least_cents: for each payment.
        source: where this is written, and when it was read.
    """

    rate: int
    source: str
    crowd_rate: int = 0
    crowd: int = 0
    least_cents: int = 0

    def of(self, cents: int, places: int = 1) -> int:
        """The fee on one payment of ``cents``, in cents, in a posting of ``places``; none on a payment of nothing."""
        if cents == 0:
            return 0
        rate = self.rate + (self.crowd_rate if self.crowd and places >= self.crowd else 0)
        return max(self.least_cents, -(-cents * rate // 1000))


FEES = {
    "local": FeeSchedule(rate=0, source="nobody stands between"),
    "mturk": FeeSchedule(
        rate=200,
        crowd_rate=200,
        crowd=10,
        least_cents=1,
        source="Amazon Mechanical Turk pricing (requester.mturk.com/pricing): 20 % of reward and bonus, 20 % more on "
        "the reward of HITs with 10 or more assignments, at least $0.01 a payment",
    ),
}
"""Fees that are the same for everybody. Prolific's depend on the account: its interface is asked
(``POST /api/v1/study-cost-calculator/``, "total cost of the study including VAT and fees")."""
