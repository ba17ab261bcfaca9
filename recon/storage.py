"""Files that are either whole or absent: every write goes to a temporary sibling that is renamed into place.

A program that is killed leaves at most such a sibling (its name contains ``.partial``), never half a result.
POSIX ``rename`` and Windows ``MoveFileEx`` replace atomically within one folder; durability over a power cut is not
promised.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import InputError, StorageError, UsageError
from recon.store.address import address_in

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
PARTIAL_MARK = ".partial"


def is_storage_failure(error: OSError) -> bool:
    """Whether an ``OSError`` says that the disk is full or that writing is not permitted."""
    return error.errno in _FULL | _REFUSED


def storage_error(error: OSError, path: Path | str) -> StorageError:
    """The typed error for an ``OSError`` met while writing ``path``."""
    if error.errno in _FULL:
        return StorageError(
            f"the disk is full: '{path}' could not be written; free some space and run the same command again."
        )
    if error.errno in _REFUSED:
        return StorageError(f"'{path}' cannot be written: permission denied; choose a folder that is yours.")
    return StorageError(f"'{path}' could not be written: {error.strerror or error}.")


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turns an ``OSError`` inside the block, which writes ``path``, into a :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def make_folder(path: Path) -> Path:
    """``path``, created with its parents.

    Raises:
        StorageError: it cannot be created, or a file of that name is in the way.
        UsageError: it is an address of a store, of which the caller knows nothing.
    """
    address = address_in(path)
    if address is not None:
        raise UsageError(f"'{address}' is an address, and this command writes into folders: name a folder.")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise StorageError(f"the folder '{path}' cannot be made: a file is in the way.") from error
    except OSError as error:
        raise storage_error(error, path) from error
    return path


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` (same suffix) to write a file or a folder to; renamed on success.

    The parents of ``path`` are created. On any failure the temporary is removed and ``path`` keeps what it held.
    A folder replaces nothing: if ``path`` is a folder that exists, the rename fails.

    Raises:
        StorageError: the disk is full, or the place cannot be written.
    """
    path = Path(path)
    make_folder(path.parent)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}{PARTIAL_MARK}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        # Only failures of this disk: an OSError about another file (a source being read) keeps its own meaning.
        if error.errno in _FULL or error.filename in {None, str(temporary), temporary}:
            raise storage_error(error, path) from error
        raise
    finally:
        _discard(temporary)


def _discard(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def remove_partials(folder: Path, older_than: float = 3600.0) -> int:
    """Removes what killed programs left in ``folder`` itself and is ``older_than`` seconds old; how many files."""
    now, removed = time.time(), 0
    for path in folder.glob(f".*{PARTIAL_MARK}*"):
        try:
            stale = now - path.stat().st_mtime > older_than
        except FileNotFoundError:  # another process finished or removed it meanwhile
            continue
        if stale:
            _discard(path)
            removed += 1
    return removed


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented UTF-8 JSON, atomically; numpy scalars and arrays become numbers and lists.

    Raises:
        StorageError: the file cannot be written.
        ValueError: ``value`` holds NaN or infinity, which JSON cannot.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_plain)
    write_text(path, text + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def write_text(path: Path, text: str) -> None:
    """Writes ``text`` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        InputError: the file is absent, unreadable, or not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist.") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError
        raise InputError(f"'{path}' is not valid JSON ({error}); restore it or make it again.") from error


def write_npy(path: Path, array: NDArray[Any]) -> None:
    """Writes one array in NumPy's ``.npy`` format, atomically; object arrays are refused (``ValueError``)."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array, allow_pickle=False)
