"""Time and memory of building a data set of face models, against the number of people.

    python benchmarks/dataset.py --data london=../shared/data/london --counts 4,8,16

Builds the data set once a count into a scratch folder, in a process of its own, and prints for each the seconds, the
seconds a person, and the peak memory of all its processes together (proportional set size, so that what they share
counts once; Linux alone tells it). The last line is the slope of a straight line through the points: what one more
person costs, and by how much the points leave that line. The target: at most 6 s a person at 1024² and 2 GB on two
cores, linear in the number of people. CPU time is printed beside wall time, because other work on the machine lengthens
only the latter.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TARGET_SECONDS = 6.0
TARGET_GIGABYTES = 2.0


@dataclass(frozen=True)
class Measured:
    """One command: wall and CPU seconds, peak memory of all its processes in GB (NaN where it is not known)."""

    wall: float
    cpu: float
    gigabytes: float


def descendants(pid: int) -> list[int]:
    """``pid`` and the processes below it that run now."""
    found = [pid]
    for process in found:
        try:
            for task in Path(f"/proc/{process}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:  # it has ended meanwhile
            continue
    return found


def proportional_bytes(pid: int) -> int:
    """Proportional set size of a process; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure(arguments: list[str], every: float = 1.0) -> Measured:
    """Runs ``mesoface`` with ``arguments`` and samples its memory ``every`` so many seconds."""
    peak, done = [0], threading.Event()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "mesoface", *arguments])

    def watch() -> None:
        while not done.wait(every):
            peak[0] = max(peak[0], sum(proportional_bytes(pid) for pid in descendants(process.pid)))

    sampler = threading.Thread(target=watch, daemon=True)
    sampler.start()
    code = process.wait()
    wall = time.perf_counter() - started
    done.set()
    sampler.join()
    if code not in {0, 5}:
        sys.exit(f"mesoface {' '.join(arguments)} ended with code {code}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(wall, cpu, peak[0] / 1e9 if peak[0] else float("nan"))


def report(rows: dict[int, Measured], jobs: int) -> None:
    """Prints the table and the straight line through it."""
    print(f"\n{jobs} jobs, {os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}")
    print(f"{'people':>7}{'wall, s':>10}{'CPU, s':>10}{'wall/person':>13}{'CPU/person':>12}{'memory, GB':>12}")
    for count, row in rows.items():
        print(
            f"{count:7d}{row.wall:10.1f}{row.cpu:10.1f}{row.wall / count:13.2f}{row.cpu / count:12.2f}"
            f"{row.gigabytes:12.2f}"
        )
    print(f"{'target':>7}{'':20}{TARGET_SECONDS:13.2f}{'':12}{TARGET_GIGABYTES:12.2f}")
    if len(rows) > 1:
        people = np.array(list(rows), float)
        for name, values in (("wall", [row.wall for row in rows.values()]), ("CPU", [r.cpu for r in rows.values()])):
            slope, fixed = np.polyfit(people, values, 1)
            off = np.abs(np.polyval([slope, fixed], people) - values) / values
            print(f"{name}: {slope:.2f} s a further person, {fixed:.1f} s fixed; off the line {off.max():.0%} at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", default="london")
    parser.add_argument("--counts", default="4,8")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    rows = {}
    for count in sorted(int(part) for part in options.counts.split(",")):
        with tempfile.TemporaryDirectory() as scratch:
            given = ["--data", options.data, "--size", str(options.size), "--jobs", str(options.jobs)]
            into = ["--limit", str(count), "--out", f"{scratch}/data-set"]
            rows[count] = measure(["dataset", "build", "-q", *given, *into])
        print(f"{count} people: {rows[count].wall:.1f} s", flush=True)
    report(rows, options.jobs)


if __name__ == "__main__":
    main()
