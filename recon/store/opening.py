"""Where a command works that is given a folder or an address: the folder itself, or a working copy of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from recon.errors import MesofaceError, UsageError
from recon.progress import progress_bar
from recon.store.address import Place
from recon.store.claim import claimed
from recon.store.copies import WorkingCopy
from recon.store.objects import Store
from recon.store.places import said, working_copy

Wanted = Callable[[str], bool]

RUN = "run.json"
DATABASE = ("database.json", "build.json")
_REPORT = ("report/",)


def is_light(name: str) -> bool:
    """Whether a command needs an object of a finished result itself: its records and numbers, and known truths."""
    if name.endswith((".json", ".parquet", ".cluster.jsonl")):
        return not name.endswith("timings.json")
    return name.startswith("descriptors/") or name.rpartition("/")[2].startswith("truth")


def is_shown(name: str) -> bool:
    """Whether reports and sheets look at an object: what is light, and pictures for screens."""
    return is_light(name) or name.endswith(".png")


def is_head(name: str) -> bool:
    """Whether an object is part of a result, its pictures by renderers left out."""
    return "/views/" not in name and not name.startswith("descriptors/")


@contextmanager
def made_in(place: Place, *, existing: bool = False, marks: tuple[str, ...] = (RUN,)) -> Iterator[Path]:
    """Where a command works that makes something at ``place``; nobody else makes anything there meanwhile.

    What it made is sent when the block ends, however it ends, and what tasks make as soon as it is finished.

    Args:
        existing: whether something must be there already.
        marks: names of which one must be there, unless nothing is.

    Raises:
        UsageError: no address, something else lies there, or another program works on it.
        StorageError: the store cannot be reached or refuses.
    """
    if isinstance(place, Path):
        yield place
        return
    store = Store.of(place)
    with claimed(store) as claim, working_copy(store) as copy, spoken():
        copy.check = claim.check
        _prepare(copy, existing, marks, is_light)
        try:
            yield copy.folder
        except BaseException:
            with suppress(MesofaceError):  # what went wrong first is what the user should read
                copy.push()
            raise
        copy.push()


@contextmanager
def brought(place: Place, wanted: Wanted = is_light, *, marks: tuple[str, ...] = (RUN,)) -> Iterator[Path]:
    """Where a command works that reads what is at ``place``; of what it writes only ``report/`` is sent.

    Args:
        wanted: which objects it reads.
        marks: names of which one must be there.

    Raises:
        UsageError: no address, or something else lies there.
        StorageError: the store cannot be reached or refuses.
    """
    if isinstance(place, Path):
        yield place
        return
    store = Store.of(place)
    with working_copy(store) as copy, spoken():
        _prepare(copy, True, marks, wanted)
        yield copy.folder
        copy.push(_REPORT)


def _prepare(copy: WorkingCopy, existing: bool, marks: tuple[str, ...], wanted: Wanted) -> None:
    """One listing, which says what is finished; then what of it the command needs."""
    address = copy.store.address
    with progress_bar(f"reading {address}", of_bytes=True) as progress:
        copy.look()
        there = [name for name in copy.listed if not name.startswith(".")]
        if not any(mark in copy.listed for mark in marks):
            if there:
                raise UsageError(f"'{address}' is not empty and has no {marks[0]}: name a new address.")
            if existing:
                raise UsageError(f"'{address}' holds nothing: look for a typing error, or make it with 'mesoface run'.")
        copy.settle()
        copy.pull(wanted, progress)


@contextmanager
def spoken() -> Iterator[None]:
    """Typed errors out of the block speak of addresses, not of the folders in which this process has its copies."""
    try:
        yield
    except MesofaceError as error:
        error.args = tuple(said(part) if isinstance(part, str) else part for part in error.args)
        raise
