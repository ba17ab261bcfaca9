"""Measures what a run has not measured yet, and keeps the values in ``metrics.parquet``.

Result and reference pair by id: method, protocol, subject. A row carries all that identifies its value; where a value
could not be had, ``value`` is empty and ``reason`` says why. A row belongs to one very result (``result``, the hash of
its ``result.json``) and one version of the metric; when either changes the value is measured anew. The file is
rewritten whole and atomically after every subject, so a killed evaluation goes on where it was.
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

import numpy as np
from numpy.typing import NDArray

from metrics import METRICS
from metrics.contract import Judged, Metric
from recon.errors import InputError, MesofaceError, PairingError
from recon.images import read_png
from recon.runs.config import default_jobs
from recon.runs.folder import ResultKey, RunFolder
from recon.runs.lock import locked
from recon.storage import atomic_path, read_json
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
REGIONS = ("skin/visible", "skin/withheld", "skin/all")


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
    return metric.library, metric.version, json.dumps(dict(metric.parameters), sort_keys=True, ensure_ascii=False)


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
        lacking = tuple(name for name in names if (key.method, key.protocol, key.subject, name) not in have)
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


def measure_result(folder: RunFolder, key: ResultKey, names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of one result for the metrics ``names``; where it cannot be paired, one row a metric with the reason."""
    result = result_identity(folder, key)
    rows: list[dict[str, Any]] = []
    try:
        spaces = {"uv": _uv_pair(folder, key), "image": _image_pair(folder, key)}
    except MesofaceError as error:
        return [_row(key, result, name, "", "", component, 0, None, str(error))
                for name in names for component in METRICS.get(name).components]  # fmt: skip
    for space, (ours, reference, vouched, regions) in spaces.items():
        for name in names:
            metric = METRICS.get(name)
            if space not in metric.spaces:
                continue
            known: dict[bytes, Sequence[float]] = {}
            for region, demanded in regions.items():
                # Where nothing is withheld, "visible" and "all" are the same texels: measured once.
                same = demanded.tobytes()
                if same not in known:
                    known[same] = metric.measure(Judged(ours, reference, demanded, demanded & vouched))
                for component, value in zip(metric.components, known[same], strict=True):
                    reason = (
                        "" if math.isfinite(value) else f"not defined on this region of {int(demanded.sum())} pixels"
                    )
                    rows.append(_row(key, result, name, space, region, component, ours.shape[0], value, reason))
    return rows


def _row(
    key: ResultKey,
    result: str,
    family: str,
    space: str,
    region: str,
    component: str,
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
        "view": {"uv": "albedo", "image": "fitted"}.get(space, ""),
        "region": region,
        "metric": component,
        "value": float("nan") if reason or value is None else float(value),
        "reason": reason,
        "unit": metric.unit,
        "direction": metric.direction,
        "family": family,
        "library": library,
        "version": version,
        "parameters": parameters,
        "size": size,
        "result": result,
    }


Pair = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_], dict[str, NDArray[np.bool_]]]
"""Result, reference, where the method vouches for the result, and the regions that are judged."""


def _uv_pair(folder: RunFolder, key: ResultKey) -> Pair:
    """Albedo of the result beside that of the undegraded photograph, unwrapped with the same fit."""
    reference = _reference_folder(folder, key)
    result = folder.result(key)
    ours, truth = _colours(result / "albedo.png", key), _colours(reference / "albedo.png", key)
    _same_shape(ours, truth, key, "albedo map")
    regions = _regions(_mask(reference / "skin.png", key), _mask(reference / "withheld.png", key))
    return ours, truth, _mask(result / "mask.png", key), regions


def _image_pair(folder: RunFolder, key: ResultKey) -> Pair:
    """The fitted view beside the undegraded photograph, both cropped to the same box."""
    reference = _reference_folder(folder, key)
    left, top, right, bottom = read_json(reference / "reference.json")["crop"]
    photograph = _colours(folder.reference(key.subject) / "photo.png", key)[top:bottom, left:right]
    ours = _colours(folder.result(key) / "views" / "fitted.png", key)
    _same_shape(ours, photograph, key, "view")
    skin, withheld = _mask(reference / "image_skin.png", key), _mask(reference / "image_withheld.png", key)
    vouched = _mask(folder.result(key) / "views" / "fitted_mask.png", key)
    return ours, photograph, vouched, _regions(skin, withheld)


def _regions(skin: NDArray[np.bool_], withheld: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
    parts = {"skin/visible": skin & ~withheld, "skin/withheld": skin & withheld, "skin/all": skin}
    return {name: parts[name] for name in REGIONS if parts[name].any()}


def _reference_folder(folder: RunFolder, key: ResultKey) -> Path:
    if folder.reference_record(key.subject, key.protocol) is None:
        raise PairingError(
            f"subject '{key.subject}' has no complete reference for protocol '{key.protocol}': run 'mesoface run' "
            "again with the same settings, it makes what is missing."
        )
    return folder.judged(key.subject, key.protocol)


def _colours(path: Path, key: ResultKey) -> NDArray[np.float32]:
    found = _read(path, key)
    if found.ndim != 3:
        raise PairingError(f"'{path}' is no colour picture: delete the folder of {key} and run again.")
    return found.astype(np.float32)


def _mask(path: Path, key: ResultKey) -> NDArray[np.bool_]:
    found = _read(path, key)
    if found.dtype != np.bool_ or found.ndim != 2:
        raise PairingError(f"'{path}' is no mask: delete the folder of {key} and run again.")
    return found.astype(bool)


def _read(path: Path, key: ResultKey) -> NDArray[np.generic]:
    if not path.is_file():
        raise PairingError(f"{key} has no partner '{path.name}' in '{path.parent}': run 'mesoface run' again.")
    found: NDArray[np.generic] = read_png(path)
    return found


def _same_shape(ours: NDArray[np.float32], truth: NDArray[np.float32], key: ResultKey, noun: str) -> None:
    if ours.shape != truth.shape:
        raise PairingError(
            f"the {noun} of {key} is {ours.shape[1]}×{ours.shape[0]}, its reference {truth.shape[1]}×{truth.shape[0]}: "
            "delete that result's folder and run again."
        )
