"""What a study should take and cost: minutes a rater, payment, the marketplace's fee, against the cap.

Fees are data with their source (``study.providers.fees``). Money is whole minor units (cents); fees are rounded up, so
that the estimate is not below the bill. Prolific itself is asked before anything is published; here, without a call,
its printed rates are taken.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from recon.errors import UsageError
from study.providers.fees import FEES, FeeSchedule
from study.specification import Specification

_PRICES = "Prolific, pricing page (prolific.com/pricing), read in September 2026"
# Printed as 33.3 % and 42.8 %, in thousandths rounded up: a quarter and three tenths of the whole lie behind, so that
# 333 and 428 would be a little too low.
PROLIFIC: Mapping[str, FeeSchedule] = {
    "academic": FeeSchedule(rate=334, source=f"{_PRICES}: 33.3 % for academic and non-profit accounts"),
    "corporate": FeeSchedule(rate=429, source=f"{_PRICES}: 42.8 %"),
}

CURRENCIES: Mapping[str, tuple[str, ...]] = {"prolific": ("GBP", "USD"), "mturk": ("USD",)}
"""What marketplaces pay in."""

LEAST_PER_HOUR: Mapping[str, Mapping[str, int]] = {"prolific": {"GBP": 600, "USD": 800}}
ADVISED_PER_HOUR: Mapping[str, Mapping[str, int]] = {"prolific": {"GBP": 900, "USD": 1200}}
"""What raters must and should be paid at least, in minor units: Prolific's payment principles, researcher help."""

# Seconds a trial: assumptions until a pilot says better. A ranking takes its time for every picture, an opinion score
# for every scale.
_SECONDS = {"real-or-fake": 6.0, "choice": 7.0}
_SECONDS_A_PICTURE, _SECONDS_A_FACE, _SECONDS_A_SCALE = 6.0, 4.0, 4.0


@dataclass(frozen=True)
class Costs:
    """An estimate; money in minor units of ``currency``.

    Attributes:
        trials: of one rater, all kinds.
        minutes: of one rater.
        rewards, bonuses, fees, tax: over all raters; with the rewards, what those get whose screen will not do.
        cap: of the study file.
        per_hour: what the reward comes to, an hour.
    """

    raters: int
    trials: int
    seconds_per_trial: float
    minutes: float
    currency: str
    rewards: int
    bonuses: int
    fees: int
    tax: int
    cap: int
    per_hour: float
    source: str

    @property
    def total(self) -> int:
        """All of it."""
        return self.rewards + self.bonuses + self.fees + self.tax


def seconds_per_trial(specification: Specification) -> float:
    """As the study file says, else by the page of the design."""
    from study.designs import DESIGNS

    if specification.time.seconds_per_trial is not None:
        return specification.time.seconds_per_trial
    page = DESIGNS.get(specification.design).page
    if page == "ranking":
        size = specification.options.get("set_size")
        # What is no number is the design's to refuse.
        return _SECONDS_A_PICTURE * (size if isinstance(size, int) else len(specification.conditions))
    if page == "scales":
        return _SECONDS_A_FACE + _SECONDS_A_SCALE * len(specification.scales)
    return _SECONDS[page]


def fees_of(specification: Specification) -> FeeSchedule:
    """The fees of the study's provider.

    Raises:
        UsageError: they are not known.
    """
    payment = specification.payment
    if payment.provider == "prolific":
        return PROLIFIC[payment.account]
    if payment.provider not in FEES:
        known = ", ".join([*FEES, "prolific"])
        raise UsageError(f"the fees of '{payment.provider}' are not known here: known are those of {known}.")
    return FEES[payment.provider]


def estimate(specification: Specification) -> Costs:
    """Time and money of a study whose slots are all filled.

    Raises:
        UsageError: no fee model is known for its provider.
    """
    payment, trials = specification.payment, specification.trials
    fees, count = fees_of(specification), trials.main + trials.gold + trials.attention + trials.training
    each = seconds_per_trial(specification)
    minutes = (specification.time.seconds_around + count * each) / 60
    screened = payment.screen_out_raters
    fee = specification.raters * (fees.of(payment.reward) + fees.of(payment.bonus))
    fee += screened * fees.of(payment.screen_out)
    return Costs(
        raters=specification.raters,
        trials=count,
        seconds_per_trial=each,
        minutes=minutes,
        currency=payment.currency,
        rewards=specification.raters * payment.reward + screened * payment.screen_out,
        bonuses=specification.raters * payment.bonus,
        fees=fee,
        tax=math.ceil(Fraction(fee) * Fraction(str(payment.tax_on_fee)) / 100),
        cap=payment.cap,
        per_hour=payment.reward * 60 / minutes,
        source=fees.source,
    )


def objections_to_costs(specification: Specification, costs: Costs) -> tuple[str, ...]:
    """What stands against running the study at this price."""
    said, provider = [], specification.payment.provider
    if costs.total > costs.cap:
        said.append(
            f"the study costs {money(costs.total, costs.currency)}, fees included, and payment.cap is "
            f"{money(costs.cap, costs.currency)}: raise the cap to at least {costs.total}, or ask fewer raters."
        )
    currencies = CURRENCIES.get(provider, (costs.currency,))
    if costs.currency not in currencies:
        said.append(f"'{provider}' does not pay in {costs.currency}: take {' or '.join(currencies)}.")
    least = LEAST_PER_HOUR.get(provider, {}).get(costs.currency, 0)
    if costs.per_hour < least:
        said.append(
            f"{money(int(costs.per_hour), costs.currency)} an hour is below the {money(least, costs.currency)} that "
            f"'{provider}' allows: set payment.reward to at least {math.ceil(least * costs.minutes / 60)}."
        )
    return tuple(said)


def advice_on_costs(specification: Specification, costs: Costs) -> tuple[str, ...]:
    """What should be known, and stands against nothing."""
    provider = specification.payment.provider
    advised = ADVISED_PER_HOUR.get(provider, {}).get(costs.currency, 0)
    if costs.per_hour >= advised:
        return ()
    return (
        f"'{provider}' advises {money(advised, costs.currency)} an hour; this pays "
        f"{money(int(costs.per_hour), costs.currency)}.",
    )


def money(minor: int, currency: str) -> str:
    """``USD 12.50``; of currencies without minor units (ISO 4217) the whole number."""
    if currency in {"JPY", "KRW", "ISK", "CLP", "VND"}:
        return f"{currency} {minor}"
    return f"{currency} {minor // 100}.{minor % 100:02}"
