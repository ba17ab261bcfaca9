"""Which working copies this process has, where they lie, and which paths belong to one.

Copies are found by path, so that whoever works on folders need not know of stores; :func:`modified` says of any path
whether it exists, here or in the store. Paths inside a copy travel between machines as address and name
(:mod:`recon.parcel`): every machine has its own. Copies lie in ``MESOFACE_WORK``, or in ``stores`` of the mesoface
home, and may be deleted while nothing works on them::

    <key of the address>/<host>/copy/<name>             of commands: records and numbers, no finished pictures
    <key of the address>/<host>/at-work/<token>/<name>  of one process; emptied after every task, removed when it ends
    <key of the address>/whole/<version>/<name>         a texture database or data set, read by all processes

Machines may share the disk: locks need not hold between them, for what is locked is one host's, or the same for all.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from recon.errors import DatabaseError, UsageError
from recon.progress import progress_bar
from recon.storage import make_folder, write_text
from recon.store.address import checked_address
from recon.store.copies import WorkingCopy
from recon.store.objects import Store, Stored

VARIABLE = "MESOFACE_WORK"
_INDEX = "database.json"

_open: dict[Path, WorkingCopy] = {}
_whole: dict[Path, str] = {}


def work_folder(address: str) -> Path:
    """Where the working copies of a store lie."""
    from recon.assets import home

    given = os.environ.get(VARIABLE)
    root = Path(given).expanduser().absolute() if given else home() / "stores"
    return root / hashlib.sha256(address.encode()).hexdigest()[:16]


def _own_work_folder(address: str) -> Path:
    """Those of this host."""
    return work_folder(address) / (socket.gethostname() or "host")


@contextmanager
def working_copy(store: Store) -> Iterator[WorkingCopy]:
    """The copy of this machine's commands; one of its own, emptied afterwards, where another program has that one."""
    root = make_folder(_own_work_folder(store.address))
    with ExitStack() as stack:
        lock = FileLock(root / "copy.lock")
        try:
            stack.enter_context(lock.acquire(timeout=0))
            folder = root / "copy" / store.name
        except Timeout:
            folder = _own_folder(store)
            stack.callback(shutil.rmtree, folder.parent, ignore_errors=True)
        copy = WorkingCopy(store, folder)
        _open[copy.folder] = copy
        try:
            yield copy
        finally:
            del _open[copy.folder]
            sweep(store.address)


def own_copy(address: str) -> WorkingCopy:
    """The copy that this process works in: the one that is open, else one of its own until it ends."""
    for copy in _open.values():
        if copy.store.address == address:
            return copy
    store = Store.of(address)
    copy = WorkingCopy(store, _own_folder(store))
    _open[copy.folder] = copy
    atexit.register(shutil.rmtree, copy.folder.parent, ignore_errors=True)
    return copy


_held: list[FileLock] = []


def _own_folder(store: Store) -> Path:
    """A new folder that belongs to this process as long as it lives."""
    root = make_folder(sweep(store.address))
    token = secrets.token_hex(6)
    held = FileLock(root / f"{token}.lock")
    held.acquire(timeout=10)
    _held.append(held)  # until the process ends
    return root / token / store.name


def sweep(address: str) -> Path:
    """Removes what processes that are dead worked in; where such folders lie."""
    root = _own_work_folder(address) / "at-work"
    for lock in root.glob("*.lock"):
        _remove_if_free(lock)
    return root


def _remove_if_free(path: Path) -> None:
    lock = FileLock(path)
    try:
        with lock.acquire(timeout=0):
            shutil.rmtree(path.with_suffix(""), ignore_errors=True)
            path.unlink(missing_ok=True)
    except (Timeout, OSError):
        return


