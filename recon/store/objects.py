"""A store as the rest of this room sees it: names with sizes and times, brought, sent and removed many at a time.

A name is what stands behind the address: ``results/meso/identity/ada/result.json``. An object is there whole or not at
all, as stores promise of a single object; of several, whoever writes them keeps the order.
"""

from __future__ import annotations

import datetime
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from recon.errors import StorageError, UsageError
from recon.storage import make_folder, storage_errors
from recon.store.address import checked_address
from recon.store.failures import is_no_bucket, store_failures
from recon.store.s3 import AT_ONCE, S3Driver

Progress = Callable[[int, int | None], None]

TOGETHER = 128
"""Objects of one transfer, of which the driver moves :data:`recon.store.s3.AT_ONCE` at the same time."""
_INCOMING = ".incoming-"
_ABANDONED = 3600.0
_TIMES = ("LastModified", "mtime", "updated", "last_modified", "modified", "created")
_PACKAGES = {"gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
"""Drivers of fsspec that are not ours to bring along."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object: bytes, and nanoseconds since 1970 of its last change by the store's clock."""

    size: int
    modified: int


@dataclass(frozen=True)
class Store:
    """The objects behind an address.

    Attributes:
        address: ``s3://bucket/prefix``, without a slash at its end.
    """

    address: str

    @classmethod
    def of(cls, address: str) -> Store:
        """The store at ``address``; nothing is asked of it yet.

        Raises:
            UsageError: no address, an unknown scheme, or a driver that is not installed.
        """
        store = cls(checked_address(address))
        _ = store._driver
        return store

    @property
    def name(self) -> str:
        """The last part of the address, as a folder's name."""
        return self.address.rpartition("/")[2]

    @cached_property
    def _driver(self) -> tuple[Any, str]:
        """The driver, and the address as it says it."""
        scheme, _, root = self.address.partition("://")
        if scheme == "s3":
            return S3Driver(), root
        import fsspec.core

        try:
            system, root = fsspec.core.url_to_fs(self.address, use_listings_cache=False)
        except ImportError as error:
            package = _PACKAGES.get(scheme)
            mend = f"pip install {package}" if package else "install it"
            raise UsageError(f"'{self.address}' needs a driver that is not installed ({error}): {mend}.") from error
        except ValueError as error:
            raise UsageError(f"nothing here knows addresses {scheme}:// ({error}): use s3://BUCKET/PREFIX.") from error
        return system, str(root).rstrip("/")

    def _key(self, name: str) -> str:
        return f"{self._driver[1]}/{name}"

    def listed(self, under: str = "") -> dict[str, Stored]:
        """All objects whose name begins with the folder ``under`` (``reference/ada/``); of all, if it is empty.

        Raises:
            UsageError, StorageError: see :func:`recon.store.failures.store_failures`.
        """
        system, root = self._driver
        with store_failures(self.address, "read"):
            place = self._key(under).rstrip("/")
            found = system.each(place) if isinstance(system, S3Driver) else system.find(place, detail=True).items()
            return {
                key[len(root) + 1 :]: Stored(int(entry["size"]), _time(entry))
                for key, entry in found
                if entry["type"] == "file" and key.startswith(f"{root}/") and not key.endswith("/")
            }

    def look_at(self, name: str) -> Stored | None:
        """One object; None where it is not."""
        system, _ = self._driver
        with store_failures(self.address, "read"):
            try:
                entry = system.info(self._key(name))
            except FileNotFoundError as error:
                if is_no_bucket(error):
                    raise
                return None
        return Stored(int(entry["size"]), _time(entry)) if entry["type"] == "file" else None

    def read(self, name: str) -> bytes | None:
        """The bytes of one object; None where it is not."""
        system, _ = self._driver
        with store_failures(self.address, "read"):
            try:
                return bytes(system.cat_file(self._key(name)))
            except FileNotFoundError as error:
                if is_no_bucket(error):
                    raise
                return None

    def write(self, name: str, content: bytes) -> None:
        """One object, in place of what had its name."""
        with store_failures(self.address, "write"):
            self._driver[0].pipe_file(self._key(name), content)

    def create(self, name: str, content: bytes) -> bool:
        """One object, where there is none of its name; False where there is. The store decides between several."""
        with store_failures(self.address, "write"):
            try:
                self._driver[0].pipe_file(self._key(name), content, mode="create")
            except FileExistsError:
                return False
        return True

    def remove(self, names: Sequence[str]) -> None:
        """Removes objects; those that are not there do no harm."""
        system, _ = self._driver
        for some in _parts(names):
            with store_failures(self.address, "delete in"):
                try:
                    system.rm([self._key(name) for name in some])
                except FileNotFoundError:
                    for name in some:
                        _without_complaint(system, self._key(name))

    def send(self, names: Sequence[str], folder: Path) -> None:
        """The files ``names`` of ``folder``, in any order."""
        system, _ = self._driver
        for some in _parts(names):
            with store_failures(self.address, "write"):
                system.put(
                    [str(folder / name) for name in some], [self._key(name) for name in some], batch_size=AT_ONCE
                )

    def bring(self, wanted: Mapping[str, Stored], folder: Path, progress: Progress | None = None) -> None:
        """The objects ``wanted`` into ``folder``, each whole or absent and with the time of the store.

        Args:
            progress: called with bytes done and their sum.

        Raises:
            UsageError, StorageError: what had been brought stays.
        """
        system, _ = self._driver
        total, done = sum(one.size for one in wanted.values()), 0
        _remove_abandoned(make_folder(folder))
        for some in _parts(list(wanted)):
            incoming = make_folder(folder / f"{_INCOMING}{secrets.token_hex(6)}")
            try:
                here = [incoming / str(number) for number in range(len(some))]
                with store_failures(self.address, "read"):
                    keys = [self._key(name) for name in some]
                    system.get(keys, [str(path) for path in here], batch_size=AT_ONCE)
                for path, name in zip(here, some, strict=True):
                    _put_in_place(path, folder / name, wanted[name], f"{self.address}/{name}")
            finally:
                shutil.rmtree(incoming, ignore_errors=True)
            done += sum(wanted[name].size for name in some)
            if progress is not None:
                progress(done, total)


def _remove_abandoned(folder: Path) -> None:
    """What programs that were killed were bringing; what is younger may be another machine's."""
    for left in folder.glob(f"{_INCOMING}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED:
            shutil.rmtree(left, ignore_errors=True)


def _put_in_place(path: Path, target: Path, stored: Stored, said: str) -> None:
    if path.stat().st_size != stored.size:
        raise StorageError(f"'{said}' changed while it was read: run the same command again.")
    os.utime(path, ns=(stored.modified, stored.modified))
    make_folder(target.parent)
    with storage_errors(target):
        os.replace(path, target)


def _without_complaint(system: Any, key: str) -> None:
    try:
        system.rm_file(key)
    except FileNotFoundError:
        return


def _parts(names: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while some := list(islice(rest, TOGETHER)):
        yield some


def _time(entry: Mapping[str, Any]) -> int:
    """When an object was changed, in nanoseconds; drivers say it under several names and in several forms."""
    for name in _TIMES:
        value = entry.get(name)
        if isinstance(value, str):
            value = datetime.datetime.fromisoformat(value)
        if isinstance(value, datetime.datetime):
            value = value.timestamp()
        if isinstance(value, (int, float)):
            return round(value * 1e6) * 1000  # microseconds: what a file's time keeps everywhere
    raise StorageError("the driver of this store does not say when its objects were changed: use s3://.")
