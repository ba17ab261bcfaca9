"""Runs on a Dask cluster: what is killed costs nothing that was finished, and a worker that does not fit is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import run_fakes
from run_programs import CHECKOUT, contents, results
from work_here import in_this_process, silent

from recon.cluster import on_cluster
from recon.cluster.facts import difference, facts, programs, session_file
from recon.data.protocols import parse_protocols
from recon.errors import ClusterError, UsageError
from recon.runs import RunConfig, Summary, execute
from recon.storage import read_json
from recon.worker_pool import current_cluster

distributed = pytest.importorskip("distributed", reason="pip install 'mesoface[cluster]'")

Progress = Callable[[str, int, int], None]


@pytest.fixture
def asked(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Two methods, three protocols, three people, on stand-ins, into ``tmp_path/run``."""
    programs.cache_clear()  # the source may have been edited since an earlier test
    run_fakes.install(monkeypatch.setattr)
    return RunConfig(
        out=tmp_path / "run",
        data=f"folder={people}",
        methods=("quick", "slow"),
        protocols=parse_protocols("identity,occlude:right,blur:2"),
        size=run_fakes.SIZE,
    )


@pytest.fixture
def undisturbed(asked: RunConfig, tmp_path: Path) -> dict[str, str]:
    """Hashes of the files that a run without a cluster makes, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recon.runs.execution.work_through", in_this_process)
        execute(replace(asked, out=tmp_path / "serial", jobs=1), silent)
    return made(tmp_path / "serial")


def made(run: Path) -> dict[str, str]:
    """Hash of every file but times, and but ``run.json``, which names the commit: that may change meanwhile."""
    found = contents(run)
    assert found.pop("run.json")
    return found


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A part of Dask as a process of its own, killed in the end."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests")])}
    process = subprocess.Popen(
        [sys.executable, "-m", "dask", *arguments], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def scheduler(folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler of its own with its address."""
    note = folder / "scheduler.json"
    note.unlink(missing_ok=True)
    with program("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file",
                 str(note)) as process:  # fmt: skip
        wait_for(note.is_file)
        wait_for(lambda: bool(note.read_text()))
        yield str(read_json(note)["address"]), process


def worker(address: str, *more: str, preload: Path = run_fakes.FILE) -> Any:
    """A worker of its own with the stand-ins."""
    return program("worker", address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--death-timeout", "60",
                   "--preload", str(preload), *more)  # fmt: skip


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit, "nothing happened for a minute"
        time.sleep(0.02)


def striking(blow: Callable[[], None], after: int = 2) -> Progress:
    """A progress callable that strikes once, when ``after`` results are made."""
    struck: list[int] = []

    def progress(stage: str, done: int, total: int) -> None:
        if stage == "reconstructing" and done >= after and not struck:
            struck.append(done)
            blow()

    return progress


def run(config: RunConfig, where: str, progress: Progress = silent) -> Summary:
    with on_cluster(where, quiet=True):
        return execute(config, progress)


def client() -> Any:
    cluster: Any = current_cluster()
    return cluster.client


