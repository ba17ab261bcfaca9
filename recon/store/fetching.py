"""A whole run or database out of a store, into a folder that is the user's from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from recon.errors import UsageError
from recon.runs.lock import locked
from recon.storage import make_folder, read_json, write_json
from recon.store.copies import rank
from recon.store.objects import Progress, Store, Stored
from recon.store.opening import DATABASE, RUN

NOTE = ".fetched.json"
"""In the folder: where it comes from, and what its own records were when it was complete."""

_RECORDS_OF_A_RESULT = ("result.json", "failure.json", "not_applicable.json")


@dataclass(frozen=True)
class Fetched:
    """What fetching came to: files brought and kept, bytes brought."""

    fetched: int
    kept: int
    size: int


def fetch_store(address: str, folder: Path, progress: Progress) -> Fetched:
    """Brings what ``folder`` lacks; may be killed at any time and called again.

    Files come before the records that vouch for them, and what makes the folder a run or a database comes last.

    Args:
        progress: called with bytes done and their sum.

    Raises:
        UsageError: no run or database lies there, or the folder is another's, or was worked in since.
        StorageError: the store cannot be reached, or the disk is full; what was brought stays.
    """
    store = Store.of(address)
    listed = {name: one for name, one in store.listed().items() if not name.startswith(".")}
    if not any(mark in listed for mark in (RUN, *DATABASE)):
        raise UsageError(f"'{store.address}' is no run and no database: it has no {RUN} and no {DATABASE[0]}.")
    _check_folder(folder, store.address)
    with locked(folder / ".fetched.lock", f"'{folder}'"):
        lacking = {name: one for name, one in listed.items() if not _is_here(folder / name, one)}
        _drop_outdated(folder, listed)
        size = sum(one.size for one in lacking.values())
        before = 0
        for step in sorted({rank(name) for name in lacking}):
            some = {name: one for name, one in lacking.items() if rank(name) == step}
            store.bring(some, folder, partial(_further, progress, before, size))
            before += sum(one.size for one in some.values())
        write_json(folder / NOTE, {"from": store.address, "state": _state(folder)})
        return Fetched(len(lacking), len(listed) - len(lacking), size)


def _further(progress: Progress, before: int, size: int, done: int, _total: int | None) -> None:
    progress(before + done, size)


def _is_here(path: Path, stored: Stored) -> bool:
    try:
        state = path.stat()
    except OSError:
        return False
    return (state.st_size, state.st_mtime_ns) == (stored.size, stored.modified)


def _check_folder(folder: Path, address: str) -> None:
    """Nothing of the user's may be overwritten."""
    if (folder / NOTE).is_file():
        note = read_json(folder / NOTE)
        if note["from"] != address:
            raise UsageError(f"'{folder}' holds what was fetched from '{note['from']}': name another folder.")
        if note["state"] is not None and note["state"] != _state(folder):
            raise UsageError(
                f"'{folder}' was worked in since it was fetched, and fetching again would undo that: name another "
                "folder."
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"'{folder}' is not empty: name a new folder.")
    make_folder(folder)
    write_json(folder / NOTE, {"from": address, "state": None})


def _state(folder: Path) -> dict[str, Any]:
    """Sizes and times of the files that every work on a run or database changes."""
    paths = [folder / name for name in (RUN, "metrics.parquet", *DATABASE)]
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in paths if path.is_file()}


def _drop_outdated(folder: Path, listed: Mapping[str, Stored]) -> None:
    """Removes a result's record that the store has no more: it would vouch for files of the next attempt."""
    for path in folder.glob("results/*/*/*/*.json"):
        if path.name in _RECORDS_OF_A_RESULT and path.relative_to(folder).as_posix() not in listed:
            path.unlink()
