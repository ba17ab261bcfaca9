"""The dashboard's doors: who may come in, from where, and what the frame of every page does."""

from __future__ import annotations

import signal
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import comparison_runs
import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from dashboard import login, sessions
from dashboard.address import link
from dashboard.commands import dashboard as command
from dashboard.document import POLICY, document_routes
from dashboard.guard import Guard
from dashboard.login import login_routes
from dashboard.passwords import Passwords, read_passwords
from dashboard.settings import Door, Settings, use
from dashboard.visitors import cookie_name, role_by_cookies, role_by_mail
from recon.errors import MesofaceError, UsageError
from study.server.limits import Buckets

EDITOR, GUEST = "correct horse battery", "only looking here"
BASE = "http://127.0.0.1:8501"
STREAM = "ws://127.0.0.1:8501/_stcore/stream"


async def _picture(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("a face")


async def _stream(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text("hello")
    await socket.close()


def _client(door: Door, tmp_path: Path, base: str = BASE) -> TestClient:
    use(Settings(tmp_path, None, False, tmp_path, door))
    routes = [*document_routes(), *login_routes(), Route("/pictures/{rest:path}", _picture),
              Route("/media/{rest:path}", _picture), WebSocketRoute("/_stcore/stream", _stream)]  # fmt: skip
    return TestClient(
        Starlette(routes=routes, middleware=[Middleware(Guard, door=door)]), base_url=base, follow_redirects=False
    )


@pytest.fixture
def with_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A server that asks for a password, with fresh limits."""
    monkeypatch.setattr(login, "_SENDER", Buckets(0.1, 5))
    monkeypatch.setattr(login, "_ALL", Buckets(1.0, 30))
    return _client(Door(passwords=Passwords(EDITOR, GUEST)), tmp_path)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:8501", "", "[", "localhost@evil.example"])
def test_a_foreign_name_is_not_answered(tmp_path: Path, host: str) -> None:
    answer = _client(Door(), tmp_path).get("/pictures/x", headers={"host": host})
    assert answer.status_code == 400 and "a face" not in answer.text


@pytest.mark.parametrize("host", ["127.0.0.1:8501", "localhost:9000", "[::1]:8501"])
def test_names_of_this_machine_are_answered(tmp_path: Path, host: str) -> None:
    assert _client(Door(), tmp_path).get("/pictures/x", headers={"host": host}).text == "a face"


def test_names_of_a_proxy_are_answered_and_no_others(tmp_path: Path) -> None:
    client = _client(Door(names=("faces.example",), passwords=Passwords(EDITOR)), tmp_path)
    assert client.get("/login", headers={"host": "faces.example"}).status_code == 200
    assert client.get("/login", headers={"host": "other.example"}).status_code == 400


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8502", "http://localhost:8501"])
def test_sockets_and_posts_come_from_our_own_pages(tmp_path: Path, origin: str) -> None:
    client = _client(Door(), tmp_path)
    assert client.post("/logout", headers={"origin": origin}).status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(STREAM, headers={"origin": origin}):
        pass
    with client.websocket_connect(STREAM, headers={"origin": BASE}) as ours:
        assert ours.receive_text() == "hello"


def test_an_address_that_there_is_not_is_said_so(tmp_path: Path) -> None:
    client = _client(Door(), tmp_path)
    for path in ("/nothing", "/compare/deeper", "/.git/config", "/runs/x", "/frame/app.py", "/frame/plain.html",
                 "/loginx", "/login/x", "/logout/", "/favicon.pngx", "/oauth2callbackx"):  # fmt: skip
        assert client.get(path).status_code == 404, path


def test_the_document_is_ours_and_loads_nothing_from_outside(tmp_path: Path) -> None:
    answer = _client(Door(), tmp_path).get("/metrics?run=x")
    assert answer.headers["content-security-policy"] == POLICY and answer.headers["x-frame-options"] == "DENY"
    assert "<title>mesoface</title>" in answer.text and "/frame/first.js" in answer.text
    assert "<script>" not in answer.text and 'src="http' not in answer.text and 'href="http' not in answer.text


def test_the_first_page_has_one_address(tmp_path: Path) -> None:
    answer = _client(Door(), tmp_path).get("/compare?run=a&subject=b")
    assert answer.status_code == 307 and answer.headers["location"] == "/?run=a&subject=b"
    assert link("compare", {"run": "a~b", "methods": ["x", "y"]}) == "./?run=a~b&methods=x,y"
    assert link("metrics", {"run": ""}) == "./metrics"


@pytest.mark.parametrize("path", ["/pictures/run/view/identity/meso/s1/fitted/0", "/media/x.csv", "/_stcore/metrics"])
def test_strangers_get_nothing(with_passwords: TestClient, path: str) -> None:
    assert with_passwords.get(path).status_code == 401
    with pytest.raises(WebSocketDisconnect), with_passwords.websocket_connect(STREAM):
        pass
    forged = {"cookie": f"{cookie_name(Door())}=editor"}
    assert with_passwords.get(path, headers=forged).status_code == 401


def test_strangers_are_led_to_the_login_and_back(with_passwords: TestClient) -> None:
    answer = with_passwords.get("/metrics?run=a&by=skin")
    assert answer.status_code == 303
    form = with_passwords.get(answer.headers["location"])
    assert form.status_code == 200 and "/metrics?run=a&amp;by=skin" in form.text
    done = with_passwords.post("/login", data={"password": EDITOR, "next": "/metrics?run=a&by=skin"})
    assert done.status_code == 303 and done.headers["location"] == "/metrics?run=a&by=skin"
    said = done.headers["set-cookie"].lower()
    assert "httponly" in said and "samesite=lax" in said and "path=/" in said and "secure" not in said
    assert with_passwords.get("/pictures/x").text == "a face"
    with with_passwords.websocket_connect(STREAM) as ours:
        assert ours.receive_text() == "hello"


def test_a_cookie_of_https_stays_there(with_passwords: TestClient) -> None:
    with_passwords.base_url = "https://127.0.0.1:8501"
    done = with_passwords.post("/login", data={"password": EDITOR})
    assert "secure" in done.headers["set-cookie"].lower()


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "/login", "javascript:x"]
)
def test_nobody_is_sent_elsewhere(with_passwords: TestClient, wanted: str) -> None:
    assert with_passwords.post("/login", data={"password": EDITOR, "next": wanted}).headers["location"] == "/"


def test_tries_are_counted(with_passwords: TestClient) -> None:
    codes = [with_passwords.post("/login", data={"password": f"guess {n}"}).status_code for n in range(7)]
    assert codes == [401] * 5 + [429] * 2
    answer = with_passwords.post("/login", data={"password": EDITOR})
    assert answer.status_code == 429 and int(answer.headers["retry-after"]) >= 1  # the right one waits as well


def test_a_wrong_or_huge_password_is_no_way_in(with_passwords: TestClient) -> None:
    many = {f"field {n}": "x" for n in range(20)} | {"password": EDITOR}
    for said in ({"password": ""}, {}, {"password": EDITOR + " "}, {"password": "x" * 10_000, "next": "/"}, many):
        answer = with_passwords.post("/login", data=said)
        assert answer.status_code == 401 and "set-cookie" not in answer.headers


def test_logging_out_ends_the_session_for_every_copy_of_its_cookie(with_passwords: TestClient) -> None:
    with_passwords.post("/login", data={"password": GUEST})
    name = cookie_name(Door())
    copy = {"cookie": f"{name}={with_passwords.cookies[name]}"}
    assert sessions.role_of(with_passwords.cookies[name]) == "guest"
    with_passwords.post("/logout")
    with_passwords.cookies.clear()
    assert with_passwords.get("/pictures/x", headers=copy).status_code == 401


def test_a_session_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    name = sessions.begin("editor")
    assert sessions.role_of(name) == "editor"
    later = sessions.time.monotonic() + sessions.SECONDS + 1
    monkeypatch.setattr(sessions.time, "monotonic", lambda: later)
    assert sessions.role_of(name) is None


def _password_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_passwords_are_read_and_never_printed(tmp_path: Path) -> None:
    read = read_passwords(_password_file(tmp_path / "p", f"{EDITOR}\n{GUEST}\n"))
    assert [read.role(said) for said in (EDITOR, GUEST, "", "x" * 20)] == ["editor", "guest", None, None]
    assert EDITOR not in repr(read) and GUEST not in repr(read)
    assert read_passwords(_password_file(tmp_path / "q", EDITOR)).role("") is None


@pytest.mark.parametrize(("text", "mode", "said"), [
    (EDITOR, 0o644, "chmod 600"), (EDITOR, 0o640, "chmod 600"), ("", 0o600, "at least 8"),
    ("short", 0o600, "at least 8"), (f"{EDITOR}\nshort", 0o600, "at least 8"), (f"{EDITOR}\n{EDITOR}", 0o600, "second"),
    (f"{EDITOR}\n{GUEST}\nanother one", 0o600, "second"),
])  # fmt: skip
def test_a_bad_password_file_is_refused(tmp_path: Path, text: str, mode: int, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_passwords(_password_file(tmp_path / "p", text, mode))


@pytest.mark.parametrize(("options", "said"), [
    (["--host", "0.0.0.0"], "add --password-file FILE or --oidc"),
    (["--host", "192.0.2.1"], "add --password-file FILE or --oidc"),
    (["--names", "faces.example"], "add --password-file FILE or --oidc"),
    (["--editors", "a@b.example"], "go with --oidc"),
    (["--oidc"], "needs --secrets FILE"),
    (["--oidc", "--password-file", "{file}"], "choose one"),
    (["--oidc", "--secrets", "{file}"], "lacks redirect_uri"),
])  # fmt: skip
def test_the_command_refuses_what_would_be_open(tmp_path: Path, options: list[str], said: str) -> None:
    secret = _password_file(tmp_path / "file", 'quite = "long enough"')
    given = [option.format(file=secret) for option in options]
    error = CliRunner().invoke(command, [str(tmp_path), *given]).exception
    assert isinstance(error, MesofaceError) and said in str(error)


def test_a_taken_port_is_said_with_the_mend(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        error = CliRunner().invoke(command, [str(tmp_path), "--port", str(port)]).exception
    assert isinstance(error, UsageError) and f"port {port}" in str(error) and "--port" in str(error)


OIDC = Door(oidc=True, editors=("Boss@lab.example", "@core.example"), viewers=("@lab.example",))


@pytest.mark.parametrize(("person", "role"), [
    ({"is_logged_in": True, "email": "boss@LAB.example"}, "editor"),
    ({"is_logged_in": True, "email": "any@core.example"}, "editor"),
    ({"is_logged_in": True, "email": "some@lab.example"}, "guest"),
    ({"is_logged_in": True, "email": "some@evil.example"}, None),
    ({"is_logged_in": True, "email": "x@evil-lab.example"}, None),
    ({"is_logged_in": True, "email": "boss@lab.example", "email_verified": False}, None),
    ({"is_logged_in": True, "email": "boss@lab.example", "email_verified": "False"}, None),
    ({"is_logged_in": True, "email": "boss@lab.example", "email_verified": True}, "editor"),
    ({"is_logged_in": False, "email": "boss@lab.example"}, None),
    ({"is_logged_in": True}, None), ({}, None), (None, None),
])  # fmt: skip
def test_who_a_provider_lets_in(person: dict[str, Any] | None, role: str | None) -> None:
    assert role_by_mail(OIDC, person) == role


def test_the_providers_cookie_opens_pictures_and_a_forged_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import json

    from streamlit.web.server.starlette import starlette_websocket
    from streamlit.web.server.starlette.starlette_app_utils import create_signed_value
    from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

    monkeypatch.setattr(starlette_websocket, "get_cookie_secret", lambda: "s" * 32)
    said = json.dumps({"origin": BASE, "is_logged_in": True, "email": "some@lab.example"})
    client = _client(OIDC, tmp_path)
    for secret, role in (("s" * 32, "guest"), ("t" * 32, None)):
        cookie = create_signed_value(secret, USER_COOKIE_NAME, said)
        value = cookie.decode() if isinstance(cookie, bytes) else cookie
        assert role_by_cookies(OIDC, {USER_COOKIE_NAME: value}) == role
        answer = client.get("/pictures/x", headers={"cookie": f"{USER_COOKIE_NAME}={value}"})
        assert answer.status_code == (200 if role else 401)
    assert client.get("/").status_code == 200 and client.get("/media/x.csv").status_code == 401


def test_guests_and_read_only_dashboards_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import access

    for said, read_only, may in (("editor", False, True), ("guest", False, False), ("editor", True, False)):
        door = Door(passwords=Passwords(EDITOR, GUEST))
        use(Settings(tmp_path, None, read_only, tmp_path, door))
        cookies = {cookie_name(door): sessions.begin(said)}  # type: ignore[arg-type]
        monkeypatch.setattr(access.st, "context", type("Context", (), {"cookies": cookies}))
        assert access.may_change() is may and bool(access.why_not()) is not may


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two small runs with measurements."""
    top = tmp_path_factory.mktemp("runs")
    values = {"meso": {f"s{n}": 20.0 + n for n in range(6)}, "pca": {f"s{n}": 15.0 + n / 2 for n in range(6)}}
    for name in ("first", "second"):
        comparison_runs.make_run(top / name, comparison_runs.rows(values))
    return top


def test_the_newest_run_is_read_before_anybody_asks(two_runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import catalogue, values, warming

    use(Settings(two_runs, f"sqlite:///{two_runs / 'none.sqlite'}", False, two_runs / "cache"))
    catalogue._found.clear()
    warming.warm_up()
    newest = next(iter(catalogue.runs().values()))

    def read_again(*_: object) -> None:
        raise AssertionError("the run was read for the first time")

    monkeypatch.setattr(values, "gather", read_again)
    assert values.values_of(newest).places and not (two_runs / "none.sqlite").exists()


def test_who_looks_comes_before_what_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import warming

    now, slept = [100.0], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds
        if len(slept) == 1:
            warming.note_visit()  # somebody looks while it waits

    monkeypatch.setattr(warming, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(warming, "_seen", 0.0)
    warming.note_visit()
    now[0] += 1.0
    warming._when_quiet()
    assert slept == [warming._QUIET_SECONDS - 1.0, warming._QUIET_SECONDS]
    warming._when_quiet()  # nobody looked since: it goes on at once
    assert len(slept) == 2


def _choose(page: Any, label: str, option: str) -> None:
    page.get_by_test_id("stSelectbox").filter(has_text=label).first.click()
    page.get_by_role("option", name=option, exact=True).click()


@pytest.mark.slow
def test_pages_in_a_browser(two_runs: Path, start_dashboard: Any, visit: Any) -> None:
    """Titles, no console errors, nothing from outside; the run goes with the visitor; Back and reload keep it."""
    running = start_dashboard(two_runs)
    seen = visit(running)
    for name in ("", "metrics", "studies", "ratings", "agreement", "runs"):
        page = seen.open(f"/{name}?run=first")
        page.wait_for_function(f"document.title === '{(name or 'compare').capitalize()} · mesoface'")
    page = seen.open("/metrics?run=first")
    page.get_by_test_id("stTopNavLink").filter(has_text="Compare").click()
    page.wait_for_url("**/?*run=first*")
    page.go_back()
    page.wait_for_url("**/metrics?*run=first*")
    seen.drawn()
    page.reload()
    seen.drawn()
    assert "run=first" in page.url
    seen.open("/metrics")  # a visit that names no run writes the newest one into the entry that is there
    page.wait_for_url("**/metrics?*run=second*")
    _choose(page, "Run", "first")
    page.wait_for_url("**/metrics?*run=first*")
    page.go_back()
    page.wait_for_url("**/metrics?*run=second*")
    page.wait_for_function("document.querySelector('[data-testid=stSelectbox] input')?.value === 'second'")
    assert "defect" not in running.log.read_text()


@pytest.mark.slow
def test_a_login_in_a_browser_and_the_end(two_runs: Path, tmp_path: Path, start_dashboard: Any, visit: Any) -> None:
    secret = _password_file(tmp_path / "file", f"{EDITOR}\n{GUEST}\n")
    running = start_dashboard(two_runs, "--password-file", str(secret))
    page = visit(running).page
    page.goto(running.address + "/metrics?run=first")
    page.get_by_label("Password").fill(GUEST)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/metrics?run=first")
    page.get_by_text("You are a guest here").wait_for()
    page.get_by_role("link", name="Log out").click()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Password").wait_for()
    assert running.address in running.log.read_text()
    assert running.stop(signal.SIGINT) in (0, 130)
    log = running.log.read_text()
    assert "Traceback" not in log and EDITOR not in log and GUEST not in log
