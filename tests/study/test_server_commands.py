"""``mesoface study serve`` and ``links``, as processes and as commands."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from fastapi.testclient import TestClient
from sqlalchemy import select
from study_hosting import SCREEN, write_study

from recon.errors import InputError, StudyDatabaseError, UsageError
from recon.storage import write_json
from study.database import SlotRow, StudyRow
from study.engine import open_database, reading, transaction, upgrade
from study.pseudonyms import shared_code
from study.server.process import MOST_WORKERS, Serving, default_workers, prepare, settings_of
from study.server_commands import links
from study.specification import read_specification

VISITOR = "12345678-1234-4123-8123-123456789abc"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MESOFACE_STUDY_KEY", "0f" * 32)
    made = tmp_path / "trial"
    made.mkdir()
    write_study(made)
    return made


@pytest.fixture
def url(tmp_path: Path) -> str:
    engine = open_database(f"sqlite:///{tmp_path / 'studies.sqlite'}")
    upgrade(engine)
    engine.dispose()
    return str(engine.url)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, once it answers, and its address."""
    port = free_port()
    code = "from study.server_commands import serve; serve()"
    running = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--port", str(port)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 60
        while True:
            try:
                if httpx2.get(f"{address}/health").status_code == 200:
                    break
            except httpx2.TransportError:
                pass  # not there yet
            assert running.poll() is None and time.monotonic() < until, running.communicate()[1]
            time.sleep(0.1)
        yield running, address
    finally:
        if running.poll() is None:
            running.kill()
        running.wait(20)


def test_a_study_is_served_by_two_processes_until_ctrl_c(folder: Path, url: str) -> None:
    with process(str(folder), "--db", url, "--workers", "2") as (running, address):
        who = {"parameters": {}, "visitor": VISITOR}
        with httpx2.Client(base_url=address) as client:
            assert "How real do these faces look?" in client.get("/").text
            session = client.post("/api/consent", json={**who, "consent_version": "1"}).json()
            headers = {"Authorization": f"Bearer {session['token']}"}
            assert client.post("/api/screen", json=SCREEN, headers=headers).json()["problems"] == []
            view = client.post("/api/arrive", json=who).json()["session"]
            picture = view["trials"][0]["shown"][0]["url"]
            assert client.get(f"/{picture}").status_code == 200
        running.send_signal(signal.SIGINT)
        log = running.communicate(timeout=30)[1]
        assert running.returncode == 0, log
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert {line["event"] for line in lines} == {"request"}
    assert all(line.startswith(("{", "serving ")) for line in log.splitlines())
    with reading(open_database(url)) as session_:
        study = session_.scalars(select(StudyRow)).one()
        assert (study.state, study.cap_cents, study.currency) == ("open", 1000, "EUR")
        assert len(session_.scalars(select(SlotRow)).all()) == 4


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_is_told_to_end_ends_well(folder: Path, url: str, workers: str) -> None:
    """Supervisors of processes send SIGTERM, and take any other status than 0 for a failure."""
    with process(str(folder), "--db", url, "--workers", workers) as (running, address):
        assert httpx2.get(f"{address}/").status_code == 200
        running.send_signal(signal.SIGTERM)
        log = running.communicate(timeout=30)[1]
        assert running.returncode == 0, log
    assert all(line.startswith(("{", "serving ")) for line in log.splitlines())


