"""The study server past one machine: what a rater costs, what gives way first, and whether balance holds.

    python benchmarks/study_scale.py                                           # all of it, about 15 minutes
    python benchmarks/study_scale.py --parts shapes --shapes 1,2,4,2x2 --raters 300 --seconds 40

*shapes*: ``mesoface study serve`` with 1, 2 and 4 processes before one PostgreSQL, then ``2x2``: two commands with two
processes each, ports, homes and copies of the study of their own, as on two machines that share nothing but the
database and ``MESOFACE_STUDY_KEY``; every request of a rater goes to the other one than the request before. Processor
seconds of servers, of PostgreSQL and of the load generator are counted apart, while raters arrive and while they
answer: two equations, from which what a session's start and what an answer costs follow. Cores for 10,000 raters are
that, times 10,000: a calculation, which holds as long as nothing but processors is short. Afterwards every slot's
trials in the database are compared with what the design lays out for it, and every acknowledged answer is looked up.

*ramp*: server and PostgreSQL on one processor, the load generator on another, and ever more raters until that one is
not enough: raters a core, measured. *slots*: milliseconds of giving out a slot against the number of slots. *commits*:
transactions a second that PostgreSQL takes from ever more connections, without the server in front.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import secrets
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from study_kept import Kept, check

# Makes the checkout the first place to look for packages.
from study_load import (
    Ledger,
    database,
    failed,
    flush_milliseconds,
    load,
    make_study,
    milliseconds,
    served,
    statuses,
)
from study_store import print_commits, print_slots
from study_watch import THINKS, UNUSED, WATCHING, Spent, Watch

GOAL_MS = 150.0
ROLES = ("server", "backends", "postgresql", "raters")
PARTS = ("shapes", "ramp", "slots", "commits")
BUCKET = 20.0  # seconds


@dataclass(frozen=True)
class Came:
    """What became of one load.

    Attributes:
        marks: moments (monotonic) at which ``spent`` was read: before the raters came, when all had come, at the end.
        flushes: of the write-ahead log in the last phase; ``flush_seconds`` that they took; ``written`` bytes of it.
    """

    ledger: Ledger
    watch: Watch
    marks: tuple[float, ...]
    spent: tuple[Spent, ...]
    flushes: int
    flush_seconds: float
    written: int
    kept: Kept


@contextmanager
def processors(*numbers: int) -> Iterator[None]:
    """What this process starts, and it itself, runs on these processors alone until the end of the block."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, numbers or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True)
class Shape:
    """``machines`` commands with ``processes`` each; ``pictures`` is whether they serve the pictures as well."""

    machines: int
    processes: int
    pictures: bool = True

    def __str__(self) -> str:
        elsewhere = "" if self.pictures else ", pictures elsewhere"
        return (f"{self.machines} × " if self.machines > 1 else "") + f"{self.processes}{elsewhere}"


def under_load(
    made: Path, shape: Shape, raters: int, arrive: float, seconds: float, think: float, apart: bool = False
) -> Came:
    """Serve the study of the folder ``made``, let raters come, and look on.

    Args:
        apart: server and PostgreSQL on the first processor, the load generator on the second.
    """
    from sqlalchemy import create_engine, make_url

    first, second, *_ = (*sorted(os.sched_getaffinity(0)), 0)
    key = {"MESOFACE_STUDY_KEY": secrets.token_hex(32)}
    elsewhere = "" if shape.pictures else "https://pictures.example/study"
    with tempfile.TemporaryDirectory(prefix="mesoface-scale-") as name, ExitStack() as all_of:
        folder = Path(name)
        with processors(*([first] if apart else [])):
            url = all_of.enter_context(database("postgresql", folder))
            servers = []
            for number in range(shape.machines):
                place = folder / f"machine{number}"
                shutil.copytree(made, place)
                servers.append(all_of.enter_context(served(place, url, shape.processes, elsewhere, key)))
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), connect_args=WATCHING)
        postmaster = int((folder / "pg" / "postmaster.pid").read_text().split()[0])
        watch = Watch(engine, postmaster, tuple(server.process.pid for server in servers))
        watch.time_flushes()
        settle(watch)
        with watch.looking(), processors(*([second] if apart else [])):
            ports = [server.port for server in servers]
            came = asyncio.run(_load_and_account(watch, ports, raters, arrive, seconds, think))
        for server in servers:
            server.stop()
        kept = check(made, url, came[0].acknowledged)
        engine.dispose()
    ledger, marks, spent, log = came
    return Came(ledger, watch, marks, spent, *log, kept)


