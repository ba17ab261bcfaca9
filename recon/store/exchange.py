"""How tasks and a store go together: every worker brings what its task reads, and sends what it made before it says so.

On the side of the command :func:`exchanged` stands around the work, and :meth:`Exchange.around` sends each worker an
:class:`Errand` in place of the plain work. On the worker's side the errand unpacks the work into a copy of its own, so
that no worker needs a disk that others see.
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from recon.parcel import pack, unpack
from recon.store.copies import WorkingCopy
from recon.store.opening import is_light, spoken
from recon.store.places import copy_at, own_copy, said
from recon.worker_pool import Died, Event, Needs, Parts, Prepare, Report, Work

Send = Callable[[Sequence[Any], Prepare, Any], Iterator[Event]]

SEND_EVERY = 20.0
"""Seconds after which a command sends what it gathered while tasks go on."""
# What a command itself writes while tasks go on; all else is made by workers.
_GATHERED = (".metrics/", "metrics.parquet", ".cluster.jsonl")


@dataclass(frozen=True)
class Errand:
    """Work on tasks, for a process that has its own copy of the store.

    Attributes:
        address: of the store.
        parcel: packed ``(prepare, argument)``.
        needs: what the work takes for granted; says of every task what it reads and makes.
    """

    address: str
    parcel: bytes
    needs: bytes


def carry_out(errand: Errand) -> Work:
    """What a worker process calls once."""
    copy = own_copy(errand.address)
    needs: Needs = unpack(errand.needs)
    with spoken():
        copy.look_at(needs.records)
        prepare, argument = unpack(errand.parcel)
        return _Carried(copy, needs, prepare(argument))


class _Carried:
    """The work on a task with what goes before and after it."""

    def __init__(self, copy: WorkingCopy, needs: Needs, work: Work) -> None:
        assert needs.parts is not None
        self.copy, self.records, self.parts, self.work = copy, needs.records, needs.parts, work

    def __call__(self, task: Any, report: Report) -> None:
        """Brings, works, sends; what is reported is in the store by then.

        Raises:
            StorageError: the store cannot be reached, or the disk is full.
        """
        parts = self.parts(task)

        def keep(content: Any) -> None:
            self.copy.push(parts.makes, parts.replaces)
            report(content)

        with spoken():
            try:
                bring(self.copy, parts)
                self.work(task, keep)
                self.copy.push(parts.makes, parts.replaces)
            finally:
                self.copy.empty(self.records)


def bring(copy: WorkingCopy, parts: Parts) -> None:
    """What a task reads, into its worker's copy."""
    if not parts.reads:
        return
    copy.look(*parts.reads)

    def wanted(name: str) -> bool:
        return name.startswith(parts.reads) and any(fnmatch.fnmatchcase(name, pattern) for pattern in parts.only)

    copy.pull(wanted)


@dataclass(frozen=True)
class Exchange:
    """The side of the command, whose results go to a store."""

    copy: WorkingCopy
    needs: Needs

    def around(self, tasks: Sequence[Any], prepare: Prepare, argument: Any, send: Send) -> Iterator[Event]:
        """The events of ``send``, which gets an errand in place of ``prepare`` and ``argument``.

        When all is done, the copy has the records that workers made.
        """
        copy, parts = self.copy, self.needs.parts
        assert parts is not None
        copy.push()
        errand = Errand(copy.store.address, pack((prepare, argument)), pack(self.needs))
        sent = time.monotonic()
        for event in send(tasks, carry_out, errand):
            if isinstance(event, Died):
                # What the worker had made before it died counts, and what is noted of its end must replace the rest.
                made = parts(event.task)
                copy.look(*made.makes)
                copy.pull(is_light)
                yield event
                copy.push(made.makes, made.replaces)
                continue
            yield event
            if time.monotonic() - sent > SEND_EVERY:
                copy.push(_GATHERED)
                sent = time.monotonic()
        copy.push(_GATHERED)
        copy.look()
        copy.pull(is_light)


_exchange: ContextVar[Exchange | None] = ContextVar("mesoface_exchange", default=None)


def current_exchange() -> Exchange | None:
    """The exchange that work goes through, or None where its results go to a folder."""
    return _exchange.get()


@contextmanager
def exchanged(needs: Needs) -> Iterator[None]:
    """For the time of the block, work whose results go to a store is sent out as errands."""
    copy = copy_at(needs.folder)
    if copy is not None and needs.parts is None:
        raise RuntimeError(f"work on {said(needs.folder)} does not say what its tasks read and make")
    token = _exchange.set(None if copy is None else Exchange(copy, needs))
    try:
        yield
    finally:
        _exchange.reset(token)
