"""The interface behind the pages: sessions from consent to the end, repeated, broken off, forged, too many at once."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from sqlalchemy import Engine, func, select, update
from study_hosting import (
    CONDITIONS,
    KEY,
    SCREEN,
    SUBJECTS,
    answer_body,
    answer_for,
    host_study,
    make_stimuli,
    settings_for,
)

from recon.errors import InputError
from study.database import (
    AssignmentRow,
    ParticipantRow,
    ResponseRow,
    SlotRow,
    StudyRow,
    TrialRow,
    WorkerContactRow,
    now,
)
from study.engine import open_database, reading, transaction, upgrade
from study.pseudonyms import pseudonym
from study.server.app import create_app
from study.server.journal import JOURNAL, write_journal
from study.server.registration import enter_study
from study.server.settings import Limits, ScreenRequirements
from study.server.tokens import issue, token_key


class Rater:
    """One rater's browser: asks as the page does."""

    def __init__(self, client: TestClient, parameters: dict[str, str] | None = None) -> None:
        self.client = client
        self.who = {"parameters": parameters or {}, "visitor": str(uuid4())}
        self.view: dict[str, Any] = {}

    def post(self, path: str, body: dict[str, Any]) -> Response:
        token = self.view.get("token")
        return self.client.post(path, json=body, headers={"Authorization": f"Bearer {token}"} if token else {})

    def arrive(self) -> dict[str, Any] | None:
        reply = self.post("/api/arrive", self.who)
        assert reply.status_code == 200, reply.text
        session: dict[str, Any] | None = reply.json()["session"]
        self.view = session or {}
        return session

    def consent(self) -> Response:
        reply = self.post("/api/consent", {**self.who, "consent_version": "1"})
        if reply.status_code == 200:
            self.view = reply.json()
        return reply

    def start(self) -> Rater:
        """Through consent and screen check to the first trial."""
        assert self.consent().status_code == 200
        reply = self.post("/api/screen", SCREEN)
        assert reply.json() == {"state": "training", "problems": []}
        self.arrive()
        return self

    def answer(self, trial: dict[str, Any], page: str = "real-or-fake", uuid: str | None = None) -> Response:
        return self.post("/api/answers", answer_body(trial, answer_for(page, trial), uuid))


@pytest.fixture
def client(database: Engine, tmp_path: Path) -> TestClient:
    return TestClient(host_study(database, tmp_path, settings_for("split-face")))


@pytest.fixture
def lone(engine: Engine, tmp_path: Path) -> TestClient:
    return TestClient(host_study(engine, tmp_path, settings_for("split-face")))


def rows(engine: Engine, table: Any) -> int:
    with reading(engine) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_a_session_from_consent_to_the_code(database: Engine, tmp_path: Path) -> None:
    whole_session(database, tmp_path, "split-face")


@pytest.mark.parametrize("design", ["ranking", "pairwise", "acr"])
def test_a_session_of_every_kind_of_page(engine: Engine, tmp_path: Path, design: str) -> None:
    whole_session(engine, tmp_path, design)


def whole_session(database: Engine, tmp_path: Path, design: str) -> None:
    settings = settings_for(design)
    rater = Rater(TestClient(host_study(database, tmp_path, settings)))
    assert rater.arrive() is None
    assert rater.consent().json()["state"] == "consented"
    assert rater.post("/api/screen", SCREEN).json() == {"state": "training", "problems": []}
    view = rater.arrive()
    assert view is not None and (view["next"], view["total"], len(view["trials"])) == (0, 8, 8)
    assert [trial["training"] for trial in view["trials"]] == [True] * 2 + [False] * 6
    for trial in view["trials"]:
        reply = rater.answer(trial, settings.design.page).json()
        assert (reply["feedback"] is not None) == trial["training"]
        assert reply["next"] == (trial["index"] + 1 if trial["index"] < 7 else None)
    end = rater.arrive()
    assert end is not None and end["state"] == "submitted" and end["trials"] == []
    with reading(database) as session:
        assignment = session.scalars(select(AssignmentRow)).one()
        assert end["completion"]["code"] == assignment.completion_code and len(assignment.completion_code or "") == 10
        assert assignment.screen == {**SCREEN, "zoom": None, "pixels_per_mm": None, "framed": False, "touch": False}
        assert assignment.slot is not None and assignment.slot.state == "done" and assignment.submitted_at is not None
        # What the design lays out for slot 0 is what the table says was shown, answered in that order.
        stimuli = make_stimuli(tmp_path, settings.design.composition)
        plan = settings.design.plan(settings.design_settings, stimuli, 0)
        assert [(t.part, t.question, tuple(t.shown), t.expected) for t in assignment.trials] == [
            (t.part, t.question, t.shown, None if t.expected is None else dict(t.expected)) for t in plan
        ]
        for trial in assignment.trials:
            assert trial.response is not None and trial.response.reaction_ms == 1500
            wanted = settings.design.correct(plan[trial.index], trial.response.answer)
            assert trial.response.correct == wanted


