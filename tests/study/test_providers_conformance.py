"""What every provider promises, on every provider: see ``study.providers.contract``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from provider_stages import REASON, STAGES, Stage, add_session, posting
from sqlalchemy import Engine, select
from study_rows import add_study

from recon.errors import BudgetError, OutcomeUnknownError, ProviderError, UsageError
from study import ledger
from study.database import HitRow, PaymentRow, StudyRow
from study.engine import transaction
from study.providers import PROVIDERS, launching, paying
from study.providers.contract import Bonus

CAP = 10_000


@pytest.fixture(params=list(STAGES))
def stage(request: pytest.FixtureRequest, engine: Engine, amazon: None) -> Iterator[Stage]:
    """A provider with a study of a cap of $100 in the database."""
    with transaction(engine) as session:
        add_study(session, provider=request.param, cap_cents=CAP)
    made = STAGES[request.param](engine)
    yield made
    if made.market is not None:
        made.market.close()


def test_all_are_registered() -> None:
    assert {"local", "prolific", "mturk"} <= set(PROVIDERS.names())
    assert all(callable(PROVIDERS.get(name)) for name in PROVIDERS)


def test_a_draft_is_no_offer_and_is_published_once(stage: Stage) -> None:
    provider = stage.open(True)
    (part,) = provider.parts(posting())
    assert provider.find(part.token) is None
    assert provider.create(part).state == "draft"
    assert provider.create(part).state == "draft"
    opened = provider.publish(part)
    assert opened.state == "open" and opened.places == 3 and opened.token == part.token
    assert provider.publish(part) == opened
    assert stage.posted() == 1


def test_state_is_found_again_by_token_after_a_crash(stage: Stage) -> None:
    opened = stage.open(True).publish(posting())
    other = stage.open(True).publish(posting(token="o" * 64))
    again = stage.open(True)
    assert again.find("t" * 64) == opened
    assert again.find("o" * 64) == other
    assert again.find("n" * 64) is None


def test_every_submission_comes_once_over_all_pages(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("local", "prolific", "mturk"):
        monkeypatch.setattr(f"study.providers.{module}.PAGE_SIZE", 3)
    provider = stage.open(True)
    opened = provider.publish(posting(places=8))
    ids = stage.arrive(opened.provider_id, [f"W{number:03d}" for number in range(7)])
    found = list(provider.submissions(opened.provider_id))
    assert [submission.provider_id for submission in found] == ids
    assert {submission.state for submission in found} == {"submitted"}
    assert [submission.participant for submission in found] == [f"W{number:03d}" for number in range(7)]
    assert "W003" not in repr(found)


def test_deciding_reads_the_state_first(stage: Stage) -> None:
    provider = stage.open(True)
    opened = provider.publish(posting())
    paid, refused = stage.arrive(opened.provider_id, ["W1", "W2"])
    provider.approve(paid)
    provider.approve(paid)
    provider.reject(refused, REASON)
    provider.reject(refused, REASON)
    states = {submission.provider_id: submission.state for submission in provider.submissions(opened.provider_id)}
    assert states == {paid: "approved", refused: "rejected"}
    with pytest.raises(ProviderError):
        provider.reject(paid, REASON)
    with pytest.raises(ProviderError):
        provider.approve(refused)


def test_a_rejection_needs_a_reason(stage: Stage) -> None:
    provider = stage.open(True)
    opened = provider.publish(posting())
    (submission,) = stage.arrive(opened.provider_id, ["W1"])
    with pytest.raises(UsageError):
        provider.reject(submission, "  ")
    assert next(provider.submissions(opened.provider_id)).state == "submitted"


def test_a_bonus_is_costed_then_paid_and_known_as_paid(stage: Stage) -> None:
    provider = stage.open(True)
    opened = provider.publish(posting())
    (submission,) = stage.arrive(opened.provider_id, ["W1"])
    bonus = Bonus("b" * 64, opened.provider_id, submission, "W1", 75, "Thank you.")
    prepared = provider.prepare_bonus(bonus)
    assert prepared.cost.amount_cents == 75
    assert stage.bonuses() == []
    assert provider.bonus_was_paid(bonus, prepared.reference) is not True
    provider.pay_bonus(bonus, prepared.reference)
    if stage.market is not None:
        assert stage.bonuses() == [75]
        assert provider.bonus_was_paid(bonus, prepared.reference) is True
        assert prepared.cost.fee_cents == {"prolific": 30, "mturk": 15}[provider.name]  # 40 % and 20 %


def test_closing_takes_no_more_raters_and_may_be_repeated(stage: Stage) -> None:
    provider = stage.open(True)
    opened = provider.publish(posting())
    assert provider.close(opened.provider_id).state == "closed"
    assert provider.close(opened.provider_id).state == "closed"


def test_excluding_may_be_repeated(stage: Stage) -> None:
    provider = stage.open(True)
    provider.exclude("trial", [])
    provider.exclude("trial", ["W1", "W2"])
    provider.exclude("trial", ["W2"])
    if provider.name == "mturk":
        assert {worker for _, worker in stage.market.holders} == {"W1", "W2"}
        assert len(stage.market.kinds) == 1


def test_cost_is_what_the_marketplace_can_charge(stage: Stage) -> None:
    provider = stage.open(True)
    parts = provider.parts(posting(places=25, reward_cents=33))
    promised = sum(cost.amount_cents + cost.fee_cents for cost in map(provider.cost, parts))
    for part in parts:
        provider.publish(part)
    assert sum(part.places for part in parts) == 25
    assert len({part.token for part in parts}) == len(parts)
    # Broken cents are rounded up, at most one for each part and place.
    assert stage.exposure() <= promised <= max(stage.exposure(), 25 * 33) + len(parts)


def test_a_launch_is_noted_and_repeating_it_posts_nothing(stage: Stage) -> None:
    for _ in range(2):
        posted = launching.launch(stage.engine, stage.open(True), posting())
        assert [part.state for part in posted] == ["open"]
    assert stage.posted() == 1
    with transaction(stage.engine) as session:
        hit = session.scalars(select(HitRow)).one()
        payment = session.scalars(select(PaymentRow)).one()
        assert (hit.state, hit.provider_id, hit.live) == ("open", posted[0].provider_id, True)
        assert (payment.state, payment.amount_cents) == ("confirmed", 450)
        assert payment.amount_cents + payment.fee_cents >= stage.exposure()


def test_a_launch_past_the_cap_calls_nothing(stage: Stage) -> None:
    with pytest.raises(BudgetError, match=r"cap is USD 100\.00"):
        launching.launch(stage.engine, stage.open(True), posting(places=67, reward_cents=150))
    assert stage.posted() == 0
    with transaction(stage.engine) as session:
        assert session.scalars(select(PaymentRow)).all() == []
        assert session.scalars(select(HitRow)).all() == []


def test_following_brings_states_over_and_counts(stage: Stage) -> None:
    provider = stage.open(True)
    (opened,) = launching.launch(stage.engine, provider, posting())
    first, second = stage.arrive(opened.provider_id, ["W1", "W2"])
    row = add_session(stage.engine, "trial", provider.name, first, "W1", opened.provider_id)
    provider.approve(second)
    progress = launching.follow(stage.engine, stage.open(True), "trial")
    assert progress.counts == {"submitted": 1, "approved": 1}
    assert progress.unknown == (0 if provider.name == "local" else 1)
    paying.approve(stage.engine, provider, row)
    assert launching.follow(stage.engine, provider, "trial").counts == {"approved": 2}


def test_rewards_come_out_of_the_promise_and_rejections_free_it_where_the_money_comes_back(stage: Stage) -> None:
    provider = stage.open(True)
    (opened,) = launching.launch(stage.engine, provider, posting())
    names = ["W1", "W2"]
    ids = stage.arrive(opened.provider_id, names)
    rows = [
        add_session(stage.engine, "trial", provider.name, submission, name, opened.provider_id)
        for submission, name in zip(ids, names, strict=True)
    ]
    before = _budget(stage).committed_cents
    for _ in range(2):
        paying.approve(stage.engine, provider, rows[0])
        paying.reject(stage.engine, provider, rows[1], REASON)
    after = _budget(stage)
    place = before // 3
    assert before - after.committed_cents == (0 if provider.rejection_reopens else place)
    assert after.confirmed_cents == place and after.unsettled == ()
    assert stage.exposure() <= after.committed_cents


def test_a_bonus_is_paid_once_for_its_purpose_and_never_past_the_cap(stage: Stage) -> None:
    provider = stage.open(True)
    (opened,) = launching.launch(stage.engine, provider, posting())
    (submission,) = stage.arrive(opened.provider_id, ["W1"])
    row = add_session(stage.engine, "trial", provider.name, submission, "W1", opened.provider_id)
    for purpose in ("best rater", "best rater", "second session"):
        paying.pay_bonus(stage.engine, stage.open(True), row, 50, "Thank you.", purpose)
    assert stage.bonuses() == ([] if stage.market is None else [50, 50])
    before = _budget(stage)
    with pytest.raises(BudgetError):
        paying.pay_bonus(stage.engine, provider, row, CAP, "Thank you.", "too much")
    assert _budget(stage) == before
    assert stage.bonuses() == ([] if stage.market is None else [50, 50])


def test_places_stay_apart_where_there_is_a_sandbox(stage: Stage) -> None:
    launching.launch(stage.engine, stage.open(True), posting())
    other = stage.open(False)
    if other.has_sandbox:
        with pytest.raises(UsageError, match="--live"):
            launching.follow(stage.engine, other, "trial")
    else:
        assert launching.follow(stage.engine, other, "trial").counts == {}


@pytest.mark.parametrize("failure", ["503 after", "drop after", "503 before", "drop before"])
def test_a_lost_answer_posts_nothing_twice(stage: Stage, failure: str) -> None:
    if stage.market is None:
        pytest.skip("our own database loses no answers")
    stage.market.failures.extend([failure, "", failure])
    for _ in range(6):
        try:
            launching.launch(stage.engine, stage.open(True), posting())
            break
        except OutcomeUnknownError:
            assert stage.exposure() <= _budget(stage).committed_cents
    assert [part.state for part in launching.launch(stage.engine, stage.open(True), posting())] == ["open"]
    assert stage.posted() == 1


@pytest.mark.parametrize("failure", ["503 after", "drop after"])
def test_a_lost_answer_pays_no_bonus_twice(stage: Stage, failure: str) -> None:
    if stage.market is None:
        pytest.skip("our own database loses no answers")
    provider = stage.open(True)
    (opened,) = launching.launch(stage.engine, provider, posting())
    (submission,) = stage.arrive(opened.provider_id, ["W1"])
    row = add_session(stage.engine, "trial", provider.name, submission, "W1", opened.provider_id)
    # On Prolific a bonus is set up before it is paid, and setting it up again does no harm.
    stage.market.failures.extend(["", failure] if provider.name == "prolific" else [failure])
    for _ in range(3):
        try:
            paying.pay_bonus(stage.engine, stage.open(True), row, 50, "Thank you.", "best rater")
        except OutcomeUnknownError:
            assert _budget(stage).unsettled
    assert stage.bonuses() == [50]
    assert _budget(stage).unsettled == ()


def _budget(stage: Stage) -> ledger.Budget:
    with transaction(stage.engine) as session:
        return ledger.budget(session, session.scalars(select(StudyRow)).one())
