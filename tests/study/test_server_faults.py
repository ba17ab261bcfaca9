"""The server is killed, the database dies, is locked, full, damaged, or has no connection left, while raters answer.

What must hold whatever happens: an answer that was acknowledged is in the database, once; what cannot be kept is a 503
that says when to come again, never half a write; and the same request succeeds when the fault is over.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from fastapi.testclient import TestClient
from own_postgresql import own_postgresql
from sqlalchemy import Engine, func, select
from study_hosting import SCREEN, answer_body, answer_for, host_study, make_stimuli, settings_for

import study
from study import engine as engine_module
from study.database import AssignmentRow, ResponseRow, SlotRow
from study.engine import open_database, reading, upgrade
from study.server import sessions
from study.server.registration import enter_study

RATERS = 4
ROOT = Path(__file__).resolve().parent.parent.parent
SERVER = """
import resource, sys
from pathlib import Path
import uvicorn
from study_hosting import settings_for
from study.engine import open_database
from study.server.app import create_app

url, folder, port, room = sys.argv[1:]
if room:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(room), int(room)))
app = create_app(open_database(url), Path(folder), settings_for("split-face", raters=4, trials=12))
uvicorn.run(app, host="127.0.0.1", port=int(port), log_config=None, lifespan="off")
"""


class Server:
    """The study server as a process that can be killed; the port stays the same."""

    def __init__(self, url: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url, self.folder = url, folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, room: int | None = None) -> None:
        """Start, with at most ``room`` bytes in any file that it writes."""
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        given = [self.url, str(self.folder), str(self.port), "" if room is None else str(room)]
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, *given],
            env={**os.environ, "PYTHONPATH": path},
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 30
        with socket.socket() as probe:
            while probe.connect_ex(("127.0.0.1", self.port)):
                assert self.process.poll() is None and time.monotonic() < until, "the server did not start"
                time.sleep(0.02)

    def kill(self) -> None:
        """As the system does when memory ends: without a word."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()


@contextmanager
def entered(url: str, folder: Path) -> Iterator[Server]:
    """The server of a study that is in the database; not started."""
    settings = settings_for("split-face", raters=RATERS, trials=12)
    engine = open_database(url)
    enter_study(engine, settings, {"design": "split-face"}, make_stimuli(folder, "split"))
    engine.dispose()
    server = Server(url, folder)
    try:
        yield server
    finally:
        server.kill()


class Rater:
    """One rater's page: sends again what failed, with the same identifier, and looks again now and then."""

    def __init__(self, port: int) -> None:
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=25)
        self.who: dict[str, Any] = {"parameters": {}, "visitor": str(uuid4())}
        self.acknowledged: list[str] = []
        self.failures = 0

    def once(self, path: str, body: dict[str, Any]) -> httpx2.Response | None:
        """A reply that says something, or None where it must be asked again."""
        try:
            reply = self.client.post(path, json=body)
        except httpx2.TransportError:
            return None
        assert reply.status_code in (200, 429, 503), reply.text
        if reply.status_code != 200:
            assert int(reply.headers["Retry-After"]) > 0
            return None
        return reply

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The reply's JSON, however often it takes."""
        until = time.monotonic() + 60
        while (reply := self.once(path, body)) is None:
            assert time.monotonic() < until, "the study never came back"
            self.failures += 1
            time.sleep(0.2)  # a session may ask five times a second
        return reply.json()

    def begin(self) -> list[dict[str, Any]]:
        """From consent to the trials."""
        view = self.post("/api/consent", {**self.who, "consent_version": "1"})
        self.client.headers["Authorization"] = f"Bearer {view['token']}"
        assert self.post("/api/screen", SCREEN)["problems"] == []
        trials: list[dict[str, Any]] = self.post("/api/arrive", self.who)["session"]["trials"]
        return trials

    def body(self, trial: dict[str, Any]) -> dict[str, Any]:
        """An answer with an identifier of its own."""
        return answer_body(trial, answer_for("real-or-fake", trial))

    def work(self) -> None:
        """A whole session; after a failure the page is loaded again, and the session stands where it stood."""
        for trial in self.begin():
            body, before = self.body(trial), self.failures
            said = self.post("/api/answers", body)
            self.acknowledged.append(body["client_uuid"])
            if self.failures > before:
                assert self.post("/api/arrive", self.who)["session"]["next"] == said["next"]
        self.client.close()


