"""One process at a time: a lock that the operating system releases when its holder ends, however it ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from recon.errors import UsageError
from recon.storage import make_folder, storage_error, write_text


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Hold the lock file ``path`` while the block runs; the holder's process id lies beside it, for others' messages.

    The lock is the operating system's, not the file's existence: one whose holder was killed is free at once. Where
    the block leaves nothing beside it, as when settings were refused, the file goes when the block ends, and the
    folders that were made for it go too.

    Raises:
        UsageError: another process holds it; ``what`` names the thing in the message.
        StorageError: the folder cannot be written.
    """
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
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
        _clear_away(path, made)
        lock.release()


def _clear_away(path: Path, made: list[Path]) -> None:
    """Removes the lock file if it is alone in its folder, and of the folders ``made`` those that are empty then.

    To be called while the lock is held: who opened the file before finds no link to it left, and opens the next one.
    """
    with suppress(OSError):  # Windows keeps a file that is open; a folder that somebody else uses now stays
        if all(entry == path for entry in path.parent.iterdir()):
            path.unlink()
            for folder in made:
                folder.rmdir()
