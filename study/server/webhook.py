"""Prolific's messages: ``POST /api/prolific``, there where ``PROLIFIC_WEBHOOK_SECRET`` is set.

A message that Prolific signed wakes ``study.providers.launching.follow``, which reads from Prolific itself how the
study's raters stand: nothing that a message says is believed, so one that comes twice, late or out of order does no
harm. The answer does not wait for that, and messages that come meanwhile share the next reading. Everything else is
refused, and nothing is read or written for it.

To set it up, once a workspace: make a secret at Prolific (``POST /api/v1/hooks/secrets/``), and subscribe this address
to ``submission.status.change`` (docs.prolific.com, Webhooks, Subscribing).
"""

import threading
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from sqlalchemy import Engine

from recon.errors import InputError, MesofaceError
from study.providers import PROVIDERS, ProviderSettings, launching
from study.providers.prolific_webhook import SignatureError, read_message, webhook_secret
from study.server.journal import JOURNAL

ADDRESS = "/api/prolific"
# A rater's end brings several messages at once; one reading answers all of them.
GATHERING_SECONDS = 1.0


class Follower:
    """Brings the study up to date when it is woken; one at a time, and once more for all who woke it meanwhile.

    Args:
        follow: brings it up to date.
        gathering: seconds to wait for further wishes.
    """

    def __init__(self, follow: Callable[[], object], gathering: float) -> None:
        self._follow, self._gathering = follow, gathering
        self._lock = threading.Lock()
        self._wanted = self._running = False

    def wake(self) -> None:
        """Returns when nobody wants anything more, or at once where another thread is at it."""
        with self._lock:
            self._wanted = True
            if self._running:
                return
            self._running = True
        while True:
            time.sleep(self._gathering)
            with self._lock:
                if not self._wanted:
                    self._running = False
                    return
                self._wanted = False
            try:
                self._follow()
            except MesofaceError as error:
                # What Prolific said may quote a rater; the next message, or 'mesoface study follow', tries again.
                JOURNAL.error("follow", extra={"said": {"reason": str(error).partition(":")[0]}})
            except Exception:
                JOURNAL.exception("defect")


def add_webhook(app: FastAPI, engine: Engine, study: str, endpoint: str, gathering: float = GATHERING_SECONDS) -> None:
    """Let Prolific wake the server of ``study``.

    Args:
        endpoint: of Prolific's interface, if not its own.
        gathering: seconds in which messages share a reading.

    Raises:
        UsageError: the environment holds no secret, or no token to read states with.
    """
    secret = webhook_secret()
    provider = PROVIDERS.get("prolific")(ProviderSettings(endpoint=endpoint))  # reads only, so never live
    follower = Follower(lambda: launching.follow(engine, provider, study), gathering)

    async def signed(request: Request) -> dict[str, Any]:
        try:
            return read_message(secret, request.headers, await request.body(), time.time())
        except SignatureError as error:
            raise HTTPException(401, str(error)) from error
        except InputError as error:
            raise HTTPException(400, str(error)) from error

    @app.post(ADDRESS, include_in_schema=False, status_code=202)
    async def message(_message: Annotated[dict[str, Any], Depends(signed)], tasks: BackgroundTasks) -> dict[str, str]:
        tasks.add_task(follower.wake)
        return {"status": "taken"}
