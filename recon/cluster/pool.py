"""The client's side: tasks go to a Dask scheduler, and what becomes of them comes back as the pool's events."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed

from recon.cluster.facts import difference, facts, hide, sees, show
from recon.cluster.station import Station, Stopped, Unfit, Worked, unseen, work_on
from recon.errors import ClusterError, UsageError
from recon.parcel import pack, unpack
from recon.storage import make_folder, storage_errors
from recon.worker_pool import Died, Event, Finished, Needs, Prepare, Reported

Say = Callable[[str], None]

LOG = ".cluster.jsonl"
"""In the folder of the results: what befell workers, a line each; retries and their reason."""

GPU, MEMORY = "GPU", "MEMORY"
"""Resources that a worker may be started with: GPUs, and bytes."""
BYTES_A_TASK = 4e9
_SUBMITTED_TOGETHER = 1000
_WAIT_FOR_WORKERS = 5.0


class DaskCluster:
    """A connected scheduler with its workers; the :class:`recon.worker_pool.Cluster` of this program.

    Args:
        client: connected.
        say: prints one line for people.
        threads: threads a task may use; None for what each worker's environment says.
    """

    def __init__(self, client: Client, say: Say, threads: int | None = None) -> None:
        self.client, self.say, self.threads = client, say, threads
        self._needs: Needs | None = None
        self._session = ""
        self._expected: dict[str, str] = {}
        self._wait_for_workers()

    @property
    def address(self) -> str:
        """The scheduler's."""
        return str(self.client.scheduler.address) if self.client.scheduler else "(closed)"

    @property
    def slots(self) -> int:
        """Workers, at least two: more may come."""
        return max(2, len(self._workers()))

    def device(self, name: str) -> str:
        """``auto`` → ``cuda`` where a worker offers the resource GPU, else ``cpu``.

        Raises:
            UsageError: a GPU is asked for and no worker offers one.
        """
        offered = any(worker["resources"].get(GPU, 0) >= 1 for worker in self._workers().values())
        if name == "auto":
            return "cuda" if offered else "cpu"
        if name.startswith("cuda") and not offered:
            raise UsageError(
                f"--device {name}: no worker of {self.address} offers a GPU; start workers that have one with "
                '--resources "GPU=1", or use --device cpu.'
            )
        return name

    def hardware(self, device: str) -> tuple[str, ...]:
        """Names of the GPUs or processors of the workers that tasks for ``device`` may go to, each once."""
        return tuple(sorted(set(self._ask(_hardware, self._required(device), device).values())))

    @contextmanager
    def ready(self, needs: Needs) -> Iterator[None]:
        """Makes sure that every worker fits, and keeps the session file as long as the block runs.

        Raises:
            ClusterError: the folder is not shared, or a worker has another version of something.
        """
        needs = Needs(**{**vars(needs), "folder": needs.folder.absolute()})
        make_folder(needs.folder)
        outer, before = (self._needs, self._session, self._expected), self._session
        self._needs, self._session = needs, before or secrets.token_hex(8)
        show(needs.folder, self._session)
        try:
            self._expected = _expectation(needs)
            self._check(needs)
            yield
        finally:
            hide(needs.folder)
            self._needs, self._session, self._expected = outer

    def work_through(
        self, tasks: Sequence[Any], prepare: Prepare, argument: Any, *, jobs: int, threads: int
    ) -> Iterator[Event]:
        """Sends ``tasks`` to the workers; yields what happens.

        A task whose worker dies is tried on another, as often as the scheduler's ``allowed-failures`` says.

        Raises:
            ClusterError: the scheduler is gone, or no worker fits; everything finished is kept.
            MesofaceError: a worker could not prepare, or cannot write.
            RuntimeError: a defect in ``prepare`` or ``work``, with the worker's traceback.
        """
        if self._needs is None:
            raise RuntimeError("work was sent to a cluster outside of at_hand(): nobody knows what it needs")
        if not tasks:
            return
        name = f"mesoface-{secrets.token_hex(6)}"
        parcel = pack((prepare, argument))
        station = Station(parcel, self._needs, self._expected, self._session, self.threads)
        with self._losses_noted(name):
            self._guarded(lambda: self.client.register_plugin(station, name=name))
            try:
                yield from self._results(tasks, name)
            finally:
                if self.client.status == "running":
                    self.client.unregister_worker_plugin(name)

    def _results(self, tasks: Sequence[Any], name: str) -> Iterator[Event]:
        assert self._needs is not None
        required = self._required(self._needs.device)
        # Tasks that may go anywhere wait at the scheduler. Those bound to a resource are all dealt out at once, and the
        # death of a worker is held against each task that it would have had later.
        bound = not all(_offers(worker, required) for worker in self._workers().values())
        resources = required if bound else {}
        futures: list[Future[Any]] = self.client.map(
            work_on,
            [name] * len(tasks),
            [pack(task) for task in tasks],
            key=[f"{name}-{number}" for number in range(len(tasks))],
            pure=False,
            resources=resources or None,
            batch_size=_SUBMITTED_TOGETHER,
        )
        task_of = dict(zip((future.key for future in futures), tasks, strict=True))
        waiting: Any = as_completed(futures, loop=self.client.loop)
        del futures
        try:
            for future, answer in self._answers(waiting):
                task = task_of.pop(future.key)
                future.release()
                if isinstance(answer, Unfit):
                    again = self._elsewhere(answer, task, name, resources)
                    task_of[again.key] = task
                    waiting.add(again)
                elif isinstance(answer, Died):
                    self._note(event="gave up", task=future.key, reason=answer.reason)
                    yield Died(task, answer.reason)
                else:
                    yield from (Reported(task, content) for content in answer.contents)
                    yield Finished(task)
        finally:
            if task_of and self.client.status == "running":
                self.client.cancel([Future(key, client=self.client) for key in task_of], force=True)

    def _answers(self, waiting: Any) -> Iterator[tuple[Future[Any], Worked | Unfit | Died]]:
        """What became of tasks, as they end; those that ended together are fetched together."""
        for batch in waiting.batches():
            # Asked first: who takes an answer lets go of its future, whose state then tells nothing any more.
            ended = {future: future.status for future in batch}
            finished = [future for future, state in ended.items() if state == "finished"]
            answers = self._guarded(partial(self.client.gather, finished))
            yield from zip(finished, map(self._checked, answers), strict=True)
            yield from ((future, self._failure(future)) for future, state in ended.items() if state != "finished")

    def _checked(self, answer: Any) -> Worked | Unfit:
        """An answer of a worker; what stops all work is raised."""
        if isinstance(answer, Stopped):
            raise answer.error or RuntimeError(f"a worker failed:\n{answer.text}")
        assert isinstance(answer, (Worked, Unfit))
        return answer

    def _failure(self, future: Future[Any]) -> Worked | Unfit | Died:
        """Why there is no answer; what stops all work is raised."""
        try:
            return self._checked(future.result())
        except KilledWorker as error:
            last = getattr(error.last_worker, "address", "unknown")
            return Died(
                None,
                f"the worker ended in the middle, attempt {error.allowed_failures + 1} of as many, last {last}; most "
                "likely for want of memory: give workers more, or run fewer on a machine",
            )
        except (CancelledError, asyncio.CancelledError):
            raise self._gone() from None
        except (ImportError, AttributeError) as error:
            raise ClusterError(
                f"a worker of {self.address} cannot load mesoface ({error}): install the same version there."
            ) from error

    def _elsewhere(self, unfit: Unfit, task: Any, name: str, resources: dict[str, float]) -> Future[Any]:
        """Sends away a worker that came later and does not fit, and its task to another one."""
        self.say(f"{unfit.reason} It was sent away; its task goes to another worker.")
        self._note(event="refused", worker=unfit.worker, reason=unfit.reason)
        self._guarded(lambda: self.client.retire_workers([unfit.worker]))
        if not self._workers():
            raise ClusterError(unfit.reason)
        return self.client.submit(
            work_on, name, pack(task), key=f"{name}-again-{secrets.token_hex(6)}", pure=False, resources=resources
        )

    # Workers.

    def _workers(self) -> dict[str, Any]:
        """By address, what the scheduler knows of its workers."""
        return dict(self._guarded(lambda: self.client.scheduler_info(n_workers=-1))["workers"])

    def _wait_for_workers(self) -> None:
        said = False
        while not self._workers():
            if not said:
                self.say(f"{self.address} has no worker yet: waiting for the first (dask worker {self.address}) …")
                said = True
            try:
                self.client.wait_for_workers(1, timeout=_WAIT_FOR_WORKERS)
            except TimeoutError:
                continue

    def _required(self, device: str) -> dict[str, float]:
        """The resources that a task takes: a GPU, and memory where workers say how much they have."""
        workers = self._workers().values()
        required: dict[str, float] = {GPU: 1} if device.startswith("cuda") else {}
        if any(MEMORY in worker["resources"] for worker in workers):
            required[MEMORY] = BYTES_A_TASK
        if not any(_offers(worker, required) for worker in workers):
            wanted = " ".join(f"{name}={amount:g}" for name, amount in required.items())
            raise ClusterError(
                f"no worker of {self.address} offers what a task takes ({wanted or 'a place'}): start workers with "
                f'--resources "{wanted}" or more.'
            )
        return required

    def _ask(self, question: Callable[..., Any], required: dict[str, float], *arguments: Any) -> dict[str, Any]:
        """The answer of every worker that tasks may go to, by address; they are asked at the same time."""
        workers = [name for name, worker in self._workers().items() if _offers(worker, required)]
        answers = self._guarded(
            lambda: self.client.run(_aside, pack((question, arguments)), workers=workers, on_error="return")
        )
        for worker, answer in answers.items():
            if isinstance(answer, (ImportError, AttributeError)):
                raise ClusterError(
                    f"worker {worker} cannot load this mesoface ({answer}): install the same version there, and "
                    "restart the worker."
                )
            if isinstance(answer, BaseException):
                raise ClusterError(f"worker {worker} does not answer ({type(answer).__name__}: {answer}): restart it.")
        return dict(answers)

    def _check(self, needs: Needs) -> None:
        """Every worker sees the folder and has what this machine has."""
        required = self._required(needs.device)
        for worker, seen in self._ask(sees, required, needs.folder, self._session).items():
            if not seen:
                raise ClusterError(unseen(worker, needs))
        for worker, theirs in self._ask(facts, required, needs).items():
            misfit = difference(self._expected, theirs, worker)
            if misfit:
                raise ClusterError(misfit)

    # What goes wrong.

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """The answer of the scheduler; its absence is a typed error."""
        try:
            return call()
        except (OSError, TimeoutError, CancelledError, asyncio.CancelledError) as error:
            raise self._gone() from error

    def _gone(self) -> ClusterError:
        return ClusterError(
            f"the scheduler {self.address} is gone: start it and its workers again, and run the same command; "
            "everything finished is kept."
        )

    @contextmanager
    def _losses_noted(self, name: str) -> Iterator[None]:
        """Says and notes when a worker is lost with tasks of this work."""

        def lost(event: tuple[float, Any]) -> None:
            what = event[1]
            if isinstance(what, dict) and what.get("action") == "remove-worker":
                keys = [str(key) for key in what["processing-tasks"] if str(key).startswith(name)]
                if keys:
                    reason = "it was retired" if what.get("expected") else "its process ended or its network failed"
                    self._note(event="lost", worker=what["worker"], reason=reason, tasks=keys)
                    self.say(f"worker {what['worker']} was lost ({reason}): tasks that others get: {len(keys)}.")

        self._guarded(lambda: self.client.subscribe_topic("all", lost))
        try:
            yield
        finally:
            if self.client.status == "running":
                self.client.unsubscribe_topic("all")

    def _note(self, **what: Any) -> None:
        if self._needs is None:
            return
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **what}, ensure_ascii=False)
        path = self._needs.folder / LOG
        with storage_errors(path), path.open("a", encoding="utf-8") as stream:
            stream.write(f"{line}\n")


def _expectation(needs: Needs) -> dict[str, str]:
    """What workers must have: what this machine has; the GPU they need whether or not it has one."""
    found = facts(needs)
    return {**found, **({GPU: "a GPU"} if GPU in found else {})}


def _offers(worker: dict[str, Any], required: dict[str, float]) -> bool:
    return all(worker["resources"].get(name, 0) >= amount for name, amount in required.items())


def _hardware(device: str) -> str:
    from recon.runs.config import hardware

    return hardware(device)


async def _aside(parcel: bytes) -> Any:
    """Answers in a thread of its own, so that the worker goes on saying that it is alive."""
    return await asyncio.to_thread(_answer, parcel)


def _answer(parcel: bytes) -> Any:
    question, arguments = unpack(parcel)
    return question(*arguments)
