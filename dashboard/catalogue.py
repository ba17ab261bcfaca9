"""The runs that the dashboard knows: run folders found under its folder, each with what is wrong with it.

A run's name is its path below the dashboard's folder with ``/`` written as ``~``, so that it is one part of a URL.
Names that come from a URL are looked up here and never joined to a path: what is not found here is not opened.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboard.settings import current
from recon.errors import MesofaceError
from recon.runs.folder import RunFolder

DEPTH = 3
"""How many folders deep runs are looked for."""

_FRESH_SECONDS = 2.0
# What lies inside a run is never another run.
_INSIDE = {"results", "reference", "descriptors", "report", ".metrics"}


@dataclass(frozen=True)
class Run:
    """A run folder.

    Attributes:
        name: as in URLs.
        folder: where it lies.
        config: ``run.json``; empty where it cannot be read.
        problem: a sentence with the mend where the run cannot be shown; otherwise empty.
        stamp: changes whenever ``run.json`` or ``metrics.parquet`` does.
    """

    name: str
    folder: RunFolder
    config: dict[str, Any]
    problem: str
    stamp: tuple[int, ...]

    @property
    def title(self) -> str:
        """The name as people write it."""
        return self.name.replace("~", "/")

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order of the run."""
        return tuple(self.config.get("methods", ()))

    @property
    def protocols(self) -> tuple[str, ...]:
        """In the order of the run."""
        return tuple(self.config.get("protocols", ()))

    @property
    def subjects(self) -> tuple[str, ...]:
        """In the order of the run."""
        return tuple(self.config.get("subjects", ()))


_found: dict[Path, tuple[float, dict[str, Run]]] = {}


def runs() -> dict[str, Run]:
    """All runs by name, newest first; looked for anew when the last look is older than two seconds."""
    top = current().runs
    known = _found.get(top)
    if known is None or time.monotonic() - known[0] > _FRESH_SECONDS:
        entries = sorted((_entry(top, path) for path in _folders(top)), key=lambda run: -max(run.stamp))
        known = _found[top] = (time.monotonic(), {run.name: run for run in entries})
    return known[1]


def _folders(top: Path, depth: int = 0) -> Iterator[Path]:
    """Folders with a ``run.json``; ``top`` itself may be one. Links are not followed."""
    if os.path.isfile(top / "run.json"):  # Path.is_file raises where the folder is not ours to read
        yield top
        return
    if depth == DEPTH:
        return
    try:
        inside = sorted(entry.path for entry in os.scandir(top) if entry.is_dir(follow_symlinks=False))
    except OSError:  # gone since, or not ours to read: there is no run to show in it
        return
    for path in inside:
        if Path(path).name not in _INSIDE:
            yield from _folders(Path(path), depth + 1)


def _entry(top: Path, path: Path) -> Run:
    name = path.name if path == top else str(path.relative_to(top)).replace(os.sep, "~")
    folder = RunFolder(path)
    problem, config = "", {}
    try:
        config = folder.read_config()
    except MesofaceError as error:
        problem = str(error)
    return Run(name, folder, config, problem, (modified(folder.config), modified(folder.metrics)))


def modified(path: Path) -> int:
    """When it was written last, in nanoseconds; 0 where it is not there, or not any more."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
