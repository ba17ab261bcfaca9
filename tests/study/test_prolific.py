"""Prolific's own ways: what its interface is told, patience, secrets, and signed messages."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator

import pytest
import requests
from fake_prolific import TOKEN, FakeProlific
from provider_stages import REASON, posting

from recon.errors import InputError, OutcomeUnknownError, ProviderError, UsageError
from study.providers import PROVIDERS
from study.providers.contract import Bonus, Cost, Posting, ProviderSettings
from study.providers.http import ATTEMPTS, JsonClient
from study.providers.prolific import ProlificProvider, entry_url, study_body
from study.providers.prolific_webhook import read_message, sign


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProlific]:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    market = FakeProlific()
    yield market
    market.close()


def _open(fake: FakeProlific, live: bool = True, waits: list[float] | None = None) -> ProlificProvider:
    wait = ([] if waits is None else waits).append
    return ProlificProvider(JsonClient("Prolific", f"{fake.address}/api/v1", "Token", TOKEN, wait), live)


def test_a_study_is_told_as_the_documentation_wants_it() -> None:
    body = study_body(posting())
    assert body["external_study_url"] == (
        "https://study.example/s/?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
    )
    assert body["prolific_id_option"] == "url_parameters"
    assert body["internal_name"] == "t" * 64
    assert body["completion_codes"] == [
        {"code": "DONE", "code_type": "COMPLETED", "actions": [{"action": "MANUALLY_REVIEW"}]}
    ]
    assert (body["reward"], body["total_available_places"], body["estimated_completion_time"]) == (150, 3, 10)
    assert entry_url("https://a.example/?x=1").startswith("https://a.example/?x=1&PROLIFIC_PID={{%PROLIFIC_PID%}}&")


def test_options_add_filters_and_cannot_change_the_money() -> None:
    from dataclasses import replace

    body = study_body(replace(posting(), options={"filters": [{"filter_id": "age"}]}))
    assert body["filters"] == [{"filter_id": "age"}] and body["reward"] == 150
    with pytest.raises(UsageError, match="cannot say 'reward'"):
        study_body(replace(posting(), options={"reward": 9999}))


def test_raters_who_are_screened_out_return_or_are_paid_a_fixed_sum(fake: FakeProlific) -> None:
    from dataclasses import replace

    asked = study_body(replace(posting(), screen_out_code="OUT"))["completion_codes"][1]
    assert asked["code_type"] == "INCOMPATIBLE_DEVICE" and asked["actions"][0]["action"] == "REQUEST_RETURN"
    paid = replace(posting(), screen_out_code="OUT", screen_out_cents=20, screen_out_places=5)
    code = study_body(paid)["completion_codes"][1]
    assert code["actions"] == [{"action": "FIXED_SCREEN_OUT_PAYMENT", "fixed_screen_out_reward": 20, "slots": 5}]
    # 3 × 150 and 5 × 20 cents, 40 % fee: 450 + 180 and 100 + 40.
    cost = _open(fake).cost(paid)
    assert (cost.amount_cents, cost.fee_cents) == (550, 220)


def test_without_live_studies_are_drafted_and_tested_and_nothing_costs(fake: FakeProlific) -> None:
    provider = _open(fake, live=False)
    drafted = provider.create(posting())
    assert provider.test_study(posting()).state == "open"
    assert provider.find("t" * 64) == drafted  # though its copy has the same name
    number = fake.arrive(drafted.provider_id, "P1")
    bonus = Bonus("b" * 64, drafted.provider_id, number, "P1", 50, "Thanks.")
    calls = [
        lambda: provider.publish(posting()),
        lambda: provider.approve(number),
        lambda: provider.reject(number, REASON),
        lambda: provider.pay_bonus(bonus, "bulk0000"),
    ]
    for call in calls:
        with pytest.raises(UsageError, match="--live"):
            call()
    assert fake.exposure_cents() == 0
    assert [entry["status"] for entry in fake.people.values()] == ["AWAITING REVIEW"]


def test_a_short_reason_is_refused_before_anything_is_called(fake: FakeProlific) -> None:
    before = len(fake.requests)
    with pytest.raises(UsageError, match="100 characters"):
        _open(fake).reject("sub0000", "x" * 99)
    assert len(fake.requests) == before


def test_a_return_is_asked_for_once(fake: FakeProlific) -> None:
    number = fake.arrive("s", "P1")
    provider = _open(fake)
    provider.request_return(number, ["Withdrew consent"])
    provider.request_return(number, ["Withdrew consent"])
    assert sum(path.endswith("request-return/") for _, path in fake.requests) == 1


@pytest.mark.parametrize("status", ["ACTIVE", "RETURNED", "TIMED-OUT", "SCREENED OUT"])
def test_only_work_that_was_handed_in_is_approved(fake: FakeProlific, status: str) -> None:
    number = fake.arrive("s", "P1", status)
    with pytest.raises(ProviderError, match=status):
        _open(fake).approve(number)


def test_an_unknown_state_is_said_and_not_guessed(fake: FakeProlific) -> None:
    fake.arrive("s", "P1", "ABDUCTED")
    with pytest.raises(ProviderError, match="ABDUCTED"):
        list(_open(fake).submissions("s"))


def test_patience_doubles_and_ends(fake: FakeProlific) -> None:
    waits: list[float] = []
    fake.failures.extend(["429"] * (ATTEMPTS - 1))
    _open(fake, waits=waits).create(posting())  # refused five times, then taken
    assert len(waits) == ATTEMPTS - 1
    assert all(0 <= wait <= 2**attempt for attempt, wait in enumerate(waits))
    fake.failures.extend(["429"] * ATTEMPTS)
    with pytest.raises(ProviderError, match="try again later") as caught:
        _open(fake, waits=waits).create(posting(token="u" * 64))
    assert not isinstance(caught.value, OutcomeUnknownError)
    assert len(fake.studies) == 1


def test_the_wait_is_as_long_as_the_marketplace_says(fake: FakeProlific) -> None:
    from study.providers.http import _retry_after

    answer = requests.Response()
    for given, expected in (("7", 7.0), ("86400", 60.0), ("soon", 0.5), ("", 0.5)):
        answer.headers["Retry-After"] = given
        assert _retry_after(answer, 0.5) == expected


@pytest.mark.parametrize("failure", ["503 before", "503 after", "drop before", "drop after"])
def test_paying_a_bonus_is_sent_once_whatever_happens(fake: FakeProlific, failure: str) -> None:
    provider = _open(fake)
    study = provider.publish(posting())
    number = fake.arrive(study.provider_id, "P1")
    bonus = Bonus("b" * 64, study.provider_id, number, "P1", 425, "Thanks.")
    prepared = provider.prepare_bonus(bonus)
    assert prepared.cost == Cost(425, 170)  # 40 %
    fake.failures.append(failure)
    with pytest.raises(OutcomeUnknownError):
        provider.pay_bonus(bonus, prepared.reference)
    assert sum(path.endswith("/pay/") for _, path in fake.requests) == 1
    assert fake.paid == ([(number, 425)] if failure.endswith("after") else [])
    # Prolific pays minutes later: absence proves nothing.
    assert provider.bonus_was_paid(bonus, prepared.reference) is (True if failure.endswith("after") else None)


def test_an_earlier_bonus_is_not_taken_for_this_one(fake: FakeProlific) -> None:
    provider = _open(fake)
    number = fake.arrive(provider.publish(posting()).provider_id, "P1")
    fake.people[number]["bonus_payments"] = [50.0]
    assert provider.bonus_was_paid(Bonus("b" * 64, "s", number, "P1", 50, "", paid_before_cents=50), "") is None
    assert provider.bonus_was_paid(Bonus("b" * 64, "s", number, "P1", 50, ""), "") is True


def test_a_refusal_says_why_and_keeps_the_token_to_itself(
    fake: FakeProlific, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    client = JsonClient("Prolific", f"{fake.address}/api/v1", "Token", "wrong-secret")
    with pytest.raises(ProviderError, match="401") as caught:
        ProlificProvider(client, True).find("t")
    monkeypatch.setenv("PROLIFIC_API_TOKEN", "wrong-secret")
    opened = PROVIDERS.get("prolific")(ProviderSettings(endpoint=f"{fake.address}/api/v1"))
    said = f"{caught.value} {caplog.text} {client!r} {vars(client)} {opened!r} {ProviderSettings()!r}"
    assert "wrong-secret" not in said
    assert fake.headers[-1]["authorization"] == "Token wrong-secret"


def test_without_a_token_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PROLIFIC_API_TOKEN", raising=False)
    with pytest.raises(UsageError, match="PROLIFIC_API_TOKEN"):
        PROVIDERS.get("prolific")(ProviderSettings())


@pytest.mark.parametrize(
    "address", ["http://api.prolific.com", "ftp://127.0.0.1", "api.prolific.com", "http://10.0.0.1"]
)
def test_secrets_go_to_safe_addresses_alone(address: str) -> None:
    with pytest.raises(UsageError, match="https"):
        JsonClient("Prolific", address, "Token", TOKEN)


def test_an_endpoint_that_is_not_there_is_no_unknown_outcome(fake: FakeProlific) -> None:
    client = JsonClient("Prolific", "http://127.0.0.1:1/api/v1", "Token", TOKEN, wait=lambda seconds: None)
    with pytest.raises(ProviderError) as caught:
        client.post("/studies/", {}, repeatable=False)
    assert not isinstance(caught.value, OutcomeUnknownError)


def test_a_signed_message_is_read_and_any_other_refused() -> None:
    # The recipe of docs.prolific.com, Webhooks, Verifying, computed here by openssl:
    # printf '1700000000{"event_type": "submission.status.change"}' | openssl dgst -sha256 -hmac key -binary | base64
    body = b'{"event_type": "submission.status.change"}'
    signature = sign("key", "1700000000", body)
    assert signature == OPENSSL
    headers = {"X-Prolific-Request-Signature": signature, "X-Prolific-Request-Timestamp": "1700000000"}
    assert read_message("key", headers, body, 1700000010)["event_type"] == "submission.status.change"
    for wrong in (
        ("other", headers, body, 1700000010),
        ("key", headers, body + b" ", 1700000010),
        ("key", {**headers, "X-Prolific-Request-Timestamp": "1700000001"}, body, 1700000010),
        ("key", headers, body, 1700000000 + 301),
        ("key", {}, body, 1700000010),
    ):
        with pytest.raises(InputError):
            read_message(*wrong)


@pytest.mark.parametrize(
    ("timestamp", "body"), [("1700000000", b"[1]"), ("1700000000", b"{"), ("now", b"{}"), ("nan", b"{}")]
)
def test_a_signed_message_must_still_make_sense(timestamp: str, body: bytes) -> None:
    headers = {"x-prolific-request-signature": sign("k", timestamp, body), "x-prolific-request-timestamp": timestamp}
    with pytest.raises(InputError):
        read_message("k", headers, body, 1700000000)


def test_the_signature_is_base64_of_32_bytes() -> None:
    assert len(base64.b64decode(sign("k", "1", json.dumps({}).encode()))) == 32


OPENSSL = "aAEMXqMKdSQEXiWN0ZL3YnoOefGtU/ZP2OKNmA2h5zM="


def test_a_draft_that_was_changed_at_prolific_is_not_published(fake: FakeProlific) -> None:
    provider = _open(fake)
    drafted = provider.create(posting())
    fake.studies[drafted.provider_id]["reward"] = 1500
    with pytest.raises(ProviderError, match="at 1500 cents"):
        provider.publish(posting())
    assert fake.exposure_cents() == 0


def test_a_page_shorter_than_was_asked_for_is_not_taken_for_the_last(fake: FakeProlific) -> None:
    fake.longest_page = 2
    provider = _open(fake)
    for number in range(5):
        provider.create(posting(token=str(number) * 64))
    assert [provider.create(posting(token=str(number) * 64)).provider_id for number in range(5)] == list(fake.studies)
    assert len(fake.studies) == 5


def test_a_list_that_ends_early_is_an_error(fake: FakeProlific, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = {"results": [], "meta": {"count": 3}}
    monkeypatch.setattr(fake, "_page", lambda entries, query: broken)
    with pytest.raises(ProviderError, match="0 of 3"):
        _open(fake).create(posting())
    assert fake.studies == {}


def test_another_program_that_published_first_is_no_refusal(
    fake: FakeProlific, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = _open(fake)
    drafted = provider.create(posting())

    def too_late(posting_id: str, part: Posting) -> None:
        fake.studies[posting_id]["status"] = "ACTIVE"

    monkeypatch.setattr(provider, "_check_money", too_late)
    assert provider.publish(posting()).state == "open"
    assert drafted.state == "draft" and len(fake.studies) == 1