async def _load_and_account(
    watch: Watch, ports: Sequence[int], raters: int, arrive: float, seconds: float, think: float
) -> tuple[Ledger, tuple[float, ...], tuple[Spent, ...], tuple[int, float, int]]:
    marks, spent = [time.monotonic()], [watch.spent()]
    log = []

    async def account() -> None:
        step = arrive if seconds else BUCKET
        until = time.monotonic() + arrive + seconds
        while time.monotonic() < until - 1:
            await asyncio.sleep(min(step, until - time.monotonic()))
            marks.append(time.monotonic())
            spent.append(watch.spent())
            log.append(await asyncio.to_thread(watch.log))
            if seconds and len(marks) == 2:
                watch.forget()
                step = seconds

    accounting = asyncio.create_task(account())
    ledger = await load(ports, raters, seconds, arrive, think)
    await accounting
    return ledger, tuple(marks), tuple(spent), tuple(b - a for a, b in zip(log[-2], log[-1], strict=True))


def settle(watch: Watch) -> None:
    """Wait until all processes of the servers have come up and do nothing."""
    before, until = watch.spent().server, time.monotonic() + 120
    while time.monotonic() < until:
        time.sleep(1.0)
        now = watch.spent().server
        if now - before < 0.02:
            return
        before = now
    raise SystemExit("the servers do not come to rest: something else is the matter with them; see server.log")


def costs(came: Came) -> dict[str, tuple[float, float]]:
    """Processor seconds of a session's start and of an answer, by role."""
    counts = []
    for begun, ended in zip(came.marks, came.marks[1:], strict=False):
        asked = [one for one in came.ledger.counted(begun, ended) if one.status == 200]
        counts.append([sum(one.kind == kind for one in asked) for kind in ("screen", "answer")])
    phases = [after.since(before) for before, after in zip(came.spent, came.spent[1:], strict=False)]
    return {
        role: tuple(np.linalg.solve(np.array(counts, float), [getattr(phase, role) for phase in phases]))
        for role in ROLES
    }


def rate(came: Came, raters: int) -> float:
    """Answers of one rater a second, while all were there."""
    begun, ended = came.marks[-2:]
    answers = milliseconds(came.ledger.counted(begun, ended), "answer")
    return len(answers) / (ended - begun) / raters


def a_rater(came: Came, raters: int) -> dict[str, float]:
    """Share of a processor that one rater takes, by role: answers, and a start every so many."""
    often = rate(came, raters)
    return {
        role: often * (answer + start / came.kept.trials) for role, (start, answer) in costs(came).items()
    }  # fmt: skip


