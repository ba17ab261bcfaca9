"""Work that the program gives to processes of its own, done in this one: quick, and its failures can be looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from recon.worker_pool import Event, Finished, Reported


def silent(stage: str, done: int, total: int) -> None:
    """No progress."""


def in_this_process(tasks: Any, prepare: Any, argument: Any, *, jobs: int, threads: int) -> Iterator[Event]:
    """What the worker processes do, without them."""
    work = prepare(argument)
    for task in tasks:
        reports: list[Any] = []
        work(task, reports.append)
        yield from (Reported(task, content) for content in reports)
        yield Finished(task)