def test_one_process_a_processor_where_writers_do_not_take_turns(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("study.server.process._processors", lambda: 3)
    assert default_workers(url) == 1
    assert default_workers("postgresql://nobody@127.0.0.1:1/none") == 3  # not asked: its address says enough
    monkeypatch.setattr("study.server.process._processors", lambda: 64)
    assert default_workers("postgresql://nobody@127.0.0.1:1/none") == MOST_WORKERS


def test_what_cannot_be_served_is_said_in_a_sentence(folder: Path, url: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code = f"""
from study.server.process import Serving, serve
serve(Serving({str(folder)!r}, {url!r}), "127.0.0.1", {taken.getsockname()[1]}, 1, "")
"""
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert ended.returncode != 0 and "cannot be had: another server may be there" in ended.stderr
    with pytest.raises(StudyDatabaseError, match="study database upgrade"):
        prepare(Serving(str(folder), f"sqlite:///{tmp_path / 'new.sqlite'}"))
    assert not (tmp_path / "new.sqlite").exists()
    (folder / "stimuli.json").unlink()
    with pytest.raises(InputError, match="make the stimuli"):
        prepare(Serving(str(folder), url))


def test_each_provider_gets_what_it_needs(folder: Path) -> None:
    specification = read_specification(folder / "study.yaml")

    def of(provider: str, **options: object) -> object:
        payment = specification.payment.model_copy(update={"provider": provider})
        return settings_of(
            replace(Serving(str(folder)), **options), specification.model_copy(update={"payment": payment})
        )

    assert of("local", kiosk=True).frame_ancestors == ()
    assert "https://worker.mturk.com" in of("mturk").frame_ancestors
    assert of("prolific", completion_code="C").completion_code == "C"
    served = of("prolific")  # the codes that 'study launch' gives to Prolific
    assert served.completion_code == shared_code(bytes.fromhex("0f" * 32), "trial", "completed")
    assert served.screen_out_code == shared_code(bytes.fromhex("0f" * 32), "trial", "screened out")
    with pytest.raises(UsageError, match="kiosk"):
        of("mturk", kiosk=True)
    with pytest.raises(UsageError, match="cannot be served"):
        of("crowd")
    with pytest.raises(UsageError, match="https"):
        of("local", stimuli_url="ftp://x")


def test_published_pictures_are_loaded_from_where_they_are(folder: Path, url: str) -> None:
    from study.contract import Stimulus
    from study.stimuli import read_catalogue
    from study.stimuli.catalogue import file_name

    def client() -> TestClient:
        return TestClient(prepare(Serving(str(folder), url, published=True)))

    with pytest.raises(InputError, match="'mesoface study publish' does it"):
        client()
    stimuli: tuple[Stimulus, ...] = read_catalogue(folder).stimuli
    files = [file_name(one) for one in stimuli]
    place = {"bucket": "faces", "prefix": "x", "endpoint": None, "region": "eu-central-1"}
    record = {"format": 1, **place, "access": "public", "base": "https://cdn.example", "files": files}
    write_json(folder / "published.json", {**record, "files": files[1:]})
    with pytest.raises(InputError, match="was published before it had 1 of its pictures"):
        client()
    write_json(folder / "published.json", record)
    with pytest.raises(UsageError, match="give one of them"):
        prepare(Serving(str(folder), url, "", "", "https://cdn.example/x", published=True))
    who = {"parameters": {}, "visitor": VISITOR}
    session = client().post("/api/consent", json={**who, "consent_version": "1"}).json()
    client().post("/api/screen", json=SCREEN, headers={"Authorization": f"Bearer {session['token']}"})
    reply = client().post("/api/arrive", json=who)
    trials = reply.json()["session"]["trials"]
    known = {f"https://cdn.example/x/{file_name(one)}" for one in stimuli}
    assert trials and {picture["url"] for trial in trials for picture in trial["shown"]} <= known
    assert "img-src 'self' https://cdn.example;" in reply.headers["Content-Security-Policy"]


def test_a_study_goes_on_under_a_later_mesoface(folder: Path, url: str) -> None:
    """Which knows fields that the one that entered the study did not: their defaults are what it did."""
    prepare(Serving(str(folder), url))
    with transaction(open_database(url)) as session:
        study = session.scalars(select(StudyRow)).one()
        record = json.loads(json.dumps(study.specification))
        del record["wording"]["contact"]
        study.specification, study.specification_sha256 = record, "0" * 64
    prepare(Serving(str(folder), url))
    changed = (folder / "study.yaml").read_text().replace("seed: 7", "seed: 8")
    (folder / "study.yaml").write_text(changed)
    with pytest.raises(InputError, match="was entered with another study file"):
        prepare(Serving(str(folder), url))


def test_links_name_raters_and_are_stable(folder: Path) -> None:
    arguments = [str(folder), "https://example.org", "--raters", "P01,P02"]
    first = CliRunner().invoke(links, arguments)
    assert first.exit_code == 0 and CliRunner().invoke(links, arguments).output == first.output
    lines = [line.split("\t") for line in first.output.splitlines()]
    assert [name for name, _ in lines] == ["P01", "P02"]
    assert lines[0][1].startswith("https://example.org/?rater=P01&key=") and lines[0][1][-32:] != lines[1][1][-32:]
    wrong = CliRunner().invoke(links, [*arguments[:3], "Pé"])
    assert isinstance(wrong.exception, UsageError)
