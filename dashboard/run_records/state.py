"""What a run holds: how many results are done, failed, set aside or missing, and how much room they take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import streamlit as st

from dashboard.catalogue import Run
from recon.errors import MesofaceError
from recon.runs.folder import ResultKey

FRESH_SECONDS = 30


@dataclass(frozen=True)
class Trouble:
    """A result that is not there, and why."""

    key: ResultKey
    reason: str


@dataclass(frozen=True)
class RunState:
    """Counts of a run's results.

    Attributes:
        done: complete results; ``expected`` is methods × protocols × subjects.
        failed, aside: those that failed, and those that a method does not apply to, with the reason.
        missing: those that were not tried yet.
        made: when ``run.json`` was written last.
    """

    done: int
    expected: int
    failed: tuple[Trouble, ...]
    aside: tuple[Trouble, ...]
    missing: int
    made: datetime


def state_of(run: Run) -> RunState:
    """As it was at most half a minute ago; a longer look is taken in the background."""
    return _state(str(run.folder.path), run.stamp, run)


@st.cache_resource(max_entries=256, ttl=FRESH_SECONDS, refresh_mode="background", show_spinner="Counting results …")
def _state(name: str, stamp: tuple[int, ...], _run: Run) -> RunState:
    done, missing = 0, 0
    failed: list[Trouble] = []
    aside: list[Trouble] = []
    for key, folder in _results(_run):
        if os.path.isfile(f"{folder}/result.json"):
            done += 1
        elif os.path.isfile(f"{folder}/failure.json"):
            failed.append(Trouble(key, _why(_run, key)))
        elif os.path.isfile(f"{folder}/not_applicable.json"):
            aside.append(Trouble(key, _why(_run, key)))
        else:
            missing += 1
    made = datetime.fromtimestamp(_run.folder.config.stat().st_mtime, UTC)
    return RunState(done, done + len(failed) + len(aside) + missing, tuple(failed), tuple(aside), missing, made)


def _results(run: Run) -> Iterator[tuple[ResultKey, str]]:
    """Every result that the run shall have, and its folder."""
    for protocol in run.protocols:
        for method in run.methods:
            # One path a method and protocol: it is parsed once and not once a subject.
            place = os.fspath(run.folder.result(ResultKey(method, protocol, "x")).parent)
            for subject in run.subjects:
                yield ResultKey(method, protocol, subject), f"{place}/{subject}"


def _why(run: Run, key: ResultKey) -> str:
    try:
        failure = run.folder.failure(key)
        return str(failure["message"]) if failure else str(run.folder.not_applicable(key))
    except (MesofaceError, KeyError, TypeError, ValueError) as error:
        return f"its record cannot be read ({error})"


def size_of(run: Run) -> int:
    """Bytes of all files of the run, as they were at most some minutes ago."""
    return _size(str(run.folder.path), run.stamp)


@st.cache_resource(max_entries=256, ttl=600, refresh_mode="background", show_spinner="Adding up file sizes …")
def _size(folder: str, stamp: tuple[int, ...]) -> int:
    return _bytes_below(folder)


def _bytes_below(folder: str) -> int:
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    total += _bytes_below(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    total += entry.stat(follow_symlinks=False).st_size
    except OSError:  # removed or replaced while it was looked at: what is gone takes no room
        return total
    return total
