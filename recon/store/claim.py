"""One program at a time makes something in a store: an object that says who, renewed while its program lives.

The store decides who comes first (a conditional write). A claim that is found is watched: one that is renewed is
respected, one that is not is void, so no clocks are compared. Whoever takes over a claim that was not void after all
harms nothing: both make the same objects, and the first stops when it sees that the claim is another's.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recon.errors import MesofaceError, StorageError, UsageError
from recon.progress import progress_bar
from recon.store.objects import Store

CLAIM = ".mesoface.claim"
RENEWED = 10.0
"""Seconds between two signs of life."""
VOID = 60.0
"""Seconds without one, after which a claim is void."""
_LOOKED_AT = 1.0


class Claim:
    """A claim that this program holds."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.token = secrets.token_hex(8)
        self.since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._signs = 0
        self._ended = threading.Event()
        self._taken = False
        self._renewing = threading.Thread(target=self._renew, daemon=True, name="mesoface-claim")

    def take(self) -> None:
        """Claims the store, and gives signs of life until :meth:`end`; waits where a claim may be void.

        Raises:
            UsageError: another program has it.
            StorageError: the store cannot be written.
        """
        if not self.store.create(CLAIM, self._text()):
            self._outlive(_read(self.store))
            self.store.remove([CLAIM])
            if not self.store.create(CLAIM, self._text()):
                raise UsageError(f"another program has just begun to work on '{self.store.address}': wait for its end.")
        self._renewing.start()

    def _outlive(self, other: dict[str, Any] | None) -> None:
        """Returns when the claim ``other`` is void: its program is seen to be dead, or gives no sign of life."""
        if other is None or (other.get("machine") == _machine() and not _lives(other.get("process"))):
            return
        who = f"process {other.get('process', 'unknown')} on '{other.get('host', 'unknown')}'"
        title = f"'{self.store.address}' was being worked on by {who}: waiting for a sign of its life"
        until = time.monotonic() + VOID
        with progress_bar(title):
            while time.monotonic() < until:
                time.sleep(_LOOKED_AT)
                now = _read(self.store)
                if now is None:
                    return
                if now != other:
                    raise UsageError(
                        f"'{self.store.address}' is being worked on by {who} since {other.get('since', 'unknown')}: "
                        "wait until it ends, or stop it."
                    )

    def _text(self) -> bytes:
        self._signs += 1
        who = {"host": socket.gethostname(), "process": os.getpid(), "machine": _machine(), "token": self.token,
               "since": self.since, "signs": self._signs}  # fmt: skip
        return json.dumps(who).encode()

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED):
            try:
                other = _read(self.store)
                if other is not None and other.get("token") != self.token:
                    self._taken = True
                    return
                self.store.write(CLAIM, self._text())
            except MesofaceError:
                continue  # the store is out of reach for now; whoever needs it meanwhile says so

    def check(self) -> None:
        """Nothing, while the claim is this program's.

        Raises:
            StorageError: another program took it over.
        """
        if self._taken:
            raise StorageError(
                f"another program has taken '{self.store.address}' over, because this one gave no sign of life for "
                f"{VOID:.0f} s: let it end; everything finished is kept."
            )

    def end(self) -> None:
        """Gives the claim back."""
        self._ended.set()
        self._renewing.join()  # or it might write the claim once more
        other = _read(self.store)
        if other is not None and other.get("token") == self.token:
            self.store.remove([CLAIM])


@contextmanager
def claimed(store: Store) -> Iterator[Claim]:
    """Holds the claim on ``store`` for the time of the block.

    Raises:
        UsageError: another program has it.
        StorageError: the store cannot be written.
    """
    claim = Claim(store)
    claim.take()
    try:
        yield claim
    finally:
        claim.end()


def _read(store: Store) -> dict[str, Any] | None:
    text = store.read(CLAIM)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _machine() -> str:
    """Tells machines, their starts, and containers apart, so that a process id means something."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            parts.append(os.readlink(path) if "ns" in path else Path(path).read_text().strip())
        except OSError:
            parts.append("")
    return " ".join(parts)


def _lives(process: Any) -> bool:
    if not isinstance(process, int) or process == os.getpid():
        return False  # an earlier program had our number
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