def test_the_page_is_told_nothing_of_conditions_people_or_right_answers(lone: TestClient) -> None:
    rater = Rater(lone).start()
    told = lone.get("/").text + json.dumps(rater.view)
    for secret in (*CONDITIONS[1:], *SUBJECTS, "gold", "attention", "degraded", "identity"):
        assert secret not in told
    assert set(rater.view["trials"][0]) == {"index", "training", "question", "shown", "reference"}


def test_an_answer_sent_again_is_acknowledged_again_and_kept_once(client: TestClient, database: Engine) -> None:
    rater = Rater(client).start()
    uuid = str(uuid4())
    first = rater.answer(rater.view["trials"][0], uuid=uuid)
    again = rater.answer(rater.view["trials"][0], uuid=uuid)
    assert first.status_code == again.status_code == 200 and first.json() == again.json()
    assert rows(database, ResponseRow) == 1


def test_one_answer_sent_many_times_at_once_is_one_row(client: TestClient, database: Engine) -> None:
    rater = Rater(client).start()
    uuid = str(uuid4())
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: rater.answer(rater.view["trials"][0], uuid=uuid), range(16)))
    assert {reply.status_code for reply in replies} == {200}
    assert rows(database, ResponseRow) == 1


def test_answers_out_of_turn_are_refused_with_the_turn(lone: TestClient, engine: Engine) -> None:
    rater = Rater(lone).start()
    trials = rater.view["trials"]
    uuid = str(uuid4())
    assert rater.answer(trials[0], uuid=uuid).status_code == 200
    for trial, name in ((trials[0], None), (trials[2], None), ({**trials[0], "index": 99}, None)):
        reply = rater.answer(trial, uuid=name)
        assert (reply.status_code, reply.json()["next"]) == (409, 1)
    assert rater.answer(trials[1], uuid=uuid).status_code == 409  # the identifier of another answer
    assert rows(engine, ResponseRow) == 1


def test_an_answer_that_does_not_fit_the_trial_is_refused(lone: TestClient, engine: Engine) -> None:
    rater = Rater(lone).start()
    trial = rater.view["trials"][0]
    for answer in ({}, {"choice": "perhaps"}, {"choice": 1}, {"order": [0]}, {"choice": "real", "more": 1}):
        reply = rater.post("/api/answers", answer_body(trial, answer))
        assert reply.status_code == 400 and "choice" in reply.json()["error"]
    assert rows(engine, ResponseRow) == 0


def test_a_rater_goes_on_where_the_session_stood(lone: TestClient) -> None:
    rater = Rater(lone).start()
    trials = rater.view["trials"]
    for trial in trials[:3]:
        rater.answer(trial)
    view = rater.arrive()
    assert view is not None and view["next"] == 3 and view["trials"] == trials[3:]
    assert rater.post("/api/screen", SCREEN).json()["problems"] == []  # said again, it changes nothing
    assert rater.consent().json()["session"] == view["session"]


def test_two_raters_do_not_see_each_other(client: TestClient, database: Engine) -> None:
    one, other = Rater(client).start(), Rater(client).start()
    assert one.view["session"] != other.view["session"]
    one.answer(one.view["trials"][0])
    view = other.arrive()
    assert view is not None and view["next"] == 0
    with reading(database) as session:
        slots = session.scalars(select(AssignmentRow.slot_id).order_by(AssignmentRow.id)).all()
        numbers = session.scalars(select(SlotRow.number).where(SlotRow.id.in_(slots))).all()
    assert sorted(numbers) == [0, 1]


