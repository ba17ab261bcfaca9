"""Thousands of drawn requests to the study server's interface, valid and invalid, by schemathesis from its description.

    python benchmarks/study_fuzz.py                     # 20,000 requests on SQLite
    python benchmarks/study_fuzz.py --requests 2000 --database postgresql

Needs ``pip install schemathesis``. The requests come without a token, with a forged one, or with that of a rater who
may write; names of pictures are also drawn from what leads out of a folder. After each reply: no 5xx; no write without
a good token; a picture only under the sha256 of its bytes; nothing of another rater who is in the middle of a session,
no condition and no subject in any reply. At the end that other rater's rows are what they were, and the answers of
the rater who may write are as many as were acknowledged. Prints replies by route and status; ends with 1 where
anything of this did not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx2
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console
from rich.table import Table
from schemathesis import Case, GenerationMode
from sqlalchemy import Engine, select

# Makes the checkout the first place to look for packages.
from study_load import SCREEN, database, make_study, verdict

KEY = bytes(range(32))
SECRETS = ("deep-linear", "deep-nearest", "visio", "person", "meso", "study.yaml", "sqlite", "postgresql", "Traceback")
"""What no reply may say: conditions, subjects, and how the server is made."""
OUTSIDE = (
    "..",
    "%2e%2e",
    ".",
    "",
    "~",
    "study.yaml",
    "stimuli.json",
    "etc",
    "passwd",
    "study.sqlite",
    "\\",
    "c:",
    "\0",
)


@dataclass
class Rater:
    """A session that is seated, and the answers of it that the server acknowledged."""

    visitor: str
    token: str
    session: int
    acknowledged: set[str] = field(default_factory=set)


def application(engine: Engine, folder: Path) -> FastAPI:
    """The study's server, without a limit on requests."""
    from study.hosting import server_settings
    from study.server.app import create_app
    from study.server.registration import enter_study
    from study.server.settings import Limits
    from study.specification import read_specification
    from study.stimuli import read_catalogue

    specification = read_specification(folder / "study.yaml")
    endless = Limits(address_rate=1e9, address_burst=10**9, session_rate=1e9, session_burst=10**9)
    told = replace(server_settings(specification, KEY), limits=endless)
    enter_study(engine, told, specification.record(), read_catalogue(folder).stimuli)
    return create_app(engine, folder, told)


def seated(client: TestClient, answers: int) -> Rater:
    """A rater who has answered so many trials."""
    who = {"parameters": {}, "visitor": str(uuid4())}
    view = client.post("/api/consent", json={**who, "consent_version": "1"}).json()
    rater = Rater(who["visitor"], view["token"], view["session"])
    client.post("/api/screen", json=SCREEN, headers={"Authorization": f"Bearer {rater.token}"})
    for index in range(answers):
        body = verdict(index, "real")
        reply = client.post("/api/answers", json=body, headers={"Authorization": f"Bearer {rater.token}"})
        assert reply.status_code == 200, reply.text
        rater.acknowledged.add(body["client_uuid"])
    return rater


def rows_of(engine: Engine, session_number: int) -> list[Any]:
    """All that the database has of a session."""
    from study.database import AssignmentRow, ResponseRow, TrialRow
    from study.engine import reading

    columns = (*AssignmentRow.__table__.columns, *TrialRow.__table__.columns, *ResponseRow.__table__.columns)
    wanted = (
        select(*columns)
        .select_from(AssignmentRow)
        .join(TrialRow, TrialRow.assignment_id == AssignmentRow.id)
        .outerjoin(ResponseRow, ResponseRow.trial_id == TrialRow.id)
        .where(AssignmentRow.id == session_number)
        .order_by(TrialRow.index)
    )
    with reading(engine) as session:
        return list(map(tuple, session.execute(wanted).all()))


def answered(engine: Engine) -> set[str]:
    """Identifiers of all answers."""
    from study.database import ResponseRow
    from study.engine import reading

    with reading(engine) as session:
        return set(session.scalars(select(ResponseRow.client_uuid)))


