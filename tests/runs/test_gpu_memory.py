"""A GPU whose memory is too small for so many processes: what ran out is done again, alone, and the user is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import run_fakes
from run_programs import contents, finish, start
from work_here import in_this_process

from recon.gpu_memory import HOPELESS, ran_out, too_small
from recon.runs import Summary
from recon.worker_pool import Event

Run = Callable[..., Summary]


@pytest.fixture
def jobs(fakes: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Tasks and processes of each round of work."""
    rounds: list[tuple[int, int]] = []

    def noted(tasks: Any, prepare: Any, argument: Any, *, jobs: int, threads: int) -> Iterator[Event]:
        rounds.append((len(tasks), jobs))
        return in_this_process(tasks, prepare, argument, jobs=jobs, threads=threads)

    monkeypatch.setattr("recon.runs.execution.work_through", noted)
    return rounds


@pytest.fixture
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where ``greedy`` notes its tries, a file a photograph."""
    folder = tmp_path / "marks"
    folder.mkdir()
    monkeypatch.setenv(run_fakes.Greedy.MARKS, str(folder))
    return folder


def test_what_ran_out_beside_others_is_made_again_alone(run: Run, jobs: list[tuple[int, int]], marks: Path) -> None:
    summary = run("quick,greedy", jobs=2)
    assert (len(summary.made), summary.failed) == (6, ())
    assert jobs == [(3, 2), (3, 1)]
    assert any(re.search(r"memory did not suffice for 3 of .* 3 of them were made.*--jobs", n) for n in summary.notes)
    assert not list(summary.folder.path.rglob("failure.json"))
    assert run("quick,greedy", jobs=2).kept == 6


def test_who_has_the_gpu_alone_is_not_tried_again(run: Run, jobs: list[tuple[int, int]], marks: Path) -> None:
    summary = run("greedy", jobs=1)
    assert [outcome.kind for outcome in summary.failed] == ["GpuMemoryError"] * 3
    assert (jobs, summary.notes) == ([(3, 1)], ())


def test_a_gpu_that_is_too_small_for_one_is_not_asked_for_all_again(
    run: Run, jobs: list[tuple[int, int]], fakes: ModuleType, people: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import OutOfMemoryError

    asked: list[str] = []

    def greedy(self: Any, photograph: Any, context: Any) -> Any:
        asked.append(photograph.name)
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    fakes.write_people(people, "abcdef")
    monkeypatch.setattr(fakes.Greedy, "reconstruct", greedy)
    summary = run("greedy", jobs=2)
    assert len(asked) == 6 + HOPELESS
    assert len(summary.failed) == 6
    words = r"memory is too small for 'greedy' at 64×64 texels: .*--jobs.*--size.*--device cpu"
    assert all(re.search(words, outcome.message) for outcome in summary.failed)
    assert any("0 of them were made" in note for note in summary.notes)


def test_worker_processes_make_way_for_each_other(people: Path, tmp_path: Path, marks: Path) -> None:
    """Three people on two processes; the second tries are one process's, and nothing shows in the results."""
    assert finish(start(tmp_path / "short", people, "greedy")) == "made 3 kept 0 failed 0"
    tries = [path.read_text().split() for path in sorted(marks.iterdir())]
    assert [len(processes) for processes in tries] == [2, 2, 2]
    assert len({second for _, second in tries}) == 1
    assert finish(start(tmp_path / "roomy", people, "greedy")) == "made 3 kept 0 failed 0"
    assert contents(tmp_path / "short") == contents(tmp_path / "roomy")


def test_only_a_gpu_without_memory_counts() -> None:
    from torch import OutOfMemoryError

    assert ran_out(OutOfMemoryError("CUDA out of memory."))
    assert not ran_out(MemoryError("malloc"))
    assert not ran_out(too_small("this"))