def kept(url: str) -> list[str]:
    """Identifiers of all stored answers."""
    engine = open_database(url)
    with reading(engine) as session:
        found = list(session.scalars(select(ResponseRow.client_uuid)))
    engine.dispose()
    return found


def work_through(server: Server, url: str, faults: list[Callable[[], None]]) -> None:
    """Raters answer, faults strike while they do, and in the end everything is there once."""
    raters = [Rater(server.port) for _ in range(RATERS)]
    trials = 12 + 2 + 1 + 1  # with training, gold and attention
    with ThreadPoolExecutor(RATERS) as pool:
        work = [pool.submit(rater.work) for rater in raters]
        for number, fault in enumerate(faults, start=1):
            enough = number * RATERS * trials // (len(faults) + 1)
            while sum(len(rater.acknowledged) for rater in raters) < enough:
                assert not any(one.done() and one.exception() for one in work), [one.exception() for one in work]
                time.sleep(0.005)
            fault()
        for one in work:
            one.result()
    assert sum(rater.failures for rater in raters) > 0  # the faults were felt
    acknowledged = [uuid for rater in raters for uuid in rater.acknowledged]
    assert sorted(kept(url)) == sorted(acknowledged) and len(acknowledged) == RATERS * trials
    engine = open_database(url)
    with reading(engine) as session:
        assert set(session.scalars(select(AssignmentRow.state))) == {"submitted"}
        assert set(session.scalars(select(SlotRow.state))) == {"done"}
    engine.dispose()


def test_a_killed_server_loses_and_doubles_nothing(database_url: str, tmp_path: Path) -> None:
    with entered(database_url, tmp_path) as server:
        server.start()

        def fault() -> None:
            server.kill()
            time.sleep(0.2)
            server.start()

        work_through(server, database_url, [fault, fault])


def test_a_killed_postgresql_loses_and_doubles_nothing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """PostgreSQL dies by SIGKILL under load and recovers; the study server stays up."""
    with own_postgresql() as (postgresql, place):
        url = postgresql.get_uri()
        engine = open_database(url)
        upgrade(engine)
        engine.dispose()
        with entered(url, tmp_path_factory.mktemp("study")) as server:
            server.start()

            def fault() -> None:
                number = postgresql.get_pid()
                assert number is not None
                os.kill(number, signal.SIGKILL)
                time.sleep(1.0)  # its children notice and end; before that it may not start again
                # Of a process that nobody has reaped they would say that it runs.
                for lock in (place / "postmaster.pid", *place.glob(".s.PGSQL.*.lock")):
                    lock.unlink()
                reply = httpx2.get(f"http://127.0.0.1:{server.port}/health", timeout=25)
                assert reply.status_code == 503 and "postgres" not in reply.text
                postgresql.start()

            work_through(server, url, [fault])


