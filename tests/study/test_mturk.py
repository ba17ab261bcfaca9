"""Mechanical Turk's own ways: HITs and fees, tokens that expire, its end, and its batch results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import boto3
import pytest
from botocore.stub import ANY, Stubber
from fake_mturk import FakeMTurk
from provider_stages import REASON, add_session, mturk_stage, posting
from sqlalchemy import select
from study_rows import add_study

from recon.errors import InputError, OutcomeUnknownError, ProviderError, UsageError
from study import ledger
from study.database import HitRow, StudyRow
from study.engine import open_database, transaction, upgrade
from study.providers import PROVIDERS, launching, paying
from study.providers.contract import Bonus, ProviderSettings
from study.providers.fees import FEES
from study.providers.mturk import LIVE_ENDPOINT, SANDBOX_ENDPOINT, MTurkProvider, external_question, open_mturk
from study.providers.mturk_results import read_batch_results

BATCH = Path(__file__).parent.parent / "data" / "mturk_batch.csv"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of nobody, and no proxy between us and ourselves."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "TEST")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def fake() -> Iterator[FakeMTurk]:
    market = FakeMTurk()
    yield market
    market.close()


def _open(fake: FakeMTurk) -> MTurkProvider:
    return open_mturk(ProviderSettings(live=True, endpoint=fake.address, options={"attempts": 1}))


@pytest.mark.parametrize(
    ("cents", "places", "fee"),
    # 20 %, 40 % from ten assignments on, at least a cent; broken cents up.
    [(100, 9, 20), (100, 10, 40), (1, 1, 1), (2, 10, 1), (5, 1, 1), (6, 1, 2), (33, 10, 14), (0, 50, 0)],
)
def test_fees_are_those_of_the_price_list(cents: int, places: int, fee: int) -> None:
    assert FEES["mturk"].of(cents, places) == fee


def test_hits_are_small_where_that_is_cheaper(fake: FakeMTurk) -> None:
    provider = _open(fake)
    cheap = provider.parts(posting(places=25, reward_cents=100))
    assert [part.places for part in cheap] == [9, 9, 7]
    assert len({part.token for part in cheap}) == 3 and all(len(part.token) == 64 for part in cheap)
    assert cheap == provider.parts(posting(places=25, reward_cents=100))
    assert sum(cost.amount_cents + cost.fee_cents for cost in map(provider.cost, cheap)) == 25 * 120
    # At two cents the least fee is the same either way, so one HIT does.
    assert provider.parts(posting(places=25, reward_cents=2)) == (posting(places=25, reward_cents=2),)


def test_a_hit_is_made_as_the_api_wants_it() -> None:
    client = boto3.client("mturk", region_name="us-east-1", endpoint_url=SANDBOX_ENDPOINT)
    hit = {"HITId": "H1", "HITStatus": "Assignable", "MaxAssignments": 3, "RequesterAnnotation": "t" * 64}
    again = {"QualificationTypeId": "Q1", "Comparator": "DoesNotExist", "ActionsGuarded": "DiscoverPreviewAndAccept"}
    with Stubber(client) as stub:  # checks names and types of what is sent against the service's own model
        stub.add_response("list_hits", {"NumResults": 0, "HITs": []}, {"MaxResults": 100})
        stub.add_response("list_qualification_types", {"NumResults": 0, "QualificationTypes": []}, ANY_QUERY)
        stub.add_response("create_qualification_type", {"QualificationType": {"QualificationTypeId": "Q1"}}, ANY_KIND)
        stub.add_response(
            "create_hit_type",
            {"HITTypeId": "T1"},
            {
                "AutoApprovalDelayInSeconds": 14 * 86400, "AssignmentDurationInSeconds": 3600, "Reward": "1.50",
                "Title": "Which face is real?", "Keywords": ANY, "Description": "Faces.",
                "QualificationRequirements": [again],
            },
        )  # fmt: skip
        stub.add_response(
            "create_hit_with_hit_type",
            {"HIT": hit},
            {
                "HITTypeId": "T1", "MaxAssignments": 3, "LifetimeInSeconds": 7 * 86400, "Question": ANY,
                "RequesterAnnotation": "t" * 64, "UniqueRequestToken": "t" * 64,
            },
        )  # fmt: skip
        assert MTurkProvider(client, False).publish(posting()).provider_id == "H1"
        stub.assert_no_pending_responses()


ANY_QUERY = {"Query": ANY, "MustBeRequestable": False, "MustBeOwnedByCaller": True, "MaxResults": 100}
ANY_KIND = {"Name": ANY, "Description": ANY, "QualificationTypeStatus": "Active"}


def test_the_question_is_an_external_one_and_its_address_survives_xml() -> None:
    url = "https://study.example/s/?a=1&b=<2>"
    question = ElementTree.fromstring(external_question(url, 700))
    space = "{http://mechanicalturk.amazonaws.com/AWSMechanicalTurkDataSchemas/2006-07-14/ExternalQuestion.xsd}"
    assert question.tag == f"{space}ExternalQuestion"
    assert [(child.tag, child.text) for child in question] == [
        (f"{space}ExternalURL", url),
        (f"{space}FrameHeight", "700"),
    ]


def test_sandbox_and_live_are_two_endpoints() -> None:
    for live, endpoint in ((False, SANDBOX_ENDPOINT), (True, LIVE_ENDPOINT)):
        provider: Any = PROVIDERS.get("mturk")(ProviderSettings(live=live))
        assert provider._client.meta.endpoint_url == endpoint


def test_where_no_endpoint_answers_the_announced_end_is_named() -> None:
    provider = open_mturk(ProviderSettings(endpoint="http://127.0.0.1:1", options={"attempts": 1}))
    with pytest.raises(ProviderError, match="30 September 2026"):
        provider.find("t")


def test_a_day_later_the_token_is_forgotten_and_nothing_is_done_twice(fake: FakeMTurk) -> None:
    provider = _open(fake)
    hit = provider.publish(posting())
    number = fake.arrive(hit.provider_id, "W1")
    bonus = Bonus("b" * 64, hit.provider_id, number, "W1", 50, "Thanks.")
    provider.pay_bonus(bonus, "")
    fake.forget_tokens()
    assert provider.publish(posting()) == hit and len(fake.hits) == 1
    assert provider.bonus_was_paid(bonus, "") is True
    assert provider.bonus_was_paid(replace(bonus, token="c" * 64), "") is False


def test_within_a_day_a_token_that_was_used_is_no_refusal(fake: FakeMTurk) -> None:
    provider = _open(fake)
    fake.tokens.add(("hit", "t" * 64))  # posted a moment ago, and not listed yet
    with pytest.raises(OutcomeUnknownError, match="HITAlreadyExists"):
        provider.publish(posting())
    number = fake.arrive(provider.publish(posting(token="u" * 64)).provider_id, "W1")
    bonus = Bonus("b" * 64, "H", number, "W1", 50, "Thanks.")
    provider.pay_bonus(bonus, "")
    provider.pay_bonus(bonus, "")  # refused for its token, and found in the list
    assert len(fake.bonuses) == 1


def test_another_currency_and_paid_screening_are_refused(fake: FakeMTurk) -> None:
    with pytest.raises(UsageError, match="USD"):
        _open(fake).create(replace(posting(), currency="GBP"))
    with pytest.raises(UsageError, match="screened out"):
        _open(fake).create(replace(posting(), screen_out_code="O", screen_out_cents=5, screen_out_places=2))


def test_places_of_rejected_workers_are_offered_again_out_of_their_money(tmp_path: Path) -> None:
    engine = open_database(f"sqlite:///{tmp_path / 'studies.sqlite'}")
    upgrade(engine)
    offer = posting(places=3, reward_cents=100)
    with transaction(engine) as session:
        add_study(session, provider="mturk", cap_cents=360)  # three places with fees, and not a cent more
    stage = mturk_stage(engine)
    try:
        provider = stage.open(True)
        (hit,) = launching.launch(engine, provider, offer)
        assert launching.replace_rejected(engine, provider, offer) == ()
        ids = stage.arrive(hit.provider_id, ["W1", "W2", "W3"])
        for name, number in zip(("W1", "W2"), ids, strict=False):
            row = add_session(engine, "trial", "mturk", number, name, hit.provider_id)
            paying.reject(engine, provider, row, REASON)
        for _ in range(2):
            (again,) = launching.replace_rejected(engine, provider, offer)
            assert (again.places, again.state) == (2, "open")
        assert stage.posted() == 2
        with transaction(engine) as session:
            assert ledger.budget(session, session.scalars(select(StudyRow)).one()).committed_cents == 360
            assert sorted(session.scalars(select(HitRow.assignments))) == [2, 3]
        assert stage.exposure() == 360
    finally:
        stage.market.close()
        engine.dispose()


def test_batch_results_are_read() -> None:
    first, second, third = read_batch_results(BATCH)
    assert (first.submission.provider_id, first.submission.state, first.seconds) == ("A1", "approved", 61.0)
    assert (first.inputs, first.answers) == ({"image": "3f.webp"}, {"choice": "real", "completion_code": "C1"})
    assert (second.seconds, second.answers["choice"]) == (None, "fake, I think")
    assert (third.submission.participant, third.submission.state, third.seconds) == ("W1", "rejected", 4.5)
    assert "W1" not in repr(third)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('"AssignmentId"', '"Assignment"', "no column 'AssignmentId'"),
        ('"A3"', '"A1"', "'A1' twice"),
        ('"Submitted"', '"Lost"', "row 3 .* 'Lost'"),
        ('"4.5"', '"long"', "row 4 .* 'long'"),
        ('"W2"', '""', "row 3 .* no WorkerId"),
        ('"too fast"', '"too fast","more"', "row 4 .* too many"),
    ],
)
def test_a_wrong_batch_is_refused_by_row(tmp_path: Path, before: str, after: str, said: str) -> None:
    path = tmp_path / "batch.csv"
    path.write_text(BATCH.read_text(encoding="utf-8").replace(before, after), encoding="utf-8")
    with pytest.raises(InputError, match=said):
        read_batch_results(path)


def test_a_batch_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "batch.csv"
    with pytest.raises(InputError, match="does not exist"):
        read_batch_results(path)
    path.write_bytes(b"\xff\xfe\x00HITId")
    with pytest.raises(InputError, match="cannot be read"):
        read_batch_results(path)
