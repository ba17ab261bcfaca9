"""Measures what a run has not measured yet, and keeps the values in ``metrics.parquet``.

Result and reference pair by id: method, protocol, subject. The reference is the photograph, and the truth besides
where the subject has one; metrics against the truth give no row for the others. A row carries all that identifies its
value; where a value could not be had, ``value`` is empty and ``reason`` says why. A row belongs to one very result
(``result``, the hash of its ``result.json``) and one version of the metric; when either changes the value is measured
anew. The file is rewritten whole and atomically after every subject, so a killed evaluation goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metrics import METRICS
from metrics.contract import Component, Judged, Metric, Reference
from metrics.pairs import Pair, open_pair, spaces_of, view_of
from recon.errors import InputError, MesofaceError
from recon.runs.config import default_jobs
from recon.runs.folder import ResultKey, RunFolder
from recon.runs.lock import locked
from recon.storage import atomic_path
from recon.worker_pool import Died, Report, Reported, work_through

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "method",
    "protocol",
    "subject",
    "space",
    "view",
    "region",
    "metric",
    "value",
    "reason",
    "unit",
    "direction",
    "family",
    "library",
    "version",
    "parameters",
    "size",
    "result",
)


@dataclass(frozen=True)
class EvaluationTask:
    """Results of one subject that lack values, each with the names of the metrics to measure."""

    folder: Path
    subject: str
    work: tuple[tuple[ResultKey, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Evaluation:
    """What measuring gave.

    Attributes:
        measured: results measured now.
        problems: what could not be measured, in words, each naming its result.
    """

    measured: int
    problems: tuple[str, ...]


def evaluate(
    folder: RunFolder,
    progress: Callable[[str, int, int], None],
    metrics: Sequence[str] | None = None,
    jobs: int | None = None,
) -> Evaluation:
    """Bring ``metrics.parquet`` up to date with the results.

    Args:
        metrics: registry names; all if None.
        jobs: worker processes; None for as many as the machine allows.

    Raises:
        UsageError: no run folder, an unknown metric, or another process is measuring.
        StorageError: the disk is full.
    """
    names = list(metrics or METRICS.names())
    for name in names:
        METRICS.get(name)
    with locked(folder.metrics_lock, f"'{folder.metrics}'"):
        present = {(key, result_identity(folder, key)) for key, _ in folder.results()}
        rows = _still_valid(read_rows(folder), present)
        tasks = _missing(folder, rows, names)
        total = sum(len(task.work) for task in tasks)
        workers = min(jobs or default_jobs(len(tasks) or 1), max(1, len(tasks)))
        threads = max(1, (os.cpu_count() or 1) // workers)
        problems: list[str] = []
        done = 0
        if tasks:  # or a program that only reads would be told of work that there is not
            progress("measuring", done, total)
        for event in work_through(tasks, _prepare, None, jobs=workers, threads=threads):
            if isinstance(event, Died):
                problems.append(f"{event.task.subject}: {event.reason}")
                continue
            if not isinstance(event, Reported):
                continue
            found = event.content
            remade = {(row["method"], row["protocol"], row["subject"], row["family"]) for row in found}
            rows = [r for r in rows if (r["method"], r["protocol"], r["subject"], r["family"]) not in remade] + found
            problems += [_named(row) for row in found if row["space"] == ""]
            _write_rows(folder, rows)
            done += len(event.task.work)
            progress("measuring", done, total)
        if not tasks:
            _write_rows(folder, rows)
    return Evaluation(done, tuple(dict.fromkeys(problems)))


def _named(row: Mapping[str, Any]) -> str:
    return f"{row['subject']} · {row['protocol']} · {row['method']}: {row['reason']}"


def result_identity(folder: RunFolder, key: ResultKey) -> str:
    """Hash of ``result.json``, which itself holds the hashes of the result's files."""
    return hashlib.sha256((folder.result(key) / "result.json").read_bytes()).hexdigest()[:16]


