"""Every request passes here first: is it meant for us, from a page of ours, from somebody who may come in?

- The ``Host`` must be a name of this dashboard. A foreign page whose name was pointed at 127.0.0.1 (DNS rebinding)
  would otherwise read everything with its visitor's browser.
- Sockets and whatever may change something must come from a page of this very address (``Origin``).
- Where a password or a provider is set, nothing but the login itself is answered to strangers.
- An address that there is not is answered 404, not by Streamlit's document.
"""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.address import PAGES
from dashboard.document import HEADERS, not_found
from dashboard.settings import Door
from dashboard.visitors import role_by_cookies

LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PATHS = {"/", *(f"/{name}" for name in PAGES)}
# What strangers need to log in; at a provider, that is done by Streamlit's own page, which shows nothing before.
_OPEN = ("/login", "/logout", "/frame/")
_OPEN_FOR_OIDC = ("/static/", "/_stcore/health", "/_stcore/host-config", "/_stcore/stream", "/auth/", "/oauth2callback")
# What ends with a slash stands for all below it, anything else for itself alone.
_KNOWN = ("/static/", "/_stcore/", "/media/", "/component/", "/pictures/", "/frame/", "/auth/", "/oauth2callback",
          "/login", "/logout", "/favicon.png", "/manifest.json")  # fmt: skip


class Guard:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self.app = app
        self.door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what may not pass; pass what may, with the headers that protect the answer."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        refusal = self.refusal(HTTPConnection(scope), scope["type"] == "websocket", scope.get("method", "GET"))
        if refusal is None:
            await self.app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, _with_headers(send))

    def refusal(self, connection: HTTPConnection, is_socket: bool, method: str) -> Response | None:
        """The answer to a request that may not pass; None for one that may."""
        host = connection.headers.get("host", "")
        if not self.is_ours(host):
            return PlainTextResponse(
                f"this dashboard is not known as '{host}': open the address that 'mesoface dashboard' prints, or start "
                "it with --names.", 400
            )  # fmt: skip
        origin = connection.headers.get("origin")
        if (is_socket or method not in ("GET", "HEAD")) and origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("this request comes from a page of another site.", 403)
        path = connection.url.path
        if not (path in _PATHS or _is_among(path, _KNOWN)):
            return not_found()
        if self.door.is_guarded and not self._is_open(path) and not role_by_cookies(self.door, connection.cookies):
            return self._to_login(path, connection.url.query)
        return None

    def is_ours(self, host: str) -> bool:
        """Whether ``host`` of a request is a name of this dashboard."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if self.door.names:
            return name in {*self.door.names, *LOOPBACK}
        # Elsewhere than on this machine there is a login, and a browser gives its cookie to our own name alone.
        return name in LOOPBACK or self.door.host not in LOOPBACK

    def _is_open(self, path: str) -> bool:
        if self.door.oidc and (path in _PATHS or _is_among(path, _OPEN_FOR_OIDC)):
            return True
        return _is_among(path, _OPEN)

    def _to_login(self, path: str, query: str) -> Response:
        if self.door.passwords is None or path not in _PATHS:
            return PlainTextResponse("log in first.", 401)
        wanted = f"{path}?{query}" if query else path
        return RedirectResponse(f"/login?next={quote(wanted, safe='/')}", 303, headers={"Cache-Control": "no-store"})


def _is_among(path: str, places: tuple[str, ...]) -> bool:
    return any(path.startswith(one) if one.endswith("/") else path == one for one in places)


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
