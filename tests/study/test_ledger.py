"""The ledger: sums by hand, and the cap under random orders of calls, lost answers and killed programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from provider_stages import REASON, STAGES, Stage, add_session, posting
from sqlalchemy import Engine, select
from study_rows import add_assignment, add_study

from recon.errors import BudgetError, InputError, MesofaceError, UsageError
from study import ledger
from study.database import Base, PaymentRow, StudyRow
from study.engine import open_database, transaction
from study.providers import launching, paying
from study.providers.contract import Cost

CAP = 2000


def _wish(name: str, amount: int, fee: int = 0) -> ledger.Wish:
    return ledger.Wish(name * 64, Cost(amount, fee))


def test_sums_are_those_of_a_ledger_by_hand(database: Engine) -> None:
    with transaction(database) as session:
        study = add_study(session, cap_cents=1000)
        other = add_study(session, name="other", cap_cents=1000)
        rater = add_assignment(session, study, None)
        ledger.promise(session, study.id, [_wish("a", 500, 100), _wish("b", 100, 20)])
        ledger.promise(session, other.id, [_wish("z", 900)])
        assert ledger.committed_cents(session, study.id) == 720
        ledger.plan_bonus(session, study.id, rater.id, _wish("c", 50, 10), "bulk")
        assert ledger.committed_cents(session, study.id) == 780
        ledger.plan_reward(session, study.id, rater.id, _wish("d", 100, 20))  # out of the promise
        assert ledger.committed_cents(session, study.id) == 780
        ledger.release_reward(session, study.id, rater.id, _wish("d", 100, 20))
        ledger.release_reward(session, study.id, rater.id, _wish("d", 100, 20))
        assert ledger.committed_cents(session, study.id) == 660
        ledger.move(session, "c" * 64, "planned", "failed")
        assert ledger.committed_cents(session, study.id) == 600
        found = ledger.budget(session, study)
        assert (found.cap_cents, found.committed_cents, found.confirmed_cents, found.unsettled) == (1000, 600, 0, ())


def test_the_cap_may_be_reached_and_not_passed(database: Engine) -> None:
    with transaction(database) as session:
        study = add_study(session, cap_cents=1000)
        ledger.promise(session, study.id, [_wish("a", 900, 100)])
        ledger.promise(session, study.id, [_wish("a", 900, 100)])  # the same money
        identifier = study.id
    with pytest.raises(BudgetError, match="it was not done"), transaction(database) as session:
        ledger.promise(session, identifier, [_wish("b", 0, 1)])
    with transaction(database) as session:
        assert ledger.committed_cents(session, identifier) == 1000


def test_of_several_parts_all_are_set_aside_or_none(database: Engine) -> None:
    with transaction(database) as session:
        identifier = add_study(session, cap_cents=1000).id
    with pytest.raises(BudgetError), transaction(database) as session:
        ledger.promise(session, identifier, [_wish("a", 600), _wish("b", 600)])
    with transaction(database) as session:
        assert ledger.committed_cents(session, identifier) == 0


def test_one_of_two_programs_alone_goes_on_to_call(database: Engine) -> None:
    with transaction(database) as session:
        ledger.promise(session, add_study(session).id, [_wish("a", 10)])
        assert ledger.move(session, "a" * 64, "planned", "sent", "ref")
        assert not ledger.move(session, "a" * 64, "planned", "sent")
        row = ledger.find_payment(session, "a" * 64)
        assert row is not None and (row.state, row.provider_reference) == ("sent", "ref")


def test_money_of_a_paid_reward_cannot_come_back(database: Engine) -> None:
    with transaction(database) as session:
        study = add_study(session)
        rater = add_assignment(session, study, None)
        ledger.plan_reward(session, study.id, rater.id, _wish("a", 10)).state = "confirmed"
        with pytest.raises(InputError, match="confirmed"):
            ledger.release_reward(session, study.id, rater.id, _wish("a", 10))


@pytest.mark.parametrize(("paid", "committed"), [(True, 50), (False, 0)])
def test_a_person_settles_what_nobody_else_knows(database: Engine, paid: bool, committed: int) -> None:
    with transaction(database) as session:
        study = add_study(session, cap_cents=1000)
        rater = add_assignment(session, study, None)
        ledger.plan_bonus(session, study.id, rater.id, _wish("a", 50), "bulk")
        ledger.plan_bonus(session, study.id, rater.id, _wish("b", 0), "bulk")
        with pytest.raises(UsageError, match="planned"):
            ledger.settle(session, "aaaa", paid)
        ledger.move(session, "a" * 64, "planned", "sent")
        assert ledger.budget(session, study).unsettled == ("a" * 64,)
        with pytest.raises(UsageError, match="no payments"):
            ledger.settle(session, "%", paid)
        ledger.settle(session, "aaaa", paid)
        found = ledger.budget(session, study)
        assert (found.committed_cents, found.unsettled) == (committed, ())


def test_tokens_follow_from_the_study_file_and_not_from_the_database(database: Engine) -> None:
    with transaction(database) as session:
        first = add_study(session)
        token = ledger.request_token(first, "reward", "s1")
        assert len(token) == 64 and ledger.request_token(first, "reward", "s1") == token
        assert ledger.request_token(first, "reward", "s2") != token
        assert ledger.request_token(first, "reward", "s", "1") != ledger.request_token(first, "reward", "s1")
        restored = StudyRow(name=first.name, specification_sha256=first.specification_sha256)
        assert ledger.request_token(restored, "reward", "s1") == token


class KilledError(BaseException):
    """Our program ended here."""


class Killing:
    """A provider whose program is killed before or after a call that changes something."""

    def __init__(self, provider: Any, where: str) -> None:
        self._provider, self._where = provider, where

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._provider, name)
        if name not in {"create", "publish", "approve", "reject", "pay_bonus", "prepare_bonus"}:
            return found

        def call(*arguments: Any) -> Any:
            if self._where == f"killed before {name}":
                raise KilledError
            answer = found(*arguments)
            if self._where == f"killed after {name}":
                raise KilledError
            return answer

        return call


STEPS = st.one_of(
    st.tuples(st.just("launch"), st.integers(0, 2), st.integers(1, 12)),
    st.tuples(st.just("arrive"), st.integers(0, 2), st.integers(1, 3)),
    st.tuples(st.sampled_from(["approve", "reject"]), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("bonus"), st.integers(0, 2), st.sampled_from([1, 40, 700])),
    st.just(("a day passes", 0, 0)),
)
KILLS = [
    f"killed {when} {name}" for name in ("publish", "approve", "reject", "pay_bonus") for when in ("before", "after")
]
TROUBLES = st.one_of(
    st.none(),
    st.sampled_from(KILLS),
    st.lists(st.sampled_from(["", "", "429", "503 before", "503 after", "drop before", "drop after"]), max_size=3),
)


@pytest.mark.parametrize("provider", ["prolific", "mturk"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(STEPS, TROUBLES), min_size=4, max_size=12))
def test_no_order_of_calls_and_failures_passes_the_cap_or_pays_twice(
    provider: str, steps: list[tuple[tuple[str, int, int], Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "TEST")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, "127.0.0.1")
    with _stage(provider) as stage:
        play = _Play(stage)
        play.step("launch", 0, 4, None)
        play.step("arrive", 0, 3, None)
        for step, trouble in steps:
            play.step(*step, trouble)
            play.check()
        for step, _ in steps:  # and once more without trouble: nothing more is posted or paid than was asked for
            play.step(*step, None)
            play.check()


@contextmanager
def _stage(provider: str) -> Iterator[Stage]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "studies.sqlite"
        file.touch()  # the migrations take longer than the steps
        engine = open_database(f"sqlite:///{file}")
        Base.metadata.create_all(engine)
        with transaction(engine) as session:
            add_study(session, provider=provider, cap_cents=CAP)
        stage = STAGES[provider](engine)
        try:
            yield stage
        finally:
            stage.market.close()
            engine.dispose()


class _Play:
    """What a researcher does, with an own account of what was asked for."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.provider = stage.open(True)
        self.offered: dict[int, Any] = {}
        self.rows: list[tuple[int, str]] = []
        self.wanted: set[tuple[int, int]] = set()

    def step(self, what: str, which: int, number: int, trouble: Any) -> None:
        if what == "arrive":
            self._arrive(which, number)
            return
        if what == "a day passes":
            if self.provider.name == "mturk":
                self.stage.market.forget_tokens()
            return
        self.stage.market.failures.extend(trouble if isinstance(trouble, list) else [])
        provider: Any = Killing(self.stage.open(True), trouble if isinstance(trouble, str) else "")
        actions: dict[str, Callable[[], object]] = {
            "launch": lambda: launching.launch(self.stage.engine, provider, self._offer(which, number)),
            "approve": lambda: paying.approve(self.stage.engine, provider, self._row(which)),
            "reject": lambda: paying.reject(self.stage.engine, provider, self._row(which), REASON),
            "bonus": lambda: self._bonus(provider, which, number),
        }
        if what == "launch" or which < len(self.rows):
            # Any of these may happen; what matters is what the marketplace then charges.
            with suppress(MesofaceError, KilledError):
                actions[what]()
        self.stage.market.failures.clear()

    def _offer(self, which: int, places: int) -> Any:
        return self.offered.setdefault(which, posting(token=str(which) * 64, places=places, reward_cents=100))

    def _row(self, which: int) -> int:
        return self.rows[which][0]

    def _bonus(self, provider: Any, which: int, cents: int) -> None:
        self.wanted.add((which, cents))
        paying.pay_bonus(self.stage.engine, provider, self._row(which), cents, "Thank you.", f"for {cents}")

    def _arrive(self, which: int, count: int) -> None:
        if which not in self.offered:
            return
        for part in self.provider.parts(self.offered[which]):
            posted = self.provider.find(part.token)
            with transaction(self.stage.engine) as session:
                noted = {row.provider_id for row in session.scalars(select(launching.HitRow))}
            if posted is None or posted.state != "open" or posted.provider_id not in noted:
                continue
            for _ in range(count):
                person = f"W{len(self.rows)}"
                (submission,) = self.stage.arrive(posted.provider_id, [person])
                row = add_session(
                    self.stage.engine, "trial", self.provider.name, submission, person, posted.provider_id
                )
                self.rows.append((row, submission))
            return

    def check(self) -> None:
        with transaction(self.stage.engine) as session:
            study = session.scalars(select(StudyRow)).one()
            found = ledger.budget(session, study)
            tokens = list(session.scalars(select(PaymentRow.request_token)))
        assert self.stage.exposure() <= found.committed_cents <= CAP
        assert len(set(tokens)) == len(tokens)
        paid = sorted(self.stage.bonuses())
        asked = sorted(cents for _, cents in self.wanted)
        assert all(paid.count(cents) <= asked.count(cents) for cents in set(paid))
        parts = [part for offer in self.offered.values() for part in self.provider.parts(offer)]
        assert self.stage.posted() <= len(parts)
