"""Addresses that say nothing about a picture, for blind mode.

A token is an HMAC of the picture's own address under a secret of this process: the same picture has the same token as
long as the dashboard runs, so that browsers keep it, and nobody can tell the method from it. Tokens live in memory
alone; after a restart an open page asks for new ones.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
from collections import OrderedDict

from dashboard.pictures.addresses import ROOT, Picture

MOST = 200_000
"""Tokens that are remembered; the ones that were asked for longest ago are forgotten first."""

_secret = secrets.token_bytes(32)
_known: OrderedDict[str, Picture] = OrderedDict()
_lock = threading.Lock()


def blind_address(picture: Picture, width: int = 0) -> str:
    """Where the server has ``picture`` without saying what it is."""
    token = hmac.new(_secret, picture.address().encode(), hashlib.sha256).hexdigest()[:32]
    with _lock:
        _known[token] = picture
        _known.move_to_end(token)
        while len(_known) > MOST:
            _known.popitem(last=False)
    return f"{ROOT}/blind/{token}/{width}"


def behind(token: str) -> Picture | None:
    """The picture of a token; None where it is unknown."""
    with _lock:
        return _known.get(token)
