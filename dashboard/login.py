"""Logging in with the password, and out again: plain pages without Streamlit."""

from __future__ import annotations

import logging
import time
from urllib.parse import parse_qs, urlsplit

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard import sessions
from dashboard.address import PAGES
from dashboard.document import not_found, plain_page
from dashboard.settings import Door, current
from dashboard.visitors import cookie_name
from study.server.limits import Buckets

_log = logging.getLogger("mesoface.dashboard")

_WELCOME = "Runs, comparisons and studies of this installation."
_MOST_BYTES = 4096
_MOST_FIELDS = 8
# Five tries at once and one in ten seconds after that, from one sender; from all together thirty and one a second.
_SENDER = Buckets(0.1, 5)
_ALL = Buckets(1.0, 30)


def login_routes() -> list[BaseRoute]:
    """``/login`` and ``/logout``."""
    return [
        Route("/login", login_page, methods=["GET"]),
        Route("/login", log_in, methods=["POST"]),
        Route("/logout", logout_page, methods=["GET"]),
        Route("/logout", log_out, methods=["POST"]),
    ]


def login_page(request: Request) -> Response:
    """The form."""
    if current().door.passwords is None:
        return not_found()
    return _form(_wanted(request.query_params.get("next", "/")))


async def log_in(request: Request) -> Response:
    """The password is right: a cookie, and on to what was wanted. It is wrong: the form again."""
    door = current().door
    if door.passwords is None:
        return not_found()
    said = _fields(await _body(request))
    wanted = _wanted(said.get("next", ["/"])[0])
    sender = request.client.host if request.client else ""
    wait = max(bucket.wait(who, time.monotonic()) for bucket, who in ((_SENDER, sender), (_ALL, "")))
    if wait > 0:
        refused = _form(wanted, f"Too many tries: wait {int(wait) + 1} seconds.", 429)
        refused.headers["Retry-After"] = str(int(wait) + 1)
        return refused
    role = door.passwords.role(said.get("password", [""])[0])
    if role is None:
        _log.warning("wrong password from %s", sender)
        return _form(wanted, "This is not the password.", 401)
    sessions.end(request.cookies.get(cookie_name(door)))
    response = RedirectResponse(wanted, 303, headers={"Cache-Control": "no-store"})
    _set_cookie(response, request, door, sessions.begin(role), sessions.SECONDS)
    return response


def logout_page(_request: Request) -> Response:
    """A button: a link alone, which any page may contain, must not log anybody out."""
    if current().door.passwords is None:
        return not_found()
    return plain_page("Log out?", "", form="logout")


def log_out(request: Request) -> Response:
    """The session ends here and now, whoever else holds its cookie."""
    door = current().door
    sessions.end(request.cookies.get(cookie_name(door)))
    response = RedirectResponse("/login", 303, headers={"Cache-Control": "no-store"})
    _set_cookie(response, request, door, "", 0)
    return response


async def _body(request: Request) -> str:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_BYTES:
            return ""
    return body.decode("utf-8", "replace")


def _fields(body: str) -> dict[str, list[str]]:
    try:
        return parse_qs(body, max_num_fields=_MOST_FIELDS, errors="replace")
    except ValueError:  # more fields than any form of ours has: no password among them
        return {}


def _form(wanted: str, wrong: str = "", status: int = 200) -> Response:
    return plain_page("Log in", _WELCOME, status, form="login", next=wanted, wrong=wrong)


def _wanted(address: str) -> str:
    """``address`` where it is a page of ours, else the first one: nobody is sent elsewhere."""
    parts = urlsplit(address)
    known = parts.path == "/" or parts.path.removeprefix("/") in PAGES
    if parts.scheme or parts.netloc or not known or not address.startswith("/"):
        return "/"
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _set_cookie(response: Response, request: Request, door: Door, value: str, seconds: int) -> None:
    # "lax": a link in a letter opens the page it names; what changes something is checked by its origin as well.
    secure = request.url.scheme == "https"
    response.set_cookie(cookie_name(door), value, seconds, path="/", secure=secure, httponly=True, samesite="lax")
