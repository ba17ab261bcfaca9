"""Worker processes that may die without taking the run with them.

``concurrent.futures`` gives up on all work when one worker is killed and cannot say which task was to blame, which is
what happens when a machine runs out of memory; here the task of a dead worker is reported and a new worker goes on.

Starting a worker takes seconds, most of them for loading PyTorch. Inside :func:`workers_kept` those of one call of
:func:`work_through` stay for the next, whatever its work is.

The same work may be done by other machines: inside :func:`working_on` a :class:`Cluster` takes the place of the
processes, and whoever calls :func:`work_through` need not know.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol

from recon.allocator import give_back, keep_large_blocks
from recon.errors import MesofaceError, StorageError

Report = Callable[[Any], None]
Work = Callable[[Any, Report], None]
Prepare = Callable[[Any], Work]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# NumPy's BLAS works on the small matrices of a fit; its threads wait for each other in a spin, and when something else
# has the other core, a fit of 0.15 s takes 4.
_ALWAYS_ONE = "OPENBLAS_NUM_THREADS"


@dataclass(frozen=True)
class Reported:
    """A worker reports something while it works on ``task``."""

    task: Any
    content: Any


@dataclass(frozen=True)
class Finished:
    """A worker is done with ``task``."""

    task: Any


@dataclass(frozen=True)
class Died:
    """The worker of ``task`` ended in the middle; ``reason`` says how, in words."""

    task: Any
    reason: str


Event = Reported | Finished | Died


@dataclass(frozen=True)
class Parts:
    """What a task reads and makes in the folder of the results, as beginnings of names: ``results/meso/identity/ada/``.

    Attributes:
        reads: folders that it looks into; of what lies there, what one of ``only`` matches (``fnmatch``) is read.
        makes: where it adds or changes files.
        replaces: those of them that it makes anew as a whole.
    """

    reads: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    replaces: tuple[str, ...] = ()
    only: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Needs:
    """What work takes for granted on the machine that does it; a cluster makes sure of it before the first task.

    Attributes:
        folder: where results are written; all machines must see it under the same path, or it is the working copy of a
            store.
        face_model: name of the face model, or None.
        database: folder of the texture database, or None.
        assets: names of the weight files that are read.
        features: name of the features, or None: ``auto`` must mean the same everywhere.
        files: some of the data that are read.
        device: torch device.
        parts: says of a task what it reads and makes there; module-level, or a ``partial`` of such. None where the
            folder never is a store's.
        records: names of files there that every worker reads.
    """

    folder: Path
    face_model: str | None = None
    database: Path | None = None
    assets: tuple[str, ...] = ()
    features: str | None = None
    files: tuple[Path, ...] = ()
    device: str = "cpu"
    parts: Callable[[Any], Parts] | None = None
    records: tuple[str, ...] = ()


class Cluster(Protocol):
    """Machines that take the place of this machine's worker processes."""

    @property
    def slots(self) -> int:
        """Tasks that are worked on at the same time, at least two."""
        ...

    def device(self, name: str) -> str:
        """``auto`` → ``cuda`` where workers offer GPUs, else ``cpu``; other names as they are, checked."""
        ...

    def hardware(self, device: str) -> tuple[str, ...]:
        """Names of the GPUs or processors of the workers that tasks for ``device`` may go to."""
        ...

    def ready(self, needs: Needs) -> AbstractContextManager[None]:
        """Makes sure that every worker has what is needed, for the time of the block."""
        ...

    def work_through(
        self, tasks: Sequence[Any], prepare: Prepare, argument: Any, *, jobs: int, threads: int
    ) -> Iterator[Event]:
        """As :func:`work_through`; ``jobs`` and ``threads`` speak of this machine alone."""
        ...


_cluster: ContextVar[Cluster | None] = ContextVar("mesoface_cluster", default=None)


def current_cluster() -> Cluster | None:
    """The cluster that works in place of this machine's processes, or None."""
    return _cluster.get()


