"""Files that are made once and kept in the dashboard's cache folder, which never grows beyond a bound.

Whoever asks first makes a file; who asks for the same meanwhile waits and gets it. At most as many are made at a time
as there are cores. When the folder is full, what nobody asked for longest goes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dashboard.settings import current
from recon.storage import PARTIAL_MARK, atomic_path, make_folder

MOST_BYTES = 2 * 2**30
"""Size of all kept files together; beyond it they are cut back to :data:`LEFT` of it."""
LEFT = 0.8
_STALE_SECONDS = 3600.0  # a file's time is renewed at most so often; an unfinished file of a killed process is older

_makers = threading.BoundedSemaphore(max(1, os.cpu_count() or 1))
_lock = threading.Lock()
_busy: dict[Path, tuple[threading.Lock, int]] = {}
_sizes: dict[Path, int] = {}


def kept(key: str, suffix: str, make: Callable[[], bytes]) -> Path:
    """The file called ``key`` (hexadecimal), made by ``make`` where it is not there.

    Raises:
        StorageError: it cannot be written.
        Whatever ``make`` raises; then nothing is kept.
    """
    folder = current().cache / "thumbnails"
    place = folder / key[:2] / f"{key}{suffix}"
    if not _there(place):
        with _alone(place):
            if not _there(place):
                with _makers:
                    content = make()
                make_folder(place.parent)
                with atomic_path(place) as partial:
                    partial.write_bytes(content)
                _grown(folder, len(content))
    return place


def _there(place: Path) -> bool:
    try:
        age = time.time() - place.stat().st_mtime
        if age > _STALE_SECONDS:
            os.utime(place)
    except OSError:  # absent, or removed this moment: it is made
        return False
    return True


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """One thread at a time for ``place``."""
    with _lock:
        own, waiting = _busy.get(place, (threading.Lock(), 0))
        _busy[place] = own, waiting + 1
    try:
        with own:
            yield
    finally:
        with _lock:
            own, waiting = _busy.pop(place)
            if waiting > 1:
                _busy[place] = own, waiting - 1


def _grown(folder: Path, size: int) -> None:
    """Count ``size`` more bytes in ``folder``, and cut it back where it is too large."""
    with _lock:
        _sizes[folder] = (_sizes[folder] + size) if folder in _sizes else sum(one for _, one, _ in _files(folder))
        if _sizes[folder] > MOST_BYTES:
            _sizes[folder] = _cut_back(folder)


def _cut_back(folder: Path) -> int:
    """Remove what was asked for longest ago; the size of what stays."""
    files = sorted(_files(folder))
    total = sum(size for _, size, _ in files)
    for _, size, path in files:
        if total <= LEFT * MOST_BYTES:
            break
        path.unlink(missing_ok=True)
        total -= size
    return total


def _files(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Time of last use, size and path of each kept file; what a killed process left unfinished is removed."""
    for path in folder.glob("*/*"):
        try:
            state = path.stat()
        except OSError:  # removed meanwhile
            continue
        if PARTIAL_MARK not in path.name:
            yield state.st_mtime, state.st_size, path
        elif time.time() - state.st_mtime > _STALE_SECONDS:
            path.unlink(missing_ok=True)
