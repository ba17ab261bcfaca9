"""How much one sender may ask: token buckets by address and by session, and a bound on the size of a request.

A bucket holds ``burst`` requests and is filled again with ``rate`` a second; who finds it empty is told when to come
again (429, ``Retry-After``). The buckets live in the memory of one process: behind several workers a sender has as many
times the rate. An address counts for as long as its bucket is not full, and is then forgotten.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOST_BUCKETS = 50_000


class Buckets:
    """Token buckets, one a sender; safe to use from many threads.

    Args:
        rate: requests a second.
        burst: requests at once.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = burst
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._guard = threading.Lock()

    def wait(self, sender: str, at: float) -> float:
        """Seconds until ``sender`` may ask; 0 lets this request pass, and counts it. ``at`` is a monotonic time."""
        with self._guard:
            level, since = self._levels.pop(sender, (float(self.burst), at))
            level = min(float(self.burst), level + (at - since) * self.rate)
            allowed = level >= 1
            self._levels[sender] = (level - 1 if allowed else level, at)
            while self._levels and (len(self._levels) > _MOST_BUCKETS or self._full(at)):
                self._levels.popitem(last=False)
        return 0.0 if allowed else (1 - level) / self.rate

    def _full(self, at: float) -> bool:
        """Whether the bucket that rested longest is full by now."""
        level, since = next(iter(self._levels.values()))
        return level + (at - since) * self.rate >= self.burst


class BodyLimit:
    """Refuses requests with more than ``most`` bytes, whatever they say of their length (413)."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app = app
        self.most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reads the whole body first: the bound makes that cheap, and a late refusal is never half a reply."""
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH", "DELETE"):
            await self.app(scope, receive, send)
            return
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return  # the sender is gone
            part = message.get("body", b"")
            size += len(part)
            if size > self.most:
                await _too_large(send)
                return
            parts.append(part)
            if not message.get("more_body", False):
                break
        whole: list[Message] = [{"type": "http.request", "body": b"".join(parts), "more_body": False}]

        async def replay() -> Message:
            return whole.pop() if whole else await receive()

        await self.app(scope, replay, send)


async def _too_large(send: Send) -> None:
    body = b'{"error":"this request is too large."}'
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": body})
