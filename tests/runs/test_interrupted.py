"""A run that is stopped, by a signal, a dying worker or a full disk, keeps what is finished and continues."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from run_programs import contents, finish, results, start, wait_for

from recon.errors import StorageError, UsageError
from recon.runs import ResultKey, RunFolder, Summary
from recon.runs.lock import locked

Run = Callable[..., Summary]


def test_a_killed_run_continues_to_byte_identical_results(people: Path, tmp_path: Path) -> None:
    asked = ("quick,slow", "identity,occlude:right,blur:2")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert finish(start(whole, people, *asked)) == "made 18 kept 0 failed 0"

    process = start(cut, people, *asked)
    wait_for(lambda: len(results(cut)) >= 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in results(cut)}
    assert 3 <= len(before) < 18, "the run was not killed in the middle"

    out = finish(start(cut, people, *asked))
    assert out.startswith("made ")
    assert out.endswith(" failed 0")
    assert int(out.split()[3]) >= len(before)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished results were made again"
    assert contents(cut) == contents(whole)
    assert len(results(whole)) == 18


def test_ctrl_c_ends_a_run_cleanly_and_it_goes_on_later(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, people, "slow", "identity,blur:2,blur:3")
    wait_for(lambda: len(results(out)) >= 1, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in error
    count = len(results(out))
    assert not (out / ".run.pid").exists()
    time.sleep(0.5)
    assert len(results(out)) == count, "a worker went on after the run had ended"
    kept = finish(start(out, people, "slow", "identity,blur:2,blur:3"))
    assert kept == f"made {9 - count} kept {count} failed 0"


def test_a_dying_worker_costs_one_subject_only(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert finish(start(out, people, "quick,dying", jobs=1)) == "made 5 kept 0 failed 1"
    failure = RunFolder(out).failure(ResultKey("dying", "identity", "b"))
    assert failure is not None
    assert failure["error"] == "WorkerDied"
    assert "memory" in failure["message"]
    assert RunFolder(out).finished(ResultKey("dying", "identity", "c")) is not None


def test_a_full_disk_keeps_what_is_finished(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.replace, []

    def full(source: Any, target: Any) -> None:
        calls.append(target)
        if str(target).endswith("albedo.png") and "results" in str(target) and "/b/" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("recon.storage.os.replace", full)
        with pytest.raises(StorageError, match="disk is full"):
            run()
    folder = RunFolder(tmp_path / "run")
    assert len(results(folder.path)) == 1
    assert not list(folder.path.rglob("*.partial*"))
    summary = run()
    assert (len(summary.made), summary.kept) == (2, 1)


def test_two_processes_cannot_work_on_one_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, filelock; l = filelock.FileLock(sys.argv[1]); l.acquire(); print('held', "
         "flush=True); input()", str(tmp_path / "run" / ".run.lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    (tmp_path / "run" / ".run.pid").write_text(str(holder.pid))
    with pytest.raises(UsageError, match=f"process {holder.pid}"):
        run()
    holder.kill()
    holder.communicate()
    # The killed holder left both files behind; its lock is free all the same.
    assert len(run().made) == 3


def test_the_lock_names_its_holder_while_it_is_held(tmp_path: Path) -> None:
    with locked(tmp_path / "x.lock", "x"):
        assert (tmp_path / "x.pid").read_text() == str(os.getpid())
    assert not (tmp_path / "x.pid").exists()


def test_a_lock_that_nothing_was_made_under_leaves_nothing(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match="refused"), locked(tmp_path / "runs" / "new" / ".run.lock", "x"):
            raise UsageError("refused")
        assert list(tmp_path.iterdir()) == []
    (tmp_path / "mine").mkdir()
    with locked(tmp_path / "mine" / "new" / ".run.lock", "x"):
        pass
    with locked(tmp_path / "mine" / ".run.lock", "x"):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]  # it was there before


def test_a_lock_stays_beside_what_was_made(tmp_path: Path) -> None:
    with locked(tmp_path / "runs" / "new" / ".run.lock", "x"):
        (tmp_path / "runs" / "new" / "run.json").write_text("{}")
    assert sorted(path.name for path in (tmp_path / "runs" / "new").iterdir()) == [".run.lock", "run.json"]


def test_who_waited_for_a_lock_file_that_was_taken_away_holds_nothing(tmp_path: Path) -> None:
    """Opened while the holder had it, locked when the holder had let it go: two would work on one run."""
    path, locks = tmp_path / "new" / ".run.lock", []
    real = fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        if not locks:
            locks.append(descriptor)
            path.unlink()  # between the opening of the file and its locking
        real(descriptor, operation)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fcntl, "flock", late)
        with pytest.raises(UsageError, match="being worked on"), locked(path, "x"):
            raise AssertionError("entered")


def test_a_worker_has_its_share_of_threads_but_one_for_small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spinning BLAS threads made a fit thirty times slower beside another program."""
    from recon.worker_pool import _threads_in_environment

    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with _threads_in_environment(4):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]) == ("4", "1")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert "OMP_NUM_THREADS" not in os.environ
