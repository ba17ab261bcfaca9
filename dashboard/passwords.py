"""The password file of ``mesoface dashboard --password-file``: the password on its first line, that of guests, who may
only look, on an optional second one."""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from recon.errors import InputError, UsageError

Role = Literal["editor", "guest"]
SHORTEST = 8


@dataclass(frozen=True)
class Passwords:
    """The two passwords; ``guest`` is empty where guests are not let in. Never printed."""

    editor: str = field(repr=False)
    guest: str = field(default="", repr=False)

    def role(self, said: str) -> Role | None:
        """Whose password ``said`` is. Takes the same time whichever it is, and for a wrong one."""
        editor = _same(said, self.editor)
        guest = _same(said, self.guest) and bool(self.guest)
        return "editor" if editor else "guest" if guest else None


def read_passwords(path: Path) -> Passwords:
    """The passwords in ``path``.

    Raises:
        UsageError: others may read the file, or a password is too short to be one.
        InputError: the file cannot be read.
    """
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"the password file '{path}' cannot be read ({reason}): name a text file.") from error
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise UsageError(f"the password file '{path}' can be read by others: run 'chmod 600 {path}', then start again.")
    words = [line.strip() for line in lines if line.strip()]
    if not 1 <= len(words) <= 2 or min(map(len, words)) < SHORTEST or len(set(words)) < len(words):
        raise UsageError(
            f"the password file '{path}' must have the password on its first line and may have another, that of guests "
            f"who only look, on its second; each of at least {SHORTEST} characters."
        )
    return Passwords(*words)


def _same(one: str, other: str) -> bool:
    # Digests are of one length, so that not even the length of the password shows in the time.
    return hmac.compare_digest(hashlib.sha256(one.encode()).digest(), hashlib.sha256(other.encode()).digest())
