"""What an address is: a scheme and a place behind it; all else is a path on this machine."""

from __future__ import annotations

import re
from pathlib import Path

from recon.errors import UsageError

Place = Path | str
"""Where something lies: a folder, or the address of a store."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def is_address(text: str | Path) -> bool:
    """Whether ``text`` has the form of an address: ``s3://bucket/prefix``. A :class:`Path` never is one."""
    return isinstance(text, str) and _ADDRESS.match(text) is not None


def address_in(path: Path) -> str | None:
    """The address that somebody gave where a path was expected, which took a slash of it away; None for other paths."""
    scheme, colon, rest = path.as_posix().partition(":/")
    return f"{scheme}://{rest}" if colon and is_address(f"{scheme}://{rest}") else None


def checked_address(text: str) -> str:
    """An address without slashes at its end.

    Raises:
        UsageError: no place behind the scheme, or a user name or password in it, which the message does not repeat.
    """
    scheme, _, rest = text.partition("://")
    rest = rest.rstrip("/")
    if "@" in rest.partition("/")[0]:
        raise UsageError(
            f"an address {scheme}:// must not hold credentials: take them out, and give them in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE)."
        )
    if not rest or any(part in {"", ".", ".."} for part in rest.split("/")):
        raise UsageError(f"'{text}' is no address of a store: write {scheme}://BUCKET/PREFIX.")
    return f"{scheme}://{rest}"