def test_without_a_good_token_nothing_is_written(lone: TestClient, engine: Engine) -> None:
    rater = Rater(lone).start()
    good = rater.view["token"]
    with reading(engine) as session:
        name, made = session.execute(select(StudyRow.name, StudyRow.created_at)).one()
    key, number = token_key(KEY, name, made), rater.view["session"]
    day = timedelta(days=1)
    forged = [
        "",
        "1",
        good[:-1],
        good + "A",
        good.replace(f"1.{number}.", f"1.{number + 1}.", 1),
        good.upper(),
        "1.1." + "9" * 400 + "." + "A" * 43,
        issue(key, number, now() - day),
        issue(token_key(KEY, "another", made), number, now() + day),
        issue(token_key(KEY, name, made - day), number, now() + day),
        issue(token_key(bytes(32), name, made), number, now() + day),
    ]
    trial = rater.view["trials"][0]
    for token in forged:
        for path, body in (
            ("/api/answers", answer_body(trial, {"choice": "real"})),
            ("/api/screen", {**SCREEN, "unsuitable": True}),
        ):
            reply = lone.post(path, json=body, headers={"Authorization": f"Bearer {token}"})
            assert reply.status_code == 401, token
    assert rows(engine, ResponseRow) == 0
    assert lone.post("/api/answers", json=answer_body(trial, {"choice": "real"})).status_code == 401
    rater.view["token"] = issue(key, number + 1000, now() + day)  # rightly signed, of nobody
    assert rater.answer(trial).status_code == 409


def test_a_screen_that_will_not_do(engine: Engine, tmp_path: Path) -> None:
    needed = ScreenRequirements(width=1000, height=700, colour_depth=24, zoom=1.0, card=True)
    settings = settings_for("split-face", screen=needed, screen_out_code="NOPE")
    rater = Rater(TestClient(host_study(engine, tmp_path, settings)))
    rater.consent()
    poor = {**SCREEN, "viewport_width": 999, "colour_depth": 16, "zoom": 1.5}
    problems = rater.post("/api/screen", poor).json()["problems"]
    assert len(problems) == 4 and "999 × 800" in problems[0] and "16" in problems[1] and "150 %" in problems[2]
    assert rows(engine, TrialRow) == 0
    # Turned: a phone may be held either way.
    turned = {**SCREEN, "viewport_width": 700, "viewport_height": 1000, "pixels_per_mm": 3.8}
    assert rater.post("/api/screen", turned).json()["problems"] == []
    other = Rater(rater.client)
    other.consent()
    assert other.post("/api/screen", {**poor, "unsuitable": True}).json()["state"] == "screened-out"
    view = other.arrive()
    assert view is not None and view["state"] == "screened-out" and view["completion"]["code"] == "NOPE"
    assert other.post("/api/screen", turned).json()["state"] == "screened-out"


def test_a_full_study_lets_nobody_in(engine: Engine, tmp_path: Path) -> None:
    client = TestClient(host_study(engine, tmp_path, settings_for("split-face", raters=2)))
    Rater(client).start()
    Rater(client).start()
    third = Rater(client)
    third.consent()
    reply = third.post("/api/screen", SCREEN)
    assert reply.status_code == 409 and "taken" in reply.json()["error"]
    assert third.arrive() is not None and third.view["state"] == "consented"


def test_a_silent_rater_loses_the_slot_but_no_answer(database: Engine, tmp_path: Path) -> None:
    client = TestClient(host_study(database, tmp_path, settings_for("split-face", raters=1)))
    silent = Rater(client).start()
    silent.answer(silent.view["trials"][0])
    with transaction(database) as session:
        session.execute(update(SlotRow).values(lease_expires_at=now() - timedelta(seconds=1)))
    next_one = Rater(client).start()
    with reading(database) as session:
        states = session.scalars(select(AssignmentRow.state).order_by(AssignmentRow.id)).all()
    assert states == ["abandoned", "training"]
    view = silent.arrive()
    assert view is not None and (view["state"], view["next"]) == ("active", 1)
    for rater in (silent, next_one):
        for trial in rater.view["trials"]:
            assert rater.answer(trial).status_code == 200
    with reading(database) as session:
        assert session.scalars(select(AssignmentRow.state)).all() == ["submitted", "submitted"]
        assert session.scalars(select(SlotRow.state)).all() == ["done"]
    assert rows(database, ResponseRow) == 16