def test_a_killed_worker_costs_nothing(asked: RunConfig, undisturbed: dict[str, str]) -> None:
    def blow() -> None:
        victim = next(iter(client().run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)

    import dask

    with dask.config.set({"distributed.worker.preload": [str(run_fakes.FILE)]}):
        summary = run(asked, "local:2", striking(blow))
    assert (len(summary.made), summary.kept, summary.failed) == (18, 0, ())
    assert made(asked.out) == undisturbed
    lost = [json.loads(line) for line in (asked.out / ".cluster.jsonl").read_text().splitlines()]
    assert [one["event"] for one in lost] == ["lost"] and lost[0]["tasks"]
    assert not (asked.out / ".cluster.session").exists()


def test_a_task_that_kills_its_workers_is_given_up(asked: RunConfig) -> None:
    import dask

    settings = {"distributed.worker.preload": [str(run_fakes.FILE)], "distributed.scheduler.allowed-failures": 0}
    with dask.config.set(settings):
        summary = run(replace(asked, methods=("quick", "dying"), protocols=parse_protocols("identity")), "local:1")
    (failed,) = summary.failed
    assert (failed.key.method, failed.key.subject, failed.kind) == ("dying", "b", "WorkerDied")
    assert "memory" in failed.message
    assert len(summary.made) == 5, "what the worker had made before it died counts"
    log = [json.loads(line)["event"] for line in (asked.out / ".cluster.jsonl").read_text().splitlines()]
    assert sorted(log) == ["gave up", "lost"]


def test_a_killed_scheduler_costs_nothing_and_the_run_goes_on(
    asked: RunConfig, undisturbed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recon.cluster.connection.CONNECT_SECONDS", 5)  # a client looks so long for a lost scheduler
    with (
        scheduler(tmp_path) as (address, process),
        worker(address),
        pytest.raises(ClusterError, match=rf"{address} is gone: .* the same command"),
    ):
        run(asked, address, striking(process.kill))
    before = {path: path.stat().st_mtime_ns for path in results(asked.out)}
    assert 2 <= len(before) < 18, "the scheduler was not killed in the middle"
    with scheduler(tmp_path) as (address, _), worker(address):
        summary = run(asked, address)
    assert (len(summary.made), summary.kept) == (18 - len(before), len(before))
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished results were made again"
    assert made(asked.out) == undisturbed


def test_a_worker_that_does_not_fit_is_refused(
    asked: RunConfig, undisturbed: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old.py"
    old.write_text("import recon.runs.config\n" + "recon.runs.config.mesoface_version = lambda: '0.0.1'\n")
    with scheduler(tmp_path) as (address, _):
        with worker(address, preload=old), pytest.raises(ClusterError, match=r"mesoface 0\.0\.1 .* same versions"):
            run(asked, address)
        assert not (asked.out / "results").exists(), "a task went to a worker of another version"
        with worker(address), on_cluster(address, quiet=True):
            with pytest.raises(UsageError, match=r"no worker of .* offers a GPU; .*GPU=1"):
                execute(replace(asked, device="cuda"), silent)
            with monkeypatch.context() as patch:
                patch.setattr("recon.cluster.pool.show", lambda folder, session: None)
                with pytest.raises(ClusterError, match=r"does not see .* share under the same path"):
                    execute(asked, silent)
            assert not (asked.out / "results").exists()
            # One that comes in the middle is sent away, and others do its tasks.
            with worker(address, preload=old) as late:
                joined = striking(lambda: wait_for(lambda: len(client().scheduler_info()["workers"]) == 2), after=1)
                summary = execute(asked, joined)
                wait_for(lambda: late.poll() is not None)
    assert (len(summary.made), summary.failed) == (18, ())
    assert made(asked.out) == undisturbed
    log = [json.loads(line) for line in (asked.out / ".cluster.jsonl").read_text().splitlines()]
    assert any(one["event"] == "refused" and "0.0.1" in one["reason"] for one in log)


def test_tasks_of_a_program_that_was_stopped_end_with_the_result_at_hand(tmp_path: Path) -> None:
    """Or they would write beside those of the program that continues."""
    from recon.cluster.station import Station, Unfit, Worked
    from recon.parcel import pack
    from recon.worker_pool import Needs

    station = Station(pack((stoppable, tmp_path)), Needs(tmp_path), {}, "session", threads=None)
    station.setup(SimpleNamespace(address="tcp://w"))  # type: ignore[arg-type]
    station.expected = facts(station.needs)
    session_file(tmp_path).write_text("session")
    assert station.answer(pack("keep")) == Worked(("first", "second"))
    answer = station.answer(pack("stop"))
    assert isinstance(answer, Unfit) and "has ended" in answer.reason
    assert sorted(path.name for path in tmp_path.glob("stop-*")) == ["stop-first"]
    assert isinstance(station.answer(pack("keep")), Unfit), "a task was begun for a program that has ended"


def stoppable(folder: Path) -> Any:
    """Two results a task; in the middle of the task ``stop`` another program takes the folder over."""

    def work(task: str, report: Any) -> None:
        for name in ("first", "second"):
            (folder / f"{task}-{name}").touch()
            if task == "stop":
                session_file(folder).write_text("another")
            report(name)

    return work


@pytest.mark.parametrize(
    ("name", "there", "said"),
    [
        ("asset vgg19", "none", "has no asset vgg19, .* run 'mesoface assets fetch vgg19' there"),
        ("asset vgg19", "abc", "has asset vgg19 abc, .* 'mesoface assets fetch vgg19'"),
        ("face model ict", "none", "has no face model ict, .* MESOFACE_HOME"),
        ("database /x", "none", "has no database /x, .* all machines share"),
        ("file /x.jpg", "none", "has no '/x.jpg', .* all machines share"),
        ("GPU", "none", "has no GPU, .* without the resource GPU"),
        ("package numpy", "1.0", "has numpy 1.0, .* same versions"),
    ],
)
def test_what_a_worker_lacks_is_said_with_the_mend(name: str, there: str, said: str) -> None:
    mine = {"mesoface": "1", name: "here"}
    assert difference(mine, dict(mine), "tcp://w") is None
    message = difference(mine, {**mine, name: there}, "tcp://w")
    assert message is not None and re.search(f"worker tcp://w {said}", message), message
    assert difference({"mesoface": "1"}, {"mesoface": "1", "package other": "2"}, "tcp://w")


def test_a_scheduler_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recon.cluster.connection.CONNECT_SECONDS", 1)
    for where in ("local", "local:0", "local:many", "node1:8786"):
        with pytest.raises(UsageError, match=r"give local:N .* tcp://node1:8786"), on_cluster(where):
            pass
    with pytest.raises(UsageError, match="--jobs is for this machine"), on_cluster("local:2", jobs=3):
        pass
    for where in ("tcp://127.0.0.1:9", "nonsense://x"):
        with pytest.raises(ClusterError, match=rf"{where} cannot be reached .* 'dask scheduler'"), on_cluster(where):
            pass
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ClusterError, match=r"pip install 'mesoface\[cluster\]'"), on_cluster("local:2"):
        pass
