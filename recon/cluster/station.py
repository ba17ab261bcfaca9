"""The worker's side: what a worker loads once and keeps, and the function that Dask calls for every task."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from recon.cluster.facts import difference, facts, sees
from recon.errors import MesofaceError
from recon.parcel import pack, unpack
from recon.store.places import copy_at
from recon.worker_pool import Needs, Prepare, Report, Work, limit_torch, unwritable


@dataclass(frozen=True)
class Worked:
    """A task is done; ``contents`` is what it reported."""

    contents: tuple[Any, ...]


@dataclass(frozen=True)
class Unfit:
    """The worker cannot do any task of this work; another one shall."""

    worker: str
    reason: str


@dataclass(frozen=True)
class Stopped:
    """What stops all work: the worker could not prepare, the disk is full, or there is a defect."""

    error: MesofaceError | None
    text: str = ""


Answer = Worked | Unfit | Stopped


class _Abandoned(BaseException):
    """Nobody waits for this task any more: its program was stopped, or started anew."""


class Station(WorkerPlugin):
    """What all tasks of one piece of work share, on one worker.

    Dask gives it to workers that come later, too, so it looks for itself whether its worker fits.

    Args:
        parcel: packed ``(prepare, argument)``.
        needs: what the work takes for granted, and ``expected``, what the sending machine has of it.
        session: what the session file in ``needs.folder`` holds as long as the work goes on.
        threads: threads a task may use; None for what the worker's environment says.
    """

    def __init__(
        self, parcel: bytes, needs: Needs, expected: Mapping[str, str], session: str, threads: int | None
    ) -> None:
        self.parcel, self.expected = parcel, dict(expected)
        self.session, self.threads = session, threads
        self._needs = pack(needs)

    @cached_property
    def needs(self) -> Needs:
        """With the paths of this machine; a database of a store is brought for it, which takes a while."""
        needs: Needs = unpack(self._needs)
        return needs

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "needs"}

    def setup(self, worker: Worker) -> None:
        """Called by Dask when the worker gets this; loading waits for the first task, which may block."""
        self.address = worker.address
        self.lock = threading.Lock()
        self.work: Work | None = None

    def answer(self, parcel: bytes) -> Answer:
        """Works on one packed task."""
        with self.lock:  # a worker of several threads: tasks use all threads of their process themselves
            try:
                misfit = self._prepare()
                return Unfit(self.address, misfit) if misfit else self._worked(unpack(parcel))
            except _Abandoned:
                return Unfit(self.address, "the program that sent its tasks has ended")
            except MesofaceError as error:
                return Stopped(error)
            except OSError as error:
                return Stopped(unwritable(error))
            except Exception:
                return Stopped(None, traceback.format_exc())

    def _prepare(self) -> str | None:
        """Loads what all tasks share; why this worker does not fit, or None."""
        try:
            _ = self.needs
        except MesofaceError as error:  # of a store that this worker cannot read
            return f"worker {self.address} cannot begin: {error}"
        if not sees(self.needs.folder, self.session):
            return unseen(self.address, self.needs)
        if self.work is None:
            misfit = difference(self.expected, {**facts(self.needs)}, self.address)
            if misfit:
                return misfit
            prepare, argument = unpack(self.parcel)
            load: Prepare = prepare
            self.work = load(argument)
            if self.threads is not None:
                limit_torch(self.threads)
        return None

    def _worked(self, task: Any) -> Worked:
        assert self.work is not None
        contents: list[Any] = []

        def keep(content: Any) -> None:
            contents.append(content)
            # Between two results is the time to stop: the next one may belong to another program by now.
            if not sees(self.needs.folder, self.session):
                raise _Abandoned

        report: Report = keep
        self.work(task, report)
        return Worked(tuple(contents))


def unseen(worker: str, needs: Needs) -> str:
    """What to say of a worker that does not see the folder of the results."""
    copy = copy_at(needs.folder)
    if copy is not None:
        return (
            f"worker {worker} does not read what this machine writes into '{copy.store.address}': give it the same "
            "credentials and, for a store other than Amazon's, the same AWS_ENDPOINT_URL."
        )
    return (
        f"worker {worker} does not see what this machine writes into '{needs.folder}': put it on a file system that "
        "all machines share under the same path."
    )


def work_on(station: str, parcel: bytes) -> Answer:
    """What Dask calls for every task; ``station`` is the name under which the plugin was registered."""
    try:
        plugin = get_worker().plugins[station]
    except KeyError:
        return Unfit(get_worker().address, f"worker {get_worker().address} could not load mesoface: install it there.")
    assert isinstance(plugin, Station)
    return plugin.answer(parcel)
