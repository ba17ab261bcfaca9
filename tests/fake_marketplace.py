"""What the in-repo marketplaces share: an HTTP server on loopback in a thread, and failures on order."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

FAILURES = ("429", "503 before", "503 after", "drop before", "drop after")
"""How a request may fail: refused, lost before it was carried out, or carried out and its answer lost."""


class FakeMarketplace(ABC):
    """Serves ``answer``; ``failures`` are used up by the next requests that change something.

    A request whose path or operation ends with ``hold_at`` is carried out, tells so by ``held``, and is never answered:
    time for a test to kill the program that made it.
    """

    def __init__(self) -> None:
        self.failures: deque[str] = deque()
        self.hold_at = ""
        self.held, self.let_go = threading.Event(), threading.Event()
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"market": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    @abstractmethod
    def changes(self, method: str, path: str, headers: dict[str, str]) -> bool:
        """Whether a request changes something, so that failures on order concern it."""

    @abstractmethod
    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""


class _Handler(BaseHTTPRequestHandler):
    market: ClassVar[FakeMarketplace]
    protocol_version = "HTTP/1.1"
    # Head and body leave in two writes; without this the second waits for the other side's delayed acknowledgement.
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        market = self.market
        with market.lock:
            market.requests.append((self.command, self.path))
            market.headers.append(headers)
            failure = ""
            if market.failures and market.changes(self.command, self.path, headers):
                failure = market.failures.popleft()
            status, content = 0, b""
            if failure in {"", "503 after", "drop after"}:
                status, content = market.answer(self.command, self.path, headers, body)
        if market.hold_at and (self.path + headers.get("x-amz-target", "")).endswith(market.hold_at):
            market.held.set()
            market.let_go.wait(120)
            failure = "drop after"
        if failure.startswith("drop"):
            self.close_connection = True
            return
        if failure:
            status, content = int(failure[:3]), b"{}"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _serve

    def log_message(self, *arguments: Any) -> None:
        """Nothing: tests speak for themselves."""
