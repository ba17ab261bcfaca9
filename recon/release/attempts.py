"""Many independent tasks, none of which may stop the others: in worker processes, or here where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from recon.errors import MesofaceError, StorageError
from recon.worker_pool import Died, Report, Reported, work_through

Task = TypeVar("Task")
Prepare = Callable[[Any], Callable[[Any], None]]
"""Called once a process with what all tasks share; gives the function that carries out one task."""


@dataclass(frozen=True)
class _Order:
    prepare: Prepare
    shared: Any


def attempt_all(tasks: Sequence[Task], prepare: Prepare, shared: Any, jobs: int) -> Iterator[tuple[Task, str | None]]:
    """Carries out ``tasks``; yields each with None, or with the reason in words why it failed.

    Args:
        prepare: module-level function.
        jobs: worker processes; 1 works in this process.

    Raises:
        StorageError: the disk is full or cannot be written.
    """
    if jobs <= 1 or len(tasks) <= 1:
        work = prepare(shared) if tasks else None
        for task in tasks:
            assert work is not None
            yield task, _attempt(work, task)
        return
    order = _Order(prepare, shared)
    for event in work_through(tasks, _prepare_worker, order, jobs=min(jobs, len(tasks)), threads=1):
        if isinstance(event, Reported):
            yield event.task, event.content
        elif isinstance(event, Died):
            yield event.task, event.reason


def _attempt(work: Callable[[Any], None], task: Any) -> str | None:
    try:
        work(task)
    except StorageError:
        raise
    except MesofaceError as error:
        return str(error)
    except Exception as error:
        return f"unexpected failure: {type(error).__name__}: {error}"
    return None


def _prepare_worker(order: _Order) -> Callable[[Any, Report], None]:
    work = order.prepare(order.shared)
    return lambda task, report: report(_attempt(work, task))
