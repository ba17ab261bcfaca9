"""A run on stand-ins into a store, as a program of its own with worker processes; and work for plain errands.

``python store_runs.py ADDRESS DATA METHODS PROTOCOLS JOBS``; started and watched by ``tests/store``.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import run_fakes

from recon.errors import InputError
from recon.worker_pool import Parts, Report, Work

FILE = Path(__file__)


@dataclass(frozen=True)
class Order:
    """Where the work is done; ``base`` is a folder that is read."""

    out: Path
    base: Path


def copying_parts(task: str) -> Parts:
    """Of a person the notes are read, and an entry is made."""
    return Parts((f"reference/{task}/",), (f"entries/{task}.", f"results/{task}/"), (f"results/{task}/",), ("*.txt",))


def copying(order: Order) -> Work:
    """Work that writes what it finds into an entry, and fails on the person ``d``."""

    def work(task: str, report: Report) -> None:
        seen = sorted(path.relative_to(order.out).as_posix() for path in order.out.rglob("*") if path.is_file())
        note = (order.out / "reference" / task / "note.txt").read_text()
        if task == "d":
            raise InputError(f"'{order.out / 'reference' / 'd' / 'note.txt'}' displeases.")
        (order.out / "entries").mkdir()
        (order.out / "entries" / f"{task}.npy").write_text(note + (order.base / "database.json").read_text())
        (order.out / "entries" / f"{task}.json").write_text("{}")
        report((os.getpid(), seen))

    return work


# Worker processes import the script as __mp_main__.
if __name__ in {"__main__", "__mp_main__"}:
    run_fakes.install(run_fakes._patch_for_good)

if __name__ == "__main__":
    from recon.data.protocols import parse_protocols
    from recon.errors import MesofaceError
    from recon.runs import RunConfig, execute
    from recon.store import made_in

    address, data, methods, protocols, jobs = sys.argv[1:6]
    config = RunConfig(
        out=Path(),
        data=f"folder={data}",
        methods=tuple(methods.split(",")),
        protocols=parse_protocols(protocols),
        size=run_fakes.SIZE,
        jobs=int(jobs),
    )
    try:
        with made_in(address) as folder:
            summary = execute(replace(config, out=folder), lambda stage, done, total: None)
    except MesofaceError as error:
        sys.exit(f"mesoface: {error}")
    sys.stdout.write(f"made {len(summary.made)} kept {summary.kept} failed {len(summary.failed)}\n")
