"""Slots are given once however many raters start together, expire, and stay balanced."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, select
from study_rows import add_study

from study.database import SlotRow
from study.engine import reading, transaction
from study.leases import finish_slot, release_slot, renew_slot, take_slot

LEASE = timedelta(minutes=30)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def taken(engine: Engine, study: int, at: datetime = NOON) -> int | None:
    with transaction(engine) as session:
        slot = take_slot(session, study, LEASE, at)
        return None if slot is None else slot.number


@pytest.fixture
def study(database: Engine) -> int:
    with transaction(database) as session:
        return add_study(session, slots=3).id


def test_slots_come_in_order_until_there_are_none(database: Engine, study: int) -> None:
    assert [taken(database, study) for _ in range(4)] == [0, 1, 2, None]


def test_a_lease_that_ran_out_goes_to_another(database: Engine, study: int) -> None:
    taken(database, study)
    assert taken(database, study, NOON + LEASE - timedelta(seconds=1)) == 1
    assert taken(database, study, NOON + LEASE) == 0


def test_renewed_released_and_finished_slots(database: Engine, study: int) -> None:
    for _ in range(3):
        taken(database, study)
    with transaction(database) as session:
        first, second, third = session.scalars(select(SlotRow).order_by(SlotRow.number))
        assert renew_slot(first, LEASE, NOON + timedelta(minutes=20))
        assert not renew_slot(first, LEASE, NOON + timedelta(hours=2))
        release_slot(second)
        finish_slot(third)
    assert [taken(database, study, NOON + timedelta(minutes=40)) for _ in range(2)] == [1, None]
    assert [taken(database, study, NOON + timedelta(hours=9)) for _ in range(3)] == [0, 1, None]


def test_a_lease_is_written_anew_once_a_sixtieth_of_it_is_gone(database: Engine, study: int) -> None:
    taken(database, study)
    for seconds, begun in ((29, 0), (31, 31), (60, 31), (62, 62)):
        at = NOON + timedelta(seconds=seconds)
        with transaction(database) as session:
            assert renew_slot(session.scalars(select(SlotRow).filter_by(number=0)).one(), LEASE, at)
        with reading(database) as session:
            until = session.scalars(select(SlotRow.lease_expires_at).filter_by(number=0)).one()
        assert until == NOON + timedelta(seconds=begun) + LEASE


def test_a_hundred_raters_at_once_get_a_hundred_slots(database: Engine) -> None:
    with transaction(database) as session:
        study = add_study(session, slots=100).id
    with ThreadPoolExecutor(25) as pool:
        given_out = list(pool.map(lambda _: taken(database, study), range(110)))
    assert sorted(number for number in given_out if number is not None) == list(range(100))
    assert given_out.count(None) == 10


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["take", "renew", "release", "finish", "wait"]), max_size=25), st.data())
def test_no_slot_has_two_raters_whatever_happens(database: Engine, orders: list[str], data: st.DataObject) -> None:
    """A model of the leases, in which every slot knows whose it is, goes through the same events."""
    with transaction(database) as session:
        study = add_study(session, name=f"study {datetime.now()}", slots=3).id
    at, until, done = NOON, dict[int, datetime](), set[int]()
    for order in orders:
        if order == "wait":
            at += timedelta(minutes=data.draw(st.integers(1, 40)))
            continue
        if order == "take":
            free = [n for n in range(3) if n not in done and until.get(n, at) <= at]
            assert taken(database, study, at) == (free[0] if free else None)
            if free:
                until[free[0]] = at + LEASE
            continue
        number = data.draw(st.integers(0, 2))
        with transaction(database) as session:
            slot = session.scalars(select(SlotRow).filter_by(study_id=study, number=number)).one()
            if order == "renew":
                held = number not in done and number in until and until[number] > at
                assert renew_slot(slot, LEASE, at) == held
                if held:
                    until[number] = at + LEASE
            elif order == "release":
                release_slot(slot)
                until.pop(number, None)
                done.discard(number)
            else:
                finish_slot(slot)
                done.add(number)
    with reading(database) as session:
        states = Counter(session.scalars(select(SlotRow.state).where(SlotRow.study_id == study)))
    assert states["done"] == len(done)


def test_a_free_slot_is_found_without_a_look_at_those_that_are_done(database: Engine, study: int) -> None:
    """The plan names the index of open slots, also where PostgreSQL could read a table so small at once."""
    said: list[tuple[str, Any]] = []
    event.listen(database, "before_cursor_execute", lambda *given: said.append((given[2], given[3])))
    assert taken(database, study) == 0
    query, values = next(one for one in said if one[0].startswith("SELECT slot"))
    lite = database.dialect.name == "sqlite"
    with database.begin() as connection:
        if not lite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = connection.exec_driver_sql(f"EXPLAIN {'QUERY PLAN' if lite else ''} {query}", values).all()
    assert "ix_slot_open" in str(plan)
