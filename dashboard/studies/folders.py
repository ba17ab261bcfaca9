"""Study folders on the disk, and which of them belongs to a study of the database.

A study of the database is looked up by its name among the folders that were found, never by joining a name to a path.
A rehearsal lies in the folder of the study that it rehearses.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from dashboard.catalogue import modified
from dashboard.settings import current
from recon.errors import InputError, MesofaceError
from recon.runs.folder import RunFolder
from recon.storage import make_folder, storage_error, write_text
from study.specification import Specification, read_specification

FILE = "study.yaml"
DEPTH = 2
"""How many folders deep study files are looked for."""

_FRESH_SECONDS = 2.0


@dataclass(frozen=True)
class StudyFolder:
    """A folder with a study file.

    Attributes:
        name: as the file calls the study; of a file that cannot be read the folder's.
        specification: None where the file cannot be read; ``problem`` says why.
        rehearsals: names of the rehearsals that lie in it.
    """

    path: Path
    name: str
    specification: Specification | None
    problem: str
    rehearsals: tuple[str, ...]

    @property
    def file(self) -> Path:
        """The study file."""
        return self.path / FILE

    @property
    def has_pictures(self) -> bool:
        """Whether its pictures were made."""
        return (self.path / "stimuli.json").is_file()

    @property
    def measured(self) -> tuple[int, ...]:
        """Changes whenever a run whose pictures the study shows is measured anew."""
        runs = () if self.specification is None else self.specification.run_folders(self.path)
        return tuple(modified(RunFolder(run).metrics) for run in runs)


def studies_folder() -> Path:
    """Where study folders lie and are made: beside the folder of runs, whether that was named or one run in it."""
    settings = current()
    if settings.studies is not None:
        return settings.studies
    runs = settings.runs.resolve()
    if (runs / "run.json").is_file() and runs.parent.name == "runs":
        runs = runs.parent
    return runs.parent / "studies"


_found: dict[Path, tuple[float, dict[str, StudyFolder]]] = {}


def folders() -> dict[str, StudyFolder]:
    """All study folders by the name of their study; of two with one name the first in the order of paths."""
    top = studies_folder()
    known = _found.get(top)
    if known is None or time.monotonic() - known[0] > _FRESH_SECONDS:
        found: dict[str, StudyFolder] = {}
        for path in _with_files(top, DEPTH):
            one = _entry(path, _stamp(path))
            found.setdefault(one.name, one)
        known = _found[top] = (time.monotonic(), found)
    return known[1]


def look_again() -> None:
    """Forget what was found: a study file was written."""
    _found.clear()


def folder_of(name: str) -> StudyFolder | None:
    """The folder of the study or rehearsal ``name``; None where it is not here."""
    known = folders()
    return known.get(name) or next((one for one in known.values() if name in one.rehearsals), None)


def _with_files(top: Path, depth: int) -> list[Path]:
    if os.path.isfile(top / FILE):  # Path.is_file raises where the folder is not ours to read
        return [top]
    if not depth:
        return []
    try:
        inside = sorted(entry.path for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False))
    except OSError:  # not there yet, or not ours to read: there is no study to show in it
        return []
    return [path for one in inside for path in _with_files(Path(one), depth - 1)]


def _stamp(path: Path) -> tuple[int, ...]:
    return modified(path / FILE), modified(path / "rehearsals")


@st.cache_resource(max_entries=2000, show_spinner=False)
def _entry(path: Path, stamp: tuple[int, ...]) -> StudyFolder:
    rehearsals = tuple(sorted(one.stem for one in (path / "rehearsals").glob("*.json")))
    try:
        specification = read_specification(path / FILE)
    except MesofaceError as error:
        return StudyFolder(path, path.name, None, str(error), rehearsals)
    return StudyFolder(path, specification.name, specification, "", rehearsals)


def write_study(name: str, text: str) -> Path:
    """Write a new study file into a new folder called ``name``; the file.

    Raises:
        InputError: there is such a folder already, which is never written over.
        StorageError: it cannot be written.
    """
    folder = make_folder(studies_folder()) / name
    try:
        folder.mkdir()
    except FileExistsError as error:
        raise InputError(
            f"'{folder}' is there already, and is not written over: give the study another name."
        ) from error
    except OSError as error:
        raise storage_error(error, folder) from error
    try:
        write_text(folder / FILE, text)
    except MesofaceError:
        folder.rmdir()  # or the next try would find the name taken
        raise
    look_again()
    return folder / FILE