def read_rows(folder: RunFolder) -> list[dict[str, Any]]:
    """All rows of ``metrics.parquet``; none if it is absent.

    Raises:
        InputError: the file is damaged.
    """
    import pandas as pd

    if not folder.metrics.is_file():
        return []
    try:
        frame = pd.read_parquet(folder.metrics)
    except (OSError, ValueError) as error:  # pyarrow's ArrowInvalid is a ValueError
        raise InputError(
            f"'{folder.metrics}' cannot be read ({error}): delete it, the values are measured again."
        ) from error
    if set(COLUMNS) - set(frame.columns):
        raise InputError(f"'{folder.metrics}' lacks columns of this version: delete it, the values are measured again.")
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def rows_as_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table, in the order of :data:`COLUMNS`, sorted so that equal contents give equal files."""
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(COLUMNS))
    frame["value"] = frame["value"].astype("float64")
    frame["size"] = frame["size"].astype("int64")
    order = ["protocol", "space", "region", "family", "metric", "method", "subject"]
    return frame.sort_values(order, kind="stable").reset_index(drop=True)


def _write_rows(folder: RunFolder, rows: Iterable[Mapping[str, Any]]) -> None:
    with atomic_path(folder.metrics) as temporary:
        rows_as_frame(rows).to_parquet(temporary, index=False)


def _identity_of(metric: Metric) -> tuple[str, str, str]:
    parameters = dict(metric.parameters)
    if metric.reference != "photograph":
        parameters["reference"] = metric.reference
    return metric.library, metric.version, json.dumps(parameters, sort_keys=True, ensure_ascii=False)


def _still_valid(rows: list[dict[str, Any]], present: set[tuple[ResultKey, str]]) -> list[dict[str, Any]]:
    """Rows whose result is still the one that was measured, by the metric that is still the same."""
    versions = {name: _identity_of(METRICS.get(name)) for name in METRICS.names()}
    return [
        row
        for row in rows
        if (ResultKey(row["method"], row["protocol"], row["subject"]), row["result"]) in present
        and versions.get(row["family"]) == (row["library"], row["version"], row["parameters"])
    ]


def _missing(folder: RunFolder, rows: list[dict[str, Any]], names: list[str]) -> list[EvaluationTask]:
    # A row without a space says that the result could not be paired: it is tried again.
    have = {(r["method"], r["protocol"], r["subject"], r["family"]) for r in rows if r["space"]}
    by_subject: dict[str, list[tuple[ResultKey, tuple[str, ...]]]] = {}
    for key, _ in folder.results():
        lacking = tuple(
            name
            for name in names
            if (key.method, key.protocol, key.subject, name) not in have and _spaces(folder, key, name)
        )
        if lacking:
            by_subject.setdefault(key.subject, []).append((key, lacking))
    return [EvaluationTask(folder.path, subject, tuple(work)) for subject, work in sorted(by_subject.items())]


def _prepare(_: None) -> Callable[[EvaluationTask, Report], None]:
    return _measure_subject


def _measure_subject(task: EvaluationTask, report: Report) -> None:
    folder = RunFolder(task.folder)
    rows: list[dict[str, Any]] = []
    for key, names in task.work:
        rows += measure_result(folder, key, names)
    report(rows)


def _spaces(folder: RunFolder, key: ResultKey, name: str) -> frozenset[str]:
    """Where the metric ``name`` has something to compare the result with; empty where it does not apply."""
    metric = METRICS.get(name)
    return metric.spaces & spaces_of(folder, key.subject, metric.reference)


def measure_result(folder: RunFolder, key: ResultKey, names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of one result for the metrics ``names``; where it cannot be paired, one row a metric with the reason."""
    result = result_identity(folder, key)
    opened: dict[tuple[str, str], Pair | MesofaceError] = {}
    rows: list[dict[str, Any]] = []
    for name in names:
        metric = METRICS.get(name)
        pairs: dict[str, Pair] = {}
        # A metric is measured in all of its spaces or in none, so that a row means that nothing of it is missing.
        error: MesofaceError | None = None
        for space in sorted(_spaces(folder, key, name)):
            place = (metric.reference, space)
            if place not in opened:
                opened[place] = _opened(folder, key, metric.reference, space)
            found = opened[place]
            if isinstance(found, Pair):
                pairs[space] = found
            else:
                error = error or found
        if error is not None:
            rows += [_row(key, result, name, "", "", component, 0, None, str(error)) for component in metric.components]
            continue
        rows += [row for space, pair in pairs.items() for row in _measured(key, result, name, space, pair)]
    return rows


def _opened(folder: RunFolder, key: ResultKey, reference: Reference, space: str) -> Pair | MesofaceError:
    try:
        return open_pair(folder, key, reference, space)
    except MesofaceError as error:
        return error


def _measured(key: ResultKey, result: str, name: str, space: str, pair: Pair) -> list[dict[str, Any]]:
    metric = METRICS.get(name)
    rows: list[dict[str, Any]] = []
    known: dict[bytes, Sequence[float]] = {}
    for region, demanded in pair.regions.items():
        # Where nothing is withheld, "visible" and "all" are the same texels: measured once.
        same = demanded.tobytes()
        if same not in known:
            judged = Judged(pair.result, pair.reference, demanded, demanded & pair.vouched, pair.whole)
            known[same] = metric.measure([judged], "cpu")[0]
        for component, value in zip(metric.components, known[same], strict=True):
            places = f"{int(demanded.sum())} {'vertices' if space == 'shape' else 'pixels'}"
            reason = "" if math.isfinite(value) else f"not defined on this region of {places}"
            rows.append(_row(key, result, name, space, region, component, len(pair.result), value, reason))
    return rows


def _row(
    key: ResultKey,
    result: str,
    family: str,
    space: str,
    region: str,
    component: Component,
    size: int,
    value: float | None,
    reason: str,
) -> dict[str, Any]:
    metric = METRICS.get(family)
    library, version, parameters = _identity_of(metric)
    return {
        "method": key.method,
        "protocol": key.protocol,
        "subject": key.subject,
        "space": space,
        "view": view_of(space),
        "region": region,
        "metric": component.name,
        "value": float("nan") if reason or value is None else float(value),
        "reason": reason,
        "unit": component.unit,
        "direction": component.direction,
        "family": family,
        "library": library,
        "version": version,
        "parameters": parameters,
        "size": size,
        "result": result,
    }
