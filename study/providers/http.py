"""JSON over HTTP to a marketplace: patient with what may be repeated, and careful with what may not.

A request that reads, or that does the same when it is made twice, is repeated after 429, 5xx and lost connections,
with waits that double and are drawn at random (full jitter; Brooker, *Exponential Backoff And Jitter*, AWS 2015), or as
long as ``Retry-After`` says. A request that may not be made twice is repeated only after 429, which refuses it, and
where no connection came about at all; else its outcome is unknown.

The token travels in a header alone, is not part of ``repr``, and is never written anywhere; redirects are not followed,
so that it reaches no other host.
"""

from __future__ import annotations

import ipaddress
import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from recon.errors import OutcomeUnknownError, ProviderError, UsageError

ATTEMPTS = 6
LONGEST_WAIT = 60.0
TIMEOUT = (10.0, 60.0)


class _Token(AuthBase):
    """Sets the header itself, so that no password file of the machine can replace it."""

    def __init__(self, scheme: str, secret: str) -> None:
        self._value = f"{scheme} {secret}"

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = self._value
        return request


class JsonClient:
    """Speaks to one marketplace.

    Args:
        name: of the marketplace, for sentences.
        base: address that all paths are below; https, or this machine itself.
        scheme, secret: of the header ``Authorization``.
        wait: sleeps; another one in tests.
    """

    def __init__(
        self, name: str, base: str, scheme: str, secret: str, wait: Callable[[float], None] = time.sleep
    ) -> None:
        check_endpoint(name, base)
        self.name, self.base = name, base.rstrip("/")
        self._wait = wait
        self._session = requests.Session()
        self._session.auth = _Token(scheme, secret)

    def get(self, path: str, parameters: Mapping[str, Any] | None = None) -> Any:
        """The answer to a question."""
        return self._call("GET", path, True, params=parameters)

    def post(self, path: str, body: Mapping[str, Any], repeatable: bool) -> Any:
        """The answer to a request; ``repeatable`` where making it twice is the same as making it once.

        Raises:
            OutcomeUnknownError: it may or may not have been carried out.
            ProviderError: it was refused, or never reached the marketplace: nothing was changed there.
        """
        return self._call("POST", path, repeatable, json=dict(body))

    def _call(self, method: str, path: str, repeatable: bool, **content: Any) -> Any:
        problem, perhaps = "", False  # perhaps: an earlier attempt may have been carried out
        for attempt in range(ATTEMPTS):
            pause = random.uniform(0, min(LONGEST_WAIT, 2.0**attempt))
            try:
                answer = self._session.request(
                    method, self.base + path, timeout=TIMEOUT, allow_redirects=False, **content
                )
            except requests.RequestException as error:
                problem = f"no answer ({type(error).__name__})"
                perhaps |= method != "GET" and not _never_left(error)
            else:
                problem = f"HTTP {answer.status_code}"
                if answer.ok and not answer.is_redirect:
                    return self._read(answer, method, path)
                if answer.status_code != 429 and answer.status_code < 500 and not perhaps:
                    raise ProviderError(f"{self.name} refused {method} {path} ({problem}): {_said(answer)}")
                if answer.status_code != 429 and answer.status_code < 500:
                    break
                perhaps |= method != "GET" and answer.status_code != 429
                pause = _retry_after(answer, pause)
            if perhaps and not repeatable:
                break
            if attempt + 1 < ATTEMPTS:
                self._wait(pause)
        if perhaps:
            raise self._unknown(method, path, problem)
        raise ProviderError(
            f"{self.name} did not carry out {method} {path} in {ATTEMPTS} attempts ({problem}): try again later."
        )

    def _read(self, answer: requests.Response, method: str, path: str) -> Any:
        if not answer.content:
            return {}
        try:
            return answer.json()
        except ValueError as error:
            if method == "GET":
                raise ProviderError(f"{self.name} answered GET {path} with something that is not JSON.") from error
            raise self._unknown(method, path, "an answer that is not JSON") from error

    def _unknown(self, method: str, path: str, problem: str) -> OutcomeUnknownError:
        return OutcomeUnknownError(
            f"{self.name} may or may not have carried out {method} {path} ({problem}): it is not repeated blindly."
        )


def check_endpoint(name: str, address: str) -> None:
    """Nothing where secrets may be sent to ``address``.

    Raises:
        UsageError: it is neither https nor this machine itself.
    """
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    host = parts.hostname or ""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if parts.scheme != "http" or not loopback:
        raise UsageError(f"'{address}' is no safe address for {name}: it must begin with https://.")


def _never_left(error: requests.RequestException) -> bool:
    """Whether no connection came about, so that nothing can have been carried out."""
    from urllib3.exceptions import NewConnectionError

    if isinstance(error, requests.ConnectTimeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, NewConnectionError)


def _retry_after(answer: requests.Response, otherwise: float) -> float:
    """Seconds of ``Retry-After`` (RFC 9110, 10.2.3), at most a minute; the form with a date is not used by these."""
    given = answer.headers.get("Retry-After", "")
    return min(LONGEST_WAIT, float(given)) if given.isdigit() else otherwise


def _said(answer: requests.Response) -> str:
    """What the marketplace says for a reason, shortened."""
    text = " ".join(answer.text.split())
    return text[:300] or "it gave no reason."
