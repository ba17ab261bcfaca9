"""One study served by several machines: one database, one key, copies of its folder, and nothing else shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine, func, select, update
from study_hosting import KEY, SCREEN, answer_body, answer_for, host_study, make_stimuli, settings_for, write_study

from recon.errors import InputError
from study.database import AssignmentRow, ParticipantRow, ResponseRow, SlotRow, StimulusRow, StudyRow, TrialRow
from study.engine import open_database, reading, transaction
from study.server.process import Serving, prepare
from study.server.registration import enter_study

RATERS = 12


@pytest.fixture
def machines(database_url: str, tmp_path: Path) -> Iterator[list[TestClient]]:
    """Two servers of the same study, each with connections and a folder of its own."""
    engines = [open_database(database_url) for _ in range(2)]
    settings = settings_for("split-face", raters=RATERS)
    yield [TestClient(host_study(engine, tmp_path / str(n), settings)) for n, engine in enumerate(engines)]
    for engine in engines:
        engine.dispose()


class Rater:
    """A rater whose every request goes to the next machine, as behind a balancer that keeps nobody in one place."""

    def __init__(self, machines: list[TestClient]) -> None:
        self.machines = cycle(machines)
        self.who: dict[str, Any] = {"parameters": {}, "visitor": str(uuid4())}
        self.headers: dict[str, str] = {}

    def post(self, path: str, body: dict[str, Any]) -> Response:
        reply = next(self.machines).post(path, json=body, headers=self.headers)
        assert reply.status_code == 200, reply.text
        return reply

    def whole_session(self) -> str:
        """All trials, each answer sent to both machines; the code at the end."""
        token = self.post("/api/consent", {**self.who, "consent_version": "1"}).json()["token"]
        self.headers = {"Authorization": f"Bearer {token}"}
        assert self.post("/api/screen", SCREEN).json()["problems"] == []
        for trial in self.post("/api/arrive", self.who).json()["session"]["trials"]:
            body = answer_body(trial, answer_for("real-or-fake", trial))
            assert self.post("/api/answers", body).json() == self.post("/api/answers", body).json()
        return str(self.post("/api/arrive", self.who).json()["session"]["completion"]["code"])


def count(engine: Engine, table: Any) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_raters_who_wander_between_machines_lose_nothing_and_share_no_slot(
    machines: list[TestClient], database: Engine
) -> None:
    with ThreadPoolExecutor(6) as pool:
        codes = list(pool.map(lambda _: Rater(machines).whole_session(), range(RATERS)))
    assert len(set(codes)) == RATERS
    with reading(database) as session:
        taken = Counter(session.scalars(select(AssignmentRow.slot_id)))
        states = Counter(session.scalars(select(SlotRow.state)))
    assert len(taken) == RATERS and set(taken.values()) == {1} and states == {"done": RATERS}
    assert count(database, ResponseRow) == count(database, TrialRow) == RATERS * 8


def test_a_rater_who_agrees_on_both_machines_at_once_is_one_rater(machines: list[TestClient], database: Engine) -> None:
    body = {"parameters": {}, "visitor": str(uuid4()), "consent_version": "1"}
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: machines[n % 2].post("/api/consent", json=body), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["session"] for reply in replies}) == 1
    assert count(database, ParticipantRow) == count(database, AssignmentRow) == 1


def test_machines_that_enter_a_study_at_once_enter_it_once(database_url: str, tmp_path: Path) -> None:
    settings = settings_for("split-face", raters=RATERS)
    stimuli = make_stimuli(tmp_path, "split")
    together = Barrier(4)

    def enter(_: int) -> int:
        engine = open_database(database_url)
        together.wait()
        number = enter_study(engine, settings, {}, stimuli)
        engine.dispose()
        return number

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(enter, range(4)))) == 1
    engine = open_database(database_url)
    assert (count(engine, StudyRow), count(engine, StimulusRow), count(engine, SlotRow)) == (1, len(stimuli), RATERS)
    engine.dispose()


def test_a_machine_with_another_key_is_refused(database: Engine, tmp_path: Path) -> None:
    """It would take everybody who comes again for somebody new."""
    settings, stimuli = settings_for("split-face"), make_stimuli(tmp_path, "split")
    other = replace(settings, key=KEY[::-1])
    number = enter_study(database, settings, {}, stimuli)
    with pytest.raises(InputError, match=r"another secret key.*MESOFACE_STUDY_KEY"):
        enter_study(database, other, {}, stimuli)
    assert enter_study(database, settings, {}, stimuli) == number  # the refused one has changed nothing
    assert enter_study(database, other, {}, stimuli, new_key=True) == number
    with pytest.raises(InputError, match="another secret key"):
        enter_study(database, settings, {}, stimuli)


def test_a_study_that_knows_no_key_yet_takes_the_first(database: Engine, tmp_path: Path) -> None:
    """As one that a mesoface before the migration has entered."""
    settings, stimuli = settings_for("split-face"), make_stimuli(tmp_path, "split")
    enter_study(database, settings, {}, stimuli)
    with transaction(database) as session:
        session.execute(update(StudyRow).values(key_check=None))
    enter_study(database, replace(settings, key=KEY[::-1]), {}, stimuli)
    with pytest.raises(InputError, match="another secret key"):
        enter_study(database, settings, {}, stimuli)


def test_a_lost_key_is_replaced_when_told_to(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path)
    monkeypatch.setenv("MESOFACE_STUDY_KEY", "0f" * 32)
    prepare(Serving(str(tmp_path), database_url))
    monkeypatch.setenv("MESOFACE_STUDY_KEY", "1e" * 32)
    with pytest.raises(InputError, match="--new-key"):
        prepare(Serving(str(tmp_path), database_url))
    prepare(Serving(str(tmp_path), database_url, new_key=True))
    prepare(Serving(str(tmp_path), database_url))
