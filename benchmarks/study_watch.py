"""What processors, and what the database, are busy with while a study is served: for ``study_scale.py``.

Processor seconds are Linux's own (``/proc``), of a process and all that it started. What PostgreSQL's connections do is
sampled from ``pg_stat_activity``: the share of looks that show a statement, or a wait, is its share of the time. (The
package's server comes without ``pg_stat_statements``.)
"""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, Engine, text

TICKS = os.sysconf("SC_CLK_TCK")
WATCHING = {"application_name": "watch"}
UNUSED, THINKS = "unused", "waits for the server process"
_LOOK = text(
    "SELECT state, coalesce(wait_event_type || ' ' || wait_event, ''), query FROM pg_stat_activity "
    "WHERE datname = current_database() AND backend_type = 'client backend' AND application_name <> 'watch'"
)
# PostgreSQL shows the first 1,024 letters, so a long list of columns hides its FROM.
_TABLE = re.compile(r"^(?:INSERT INTO|UPDATE|SELECT)\s+(\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class Spent:
    """Processor seconds so far.

    Attributes:
        server: of the servers' processes.
        backends: of PostgreSQL's processes for connections; ``postgresql`` of its others: log, checkpoints, cleaning.
        raters: of this process, the load generator.
    """

    server: float
    backends: float
    postgresql: float
    raters: float

    def since(self, before: Spent) -> Spent:
        """What was spent since ``before``."""
        return Spent(
            self.server - before.server,
            self.backends - before.backends,
            self.postgresql - before.postgresql,
            self.raters - before.raters,
        )


def _tree(*roots: int) -> dict[int, tuple[str, float]]:
    """Command line and processor seconds, with those of children that ended, of ``roots`` and all below them."""
    parents: dict[int, int] = {}
    found: dict[int, tuple[str, float]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "stat").read_text().rpartition(")")[2].split()
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:  # it ended meanwhile
            continue
        parents[int(place.name)] = int(words[1])
        found[int(place.name)] = (command, sum(map(int, words[11:15])) / TICKS)

    def is_ours(process: int) -> bool:
        while process not in roots and process in parents:
            process = parents[process]
        return process in roots

    return {process: facts for process, facts in found.items() if is_ours(process)}


def processes(*roots: int) -> tuple[int, ...]:
    """``roots`` and all that they started."""
    return tuple(_tree(*roots))


class Watch:
    """Looks at a PostgreSQL and at the processes in front of it.

    Args:
        engine: of the study database, whose connections say that they are the ``watch``'s.
        postmaster: PostgreSQL's first process.
        servers: first processes of the servers.
    """

    def __init__(self, engine: Engine, postmaster: int, servers: tuple[int, ...]) -> None:
        self._engine, self._postmaster, self._servers = engine, postmaster, servers
        self._own = 0
        self.looks = 0
        self.most_busy = 0
        self.connections = 0
        self.seen: Counter[tuple[str, str]] = Counter()

    def spent(self) -> Spent:
        """Processor seconds so far; those of the watch's own connection are left out."""
        backends = others = 0.0
        for process, (command, seconds) in _tree(self._postmaster).items():
            if process == self._own:
                continue
            if command.startswith("postgres: ") and "[local]" in command:
                backends += seconds
            else:
                others += seconds
        server = sum(seconds for _, seconds in _tree(*self._servers).values())
        return Spent(server, backends, others, sum(os.times()[:2]))

    @contextmanager
    def looking(self, every: float = 0.1) -> Iterator[None]:
        """Look at all connections ``every`` so many seconds until the end of the block."""
        ended = threading.Event()
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            self._own = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()

            def look_on() -> None:
                while not ended.wait(every):
                    self._look(connection)

            thread = threading.Thread(target=look_on)
            thread.start()
            try:
                yield
            finally:
                ended.set()
                thread.join()

    def time_flushes(self) -> None:
        """Let PostgreSQL note what :meth:`log` tells of times."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET track_wal_io_timing = on")
            connection.exec_driver_sql("SELECT pg_reload_conf()")

    def log(self) -> tuple[int, float, int]:
        """So far: flushes of the write-ahead log, the seconds that they took, bytes of the log."""
        with self._engine.connect() as connection:
            flushes, milliseconds = connection.exec_driver_sql(
                "SELECT sum(fsyncs), sum(fsync_time) FROM pg_stat_io WHERE object = 'wal'"
            ).one()
            written = connection.exec_driver_sql("SELECT wal_bytes FROM pg_stat_wal").scalar_one()
        return int(flushes or 0), float(milliseconds or 0) / 1000, int(written)

    def forget(self) -> None:
        """What was seen so far is not counted."""
        self.looks = self.most_busy = 0
        self.seen = Counter()

    def _look(self, connection: Connection) -> None:
        rows = connection.execute(_LOOK).all()
        self.looks += 1
        self.connections = max(self.connections, len(rows))
        self.most_busy = max(self.most_busy, sum(state != "idle" for state, _, _ in rows))
        for state, wait, query in rows:
            if state == "idle":
                self.seen[UNUSED, ""] += 1
            elif state == "active":
                self.seen[statement(query), wait or "processor"] += 1
            else:
                self.seen[THINKS, ""] += 1

    def shares(self) -> list[tuple[str, str, float]]:
        """Statement, what it waited for, and how many connections were at that at any moment; the most first."""
        return [(what, wait, count / max(self.looks, 1)) for (what, wait), count in self.seen.most_common()]


def statement(query: str) -> str:
    """What a statement is, in few words: ``SELECT assignment``."""
    words, table = query.split(None, 1), _TABLE.match(query)
    return " ".join((words[0].upper(), table[1] if table else "")).strip() if words else "(is it there?)"
