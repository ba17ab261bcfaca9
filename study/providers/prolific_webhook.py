"""Prolific's messages to us: who signed them, and when (docs.prolific.com, Webhooks, Verifying).

``signature = base64(HMAC-SHA256(secret, timestamp ‖ body))``, in the headers ``X-Prolific-Request-Signature`` and
``X-Prolific-Request-Timestamp`` (seconds since 1970). Messages may come twice and in any order, so nothing is believed
of one but that something changed: state is then read from Prolific itself. The secret comes from the variable
``PROLIFIC_WEBHOOK_SECRET``.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from typing import Any

from recon.errors import InputError, UsageError

SECRET_VARIABLE = "PROLIFIC_WEBHOOK_SECRET"
OLDEST_SECONDS = 300
"""Older messages may be recordings that somebody plays back."""


class SignatureError(InputError):
    """A message that Prolific did not sign with our secret, or signed too long ago."""


def is_expected() -> bool:
    """Whether the environment holds a secret."""
    return bool(os.environ.get(SECRET_VARIABLE, "").strip())


def webhook_secret() -> str:
    """The secret of the environment.

    Raises:
        UsageError: there is none.
    """
    secret = os.environ.get(SECRET_VARIABLE, "").strip()
    if not secret:
        raise UsageError(f"messages of Prolific cannot be checked: set the variable {SECRET_VARIABLE}.")
    return secret


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a message."""
    digest = hmac.new(secret.encode(), timestamp.encode() + body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode("ascii")


def read_message(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> dict[str, Any]:
    """The message, if Prolific signed it within the last minutes.

    Args:
        headers: of the request; case does not matter.
        body: as it came, byte for byte.
        now: seconds since 1970.

    Raises:
        SignatureError: it is not signed, signed by another, or too old.
        InputError: it is no JSON object.
    """
    given = {name.lower(): value for name, value in headers.items()}
    signature = given.get("x-prolific-request-signature", "")
    timestamp = given.get("x-prolific-request-timestamp", "")
    if not hmac.compare_digest(sign(secret, timestamp, body).encode(), signature.encode()):
        raise SignatureError("a message that claims to be Prolific's is not signed with our secret.")
    try:
        age = now - float(timestamp)
        message = json.loads(body)
    except ValueError as error:
        raise InputError("a message of Prolific is no JSON, or has no time.") from error
    if not abs(age) <= OLDEST_SECONDS:
        raise SignatureError(f"a message of Prolific is {age:.0f} s old: it may have been played back.")
    if not isinstance(message, dict):
        raise InputError("a message of Prolific is no JSON object.")
    return message