def test_an_answer_renews_a_lease_that_ran_out_where_nobody_came(client: TestClient, database: Engine) -> None:
    rater = Rater(client).start()
    with transaction(database) as session:
        session.execute(update(SlotRow).where(SlotRow.state == "leased").values(lease_expires_at=now()))
    rater.answer(rater.view["trials"][0])
    with reading(database) as session:
        until = session.scalars(select(SlotRow.lease_expires_at).where(SlotRow.state == "leased")).one()
    assert until is not None and until > now() + timedelta(minutes=55)


def test_raters_who_start_together_are_spread_over_the_slots(database: Engine, tmp_path: Path) -> None:
    client = TestClient(host_study(database, tmp_path, settings_for("split-face", raters=20)))
    with ThreadPoolExecutor(10) as pool:
        raters = list(pool.map(lambda _: Rater(client).start(), range(20)))
    assert len({rater.view["session"] for rater in raters}) == 20
    with reading(database) as session:
        taken = Counter(session.scalars(select(AssignmentRow.slot_id)))
    assert len(taken) == 20 and set(taken.values()) == {1}


def test_one_rater_who_agrees_many_times_at_once_has_one_session(database: Engine, tmp_path: Path) -> None:
    client = TestClient(host_study(database, tmp_path, settings_for("split-face")))
    rater = Rater(client)
    body = {**rater.who, "consent_version": "1"}
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: client.post("/api/consent", json=body), range(8)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.json()["session"] for reply in replies}) == 1
    assert rows(database, ParticipantRow) == rows(database, AssignmentRow) == 1


def test_a_paused_study_takes_nobody_new_and_lets_the_others_finish(client: TestClient, database: Engine) -> None:
    inside, waiting = Rater(client).start(), Rater(client)
    waiting.consent()
    with transaction(database) as session:
        session.execute(update(StudyRow).values(state="paused"))
    assert Rater(client).consent().status_code == 409
    assert waiting.post("/api/screen", SCREEN).status_code == 409
    assert inside.answer(inside.view["trials"][0]).status_code == 200


def test_agreement_to_another_text_is_none(lone: TestClient, engine: Engine) -> None:
    rater = Rater(lone)
    reply = rater.post("/api/consent", {**rater.who, "consent_version": "0"})
    assert reply.status_code == 409 and rows(engine, ParticipantRow) == 0


def test_a_rater_of_prolific_is_a_pseudonym_that_comes_back(database: Engine, tmp_path: Path) -> None:
    settings = settings_for("split-face", provider="prolific", completion_code="C1A2")
    client = TestClient(host_study(database, tmp_path, settings))
    address = {"PROLIFIC_PID": "5f0c1a2b3c4d5e6f70819203", "SESSION_ID": "s-1", "STUDY_ID": "st"}
    Rater(client, address).start()
    again = Rater(client, {**address, "SESSION_ID": "s-2"})  # returned the work, took it again, on another device
    assert again.arrive() is not None
    again.consent()
    with reading(database) as session:
        participant = session.scalars(select(ParticipantRow)).one()
        assert participant.pseudonym == pseudonym(KEY, "trial", "prolific", address["PROLIFIC_PID"])
        assert session.scalars(select(WorkerContactRow.raw_id)).one() == address["PROLIFIC_PID"]
        assert session.scalars(select(AssignmentRow.provider_assignment_id)).one() == "s-2"
    for trial in again.view["trials"]:
        again.answer(trial)
    assert again.arrive() is not None and again.view["completion"] == {
        "code": "C1A2",
        "url": "https://app.prolific.com/submissions/complete?cc=C1A2",
        "fields": {},
    }
    reply = Rater(client, {**address, "PROLIFIC_PID": "another"}).consent()
    assert reply.status_code == 200  # a session of its own under a session name of its own
    taken = Rater(client, {**address, "PROLIFIC_PID": "a third", "SESSION_ID": "s-2"}).consent()
    assert taken.status_code == 409 and "another rater" in taken.json()["error"]


def test_the_database_is_away(tmp_path: Path) -> None:
    folder = tmp_path / "db"
    engine = open_database(f"sqlite:///{folder / 'one.sqlite'}")
    upgrade(engine)
    client = TestClient(host_study(engine, tmp_path, settings_for("split-face")))
    rater = Rater(client).start()
    assert client.get("/health").json() == {"status": "ok"}
    engine.dispose()
    folder.rename(tmp_path / "away")
    reply = rater.answer(rater.view["trials"][0])
    assert reply.status_code == 503 and int(reply.headers["Retry-After"]) > 0 and "sqlite" not in reply.text
    assert client.get("/health").status_code == 503
    engine.dispose()
    (tmp_path / "away").rename(folder)
    assert rater.answer(rater.view["trials"][0]).status_code == 200
    engine.dispose()


