"""One program at a time makes something in a store: an object that says who, renewed while its program lives.

The store decides who comes first (a conditional write), and its clock, not this machine's, when a claim whose program
fell silent is void. Whoever takes over a claim that was not void after all harms nothing: both make the same objects,
and the first stops when it sees that the claim is another's.
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
from recon.store.objects import Store

CLAIM = ".mesoface.claim"
RENEWED = 20.0
"""Seconds between two signs of life."""
VOID = 120.0
"""Seconds after the last of them."""


class Claim:
    """A claim that this program holds."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.token = secrets.token_hex(8)
        self.since = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._ended = threading.Event()
        self._taken = False

    def take(self) -> None:
        """Claims the store.

        Raises:
            UsageError: another program has it.
            StorageError: the store cannot be written.
        """
        if self.store.create(CLAIM, self._text()):
            return
        other = _read(self.store)
        if other is not None and not self._is_void(other):
            raise UsageError(
                f"'{self.store.address}' is being worked on by process {other.get('process', 'unknown')} on "
                f"'{other.get('host', 'unknown')}' since {other.get('since', 'unknown')}: wait until it ends, or stop "
                f"it; where it was killed, its claim is void {VOID:.0f} s after its last sign of life."
            )
        self.store.remove([CLAIM])
        if not self.store.create(CLAIM, self._text()):
            raise UsageError(f"another program has just begun to work on '{self.store.address}': wait until it ends.")

    def _text(self) -> bytes:
        who = {"host": socket.gethostname(), "process": os.getpid(), "machine": _machine(), "token": self.token,
               "since": self.since}  # fmt: skip
        return json.dumps(who).encode()

    def _is_void(self, other: dict[str, Any]) -> bool:
        """Whether the other program is dead: seen here, or by its silence, both times taken from the store."""
        if other.get("machine") == _machine() and not _lives(other.get("process")):
            return True
        last = self.store.look_at(CLAIM)
        probe = f".mesoface.clock-{self.token}"
        self.store.write(probe, b"")
        now = self.store.look_at(probe)
        self.store.remove([probe])
        return last is None or now is None or now.modified - last.modified > VOID * 1e9

    def renew(self) -> None:
        """Gives signs of life until :meth:`end`; for a thread of its own."""
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
    threading.Thread(target=claim.renew, daemon=True, name="mesoface-claim").start()
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