def print_shapes(console: Console, made: Path, shapes: Sequence[Shape], options: argparse.Namespace) -> bool:
    """Load each shape; whether all was kept well."""
    table = Table(
        title=f"{options.raters} raters who think {options.think:g} s, {options.seconds:g} s", title_justify="left"
    )
    for column in (
        "processes", "answers/s", "p50 ms", "p99 ms", "ms a start", "ms an answer", "PostgreSQL", "generator",
        "raters a core", "cores for 10,000",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    well, notes = True, []
    for shape in shapes:
        came = under_load(made, shape, options.raters, options.arrive, options.seconds, options.think)
        counted = came.ledger.counted(came.marks[-2], came.marks[-1])
        found, of_one = costs(came), a_rater(came, options.raters)
        start = sum(found[role][0] for role in ROLES[:3])
        answer = sum(found[role][1] for role in ROLES[:3])
        cores = sum(of_one[role] for role in ROLES[:3])
        own = of_one["backends"] + of_one["postgresql"]
        p50, p99 = np.percentile(milliseconds(counted), (50, 99))
        table.add_row(
            str(shape), f"{rate(came, options.raters) * options.raters:.1f}", f"{p50:.0f}", f"{p99:.0f}",
            f"{1e3 * start:.1f}", f"{1e3 * answer:.2f}", f"{own / cores:.0%}", f"{1e3 * found['raters'][1]:.2f} ms",
            f"{1 / cores:.0f}", f"{1e4 * cores:.1f}",
        )  # fmt: skip
        notes.append(note(came, shape, options))
        well = well and came.kept.well and not failed(counted)
        print_database(console, came, shape)
    console.print(table)
    console.print("\n".join(notes))
    return well


def note(came: Came, shape: Shape, options: argparse.Namespace) -> str:
    """What was kept, and how busy the processors were."""
    counted, kept = came.ledger.counted(came.marks[-2], came.marks[-1]), came.kept
    spent, seconds = came.spent[-1].since(came.spent[-2]), came.marks[-1] - came.marks[-2]
    busy = ", ".join(f"{role} {getattr(spent, role) / seconds:.2f}" for role in ROLES)
    return (
        f"{shape}: processors busy: {busy}; 5xx or broken {failed(counted)}, 429 {statuses(counted)[429]}\n"
        f"    {len(came.ledger.acknowledged)} answers acknowledged, {kept.lost} lost, {kept.twice} twice; "
        f"{kept.sessions} sessions, {kept.shared} slots given twice, {kept.gaps} left out, {kept.unlike} sessions "
        f"unlike the design; renderings shown equally often but for {kept.pictures} (design: {kept.bound}), conditions "
        f"but for {kept.conditions}: {'well' if kept.well else 'NOT WELL'}"
    )


def print_database(console: Console, came: Came, shape: Shape) -> None:
    """What connections were at, and what the log cost."""
    watch = came.watch
    answers = len(milliseconds(came.ledger.counted(came.marks[-2], came.marks[-1]), "answer"))
    shares = watch.shares()
    working = sum(share for what, _, share in shares if what not in (UNUSED, THINKS))
    table = Table(title=f"{shape}: what PostgreSQL's connections are at, {watch.looks} looks", title_justify="left")
    for column in ("statement", "waits for", "connections at it", "share of the time that statements take"):
        table.add_column(column, justify="right" if "share" in column or "at it" in column else "left")
    for what, wait, share in shares[:12]:
        part = "" if what in (UNUSED, THINKS) else f"{share / max(working, 1e-9):.0%}"
        table.add_row(what, wait, f"{share:.3f}", part)
    console.print(table)
    console.print(
        f"{watch.connections} connections, at most {watch.most_busy} at work at once; "
        f"{came.flushes / answers:.2f} flushes of the log an answer, "
        f"{1e3 * came.flush_seconds / max(came.flushes, 1):.2f} ms each, {came.written / answers / 1024:.1f} kB\n"
    )


def print_ramp(console: Console, made: Path, options: argparse.Namespace) -> bool:
    """Ever more raters on one processor; whether all was kept well."""
    if len(os.sched_getaffinity(0)) < 2:
        console.print("one processor only: the load generator would take from the server what is measured here.")
        return True
    shape, length = Shape(1, 1, options.pictures), options.ramp
    came = under_load(made, shape, options.most, length, 0.0, options.think, apart=True)
    title = f"{shape}: server and PostgreSQL on one processor, a rater more every {length / options.most:.2f} s"
    table = Table(title=title, title_justify="left")
    for column in ("raters", "answers/s", "p50 ms", "p99 ms", "5xx", "server", "PostgreSQL", "load generator"):
        table.add_column(column, justify="right")
    held = most = 0.0
    for number, (begun, ended) in enumerate(zip(came.marks, came.marks[1:], strict=False)):
        counted = came.ledger.counted(begun, ended)
        spent = came.spent[number + 1].since(came.spent[number])
        raters = options.most * ((begun + ended) / 2 - came.marks[0]) / length
        seconds = ended - begun
        p50, p99 = np.percentile(milliseconds(counted), (50, 99))
        table.add_row(
            f"{raters:.0f}", f"{len(milliseconds(counted, 'answer')) / seconds:.1f}", f"{p50:.0f}", f"{p99:.0f}",
            str(failed(counted)), f"{spent.server / seconds:.0%}",
            f"{(spent.backends + spent.postgresql) / seconds:.0%}", f"{spent.raters / seconds:.0%}",
        )  # fmt: skip
        if p99 < GOAL_MS and not failed(counted):
            held = raters
        most = max(most, len(milliseconds(counted, "answer")) / seconds)
    console.print(table)
    kept = "nothing lost, all in balance" if came.kept.well else "NOT WELL"
    console.print(
        f"measured: {held:.0f} were the most raters with p99 under {GOAL_MS:g} ms; at most {most:.0f} answers a "
        f"second, those of {most * options.think:.0f} raters; {kept}\n"
    )
    return came.kept.well


def shape_of(text: str) -> Shape:
    """``4``: one command with four processes; ``2x4``: two of them."""
    machines, _, processes = text.rpartition("x")
    return Shape(int(machines or 1), int(processes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--shapes", default="1,2,4,2x2", help="processes, or machines x processes")
    parser.add_argument("--raters", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--think", type=float, default=5.0, help="mean seconds between seeing a trial and answering it")
    parser.add_argument("--arrive", type=float, default=20.0, help="seconds over which the raters arrive")
    parser.add_argument("--most", type=int, default=600, help="raters at the end of the ramp")
    parser.add_argument("--ramp", type=float, default=200.0, help="seconds until they are all there")
    parser.add_argument("--pictures-elsewhere", dest="pictures", action="store_false", help="as 'serve --published'")
    options = parser.parse_args()
    parts = options.parts.split(",")
    console = Console(width=120)
    console.print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} processors, "
        f"load average before: {os.getloadavg()[0]:.1f}"
    )
    well = True
    with tempfile.TemporaryDirectory(prefix="mesoface-made-") as name:
        made = Path(name)
        # A session takes about thirty thinking times.
        places = max(options.raters, options.most) * (2 + int(options.ramp / (20 * options.think)))
        make_study(made, places)
        console.print("one flush to the disk: median {:.1f} ms, p99 {:.1f} ms".format(*flush_milliseconds(made)))
        if "shapes" in parts:
            shapes = [replace(shape_of(one), pictures=options.pictures) for one in options.shapes.split(",")]
            well = print_shapes(console, made, shapes, options)
        if "ramp" in parts:
            well = print_ramp(console, made, options) and well
    if "slots" in parts:
        print_slots(console)
    if "commits" in parts:
        print_commits(console, 15)
    if not well:
        sys.exit(1)


if __name__ == "__main__":
    main()