class Judge:
    """Looks at every reply; what does not hold is in ``faults``."""

    def __init__(self, other: Rater, writer: Rater, pictures: set[str]) -> None:
        self.other, self.writer, self.pictures = other, writer, pictures
        self.counts: Counter[tuple[str, int]] = Counter()
        self.faults: list[str] = []
        self.unsendable = 0

    def look(self, case: Case, good_token: bool, status: int, content: bytes) -> None:
        """Note one reply."""
        route = f"{case.method} {case.path}"
        self.counts[route, status] += 1
        text = content.decode("utf-8", "replace")
        if status >= 500:
            self.faults.append(f"{route}: {status} {text[:200]}")
        if status == 200 and case.path in ("/api/screen", "/api/answers") and not good_token:
            self.faults.append(f"{route}: written without a good token")
        if status == 200 and case.path == "/api/answers":
            self.writer.acknowledged.add(str(case.body["client_uuid"]).lower())
        if case.path.startswith("/stimuli"):
            self._picture(route, status, content)
            if status == 200:
                return
        for told in (*SECRETS, self.other.visitor, self.other.token):
            if told in text:
                self.faults.append(f"{route}: {status} says '{told[:40]}'")

    def _picture(self, route: str, status: int, content: bytes) -> None:
        if status == 200 and content and hashlib.sha256(content).hexdigest() not in self.pictures:
            self.faults.append(f"{route}: a file that is no picture of the study")


def help_along(body: dict[str, Any], turn: int) -> None:
    """Make fields right that chance never hits, so that some requests go deeper than the door."""
    right: dict[str, Any] = {
        "index": turn,
        "client_uuid": str(uuid4()),
        "answer": {"choice": "fake"},
        "consent_version": "1",
        "parameters": {},
    }
    body.update({name: value for name, value in right.items() if name in body})


def fuzz(app: FastAPI, client: TestClient, judge: Judge, requests: int) -> None:
    """Draw and send so many requests."""
    schema = schemathesis.openapi.from_dict(app.openapi())
    modes = [schema.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]
    forged = judge.writer.token[:-4] + "AAAA"
    tokens = st.sampled_from([judge.writer.token, judge.writer.token, "", forged, "1.1.9999999999." + "A" * 43])
    known = [f"{name}.webp" for name in sorted(judge.pictures)[:9]]
    outside = st.lists(st.sampled_from([*OUTSIDE, *known]), min_size=1, max_size=5).map("/".join)

    # Nothing is shrunk or kept: this counts requests, and a fault is printed as it was met.
    @settings(
        max_examples=requests, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=HealthCheck
    )
    @given(st.one_of(modes), tokens, outside, st.integers(0, 9))
    def one(case: Case, token: str, name: str, way: int) -> None:
        if case.path.startswith("/stimuli") and way < 5:
            case.path_parameters["name"] = quote(name, safe="")  # as one part of the path: the server sees it whole
        if isinstance(case.body, dict) and way >= 7:
            help_along(case.body, len(judge.writer.acknowledged))
        sent = case.as_transport_kwargs(base_url="http://testserver")
        headers = {**sent.pop("headers", {}), "Authorization": f"Bearer {token}"}
        sent.pop("cookies", None)
        try:
            reply = client.request(headers=headers, **sent)
        except httpx2.InvalidURL:
            judge.unsendable += 1  # by this client; it never left
            return
        if case.path.startswith("/stimuli/") and not reply.url.path.startswith("/stimuli/"):
            judge.unsendable += 1  # a bare ".." is resolved by the client
            return
        judge.look(case, token == judge.writer.token, reply.status_code, reply.content)

    one()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--database", default="sqlite", help="sqlite, postgresql, or a URL")
    options = parser.parse_args()
    console = Console(width=120)
    from study.engine import open_database

    with tempfile.TemporaryDirectory(prefix="mesoface-fuzz-") as name:
        folder = Path(name)
        make_study(folder, 100_000)
        with database(options.database, folder) as url:
            engine = open_database(url)
            app = application(engine, folder)
            with TestClient(app, raise_server_exceptions=False) as client:
                other, writer = seated(client, 5), seated(client, 0)
                judge = Judge(other, writer, {path.stem for path in (folder / "stimuli").iterdir()})
                before, begun = rows_of(engine, other.session), time.monotonic()
                fuzz(app, client, judge, options.requests)
                seconds = time.monotonic() - begun
            if rows_of(engine, other.session) != before or not before:
                judge.faults.append("another rater's rows have changed")
            if answered(engine) != other.acknowledged | writer.acknowledged:
                judge.faults.append("the answers in the database are not those that were acknowledged")
            engine.dispose()
    table = Table(title=f"{sum(judge.counts.values())} requests in {seconds:.0f} s")
    for column in ("route", "status", "replies"):
        table.add_column(column)
    for (route, status), count in sorted(judge.counts.items()):
        table.add_row(route, str(status), str(count))
    console.print(table)
    console.print(
        f"answers written by the rater who may: {len(writer.acknowledged)}; not sendable: {judge.unsendable}; "
        f"faults: {len(judge.faults)}"
    )
    for fault in judge.faults[:20]:
        console.print(f"  {fault}")
    if judge.faults:
        sys.exit(1)


if __name__ == "__main__":
    main()
