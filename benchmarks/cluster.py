"""What a cluster costs, and what it would give: the scheduler's overhead a task, and a simulation of many workers.

    python benchmarks/cluster.py --tasks 100000 --run runs/first

The first half sends tasks that do nothing through the very path of a run: Dask's scheduler in this process, workers as
processes of their own, the check of every worker, session file and reports included. The second half takes the
durations that a run measured (its ``timings.json``) and lets workers, stragglers and failures be drawn:

    start of a task = max(worker free, scheduler free), and every task occupies the scheduler;
    a straggler takes several times as long, a slow worker does so always;
    a worker fails after an exponential time: what it was doing is lost and goes to the end of the queue.

Efficiency is useful seconds over seconds for which workers are held.
"""

from __future__ import annotations

import argparse
import heapq
import platform
import resource
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from recon.cluster import on_cluster
from recon.storage import read_json
from recon.worker_pool import Finished, Needs, at_hand, work_through

STRAGGLER, SLOW = 4.0, 2.0
WORKERS = (1, 10, 30, 100, 300, 1000, 3000)
KINDS = ("subject", "subject, protocol", "subject, protocol, method")


@dataclass(frozen=True)
class World:
    """What goes wrong.

    Attributes:
        overhead: seconds of the scheduler a task.
        start: seconds until a worker has loaded what tasks share.
        straggling: share of the tasks that take ``STRAGGLER`` times as long.
        slow: share of the workers that need ``SLOW`` times as long for every task.
        failures: failures of a worker an hour.
        away: seconds until a failed worker is back.
    """

    overhead: float
    start: float
    straggling: float
    slow: float
    failures: float
    away: float


@dataclass(frozen=True)
class Outcome:
    """What so many workers came to: wall time, useful and held worker-seconds, tasks lost, and the scheduler's load."""

    wall: float
    useful: float
    held: float
    lost: int
    load: float


def prepare_nothing(_: Any) -> Callable[[int, Callable[[Any], None]], None]:
    """What a worker loads for tasks that do nothing."""
    return lambda task, report: report(task)


def measure(tasks: int, workers: int) -> float:
    """Seconds of the scheduler's processor a task that does nothing; prints what it found.

    Client and scheduler are one process here. Its processor time is what a scheduler with a core of its own needs;
    wall time has the workers in it as well, which share the cores of this machine.
    """
    with tempfile.TemporaryDirectory() as folder, on_cluster(f"local:{workers}"):
        needs = Needs(Path(folder))
        for warm_up in (True, False):  # the first round loads the workers
            started, spent, done = time.perf_counter(), time.process_time(), 0
            with at_hand(needs):
                for event in work_through(range(100 if warm_up else tasks), prepare_nothing, None, jobs=1, threads=1):
                    done += isinstance(event, Finished)
            seconds, spent = time.perf_counter() - started, time.process_time() - spent
        assert done == tasks
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{tasks} tasks that do nothing, {workers} workers: {seconds:.1f} s, {1e3 * seconds / tasks:.2f} ms a task, "
        f"{tasks / seconds:.0f} tasks a second; client and scheduler take {1e3 * spent / tasks:.2f} ms of a processor "
        f"a task, and {memory:.2f} GB"
    )
    return spent / tasks


def durations(run: Path) -> dict[str, np.ndarray]:
    """Seconds of every task of a run, by how finely it is cut."""
    own: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    shared: dict[tuple[str, str], float] = {}
    for path in sorted(run.glob("results/*/*/*/timings.json")):
        method, protocol, subject = path.parts[-4:-1]
        seconds = read_json(path)["seconds"]
        if "fit" not in seconds:
            continue  # imported
        own[subject, protocol][method] = seconds["method"] + seconds["render"]
        shared[subject, protocol] = seconds["fit"] + seconds["observe"]
    # Within a subject the first protocol that leaves the photograph as it is finds the landmarks, and the others have
    # them for nothing: what they save is told from the means, and a task of its own pays it.
    means = {name: float(np.mean([shared[key] for key in shared if key[1] == name])) for _, name in shared}
    cheapest, saved = min(means, key=lambda name: means[name]), max(means.values()) - min(means.values())
    again = {key: seconds + (saved if key[1] == cheapest else 0.0) for key, seconds in shared.items()}
    whole: dict[str, float] = defaultdict(float)
    for key, methods in own.items():
        whole[key[0]] += shared[key] + sum(methods.values())
    return {
        KINDS[0]: np.array(list(whole.values())),
        KINDS[1]: np.array([again[key] + sum(methods.values()) for key, methods in own.items()]),
        KINDS[2]: np.array([again[key] + seconds for key, methods in own.items() for seconds in methods.values()]),
    }