def test_too_many_requests_are_told_when_to_come_again(engine: Engine, tmp_path: Path) -> None:
    limits = Limits(address_rate=0.5, address_burst=3, session_rate=0.5, session_burst=2)
    client = TestClient(host_study(engine, tmp_path, settings_for("split-face", limits=limits)))
    rater = Rater(client).start()
    replies = [rater.answer(rater.view["trials"][0]).status_code for _ in range(3)]
    assert replies == [200, 429, 429]
    reply = rater.post("/api/arrive", rater.who)
    assert reply.status_code == 200 or int(reply.headers["Retry-After"]) in (1, 2)
    assert client.get("/health").status_code == 200


def test_a_large_request_is_refused_whatever_it_says_of_its_length(lone: TestClient, engine: Engine) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 1000

    assert lone.post("/api/consent", content=b" " * 40_000).status_code == 413
    assert lone.post("/api/consent", content=pieces()).status_code == 413
    assert rows(engine, ParticipantRow) == 0


def test_the_log_tells_what_happened_and_not_to_whom(engine: Engine, tmp_path: Path) -> None:
    written = io.StringIO()
    write_journal(written)
    try:
        settings = settings_for("split-face", provider="prolific", completion_code="C")
        client = TestClient(host_study(engine, tmp_path, settings), headers={"User-Agent": "secret-agent"})
        address = {"PROLIFIC_PID": "secret-person", "SESSION_ID": "secret-session"}
        rater = Rater(client, address).start()
        rater.answer(rater.view["trials"][0])
        client.get("/?PROLIFIC_PID=secret-person")
        client.get("/stimuli/secret-name")
        client.post("/api/consent", json={"secret-field": 1})
    finally:
        JOURNAL.handlers.clear()
        JOURNAL.propagate = True
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["route"] for line in lines if line["status"] == 200][-1] == "/api/answers"
    assert lines[-1]["status"] == 422 and lines[-1]["route"] == "/api/consent"
    assert {line.get("session") for line in lines if line["route"] == "/api/answers"} == {rater.view["session"]}
    for secret in ("secret", "testclient", rater.view["token"], rater.who["visitor"]):
        assert secret not in written.getvalue()


def test_a_study_is_entered_once_and_only_as_itself(engine: Engine, tmp_path: Path) -> None:
    settings = settings_for("split-face")
    stimuli = make_stimuli(tmp_path, "split")
    first = enter_study(engine, settings, {"a": 1}, stimuli)
    assert enter_study(engine, settings, {"a": 1}, stimuli) == first
    assert rows(engine, SlotRow) == 4
    with pytest.raises(InputError, match="another study file"):
        enter_study(engine, settings, {"a": 2}, stimuli)
    with pytest.raises(InputError, match="other stimuli"):
        enter_study(engine, settings, {"a": 1}, (replace(stimuli[0], sha256="f" * 64), *stimuli[1:]))
    with pytest.raises(InputError, match="is one of people"):
        enter_study(engine, settings, {"a": 1}, stimuli, simulated=True)
    with pytest.raises(InputError, match="cannot run"):
        enter_study(engine, settings_for("ranking", study="other"), {"a": 1}, stimuli)


def test_raters_of_a_rehearsal_are_marked(engine: Engine, tmp_path: Path) -> None:
    settings = settings_for("split-face")
    enter_study(engine, settings, {}, make_stimuli(tmp_path, "split"), simulated=True)
    Rater(TestClient(create_app(engine, tmp_path, settings))).start()
    with reading(engine) as session:
        assert session.scalars(select(ParticipantRow.simulated)).all() == [True]


def test_a_study_that_cannot_be_served_says_why(engine: Engine, tmp_path: Path) -> None:
    settings = settings_for("split-face")
    with pytest.raises(InputError, match="no study 'trial'"):
        create_app(engine, tmp_path, settings)
    stimuli = make_stimuli(tmp_path, "split")
    enter_study(engine, settings, {}, stimuli)
    (tmp_path / "stimuli" / f"{stimuli[3].sha256}.png").unlink()
    with pytest.raises(InputError, match=f"{stimuli[3].sha256}.*is missing"):
        create_app(engine, tmp_path, settings)
