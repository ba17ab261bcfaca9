"""The server's log: one JSON object a line, for machines, without anything that tells who a rater is.

A line holds the moment, the method, the route as it is written in the program (never the address that was asked for:
its parameters name the rater), the status, the milliseconds, and the number of the session where there is one. No
network address, no browser, no answer.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

JOURNAL = logging.getLogger("mesoface.study.server")


class Line(logging.Formatter):
    """A record as JSON; what a caller adds goes in under ``extra={"said": {…}}``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; of an error its type and place, not its text, which may quote a rater."""
        said: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "said", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            trace = record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            said["error"] = record.exc_info[0].__name__
            if trace is not None:
                said["where"] = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        return json.dumps(said, ensure_ascii=False)


def write_journal(stream: Any = None) -> None:
    """Send the log to ``stream``, the error stream if None; once a process."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(Line())
    # The web server's own failures go the same way; what it says of its course is not needed.
    for logger, level in ((JOURNAL, logging.INFO), (logging.getLogger("uvicorn.error"), logging.WARNING)):
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False


class Journal:
    """Logs every request when it is answered, of pictures and files only failed ones; a defect becomes a 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, noting)
        except Exception:
            # A defect. Here and not in the web server's own log: what it prints of an error may quote a rater.
            JOURNAL.exception("defect")
            if status:
                raise
            reply = JSONResponse({"error": "something is wrong here: your answers so far are safe."}, status_code=500)
            await reply(scope, receive, noting)
        finally:
            self._note(scope, status, (time.perf_counter() - begun) * 1000)

    def _note(self, scope: Scope, status: int, milliseconds: float) -> None:
        route = getattr(scope.get("route"), "path", "")
        if status < 400 and not route.startswith("/api"):
            return
        said = {"method": scope["method"], "route": route, "status": status, "ms": round(milliseconds, 1)}
        session = scope.get("state", {}).get("session")
        if session is not None:
            said["session"] = session
        JOURNAL.log(logging.ERROR if status >= 500 else logging.INFO, "request", extra={"said": said})