def simulate(tasks: np.ndarray, workers: int, world: World, seed: int = 0) -> Outcome:
    """Work off ``tasks`` (seconds each) with so many workers, first come first served."""
    rng = np.random.default_rng(seed)
    length = tasks * np.where(rng.random(len(tasks)) < world.straggling, STRAGGLER, 1.0)
    pace = np.where(rng.random(workers) < world.slow, SLOW, 1.0)
    rate = world.failures / 3600
    fails = [rng.exponential(1 / rate) if rate else np.inf for _ in range(workers)]
    free = [(world.start, worker) for worker in range(workers)]
    heapq.heapify(free)
    waiting, scheduler, lost, end = deque(length), 0.0, 0, 0.0
    while waiting:
        now, worker = heapq.heappop(free)
        if fails[worker] <= now:  # while it waited
            fails[worker] = now + rng.exponential(1 / rate)
            heapq.heappush(free, (now + world.away + world.start, worker))
            continue
        seconds = waiting.popleft()
        scheduler = max(scheduler, now) + world.overhead
        finish = scheduler + seconds * pace[worker]
        if fails[worker] < finish:
            lost += 1
            waiting.append(seconds)
            back = max(fails[worker], scheduler) + world.away + world.start
            fails[worker] = back + rng.exponential(1 / rate)
            heapq.heappush(free, (back, worker))
            continue
        end = max(end, finish)
        heapq.heappush(free, (finish, worker))
    useful = float(tasks.sum())
    return Outcome(end, useful, end * workers, lost, (len(tasks) + lost) * world.overhead / end)


def print_simulation(found: Mapping[str, np.ndarray], faces: int, world: World) -> None:
    """A table a way of cutting the work, and where it saturates."""
    console = Console(width=120)
    people = len(found[KINDS[0]])
    for kind, measured in found.items():
        tasks = np.random.default_rng(1).choice(measured, round(len(measured) / people * faces))
        # Beyond these the scheduler cannot keep up, or the last tasks are waited for.
        most = measured.mean() / world.overhead
        size = f"{len(tasks)} tasks of {measured.mean():.1f} s (at most {measured.max():.0f})"
        title = f"a task a {kind}: {size}; the scheduler feeds {most:.0f} workers"
        table = Table(title=title, title_justify="left")
        for heading in ("workers", "wall", "efficiency", "worker-hours a 1,000 faces", "tasks lost", "scheduler busy"):
            table.add_column(heading, justify="right")
        for workers in WORKERS:
            came = simulate(tasks, workers, world)
            table.add_row(
                str(workers), _clock(came.wall), f"{came.useful / came.held:.0%}",
                f"{came.held / 3600 / faces * 1000:.2f}", str(came.lost), f"{came.load:.0%}",
            )  # fmt: skip
        console.print(table)


def _clock(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def main() -> None:
    """Measures, then simulates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000, help="tasks that do nothing; 0 for none")
    parser.add_argument("--workers", type=int, default=2, help="worker processes for them")
    parser.add_argument("--run", type=Path, help="run folder whose durations are simulated")
    parser.add_argument("--faces", type=int, default=10_000, help="faces of the simulated test set")
    parser.add_argument("--overhead", type=float, default=2.0, help="milliseconds a task, where --tasks is 0")
    parser.add_argument("--start", type=float, default=30.0, help="seconds until a worker has loaded everything")
    parser.add_argument("--straggling", type=float, default=0.02, help="share of tasks that take 4 times as long")
    parser.add_argument("--slow", type=float, default=0.02, help="share of workers that are half as fast")
    parser.add_argument("--failures", type=float, default=0.02, help="failures of a worker an hour")
    parser.add_argument("--away", type=float, default=120.0, help="seconds until a failed worker is back")
    asked = parser.parse_args()
    print(f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}, {time.strftime('%Y-%m-%d')}")
    overhead = measure(asked.tasks, asked.workers) if asked.tasks else asked.overhead / 1e3
    if asked.run:
        world = World(
            overhead, asked.start, asked.straggling, asked.slow, asked.failures, asked.away
        )  # fmt: skip
        print_simulation(durations(asked.run), asked.faces, world)


if __name__ == "__main__":
    main()