def whole_database(address: str) -> Path:
    """The folder of a texture database that was brought from a store, see :func:`whole_copy`.

    What is computed from it and kept (``derived/``) stays on this machine.

    Raises:
        DatabaseError: no finished database lies there.
        UsageError, StorageError: the store cannot be read.
    """
    folder = whole_copy(address)
    if not (folder / _INDEX).is_file():
        raise DatabaseError(
            f"'{said(folder)}' is not a finished texture database (no {_INDEX}): build it with 'mesoface database "
            f"build --out {said(folder)}'."
        )
    return folder


def whole_copy(address: str) -> Path:
    """A folder with all that lies at an address, brought once for all processes of this machine, and only read.

    Of a texture database its entries and their index are brought. What has changed in the store since lies in another
    folder: nobody's files change while they are read.

    Raises:
        UsageError, StorageError: nothing is there, or the store cannot be read.
    """
    address = checked_address(address)
    for folder, known in _whole.items():
        if known == address:
            return folder
    store = Store.of(address)
    listed = {name: one for name, one in sorted(store.listed().items()) if not name.startswith(".")}
    if not listed:
        raise UsageError(f"'{address}' holds nothing: look for a typing error.")
    if _INDEX in listed:
        listed = {name: one for name, one in listed.items() if name.startswith("entries/") or name == _INDEX}
    version = hashlib.sha256(repr(list(listed.items())).encode()).hexdigest()[:16]
    root = make_folder(work_folder(address) / "whole")
    folder, complete = root / version / store.name, root / f"{version}.complete"
    with FileLock(root / f"{version}.lock"):  # others wait for the one that brings it
        if not complete.is_file():
            with progress_bar(f"bringing {address}", of_bytes=True) as progress:
                store.bring({name: one for name, one in listed.items() if not _lies_in(folder, name, one)}, folder,
                            progress)  # fmt: skip
            write_text(complete, f"{address}\n")
    _whole[folder] = address
    return folder


def _lies_in(folder: Path, name: str, stored: Stored) -> bool:
    try:
        state = (folder / name).stat()
    except OSError:
        return False
    return (state.st_size, state.st_mtime_ns) == (stored.size, stored.modified)


def owner_of(path: Path) -> tuple[WorkingCopy, str] | None:
    """The open working copy that ``path`` lies in, and its name there."""
    if _open:
        path = path.absolute()
        for folder, copy in _open.items():
            if path.is_relative_to(folder):
                return copy, path.relative_to(folder).as_posix()
    return None


def copy_at(folder: Path) -> WorkingCopy | None:
    """The working copy whose folder this is."""
    return _open.get(folder.absolute()) if _open else None


def modified(path: Path | str) -> int | None:
    """When a file was changed, in nanoseconds, whether it lies here or in the store alone; None where it is nowhere."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        owner = owner_of(Path(path))
        stored = owner[0].listed.get(owner[1]) if owner else None
        return None if stored is None else stored.modified


def brought_here(path: Path) -> Path:
    """``path``, brought from the store where it lies there alone."""
    owner = owner_of(path)
    if owner is not None and not path.is_file():
        copy, name = owner
        copy.pull(lambda other: other == name)
    return path


def said(path: Path | str) -> str:
    """A path as people are told it: inside a working copy, its address."""
    text = str(path)
    for folder, address in [*((folder, copy.store.address) for folder, copy in _open.items()), *_whole.items()]:
        text = text.replace(str(folder), address)
    return text


def departure(path: Path) -> tuple[str, str, bool] | None:
    """What travels in place of a path in a working copy: address, name, and whether all of it is brought."""
    path = path.absolute()
    for folder, address in _whole.items():
        if path.is_relative_to(folder):
            return address, path.relative_to(folder).as_posix(), True
    owner = owner_of(path)
    return (owner[0].store.address, owner[1], False) if owner else None


def arrival(address: str, name: str, whole: bool) -> Path:
    """What :func:`departure` gave, as a path of this process's own copy; what is whole is brought if it is not here."""
    return (whole_copy(address) if whole else own_copy(address).folder) / name
