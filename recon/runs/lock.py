"""One process at a time: a lock that the operating system releases when its holder ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from recon.errors import UsageError
from recon.storage import make_folder, storage_error, write_text


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; the holder's process id lies beside it, for others' messages.

    The lock is the operating system's, not the file's existence: one whose holder was killed is free at once.

    Raises:
        UsageError: another process holds it; ``what`` names the thing in the message.
        StorageError: the folder cannot be written.
    """
    make_folder(path.parent)
    holder = path.with_suffix(".pid")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        pid = holder.read_text().strip() if holder.is_file() else "unknown"
        raise UsageError(f"{what} is being worked on by process {pid}: wait until it ends, or stop it.") from None
    except OSError as error:
        raise storage_error(error, path) from error
    try:
        write_text(holder, str(os.getpid()))
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()
