"""Metrics of sets: what is kept of every result, and the values that are gathered from all of them.

::

    descriptors/<method>/<protocol>/<subject>/<metric>.<view>.<identity>.npz    names (R,) of regions, results (R, D),
                                                                               references (R, D), size (2,)

The identity in the name is a hash of all that the descriptors follow from (the result, what it is judged against, the
metric with its weights), so whether they are up to date is seen without opening them, and a value of a set is up to
date while it was gathered from the same names. Adding a subject costs that subject alone.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.columns import Columns
from metrics.contract import SetMetric
from metrics.freshness import DIGITS, FAILED, Present, applies_to, identified, state_of
from metrics.known import KnownMetric
from metrics.pairs import Look
from metrics.rows import NOT_COMPUTED, NOT_DEFINED, WHOLE_SET
from recon.errors import InputError, MesofaceError
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import atomic_path

Group = tuple[str, str, Look]
"""Method, protocol and look: what one value of a set is gathered over."""


def identity_of(one: Present, known: KnownMetric) -> str:
    """Hash of all that the descriptors of a result follow from."""
    parts = (one.result, one.reference_record, one.picture, *known.identity)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:DIGITS]


def path_of(folder: RunFolder, key: ResultKey, name: str, look: Look, identity: str) -> Path:
    """Where the descriptors of a result are kept."""
    return _place(folder, key) / f"{name}.{look.view.replace('/', '+')}.{identity}.npz"


def descriptors_place(key: ResultKey) -> str:
    """Beginning of the names, in the folder of a run, of the descriptors of a result."""
    return f"{_place(RunFolder(Path()), key).as_posix()}/"


@lru_cache(maxsize=1 << 16)
def _place(folder: RunFolder, key: ResultKey) -> Path:
    return _root(folder) / folder.result(key).relative_to(folder.path / "results")


def _root(folder: RunFolder) -> Path:
    return folder.path / "descriptors"


def write_descriptors(
    folder: RunFolder,
    key: ResultKey,
    known: KnownMetric,
    look: Look,
    identity: str,
    found: Mapping[str, tuple[NDArray[np.floating], NDArray[np.floating]]],
    size: tuple[int, int],
) -> None:
    """Keep the descriptors of a result and its reference by region, in place of those of an earlier identity.

    Raises:
        InputError: they are not vectors of one length.
    """
    vectors = [np.asarray(side, np.float32) for pair in found.values() for side in pair]
    if any(vector.ndim != 1 or len(vector) != len(vectors[0]) for vector in vectors):
        raise InputError(f"it gave descriptors of shapes {[v.shape for v in vectors]}: mend the metric.")
    path = path_of(folder, key, known.name, look, identity)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            names=np.array(list(found)),
            results=np.stack(vectors[0::2]),
            references=np.stack(vectors[1::2]),
            size=np.array(size, np.int32),
        )
    stem = path.name.removesuffix(f".{identity}.npz")
    for old in path.parent.glob(f"{stem}.*.npz"):
        if old != path and old.name.count(".") == path.name.count("."):
            old.unlink(missing_ok=True)


def is_described(folder: RunFolder, one: Present, known: KnownMetric) -> bool:
    """Whether the descriptors of a result are kept and up to date."""
    return _path(folder, one, known).is_file()


def _path(folder: RunFolder, one: Present, known: KnownMetric) -> Path:
    return path_of(folder, one.key, known.name, one.look, identity_of(one, known))


def remove_vanished(folder: RunFolder, present: Iterable[Present]) -> None:
    """Removes the descriptors of results that are no more."""
    root = _root(folder)
    if not root.is_dir():
        return
    here = {_place(folder, one.key) for one in present}
    for place in root.glob("*/*/*"):
        if place not in here:
            shutil.rmtree(place, ignore_errors=True)


def set_rows(
    folder: RunFolder,
    columns: Columns,
    present: Sequence[Present],
    known: Mapping[str, KnownMetric],
    again: bool = False,
    with_gaps: bool = True,
) -> tuple[NDArray[np.bool_], list[dict[str, Any]], list[str]]:
    """The values of sets: which rows of a table stay, what is gathered anew, and what could not be.

    Args:
        columns: of the table, with the rows of all single results up to date; it says which regions there are.
        known: the metrics to gather; rows of other metrics of sets are left alone.
        again: gather anew what is up to date.
        with_gaps: gather the members that there are where some could not be described.

    Returns:
        ``(rows,)`` bool: rows of ``known`` that are up to date; new rows; problems in words.
    """
    keep = np.zeros(len(columns), bool)
    up_to_date, families = identified(columns, known), columns.text("family")
    rows: list[dict[str, Any]] = []
    problems: list[str] = []
    for name, one in known.items():
        places = np.flatnonzero(families.equals(name) & up_to_date)
        own = columns.only(places)
        results = own.text("result")
        for group, members in _groups(folder, present, one, with_gaps).items():
            identity = _identity_of_all(members)
            of_group = _of(own, group) & results.equals(identity)
            if of_group.any() and not again:
                keep[places[of_group]] = True
                continue
            try:
                found = _gathered(folder, one, group, members, identity, columns)
            except MesofaceError as error:
                problems.append(f"{group[1]} · {group[0]}: {name}: {error}")
                continue
            rows += found
            failures = dict.fromkeys(row["reason"] for row in found if state_of(row["reason"]) == FAILED)
            problems += [f"{group[1]} · {group[0]}: {reason}" for reason in failures]
    return keep, rows, problems


def _of(columns: Columns, group: Group) -> NDArray[np.bool_]:
    method, protocol, look = group
    wanted = {"method": method, "protocol": protocol, "space": look.space, "view": look.view}
    found = np.ones(len(columns), bool)
    for name, value in wanted.items():
        found &= columns.text(name).equals(value)
    return found


def _groups(
    folder: RunFolder, present: Sequence[Present], known: KnownMetric, with_gaps: bool
) -> dict[Group, list[Present]]:
    """The results of each group whose descriptors are kept; of a metric without weights, all of them."""
    groups: dict[Group, list[Present]] = {}
    gaps: set[Group] = set()
    for one in present:
        if applies_to(known, one.look):
            group = (one.key.method, one.key.protocol, one.look)
            if known.absent or is_described(folder, one, known):
                groups.setdefault(group, []).append(one)
            else:
                gaps.add(group)
    return {group: members for group, members in groups.items() if with_gaps or group not in gaps}


def _identity_of_all(members: Sequence[Present]) -> str:
    lines = sorted(f"{one.key.subject} {one.result} {one.reference_record} {one.picture}" for one in members)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:DIGITS]


def _gathered(
    folder: RunFolder, known: KnownMetric, group: Group, members: Sequence[Present], identity: str, columns: Columns
) -> list[dict[str, Any]]:
    maker = _SetRows(known, group, identity)
    if known.absent:
        own = columns.text("region").only(_of(columns, group))
        regions = sorted({own.words[code] for code in np.unique(own.codes)} - {""})
        return [maker.row(region, component.name, reason=NOT_COMPUTED + known.absent)
                for region in regions for component in known.metric.components]  # fmt: skip
    kept = {one.key.subject: _read(folder, one, known) for one in sorted(members, key=lambda one: one.key.subject)}
    sizes = {size for _, size in kept.values()}
    maker.size = next(iter(sizes)) if len(sizes) == 1 else (0, 0)
    rows: list[dict[str, Any]] = []
    for region in dict.fromkeys(region for descriptors, _ in kept.values() for region in descriptors):
        there = {
            subject: descriptors[region]
            for subject, (descriptors, _) in kept.items()
            if region in descriptors and all(np.isfinite(side).all() for side in descriptors[region])
        }
        rows += maker.rows(region, there)
    return rows


def _read(
    folder: RunFolder, one: Present, known: KnownMetric
) -> tuple[dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]], tuple[int, int]]:
    path = _path(folder, one, known)
    try:
        with np.load(path, allow_pickle=False) as kept:
            names, results, references = kept["names"], kept["results"], kept["references"]
            width, height = (int(number) for number in kept["size"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' cannot be read ({error}): delete it, it is made again.") from error
    return {str(name): (results[i], references[i]) for i, name in enumerate(names)}, (width, height)


class _SetRows:
    """Makes the rows of one metric of sets for one group."""

    def __init__(self, known: KnownMetric, group: Group, identity: str) -> None:
        self.known, self.group, self.identity = known, group, identity
        self.size = (0, 0)

    def rows(
        self, region: str, there: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
    ) -> list[dict[str, Any]]:
        """Rows of one region, gathered from the subjects ``there``."""
        metric, subjects = self.known.metric, list(there)
        assert isinstance(metric, SetMetric)
        try:
            values = self._gather(metric, there) if there else {}
            wanted = {component.name for component in metric.components}
            if there and set(values) != wanted:
                raise InputError(f"it gave {sorted(values)} for the components {sorted(wanted)}: mend the metric.")
            numbers = {name: np.asarray(value, np.float64) for name, value in values.items()}
            if any(array.shape not in {(), (len(subjects),)} for array in numbers.values()):
                raise InputError(f"it gave neither one number nor one for each of {len(subjects)} subjects.")
        except (Exception, SystemExit) as error:
            text = str(error) if isinstance(error, MesofaceError) else f"{type(error).__name__}: {error}"
            return [self.row(region, component.name, reason=f"{self.known.name}: {text}")
                    for component in metric.components]  # fmt: skip
        rows = []
        for component in metric.components:
            array = numbers.get(component.name, np.asarray(math.nan))
            owners = [WHOLE_SET] if array.ndim == 0 else subjects
            for subject, value in zip(owners, array.reshape(-1).tolist(), strict=True):
                reason = "" if math.isfinite(value) else f"{NOT_DEFINED} for a set of {len(subjects)} subjects"
                rows.append(self.row(region, component.name, reason, value, subject))
        return rows

    def _gather(
        self, metric: SetMetric, there: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
    ) -> Mapping[str, float | NDArray[np.floating]]:
        results = np.stack([result for result, _ in there.values()])
        references = np.stack([reference for _, reference in there.values()])
        return metric.gather(list(there), results, references)

    def row(
        self, region: str, name: str, reason: str = "", value: float = math.nan, subject: str = WHOLE_SET
    ) -> dict[str, Any]:
        """One row; a reason leaves the value empty."""
        method, protocol, look = self.group
        component = next(c for c in self.known.metric.components if c.name == name)
        return {
            "method": method,
            "protocol": protocol,
            "subject": subject,
            "space": look.space,
            "view": look.view,
            "region": region,
            **self.known.columns(look.space, component, value, reason),
            "width": self.size[0],
            "height": self.size[1],
            "result": self.identity,
            "reference_record": "",
            "result_image": "",
            "reference_image": "",
        }
