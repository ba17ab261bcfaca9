"""Prolific's messages at the study server: signed ones bring the study up to date, all others do nothing.

Sources: docs.prolific.com, Webhooks (signature, repetition, order); the states that the in-repo Prolific tells.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_prolific import TOKEN, FakeProlific
from fastapi import FastAPI
from fastapi.testclient import TestClient
from provider_stages import posting
from sqlalchemy import Engine, select
from study_hosting import host_study, settings_for
from study_rows import add_assignment

from recon.errors import ProviderError, UsageError
from study.database import AssignmentRow, SlotRow, StudyRow
from study.engine import reading, transaction
from study.providers import PROVIDERS, ProviderSettings, launching
from study.providers.prolific_webhook import OLDEST_SECONDS, sign
from study.server.webhook import ADDRESS, Follower, add_webhook

SECRET = "a secret of this workspace"


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeProlific]:
    for name, value in {
        "PROLIFIC_API_TOKEN": TOKEN, "PROLIFIC_WEBHOOK_SECRET": SECRET, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    made = FakeProlific()
    yield made
    made.close()


@pytest.fixture
def app(database: Engine, tmp_path: Path, fake: FakeProlific) -> FastAPI:
    """A study at Prolific, whose only rater so far has a slot, and gave the work back there."""
    made = host_study(database, tmp_path, settings_for("split-face", provider="prolific"))
    endpoint = f"{fake.address}/api/v1"
    add_webhook(made, database, "trial", endpoint, gathering=0.0)
    with transaction(database) as session:
        study = session.scalars(select(StudyRow)).one()
        study.cap_cents = 10_000
    provider = PROVIDERS.get("prolific")(ProviderSettings(live=True, endpoint=endpoint))
    (posted,) = launching.launch(database, provider, posting(places=4))
    number = fake.arrive(posted.provider_id, "P1", "RETURNED")
    with transaction(database) as session:
        study = session.scalars(select(StudyRow)).one()
        slot = session.scalars(select(SlotRow).order_by(SlotRow.number)).first()
        assert slot is not None
        slot.state = "done"
        row = add_assignment(session, study, slot)
        row.provider, row.provider_assignment_id, row.state = "prolific", number, "submitted"
    fake.requests.clear()
    return made


def signed(body: bytes, secret: str = SECRET, age: float = 0) -> dict[str, str]:
    moment = str(time.time() - age)
    return {"X-Prolific-Request-Signature": sign(secret, moment, body), "X-Prolific-Request-Timestamp": moment}


def stand(database: Engine) -> tuple[str, str]:
    """What is known of the rater's work, and the state of the slot."""
    with reading(database) as session:
        row = session.scalars(select(AssignmentRow)).one()
        assert row.slot is not None
        return row.provider_state, row.slot.state


BODY = json.dumps({"event_type": "submission.status.change", "resource_id": "sub0000", "status": "APPROVED"}).encode()


def test_a_signed_message_brings_what_prolific_itself_says(app: FastAPI, database: Engine, fake: FakeProlific) -> None:
    client, headers = TestClient(app), signed(BODY)
    assert stand(database) == ("", "done")
    for _ in range(2):  # played back within the minutes in which it is good: it says nothing by itself
        assert client.post(ADDRESS, content=BODY, headers=headers).status_code == 202
        assert stand(database) == ("RETURNED", "free")
    assert {method for method, _ in fake.requests} == {"GET"}


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (dict, BODY, 401),
        (lambda: signed(BODY, secret="another"), BODY, 401),
        (lambda: signed(BODY), BODY + b" ", 401),
        (lambda: signed(BODY, age=OLDEST_SECONDS + 5), BODY, 401),
        (lambda: signed(b"[]"), b"[]", 400),
        (lambda: signed(b"no json"), b"no json", 400),
    ],
    ids=["unsigned", "another secret", "another body", "too old", "a list", "no JSON"],
)
def test_what_prolific_did_not_sign_changes_and_asks_nothing(
    app: FastAPI, database: Engine, fake: FakeProlific, headers: Callable[[], dict[str, str]], body: bytes, status: int
) -> None:
    reply = TestClient(app).post(ADDRESS, content=body, headers=headers())  # signed now
    assert reply.status_code == status and "error" in reply.json()
    assert stand(database) == ("", "done") and fake.requests == []


def test_where_prolific_refuses_the_message_is_taken_and_the_next_one_helps(
    app: FastAPI, database: Engine, fake: FakeProlific, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(fake, "answer", lambda *_: (403, b"{}"))
        assert TestClient(app).post(ADDRESS, content=BODY, headers=signed(BODY)).status_code == 202
    assert len(fake.requests) == 1 and stand(database) == ("", "done")
    assert TestClient(app).post(ADDRESS, content=BODY, headers=signed(BODY)).status_code == 202
    assert stand(database) == ("RETURNED", "free")


def test_without_a_secret_there_is_no_such_address(
    database: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = host_study(database, tmp_path, settings_for("split-face", provider="prolific"))
    assert TestClient(app).post(ADDRESS, content=BODY, headers=signed(BODY)).status_code == 404
    monkeypatch.delenv("PROLIFIC_WEBHOOK_SECRET", raising=False)
    with pytest.raises(UsageError, match="PROLIFIC_WEBHOOK_SECRET"):
        add_webhook(app, database, "trial", "")
    monkeypatch.setenv("PROLIFIC_WEBHOOK_SECRET", SECRET)
    monkeypatch.delenv("PROLIFIC_API_TOKEN", raising=False)
    with pytest.raises(UsageError, match="PROLIFIC_API_TOKEN"):
        add_webhook(app, database, "trial", "")


def test_many_messages_share_a_reading_and_a_failure_ends_nothing() -> None:
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def follow() -> None:
        calls.append(1)
        begun.set()
        assert go_on.wait(10)
        if len(calls) == 1:
            raise ProviderError("Prolific refused GET /submissions/: it is closed.")

    follower = Follower(follow, gathering=0.0)
    first = threading.Thread(target=follower.wake)
    first.start()
    assert begun.wait(10)
    for _ in range(50):
        follower.wake()  # returns at once: the first one is at it
    go_on.set()
    first.join(10)
    assert len(calls) == 2
    follower.wake()
    assert len(calls) == 3
