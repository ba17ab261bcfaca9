"""A model rater's visit: the requests that the page makes, in its order, with its patience.

What is refused for a while (429, 503) or never answered, because the server is not there, is sent again as it was, with
the same UUID: the server keeps an answer once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from time import monotonic
from typing import Any

import requests

from recon.errors import InputError
from study.contract import Stimulus
from study.simulation.raters import ModelRater, Seen
from study.specification import Specification

# Seconds without any answer after which a rater gives up.
PATIENCE = 60.0
_PAUSE = 0.2
_AGAIN = (429, 503)


class Browser:
    """A connection to the server, and the pictures that were loaded through it.

    Args:
        address: of the server.
        specification: of the study.
        stimuli: of the study by sha256, which is how a picture that was loaded is known.
        stopped: set from outside, it ends the visit at the next request.
    """

    def __init__(
        self,
        address: str,
        specification: Specification,
        stimuli: Mapping[str, Stimulus],
        stopped: threading.Event | None = None,
    ) -> None:
        self.specification = specification
        self.stimuli = stimuli
        # Every question of the study by its text: raters know it by nothing else.
        self.questions = {text: name for name, text in specification.question_texts().items()}
        self._address = address.rstrip("/")
        self._client = requests.Session()
        self._client.trust_env = False  # no proxy stands between this machine and itself
        self._stopped = stopped or threading.Event()
        self._loaded: set[str] = set()

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def post(self, path: str, body: Mapping[str, Any], token: str = "") -> requests.Response:
        """What the server says; asked again while it cannot be reached or asks to wait."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return self._patiently("POST", path, json=dict(body), headers=headers)

    def load(self, url: str) -> Stimulus:
        """The picture at ``url``, fetched once as a browser does.

        Raises:
            InputError: it is not there, or its bytes are others than its name says.
        """
        sha256 = url.rsplit("/", 1)[-1].partition(".")[0]
        if url not in self._loaded:
            reply = self._patiently("GET", url)
            if reply.status_code != 200 or hashlib.sha256(reply.content).hexdigest() != sha256:
                raise InputError(f"the server did not give the picture '{url}' (status {reply.status_code}).")
            self._loaded.add(url)
        return self.stimuli[sha256]

    def _patiently(self, method: str, path: str, **options: Any) -> requests.Response:
        until = monotonic() + PATIENCE
        while True:
            if self._stopped.is_set():
                raise InputError("the rehearsal was stopped: run it again.")
            try:
                reply = self._client.request(method, f"{self._address}/{path.lstrip('/')}", timeout=30, **options)
                if reply.status_code not in _AGAIN:
                    return reply
                reason, wait = f"status {reply.status_code}", float(reply.headers.get("Retry-After", _PAUSE))
            except requests.RequestException as error:
                reason, wait = type(error).__name__, _PAUSE
            if monotonic() > until:
                raise InputError(f"the server did not take '{path}' for {PATIENCE:.0f} s ({reason}): run it again.")
            self._stopped.wait(wait)


def visit(browser: Browser, rater: ModelRater) -> str:
    """The whole session of ``rater``, or what is left of it; gives the completion code.

    Raises:
        InputError: the server refused a step, or could not be reached for :data:`PATIENCE` seconds.
    """
    who = {"parameters": {}, "visitor": str(rater.visitor)}
    view = _arrive(browser, who)
    if view is None:
        version = browser.specification.consent.version
        view = _said(browser.post("/api/consent", {**who, "consent_version": version}))
    if view["state"] == "consented":
        found = _said(browser.post("/api/screen", _screen(browser.specification), view["token"]))
        if found["problems"]:
            raise InputError(f"a model rater's screen was refused: {' '.join(found['problems'])}")
        view = _arrive(browser, who)
    while view is not None and view["state"] in ("training", "active"):
        for trial in view["trials"]:
            if not _answer(browser, rater, trial, view["token"]):
                break
        view = _arrive(browser, who)
    if view is None or view["completion"] is None:
        state = "unknown" if view is None else view["state"]
        raise InputError(f"a model rater ended in the state '{state}', without a completion code.")
    return str(view["completion"]["code"])


def _arrive(browser: Browser, who: Mapping[str, Any]) -> dict[str, Any] | None:
    session: dict[str, Any] | None = _said(browser.post("/api/arrive", who))["session"]
    return session


def _answer(browser: Browser, rater: ModelRater, trial: Mapping[str, Any], token: str) -> bool:
    """Whether the answer was taken; not, where the server stands at another trial than the page."""
    shown = tuple(browser.load(picture["url"]) for picture in trial["shown"])
    if trial["reference"] is not None:
        browser.load(trial["reference"]["url"])
    index = trial["index"]
    answer, milliseconds = rater.answer(Seen(index, browser.questions[trial["question"]], shown))
    width, height = _window(browser.specification)
    body = {
        "index": index,
        "client_uuid": str(rater.answer_uuid(index)),
        "answer": answer,
        "reaction_ms": milliseconds,
        "viewport_width": width,
        "viewport_height": height,
        "device_pixel_ratio": 1.0,
    }
    reply = browser.post("/api/answers", body, token)
    if reply.status_code == 409 and reply.json().get("next") is not None:
        return False
    _said(reply)
    return True


def _said(reply: requests.Response) -> dict[str, Any]:
    if reply.status_code != 200:
        said = reply.json().get("error", "") if "json" in reply.headers.get("content-type", "") else ""
        raise InputError(f"the server refused a model rater (status {reply.status_code}): {said or 'no reason given.'}")
    found: dict[str, Any] = reply.json()
    return found


def _window(specification: Specification) -> tuple[int, int]:
    return max(1280, specification.screen.width), max(900, specification.screen.height)


def _screen(specification: Specification) -> dict[str, Any]:
    """A screen that will do."""
    width, height = _window(specification)
    return {
        "viewport_width": width,
        "viewport_height": height,
        "screen_width": width,
        "screen_height": height,
        "device_pixel_ratio": 1.0,
        "colour_depth": max(24, specification.screen.colour_depth),
        "zoom": 1.0 if specification.screen.zoom is None else min(1.0, specification.screen.zoom),
        "pixels_per_mm": 96 / 25.4 if specification.screen.card else None,
    }
