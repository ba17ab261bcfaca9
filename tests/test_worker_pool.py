"""Worker processes: kept for the next work and for nothing else; what dies is told and replaced."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from pool_errands import Errand, saying

from metrics.run_commands import workers_of
from recon.worker_pool import Died, Finished, Reported, work_through, workers_kept


def said(word: str, tasks: str, *, jobs: int = 1, threads: int = 1) -> list[Any]:
    """What the workers report, in order of tasks."""
    events = list(work_through(tasks, saying, Errand(word), jobs=jobs, threads=threads))
    assert sorted(event.task for event in events if isinstance(event, Finished)) == sorted(tasks)
    return sorted((event.content for event in events if isinstance(event, Reported)), key=lambda content: content[2])


def alive(process: int) -> bool:
    """Whether a process runs; one that ended and was waited for does not."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_kept_worker_takes_up_the_next_work_with_its_own_preparation() -> None:
    with workers_kept():
        ((first, *_),) = said("fit", "a")
        assert alive(first)
        second = said("measure", "bc")
        assert [content[1:3] for content in second] == [("measure", "b"), ("measure", "c")]
        assert {content[0] for content in second} == {first}
    assert not alive(first)


def test_without_the_block_every_work_has_processes_of_its_own() -> None:
    ((first, *_),) = said("fit", "a")
    assert not alive(first)
    assert said("measure", "a")[0][0] != first


def test_workers_that_the_next_work_has_no_use_for_are_ended() -> None:
    """Fewer jobs, so that a GPU is free for them; other threads, which a process cannot change once it has begun."""
    with workers_kept():
        two = {content[0] for content in said("fit", "abcd", jobs=2)}
        ((one, *_),) = said("again", "a", jobs=1)
        assert one in two and [process for process in two if alive(process)] == [one]
        ((other, _, _, threads),) = said("measure", "a", threads=2)
        assert (other != one, threads, alive(one)) == (True, "2", False)


def test_a_worker_that_dies_while_it_waits_is_replaced() -> None:
    with workers_kept():
        ((first, *_),) = said("fit", "a")
        os.kill(first, signal.SIGKILL)
        while os.waitid(os.P_PID, first, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.01)
        ((second, *_),) = said("measure", "a")
        assert second != first


def test_a_kept_worker_that_dies_at_work_is_told_and_replaced() -> None:
    with workers_kept():
        ((first, *_),) = said("fit", "a")
        events = list(work_through(["die", "b"], saying, Errand("measure"), jobs=1, threads=1))
        assert any(isinstance(event, Died) and event.task == "die" for event in events)
        assert [event.content[1:3] for event in events if isinstance(event, Reported)] == [("measure", "b")]
        assert not alive(first)


def test_a_kept_worker_that_cannot_prepare_says_why_and_none_is_left() -> None:
    with workers_kept():
        ((first, *_),) = said("fit", "a")
        with pytest.raises(RuntimeError, match="no work for measure"):
            list(work_through("a", saying, Errand("measure", fails=True), jobs=1, threads=1))
        assert not alive(first)
        assert said("again", "a")[0][1] == "again"


@pytest.mark.parametrize(("methods", "kept"), [(("meso", "deep-linear"), True), (("meso", "of another"), False)])
def test_what_an_outside_method_leaves_in_a_process_reaches_no_metric(methods: tuple[str, ...], kept: bool) -> None:
    with workers_of(methods):
        ((first, *_),) = said("fit", "a")
        assert (said("measure", "a")[0][0] == first) is kept


def test_threads_hold_for_a_pytorch_that_is_loaded_later() -> None:
    """A worker loads it with its first task only; where it runs, the variables of its environment may say otherwise."""
    code = "from recon.worker_pool import limit_torch; limit_torch(1); import torch; print(torch.get_num_threads())"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "1"
