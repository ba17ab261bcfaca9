"""Which results a run lacks, and which of its results the table of values does not know yet.

Looked up without reading the results themselves: a result that is newer than the table counts as changed if the hash
of its ``result.json`` is another one than the table says. ``mesoface metrics`` looks closer.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from metrics.comparison import Gap
from metrics.value_table import ValueTable
from recon.errors import InputError
from recon.runs.folder import ResultKey, RunFolder

NOT_APPLICABLE = "not applicable: "
NOT_MADE = "not made yet"


@dataclass(frozen=True)
class ResultsState:
    """Missing results, and sentences about values that are not up to date."""

    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]


def results_state(folders: Sequence[RunFolder], table: ValueTable) -> ResultsState:
    """Compare what runs hold with what their tables say."""
    gaps: list[Gap] = []
    notes: list[str] = []
    for run, folder in enumerate(folders):
        labels = {entry.method: entry.label for entry in table.entries if entry.run == run}
        if not (folder.path / "results").is_dir():
            notes.append(f"'{folder.said}' has a table of values but no results: whether it is up to date is unknown.")
            continue
        missing, unmeasured = _of_run(folder, table.measured[run])
        gaps += [Gap(labels.get(gap.method, gap.method), gap.protocol, gap.subject, gap.reason) for gap in missing]
        if unmeasured:
            noun = "result is" if unmeasured == 1 else "results are"
            notes.append(
                f"{unmeasured} {noun} not measured yet, or changed since: 'mesoface metrics {folder.said}' does it."
            )
    return ResultsState(tuple(gaps), tuple(notes))


def _of_run(folder: RunFolder, measured: Mapping[tuple[str, str, str], str]) -> tuple[list[Gap], int]:
    config = folder.read_config()
    written = folder.metrics.stat().st_mtime_ns if folder.metrics.is_file() else 0
    gaps: list[Gap] = []
    unmeasured = 0
    for protocol in config["protocols"]:
        for method in config["methods"]:
            # One path a method and protocol: it is parsed once and not once a subject.
            place = os.fspath(folder.result(ResultKey(method, protocol, "x")).parent)
            for subject in config["subjects"]:
                record = os.path.join(place, subject, "result.json")
                try:
                    newer = os.stat(record).st_mtime_ns > written
                except OSError:
                    gaps.append(
                        Gap(method, protocol, subject, why_missing(folder, ResultKey(method, protocol, subject)))
                    )
                    continue
                said = measured.get((method, protocol, subject))
                unmeasured += said is None or (newer and said != _identity(record))
    return gaps, unmeasured


def _identity(record: str) -> str:
    return hashlib.sha256(Path(record).read_bytes()).hexdigest()[:16]


def why_missing(folder: RunFolder, key: ResultKey) -> str:
    """Why a run lacks a result: how it failed, why the method does not apply, or that it was not made yet."""
    try:
        failure, aside = folder.failure(key), folder.not_applicable(key)
        return str(failure["message"]) if failure else NOT_APPLICABLE + aside if aside else NOT_MADE
    except (InputError, KeyError, TypeError, ValueError) as error:
        return f"its record cannot be read ({error})"
