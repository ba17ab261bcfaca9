"""Places that go to another rater have slots again, once, wherever the marketplace offers them anew."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from provider_stages import REASON, STAGES, Stage, add_session, posting
from sqlalchemy import Engine, select
from study_rows import add_assignment, add_study

from study.database import AssignmentRow, SlotRow, StudyRow, now
from study.engine import reading, transaction
from study.launching import close_study, study_status
from study.leases import finish_slot, take_slot
from study.ledger import request_token
from study.providers import launching, paying
from study.quality.decisions import decide_by_person
from study.rewards import settle

LEASE = timedelta(hours=1)


@pytest.fixture(params=["local", "prolific", "mturk"])
def stage(request: pytest.FixtureRequest, database: Engine, amazon: None) -> Iterator[Stage]:
    """Three raters, each with a slot, handed their work in; no slot is free."""
    with transaction(database) as session:
        add_study(session, provider=request.param, cap_cents=10_000)
    made = STAGES[request.param](database)
    yield made
    if made.market is not None:
        made.market.close()


def working(stage: Stage) -> tuple[list[int], list[str], str]:
    """Numbers of the sessions, their submissions, and the posting; the work is handed in."""
    provider = stage.open(True)
    (posted,) = launching.launch(stage.engine, provider, posting())
    people = ["W1", "W2", "W3"]
    names = stage.arrive(posted.provider_id, people)
    numbers = [
        add_session(stage.engine, "trial", provider.name, name, person, posted.provider_id)
        for name, person in zip(names, people, strict=True)
    ]
    for number in numbers:
        sit(stage.engine, number)
    return numbers, names, posted.provider_id


def sit(engine: Engine, number: int, done: bool = True) -> None:
    """The session gets a slot, as the server gives it."""
    with transaction(engine) as session:
        row = session.get_one(AssignmentRow, number)
        slot = take_slot(session, row.study_id, LEASE, now())
        assert slot is not None
        row.slot = slot
        row.state = "submitted" if done else "active"
        if done:
            finish_slot(slot)


def slots(engine: Engine) -> list[str]:
    with reading(engine) as session:
        return list(session.scalars(select(SlotRow.state).order_by(SlotRow.number)))


def test_a_rejected_rater_s_slot_is_another_s_where_the_place_is(stage: Stage) -> None:
    numbers, _, _ = working(stage)
    provider = stage.open(True)
    for _ in range(2):
        paying.reject(stage.engine, provider, numbers[1], REASON)
    if provider.rejection_reopens:
        assert launching.replace_rejected(stage.engine, provider, posting()) == ()
    else:  # nobody could take it before it is offered again
        assert slots(stage.engine) == ["done"] * 3
        launching.replace_rejected(stage.engine, provider, posting())
    assert slots(stage.engine) == ["done", "free", "done"]
    with transaction(stage.engine) as session:
        study = session.scalars(select(StudyRow)).one()
        other = add_assignment(session, study, None, pseudonym="another").id
    sit(stage.engine, other)
    launching.replace_rejected(stage.engine, provider, posting())
    if provider.name != "local":
        launching.follow(stage.engine, provider, "trial")
    assert slots(stage.engine) == ["done"] * 3  # the second rater keeps it


@pytest.mark.parametrize("stage", ["prolific"], indirect=True)  # Mechanical Turk never tells of returned work
@pytest.mark.parametrize("word", ["RETURNED", "TIMED-OUT", "TIMED_OUT", "REJECTED"])
def test_who_gave_the_work_back_leaves_the_slot(stage: Stage, word: str) -> None:
    numbers, names, _ = working(stage)
    with transaction(stage.engine) as session:
        row = session.get_one(AssignmentRow, numbers[2])
        assert row.slot is not None
        row.state, row.slot.state, row.slot.lease_expires_at = "active", "leased", now() + LEASE
    stage.market.people[names[2]]["status"] = word
    assert slots(stage.engine) == ["done", "done", "leased"]
    for _ in range(2):
        launching.follow(stage.engine, stage.open(False), "trial")
        assert slots(stage.engine) == ["done", "done", "free"]


@pytest.mark.parametrize("stage", ["prolific"], indirect=True)
def test_a_slot_that_another_has_by_now_is_kept(stage: Stage) -> None:
    numbers, names, _ = working(stage)
    with transaction(stage.engine) as session:
        study = session.scalars(select(StudyRow)).one()
        row = session.get_one(AssignmentRow, numbers[2])
        row.state = "abandoned"  # silent for so long that the slot went to another
        add_assignment(session, study, row.slot, pseudonym="another").state = "active"
        assert row.slot is not None
        row.slot.state, row.slot.lease_expires_at = "leased", now() + LEASE
    stage.market.people[names[2]]["status"] = "TIMED-OUT"
    launching.follow(stage.engine, stage.open(False), "trial")
    assert slots(stage.engine) == ["done", "done", "leased"]


@pytest.mark.parametrize("stage", ["local"], indirect=True)
def test_a_closed_study_of_our_own_keeps_no_money_for_raters_who_never_came(stage: Stage) -> None:
    with transaction(stage.engine) as session:
        study = session.scalars(select(StudyRow)).one()
        study.specification = {"design": "split-face", "payment": {"reward": 150}}
        numbers = [add_assignment(session, study, None, pseudonym=name).id for name in "abc"]
    provider = stage.open(False)
    with reading(stage.engine) as session:
        token = request_token(session.scalars(select(StudyRow)).one(), "posting")
    launching.launch(stage.engine, provider, posting(token=token))
    sit(stage.engine, numbers[0])
    sit(stage.engine, numbers[1], done=False)
    with transaction(stage.engine) as session:
        session.get_one(AssignmentRow, numbers[1]).state = "abandoned"
    assert study_status(stage.engine, "trial").budget.committed_cents == 450
    for _ in range(2):
        close_study(stage.engine, "trial")
        found = study_status(stage.engine, "trial")
        assert (found.state, found.budget.committed_cents) == ("closed", 150)  # of the one who handed in
    with transaction(stage.engine) as session:  # the one who went away comes back and finishes
        session.get_one(AssignmentRow, numbers[1]).state = "submitted"
    for number in numbers[:2]:
        decide_by_person(stage.engine, "trial", number, pay=True, use=True, reason="Good.", by="ada")
    done = settle(stage.engine, provider, "trial")
    assert (list(done.approved), done.failed) == (numbers[:2], {})
    found = study_status(stage.engine, "trial")
    assert found.budget.committed_cents == found.budget.confirmed_cents == 300
