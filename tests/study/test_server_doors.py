"""What stands at the server's doors: addresses of raters, pictures, headers, limits, and whatever anybody may send."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select
from study_hosting import KEY, SCREEN, answer_body, host_study, make_stimuli, settings_for

from recon.errors import InputError, UsageError
from study.database import AssignmentRow, ParticipantRow, ResponseRow
from study.engine import open_database, reading, upgrade
from study.server import page as page_module
from study.server.arrivals import MTURK_PREVIEW, completion, rater_link, rater_signature, read_arrival
from study.server.headers import content_security_policy
from study.server.limits import Buckets
from study.server.settings import AddressBefore, Limits

MANY = Limits(address_rate=1e6, address_burst=1_000_000, session_rate=1e6, session_burst=1_000_000)
MTURK = {
    "workerId": "A1B2",
    "assignmentId": "3XYZ",
    "hitId": "H",
    "turkSubmitTo": "https://workersandbox.mturk.com",
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path_factory.mktemp('doors') / 'one.sqlite'}")
    upgrade(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("study")


@pytest.fixture(scope="module")
def client(engine: Engine, folder: Path) -> TestClient:
    (folder / "study.yaml").write_text("secret")
    return TestClient(host_study(engine, folder, settings_for("split-face", limits=MANY)))


def arrival(provider: str, **parameters: str) -> Any:
    return read_arrival(provider, parameters, KEY, "trial")


def test_a_link_of_our_own_names_a_rater_only_with_its_signature() -> None:
    assert arrival("local").raw_id == ""
    link = rater_link("https://example.org/study/", KEY, "trial", "P 07")
    assert link.startswith("https://example.org/study/?rater=P+07&key=")
    key = link.rpartition("=")[2]
    assert arrival("local", rater="P 07", key=key).raw_id == "P 07"
    cases = ({"key": key, "rater": "P08"}, {}, {"key": key[:-1]}, {"key": "é"}, {"key": key[:-1] + "ß"})
    for wrong in ({"rater": "P 07", **case} for case in cases):
        with pytest.raises(InputError, match="not complete"):
            arrival("local", **wrong)
    assert rater_signature(KEY, "other", "P 07") != key


def test_prolific_names_rater_and_session() -> None:
    found = arrival("prolific", PROLIFIC_PID="p", SESSION_ID="s", STUDY_ID="x")
    assert (found.raw_id, found.assignment) == ("p", "s")
    for missing in ({"PROLIFIC_PID": "p"}, {"SESSION_ID": "s"}, {}):
        with pytest.raises(InputError, match="Prolific"):
            arrival("prolific", **missing)
    assert completion("prolific", found, "A&B").url.endswith("?cc=A%26B")


def test_mechanical_turk_gets_its_form_and_no_other_place_does() -> None:
    found = arrival("mturk", **MTURK)
    end = completion("mturk", found, "C0DE")
    assert end.url == "https://workersandbox.mturk.com/mturk/externalSubmit"
    assert end.fields == {"assignmentId": "3XYZ", "completion_code": "C0DE"}
    for place in ("https://evil.example", "http://www.mturk.com", "https://www.mturk.com.evil.example", "", "//x"):
        with pytest.raises(InputError, match="unknown place"):
            arrival("mturk", **{**MTURK, "turkSubmitTo": place})
    with pytest.raises(UsageError, match="crowd"):
        arrival("crowd")


def test_a_preview_writes_nothing(engine: Engine, tmp_path: Path) -> None:
    client = TestClient(host_study(engine, tmp_path, settings_for("split-face", study="turk", provider="mturk")))
    body = {
        "parameters": {"assignmentId": MTURK_PREVIEW, "hitId": "H"},
        "visitor": "0" * 8 + "-0000-4000-8000-" + "0" * 12,
    }
    assert client.post("/api/arrive", json=body).json() == {"preview": True, "session": None}
    assert client.post("/api/consent", json={**body, "consent_version": "1"}).status_code == 409
    with reading(engine) as session:
        assert session.scalar(select(func.count()).where(ParticipantRow.provider == "mturk")) == 0


def test_pictures_are_served_by_their_hash_for_ever(client: TestClient, folder: Path) -> None:
    stimulus = make_stimuli(folder, "split")[0]
    name = f"{stimulus.sha256}.png"
    reply = client.get(f"/stimuli/{name}")
    assert reply.content == (folder / "stimuli" / name).read_bytes()
    assert reply.headers["Content-Type"] == "image/png"
    assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    again = client.get(f"/stimuli/{name}", headers={"If-None-Match": reply.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    part = client.get(f"/stimuli/{name}", headers={"Range": "bytes=1-3"})  # may be passed over: RFC 9110, 14.2
    assert (part.status_code, part.content) == (200, reply.content)


def test_nothing_but_the_pictures_of_the_study_is_served(client: TestClient, folder: Path) -> None:
    stranger = "a" * 64
    (folder / "stimuli" / f"{stranger}.png").write_bytes(b"of another study")
    known = make_stimuli(folder, "split")[0].sha256
    for name in (
        "../study.yaml",
        "..%2fstudy.yaml",
        "%2e%2e/study.yaml",
        "%2e%2e%2fstudy.yaml",
        "..\\study.yaml",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        f"{known}.png%00",
        f"{known}.webp",
        f"{known}",
        f"{known.upper()}.png",
        f"{known}.png/",
        f"./{known}.png/../../study.yaml",
        f"{stranger}.png",
    ):
        assert client.get(f"/stimuli/{name}").status_code == 404, name
    for place in ("/study.yaml", "/static/../app.py", "/static/%2e%2e/app.py", "/openapi.json", "/docs", "/static/x"):
        assert client.get(place).status_code == 404, place


def test_every_reply_has_the_headers(client: TestClient) -> None:
    for reply in (client.get("/"), client.get("/nowhere"), client.get("/health"), client.post("/api/answers", json={})):
        policy = dict(rule.split(" ", 1) for rule in reply.headers["Content-Security-Policy"].split("; "))
        assert (
            policy["default-src"]
            == policy["frame-ancestors"]
            == policy["base-uri"]
            == policy["form-action"]
            == "'none'"
        )
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["img-src"] == "'self'"
        assert reply.headers["X-Frame-Options"] == "DENY"
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in reply.headers and "Set-Cookie" not in reply.headers
    assert client.get("/health").headers["Cache-Control"] == "no-store"


def test_a_refusal_repeats_nothing_that_was_sent(client: TestClient) -> None:
    who = {"parameters": {}, "visitor": "12345678-1234-4123-8123-123456789abc", "consent_version": "1"}
    for body in ({**who, "Jane Doe": 1}, {**who, "parameters": {"Jane Doe": 1}}, {**who, "visitor": "Jane Doe"}):
        reply = client.post("/api/consent", json=body)
        assert reply.status_code == 422 and "Jane" not in reply.text
    assert "body.visitor" in reply.json()["error"]  # but what it is about is said


def test_the_marketplace_may_embed_and_pictures_may_lie_elsewhere(engine: Engine, tmp_path: Path) -> None:
    changed: dict[str, Any] = {
        "study": "embedded",
        "provider": "mturk",
        "frame_ancestors": ("https://worker.mturk.com",),
        "pictures": AddressBefore("https://bucket.example.org/study/stimuli/"),
    }
    wanted = settings_for("split-face", **changed)
    policy = content_security_policy(wanted)
    assert "frame-ancestors https://worker.mturk.com" in policy
    assert "img-src 'self' https://bucket.example.org;" in policy
    assert "form-action https://www.mturk.com https://workersandbox.mturk.com" in policy
    reply = TestClient(host_study(engine, tmp_path, wanted)).get("/health", headers={"Origin": "null"})
    assert "X-Frame-Options" not in reply.headers and reply.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in reply.headers


def test_the_page_runs_no_code_of_its_own(client: TestClient) -> None:
    """What the policy forbids is not there to be forbidden: inline scripts, handlers, styles."""
    text = client.get("/").text
    assert re.findall(r"<script(?! src=| type=\"application/json\")", text) == []
    assert re.search(r"\son\w+=|style=|javascript:", text) is None
    for name in re.findall(r'(?:src|href)="(static/[^"]+)"', text):
        reply = client.get(f"/{name}")
        assert reply.status_code == 200 and "immutable" in reply.headers["Cache-Control"]


def test_what_the_study_file_says_is_text_on_the_page(engine: Engine, tmp_path: Path) -> None:
    from dataclasses import replace

    nasty = "</script><script>alert(1)</script>"
    wanted = settings_for("split-face", study="nasty")
    wanted = replace(
        wanted, words=replace(wanted.words, consent=nasty, title=nasty, right=nasty, labels={"real": nasty})
    )
    text = TestClient(host_study(engine, tmp_path, wanted)).get("/").text
    assert "alert(1)" in text and "<script>alert" not in text


def test_a_bucket_lets_through_what_it_holds_and_then_its_rate() -> None:
    """In t seconds burst + rate · t requests pass, whatever their spacing."""
    buckets = Buckets(rate=2.0, burst=5)
    assert [buckets.wait("a", 0.0) for _ in range(5)] == [0.0] * 5
    assert buckets.wait("a", 0.0) == pytest.approx(0.5)
    assert buckets.wait("b", 0.0) == 0.0
    assert buckets.wait("a", 0.25) == pytest.approx(0.25)
    passed = sum(buckets.wait("a", 0.25 + step / 100) == 0.0 for step in range(1, 1001))
    assert passed == 20  # 10.25 s · 2 a second, less the half that was there
    buckets.wait("c", 1000.0)
    assert len(buckets._levels) == 1  # who rested long enough is forgotten


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, bright = sorted((luminance(one), luminance(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_text_has_the_contrast_of_wcag_aa_and_faces_stand_on_grey() -> None:
    style = page_module.static_files()["study.css"].content.decode()
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", style))
    pairs = [
        ("bar", "bar-ink"),
        ("bar", "bar-faint"),
        ("card", "card-ink"),
        ("card", "card-faint"),
        ("button", "button-ink"),
        ("button-over", "button-ink"),
        ("key", "key-ink"),
        ("notice", "notice-ink"),
    ]
    for ground, ink in pairs:
        assert contrast(colours[ground], colours[ink]) >= 4.5, (ground, ink)
    for control in ("button", "bar", "card", "focus"):  # WCAG 1.4.11
        assert contrast(colours["surround"], colours[control]) >= 3, control
    red, green, blue = (colours["surround"][at : at + 2] for at in (1, 3, 5))
    assert red == green == blue
    assert luminance(colours["surround"]) <= 0.20  # ITU-T P.910: background at most 0.20 of the peak


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
VISITOR = "12345678-1234-4123-8123-123456789abc"


def spoilt(good: dict[str, Any]) -> st.SearchStrategy[Any]:
    """A good request with some of its fields replaced by anything, or anything at all."""
    fields = st.dictionaries(st.sampled_from([*good, "other"]), json_values, min_size=1, max_size=3)
    return fields.map(lambda changed: {**good, **changed}) | json_values


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_is_sent_is_never_a_failure_of_ours(client: TestClient, engine: Engine, data: st.DataObject) -> None:
    """No 5xx; nothing is written without a valid token; a refusal is a sentence that does not repeat what was sent."""
    path, good = data.draw(
        st.sampled_from(
            [
                ("/api/arrive", {"parameters": {}, "visitor": VISITOR}),
                ("/api/screen", SCREEN),
                ("/api/answers", answer_body({"index": 0}, {"choice": "real"})),
            ]
        )
    )
    body = data.draw(spoilt(good))
    token = data.draw(st.sampled_from(["", "Bearer ", "Bearer 1.1.1.x", "Basic a"]) | st.text("1.aZ-", max_size=60))
    content = json.dumps(body).encode() if data.draw(st.booleans()) else data.draw(st.binary(max_size=60))
    reply = client.post(path, content=content, headers={"Content-Type": "application/json", "Authorization": token})
    assert reply.status_code in (200, 400, 401, 409, 413, 422, 429), reply.text
    if reply.status_code != 200:
        assert set(reply.json()) == {"error", "next"} and reply.json()["error"].endswith((".", ")"))
    with reading(engine) as session:
        assert session.scalar(select(func.count()).select_from(ResponseRow)) == 0
        assert session.scalar(select(func.count()).select_from(AssignmentRow)) == 0


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_whatever_a_rater_sends_is_kept_whole_or_refused(
    database: Engine, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    client = _rehearsed(database, tmp_path_factory)
    token = client.headers["Authorization"]
    with reading(database) as session:
        before = session.scalar(select(func.count()).select_from(ResponseRow)) or 0
    body = data.draw(spoilt(answer_body({"index": min(before, 7)}, {"choice": "real"})))
    reply = client.post("/api/answers", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert reply.status_code in (200, 400, 409, 422), (reply.text, token)
    with reading(database) as session:
        after = session.scalar(select(func.count()).select_from(ResponseRow)) or 0
        choices = set(session.scalars(select(ResponseRow.answer["choice"].as_string())))
    assert after - before == (reply.status_code == 200) or (after == before and reply.status_code == 200)
    assert choices <= {"real", "fake"}


_clients: dict[str, TestClient] = {}


def _rehearsed(database: Engine, folders: pytest.TempPathFactory) -> TestClient:
    """A client in the middle of a session; one for all examples of a database."""
    address = str(database.url)
    if address not in _clients:
        client = TestClient(host_study(database, folders.mktemp("fuzz"), settings_for("split-face", limits=MANY)))
        who = {"parameters": {}, "visitor": VISITOR, "consent_version": "1"}
        token = client.post("/api/consent", json=who).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        assert client.post("/api/screen", json=SCREEN).json()["problems"] == []
        _clients[address] = client
    return _clients[address]
