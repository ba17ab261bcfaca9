"""Who is logged in by password: sessions in the memory of this process, so that logging out, and stopping, end them.

The cookie holds 256 random bits, which nobody can guess or forge, and which say nothing; what is kept is their sha256.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict

from dashboard.passwords import Role

SECONDS = 12 * 3600
"""How long one login lasts: a long working day."""

_MOST = 10_000
_sessions: OrderedDict[str, tuple[Role, float]] = OrderedDict()
_guard = threading.Lock()


def begin(role: Role) -> str:
    """A new session; its name for the cookie."""
    name = secrets.token_urlsafe(32)
    with _guard:
        _sessions[_kept(name)] = (role, time.monotonic() + SECONDS)
        while len(_sessions) > _MOST:
            _sessions.popitem(last=False)
    return name


def role_of(name: str | None) -> Role | None:
    """Who the holder of the cookie ``name`` is; None for nobody, or nobody any more."""
    with _guard:
        role, until = _sessions.get(_kept(name or ""), (None, 0.0))
        if role is not None and time.monotonic() > until:
            del _sessions[_kept(name or "")]
            return None
        return role


def end(name: str | None) -> None:
    """Log out: the cookie is worth nothing from now on."""
    with _guard:
        _sessions.pop(_kept(name or ""), None)


def _kept(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