@contextmanager
def working_on(cluster: Cluster) -> Iterator[None]:
    """For the time of the block, :func:`work_through` sends its tasks to ``cluster``."""
    token = _cluster.set(cluster)
    try:
        yield
    finally:
        _cluster.reset(token)


@contextmanager
def at_hand(needs: Needs) -> Iterator[None]:
    """Around :func:`work_through`: says what the work needs.

    On a cluster, every worker is asked for it first; where the folder is the working copy of a store, tasks bring what
    they read and send what they make. Without either there is nothing to do.

    Raises:
        ClusterError: a worker lacks something, or has another version of it.
    """
    from recon.store.exchange import exchanged

    cluster = current_cluster()
    with exchanged(needs), nullcontext() if cluster is None else cluster.ready(needs):
        yield


@dataclass(frozen=True)
class _Trouble:
    """What stops a whole run: the worker could not start, or the disk is full."""

    error: MesofaceError | None
    text: str


@dataclass(frozen=True)
class _Order:
    """What a worker is to be prepared for."""

    prepare: Prepare
    argument: Any


class _Worker:
    """One process, its pipe, and the task it has."""

    def __init__(self, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, threads), daemon=True, name="mesoface-worker"
        )
        with _threads_in_environment(threads):
            self.process.start()
        theirs.close()
        self.threads = threads
        self.ready = False
        self.task: Any = None

    def prepare(self, order: _Order) -> None:
        """Says what comes next; the worker says when it is ready."""
        self.ready = False
        try:
            self.connection.send(order)
        except (BrokenPipeError, ConnectionResetError):
            return  # it died: whoever waits for it reads the end of the pipe

    def give(self, task: Any) -> None:
        self.task = task
        self.connection.send(task)

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.connection.close()

    def epitaph(self) -> str:
        """How the process ended, in words."""
        self.process.join()
        code = self.process.exitcode or 0
        if code < 0:
            name = signal.Signals(-code).name
            if name in {"SIGKILL", "SIGTERM"}:
                return f"the worker process was killed ({name}), most likely for want of memory: try fewer --jobs"
            return f"the worker process crashed ({name})"
        return f"the worker process ended by itself with code {code}"


_kept: ContextVar[list[_Worker] | None] = ContextVar("mesoface_kept_workers", default=None)


@contextmanager
def workers_kept() -> Iterator[None]:
    """For the time of the block, processes that have no task left wait for the next :func:`work_through`.

    They take it up with as many threads as it asks for; what they hold in memory (models, databases, networks) stays
    with them. Those that it has no use for are ended when it begins.
    """
    workers: list[_Worker] = []
    token = _kept.set(workers)
    try:
        yield
    finally:
        _kept.reset(token)
        for worker in workers:
            worker.stop()


def work_through(tasks: Sequence[Any], prepare: Prepare, argument: Any, *, jobs: int, threads: int) -> Iterator[Event]:
    """Work on ``tasks`` in ``jobs`` processes; yields what happens, in the order in which it happens.

    Args:
        prepare: module-level function that a worker calls once with ``argument`` (to load what all tasks share) and
            that returns the function ``work(task, report)``. Exceptions of ``work`` end the run, so it handles those
            of its task.
        threads: threads a worker may use.

    Raises:
        MesofaceError: a worker could not be prepared, or cannot write.
        RuntimeError: a defect in ``prepare`` or ``work``, with the worker's traceback.
    """
    from recon.store.exchange import current_exchange

    exchange = current_exchange()
    send = partial(_sent_out, jobs=jobs, threads=threads)
    yield from send(tasks, prepare, argument) if exchange is None else exchange.around(tasks, prepare, argument, send)


