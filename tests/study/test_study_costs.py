"""Time and cost of a study: closed forms from the marketplaces' printed fees, and the cap."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from recon.errors import UsageError
from study.costs import PROLIFIC, advice_on_costs, estimate, fees_of, money, objections_to_costs, seconds_per_trial
from study.specification import Specification, specification_from


def study(**changed: Any) -> Specification:
    """A study of opinion scores, with these fields of ``payment`` and others changed."""
    payment = {"reward": 100, "cap": 10**9, **changed.pop("payment", {})}
    fields: dict[str, Any] = {
        "name": "a",
        "title": "A",
        "design": "acr",
        "conditions": ["meso", "pca"],
        "raters": 100,
        "seed": 1,
        "scales": [{"name": "realism"}],
        "stimuli": {"runs": ["run"]},
        "trials": {"main": 10},
        "consent": {"version": "1", "text": "Yes."},
        "payment": payment,
    }
    return specification_from({**fields, **changed})


@pytest.mark.parametrize(
    ("payment", "fees"),
    [
        # Mechanical Turk: 20 % of each payment, at least one cent (requester.mturk.com/pricing).
        ({"provider": "mturk", "reward": 100}, 100 * 20),
        ({"provider": "mturk", "reward": 100, "bonus": 50}, 100 * (20 + 10)),
        ({"provider": "mturk", "reward": 2}, 100 * 1),
        ({"provider": "mturk", "reward": 0}, 0),
        # Prolific: 33.3 % academic, 42.8 % corporate (prolific.com/pricing); a third and three sevenths, rounded up.
        ({"provider": "prolific", "reward": 300}, 100 * 101),
        ({"provider": "prolific", "reward": 700, "account": "corporate"}, 100 * 301),
        ({"provider": "local", "reward": 500, "bonus": 100}, 0),
    ],
)
def test_fees(payment: dict[str, Any], fees: int) -> None:
    found = estimate(study(payment=payment))
    assert found.fees == fees
    assert found.total == 100 * (payment["reward"] + payment.get("bonus", 0)) + fees


@pytest.mark.parametrize(("account", "share"), [("academic", Fraction(1, 3)), ("corporate", Fraction(3, 7))])
def test_prolific_is_not_estimated_too_low_nor_much_too_high(account: str, share: Fraction) -> None:
    """A quarter and three tenths of the whole, printed as 33.3 % and 42.8 % of what raters get."""
    rate = Fraction(PROLIFIC[account].rate, 1000)
    assert share <= rate < share + Fraction(1, 1000)
    assert f"{int(share * 1000) / 10}" in PROLIFIC[account].source


@effort(deadline=None)
@given(
    st.integers(1, 5000),
    st.integers(0, 10**5),
    st.integers(0, 10**4),
    st.sampled_from(["local", "prolific", "mturk"]),
    st.integers(0, 25),
)
def test_the_estimate_is_never_below_the_bill(raters: int, reward: int, bonus: int, provider: str, tax: int) -> None:
    share = {"local": Fraction(0), "prolific": Fraction(1, 3), "mturk": Fraction(1, 5)}[provider]
    payment = {"provider": provider, "reward": reward, "bonus": bonus, "tax_on_fee": tax}
    found = estimate(study(raters=raters, payment=payment))
    exact = raters * (reward + bonus) * (1 + share * (1 + Fraction(tax, 100)))
    assert exact <= found.total
    # A cent a payment for rounding, and a thousandth for Prolific's printed rate.
    assert (
        found.total <= exact + (2 * raters + Fraction(raters * (reward + bonus), 1000)) * (1 + Fraction(tax, 100)) + 1
    )


def test_time_and_pay_an_hour() -> None:
    """120 s around, 10 main and 2 training trials of 8 s (4 s a face, 4 s a scale): 216 s are 3.6 minutes."""
    found = estimate(study(trials={"main": 10, "training": 2}))
    assert (found.trials, found.seconds_per_trial, found.minutes) == (12, 8.0, pytest.approx(3.6))
    assert found.per_hour == pytest.approx(100 * 60 / 3.6)
    told = estimate(study(time={"seconds_per_trial": 30, "seconds_around": 0}))
    assert told.minutes == pytest.approx(5.0)
    ranking: dict[str, Any] = {"design": "ranking", "scales": [], "conditions": ["meso", "pca", "deep"]}
    assert seconds_per_trial(study(**ranking)) == 18.0
    assert seconds_per_trial(study(**ranking, options={"set_size": 2})) == 12.0


def test_the_cap_holds_to_the_cent() -> None:
    payment = {"provider": "mturk", "reward": 100, "cap": 12_000}  # 100 × (1.00 + 0.20)
    asked = study(payment=payment)
    assert objections_to_costs(asked, estimate(asked)) == ()
    asked = study(payment={**payment, "cap": 11_999})
    (said,) = objections_to_costs(asked, estimate(asked))
    assert said == (
        "the study costs USD 120.00, fees included, and payment.cap is USD 119.99: raise the cap to at least 12000, or "
        "ask fewer raters."
    )


def test_prolific_pays_in_two_currencies_and_not_below_its_minimum() -> None:
    """Prolific's payment principles: at least 6.00 GBP or 8.00 USD an hour, 9.00 or 12.00 advised."""
    ten_minutes = {"seconds_per_trial": 48, "seconds_around": 120}  # 10 trials
    for currency, least, advised in (("GBP", 100, 150), ("USD", 134, 200)):
        payment = {"provider": "prolific", "currency": currency}
        low = study(time=ten_minutes, payment={**payment, "reward": least - 1})
        (said,) = objections_to_costs(low, estimate(low))
        assert f"set payment.reward to at least {least}." in said
        fair = study(time=ten_minutes, payment={**payment, "reward": least})
        assert objections_to_costs(fair, estimate(fair)) == ()
        assert len(advice_on_costs(fair, estimate(fair))) == 1
        good = study(time=ten_minutes, payment={**payment, "reward": advised})
        assert advice_on_costs(good, estimate(good)) == ()
    euro = study(payment={"provider": "prolific", "currency": "EUR"})
    assert objections_to_costs(euro, estimate(euro)) == ("'prolific' does not pay in EUR: take GBP or USD.",)
    own = study(payment={"currency": "EUR", "reward": 0})
    assert objections_to_costs(own, estimate(own)) == ()


def test_unknown_fees_are_said() -> None:
    with pytest.raises(
        UsageError, match="the fees of 'clickworker' are not known here: known are those of local, mturk"
    ):
        fees_of(study(payment={"provider": "clickworker"}))


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [(1250, "USD", "USD 12.50"), (5, "GBP", "GBP 0.05"), (500, "JPY", "JPY 500"), (0, "EUR", "EUR 0.00")],
)
def test_money(minor: int, currency: str, shown: str) -> None:
    assert money(minor, currency) == shown
