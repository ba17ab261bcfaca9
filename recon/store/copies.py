"""A working copy: a folder in which some of a store's objects lie, and what of it is not as the store has it."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from recon.storage import PARTIAL_MARK, make_folder
from recon.store.objects import Progress, Store, Stored

# Rows that a measuring program has not merged yet, and what befell workers; other hidden files are this machine's.
_HIDDEN = (".metrics/", ".cluster.jsonl")
_JOURNAL, _TABLE = ".metrics/", "metrics.parquet"
# Of so few files that were sent, their time in the store is asked for, so that the next command need not bring them.
_ASKED_FOR = 64
_LISTINGS_AT_ONCE = 8


@dataclass
class _Same:
    """A file here that is the store's: its size and time when that was so, and its sha256 where that was looked at."""

    size: int
    modified: int
    sha256: str | None


class WorkingCopy:
    """Some of a store's objects in a folder, used by one process at a time.

    Attributes:
        store, folder: what is where.
        listed: the store's objects, as far as they were looked at, and as this copy has changed them since.
        check: called before anything is sent; raises where this program may not any more.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder = store, make_folder(folder)
        self.listed: dict[str, Stored] = {}
        self.check: Callable[[], None] = _unchecked
        self._same: dict[str, _Same] = {}

    def look(self, *folders: str) -> None:
        """Lists ``folders`` of the store (``reference/ada/``), or all of it; many at the same time."""
        with ThreadPoolExecutor(_LISTINGS_AT_ONCE) as pool:
            found = list(pool.map(self.store.listed, folders or ("",)))
        for under, listed in zip(folders or ("",), found, strict=True):
            self.listed = {name: one for name, one in self.listed.items() if not name.startswith(under)} | listed
            for name in [name for name in self._same if name.startswith(under) and name not in listed]:
                del self._same[name]  # another machine removed it
                (self.folder / name).unlink(missing_ok=True)

    def settle(self) -> None:
        """Keeps what is the store's among files that an earlier program left, and removes the rest.

        Rows that a killed program measured and had not sent yet stay, if the store's table is still the one they
        belong to.
        """
        self._same = {}
        table = self.listed.get(_TABLE)
        journal = table is None or self._is_as(self.folder / _TABLE, table)
        for name in list(self._here()):
            path, stored = self.folder / name, self.listed.get(name)
            if stored is not None and self._is_as(path, stored):
                self._same[name] = _Same(stored.size, stored.modified, None)  # of tens of thousands: not read again
            elif not (name.startswith(_JOURNAL) and stored is None and journal):
                path.unlink(missing_ok=True)

    @staticmethod
    def _is_as(path: Path, stored: Stored) -> bool:
        try:
            state = path.stat()
        except OSError:
            return False
        return (state.st_size, state.st_mtime_ns) == (stored.size, stored.modified)

    def pull(self, wanted: Callable[[str], bool], progress: Progress | None = None) -> None:
        """Brings those of the listed objects that are ``wanted`` and are not here as they are there."""
        lacking: dict[str, Stored] = {}
        for name, stored in self.listed.items():
            if not wanted(name):
                continue
            same = self._same.get(name)
            if same is None or (same.size, same.modified) != (stored.size, stored.modified):
                lacking[name] = stored
        self.store.bring(lacking, self.folder, progress)
        for name in lacking:
            self._note(name)

    def push(self, makes: Iterable[str] = ("",), replaces: Iterable[str] = ()) -> None:
        """Sends what is new or changed here, removes what vanished here; records are sent last.

        A record that changes is taken away before its files are sent: at no time does one vouch for another's files.

        Args:
            makes: beginnings of names; all by default.
            replaces: folders that are made anew as a whole: what the store has besides is removed.
        """
        changed, gone = self._changed(tuple(makes))
        for place in replaces:
            if any(name.startswith(place) for name in changed):
                own = set(self._here(place))
                gone |= {name for name in self.listed if name.startswith(place) and name not in own}
        if not changed and not gone:
            return
        self.check()
        self.store.remove(sorted(gone | self._outdated(changed)))
        for step in range(_LAST + 1):
            self.store.send(sorted(name for name in changed if rank(name) == step), self.folder)
        for name in gone:
            self.listed.pop(name, None)
            self._same.pop(name, None)
        for name in changed:
            self._sent(name, ask=len(changed) <= _ASKED_FOR)

    def _changed(self, makes: tuple[str, ...]) -> tuple[set[str], set[str]]:
        """Names of files that are not as the store has them, and of those that were here and are no more."""
        changed: set[str] = set()
        here: set[str] = set()
        for start in makes:
            for name in self._here(start):
                here.add(name)
                state, same = (self.folder / name).stat(), self._same.get(name)
                if same is not None and (state.st_size, state.st_mtime_ns) == (same.size, same.modified):
                    continue
                if same is None or state.st_size != same.size or _sha256(self.folder / name) != same.sha256:
                    changed.add(name)
        return changed, {name for name in self._same if name.startswith(makes) and name not in here}

    def _outdated(self, changed: set[str]) -> set[str]:
        """Records in the store whose files change with them; those of the whole folder stay."""
        data = [name for name in changed if rank(name) == 0]
        records = [name for name in changed if 0 < rank(name) < _LAST and name in self.listed]
        return {record for record in records if any(name.startswith(f"{record.rpartition('/')[0]}/") for name in data)}

    def _sent(self, name: str, ask: bool) -> None:
        """What was sent is the store's; its time here becomes the store's where that is asked for."""
        path = self.folder / name
        stored = self.store.look_at(name) if ask else None
        if stored is not None:
            os.utime(path, ns=(stored.modified, stored.modified))
        self._note(name)
        same = self._same[name]
        self.listed[name] = Stored(same.size, same.modified)

    def _note(self, name: str) -> None:
        path = self.folder / name
        state = path.stat()
        self._same[name] = _Same(state.st_size, state.st_mtime_ns, _sha256(path))

    def _here(self, start: str = "") -> Iterator[str]:
        """Names of the files here that begin with ``start`` and concern the store."""
        folder = self.folder / start.rpartition("/")[0]
        for place, _, files in os.walk(folder):
            for file in files:
                name = os.path.relpath(os.path.join(place, file), self.folder).replace(os.sep, "/")
                if name.startswith(start) and _concerns(name):
                    yield name

    def look_at(self, names: Iterable[str]) -> None:
        """Looks at single objects of the store and brings them."""
        for name in names:
            stored = self.store.look_at(name)
            if stored is not None:
                self.listed[name] = stored
        self.pull(lambda name: name in names)

    def empty(self, but: Iterable[str] = ()) -> None:
        """Forgets and removes all that is here, ``but`` files of the folder itself; in the store nothing changes."""
        kept = set(but)
        self.listed = {name: one for name, one in self.listed.items() if name in kept}
        self._same = {name: one for name, one in self._same.items() if name in kept}
        for entry in self.folder.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name not in kept:
                entry.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _unchecked() -> None:
    """Nothing speaks against it."""


_LAST = 3


def rank(name: str) -> int:
    """When a file is sent: data first, then records, those of results after those that they rest on, indices last."""
    if not name.endswith(".json") or name.endswith("timings.json"):
        return 0
    if "/" not in name:
        return _LAST
    return 2 if name.endswith("/result.json") else 1


def _concerns(name: str) -> bool:
    if PARTIAL_MARK in name or "/.incoming-" in f"/{name}" or name.endswith(".lock"):
        return False
    return not name.startswith(".") or name.startswith(_HIDDEN)