def _sent_out(tasks: Sequence[Any], prepare: Prepare, argument: Any, *, jobs: int, threads: int) -> Iterator[Event]:
    """To the cluster, or to processes of this machine."""
    cluster = current_cluster()
    if cluster is not None:
        yield from cluster.work_through(tasks, prepare, argument, jobs=jobs, threads=threads)
        return
    waiting = list(tasks)[::-1]
    workers: list[_Worker] = []
    idle = _taken_up(min(jobs, len(waiting)), threads)
    try:
        while waiting or any(worker.task is not None for worker in workers):
            unready = sum(not worker.ready for worker in workers)
            while len(workers) < jobs and len(waiting) > unready:
                workers.append(idle.pop() if idle else _Worker(threads))
                workers[-1].prepare(_Order(prepare, argument))
                unready += 1
            for worker in [w for w in workers if w.connection in wait([w.connection for w in workers])]:
                yield from _attend(worker, workers, waiting)
    finally:
        for worker in [*workers, *idle]:
            worker.stop()


def _taken_up(most: int, threads: int) -> list[_Worker]:
    """Workers that were kept and can go on, at most ``most``; the others are ended."""
    kept = _kept.get()
    if not kept:
        return []
    fit = [worker for worker in kept if worker.threads == threads and worker.process.is_alive()][:most]
    for worker in kept:
        if worker not in fit:
            worker.stop()
    kept.clear()
    return fit


def _attend(worker: _Worker, workers: list[_Worker], waiting: list[Any]) -> Iterator[Event]:
    """Take one message of a worker, and give it its next task if it is free."""
    try:
        message = worker.connection.recv()
    except (EOFError, ConnectionResetError):
        workers.remove(worker)
        reason = worker.epitaph()
        worker.stop()
        if not worker.ready:
            raise MesofaceError(f"{reason} (while starting).") from None
        if worker.task is not None:
            yield Died(worker.task, reason)
        return
    if isinstance(message, _Trouble):
        raise message.error or RuntimeError(f"a worker failed:\n{message.text}")
    if isinstance(message, Reported):
        yield message
        return
    worker.ready = True
    if isinstance(message, Finished):
        worker.task = None
        yield message
    if waiting:
        worker.give(waiting.pop())
        return
    workers.remove(worker)
    kept = _kept.get()
    if kept is None:
        worker.stop()
    else:
        kept.append(worker)


def _serve(connection: Connection, threads: int) -> None:
    """The worker: prepare for an order, then one task after the other until the next order or the end of the pipe."""
    # Ctrl-C goes to the whole group of processes; the parent alone decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _end_with_parent()
    work: Work | None = None
    try:
        while True:
            task = connection.recv()
            if isinstance(task, _Order):
                work = None  # what the order before held need not lie beside what this one loads
                gc.collect()
                give_back()
                work = task.prepare(task.argument)
                limit_torch(threads)
                connection.send("ready")
                continue
            assert work is not None

            def report(content: Any, task: Any = task) -> None:
                connection.send(Reported(task, content))

            work(task, report)
            connection.send(Finished(task))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except MesofaceError as error:
        connection.send(_Trouble(error, ""))
    except OSError as error:
        connection.send(_Trouble(unwritable(error), ""))
    except Exception:
        connection.send(_Trouble(None, traceback.format_exc()))


def unwritable(error: OSError) -> StorageError:
    """The typed error for what the system says of a place that work writes to."""
    return StorageError(f"{error.strerror or error}: {error.filename or 'the run folder'}.")


def limit_torch(threads: int) -> None:
    """Lets PyTorch use so many threads, now or once it is loaded, and keep the memory of its large arrays."""
    keep_large_blocks()
    torch = sys.modules.get("torch")
    if torch is None:
        os.environ.update(_thread_settings(threads))
    else:
        torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """End this process when its parent is gone (killed), so that no orphan goes on writing into the run folder."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _thread_settings(threads: int) -> dict[str, str]:
    return {name: "1" if name == _ALWAYS_ONE else str(threads) for name in _THREAD_VARIABLES}


@contextmanager
def _threads_in_environment(threads: int) -> Iterator[None]:
    """Numerical libraries read their thread count from the environment when they load, so it is set for the child."""
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ.update(_thread_settings(threads))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