@contextmanager
def locked(engine: Engine) -> Iterator[None]:
    """Another program has the writer's turn."""
    other = sqlite3.connect(str(engine.url.database), isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


def begun(engine: Engine, folder: Path) -> tuple[TestClient, list[dict[str, Any]], dict[str, Any]]:
    """A client in the middle of a session, its trials, and who it is."""
    client = TestClient(host_study(engine, folder, settings_for("split-face")))
    who = {"parameters": {}, "visitor": str(uuid4())}
    token = client.post("/api/consent", json={**who, "consent_version": "1"}).json()["token"]
    client.headers["Authorization"] = f"Bearer {token}"
    assert client.post("/api/screen", json=SCREEN).json()["problems"] == []
    return client, client.post("/api/arrive", json=who).json()["session"]["trials"], who


def test_a_database_that_is_locked_for_a_moment_is_waited_for(engine: Engine, tmp_path: Path) -> None:
    client, trials, _ = begun(engine, tmp_path)
    with ThreadPoolExecutor(1) as pool:
        with locked(engine):
            waiting = pool.submit(client.post, "/api/answers", json=answer_body(trials[0], {"choice": "real"}))
            time.sleep(0.5)
            assert not waiting.done()
        assert waiting.result().status_code == 200


def test_a_database_that_stays_locked_is_a_503_for_all_in_time(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who queue do not add up their waits; reading goes on; the same answer is taken afterwards."""
    monkeypatch.setattr(engine_module, "BUSY_MILLISECONDS", 400)
    monkeypatch.setattr(sessions, "TURN_SECONDS", 0.4)
    impatient = open_database(str(engine.url))
    client, trials, who = begun(impatient, tmp_path)
    bodies = [answer_body(trials[0], {"choice": "real"}) for _ in range(8)]
    with locked(impatient), ThreadPoolExecutor(8) as pool:
        begin = time.monotonic()
        replies = list(pool.map(lambda body: client.post("/api/answers", json=body), bodies))
        assert time.monotonic() - begin < 8 * 0.4  # one after another would take as long
        assert client.post("/api/arrive", json=who).json()["session"]["next"] == 0
    assert {reply.status_code for reply in replies} == {503}
    assert all(int(reply.headers["Retry-After"]) > 0 and "sqlite" not in reply.text for reply in replies)
    assert client.post("/api/answers", json=bodies[0]).json()["next"] == 1
    impatient.dispose()


def test_the_server_gives_up_before_the_page_does() -> None:
    script = (Path(study.__file__).parent / "server" / "static" / "outbox.js").read_text(encoding="utf-8")
    found = re.search(r"const TIME_OUT = (\d+);", script)
    assert found is not None
    page = int(found[1]) / 1000
    assert page > sessions.TURN_SECONDS + engine_module.BUSY_MILLISECONDS / 1000
    assert page > engine_module.POOL_SECONDS + engine_module.CONNECT_SECONDS


def test_a_full_disk_keeps_what_was_acknowledged_and_nothing_half(tmp_path: Path) -> None:
    """No file of the server may grow past a bound: SQLite meets it in the middle of a write."""
    database = tmp_path / "studies.sqlite"
    url = f"sqlite:///{database}"
    engine = open_database(url)
    upgrade(engine)
    engine.dispose()
    with entered(url, tmp_path) as server:
        server.start(room=database.stat().st_size + 120_000)
        rater, body = Rater(server.port), None
        for trial in rater.begin():
            body = rater.body(trial)
            if rater.once("/api/answers", body) is None:
                break
            rater.acknowledged.append(body["client_uuid"])
            body = None
        assert body is not None, "the disk never was full"
        assert rater.once("/api/answers", body) is None  # still full
        assert sorted(kept(url)) == sorted(rater.acknowledged)
        server.kill()
        server.start()
        reply = rater.once("/api/answers", body)
        assert reply is not None and reply.json()["next"] == body["index"] + 1
        assert sorted(kept(url)) == sorted([*rater.acknowledged, body["client_uuid"]])
    connection = sqlite3.connect(database)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_damaged_file_is_a_503(engine: Engine, tmp_path: Path) -> None:
    client, trials, _ = begun(engine, tmp_path)
    engine.dispose()
    for path in tmp_path.glob("*.sqlite*"):
        path.write_bytes(b"not a database at all" * 1000)
    reply = client.post("/api/answers", json=answer_body(trials[0], {"choice": "real"}))
    assert reply.status_code == 503 and int(reply.headers["Retry-After"]) > 0
    assert client.get("/health").status_code == 503


def test_no_connection_left_is_a_503(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "POOL_SECONDS", 0.2)
    engine = open_database(database_url)
    client, trials, _ = begun(engine, tmp_path)
    body = answer_body(trials[0], {"choice": "real"})
    held = []
    most = engine.pool.size() + engine.pool._max_overflow  # type: ignore[attr-defined]
    try:
        for _ in range(most):
            held.append(engine.raw_connection())
        assert client.post("/api/answers", json=body).status_code == 503
    finally:
        for connection in held:
            connection.close()
    assert client.post("/api/answers", json=body).status_code == 200
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(ResponseRow)) == 1
    engine.dispose()
