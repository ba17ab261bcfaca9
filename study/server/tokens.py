"""Signed session tokens: which assignment a request speaks for, until when; nothing else is in them.

``1.<assignment>.<expiry, seconds since 1970>.<base64url of HMAC-SHA256>`` (RFC 2104); nothing is stored. The key is
derived from the secret of the installation for this purpose and this study alone: a token of one study opens no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime

from recon.errors import MesofaceError

_FORM = re.compile(r"1\.([1-9][0-9]{0,17})\.([1-9][0-9]{0,11})\.([A-Za-z0-9_-]{43})", re.ASCII)


class TokenError(MesofaceError):
    """A token that is missing, forged, of another study, or over."""


def token_key(secret: bytes, study: str, created_at: datetime) -> bytes:
    """Key of one study's tokens; ``created_at`` tells a study from a later one of the same name."""
    purpose = "\0".join(("mesoface study session token", study, created_at.isoformat())).encode()
    return hmac.new(secret, purpose, hashlib.sha256).digest()


def issue(key: bytes, assignment: int, expires: datetime) -> str:
    """A token for ``assignment`` that is good until ``expires``."""
    text = f"1.{assignment}.{int(expires.timestamp())}"
    return f"{text}.{_mac(key, text)}"


def verify(key: bytes, token: str, at: datetime) -> int:
    """The assignment that ``token`` speaks for.

    Raises:
        TokenError: it speaks for none at the moment ``at``.
    """
    match = _FORM.fullmatch(token)
    if match is None or not hmac.compare_digest(_mac(key, token.rpartition(".")[0]), match[3]):
        raise TokenError("this session is not known here: open the study again through its link.")
    if int(match[2]) <= at.timestamp():
        raise TokenError("this session is over: open the study again through its link.")
    return int(match[1])


def _mac(key: bytes, text: str) -> str:
    digest = hmac.new(key, text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
