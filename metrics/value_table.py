"""The values of one or several runs as one array: places × methods × subjects, paired by id.

A place is a metric in one way of looking (:class:`metrics.comparison.Place`). Text is compared once a place and not
once a row, so that hundreds of thousands of rows take a moment.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.columns import Columns, Text
from metrics.comparison import Place
from metrics.rows import WHOLE_SET, mend_of, read_table
from recon.errors import InputError, UsageError
from recon.runs.folder import RunFolder

_OF_PLACE = ("protocol", "space", "view", "region", "reference", "metric", "family", "unit", "direction")
_OF_RECIPE = ("library", "version", "parameters", "net", "weights")
_SPACES = ("uv", "image", "shape")  # albedos before pictures before heads
# Within a metric, numbers stand in the order in which one speaks of them.
_SPOKEN = ("average of groups", "bias", "total", "luma", "chroma", "fine", "mid", "coarse", "very light", "light",
           "intermediate", "tan", "brown", "dark", "median", "mean")  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """A method of a run; ``label`` tells it from the same method of another run."""

    run: int
    method: str
    label: str


@dataclass(frozen=True)
class Unmeasured:
    """Values that are not there: of which metric, method, protocol and subject, and why."""

    metric: str
    entry: Entry
    protocol: str
    subject: str
    reason: str


@dataclass(frozen=True, eq=False)
class ValueTable:
    """What is compared.

    Attributes:
        entries: ``M`` methods, in the order of the runs.
        subjects: ``N`` ids, sorted.
        places: ``P`` of them, in the order in which tables show them.
        values: ``(P, M, N)`` float64, NaN where missing.
        whole: ``(P, M)`` float64, values of whole sets of subjects; NaN where there is none.
        unmeasured: values that are missing though there is a row, each reason once a metric, method, protocol, subject.
        recipes: for each run, what made the numbers of a metric: library, version, parameters, net, weights.
        measured: for each run, method, protocol and subject of results that have rows, with ``result`` as rows say it.
    """

    entries: tuple[Entry, ...]
    subjects: tuple[str, ...]
    places: tuple[Place, ...]
    values: NDArray[np.float64]
    whole: NDArray[np.float64]
    unmeasured: tuple[Unmeasured, ...]
    recipes: tuple[Mapping[str, tuple[str, ...]], ...]
    measured: tuple[Mapping[tuple[str, str, str], str], ...]

    def only(self, chosen: Callable[[Place], bool]) -> ValueTable:
        """The same with some of the places."""
        kept = [index for index, place in enumerate(self.places) if chosen(place)]
        metrics = {self.places[index].metric for index in kept}
        return ValueTable(
            self.entries,
            self.subjects,
            tuple(self.places[index] for index in kept),
            self.values[kept],
            self.whole[kept],
            tuple(one for one in self.unmeasured if one.metric in metrics),
            self.recipes,
            self.measured,
        )

    def of_methods(self, chosen: Callable[[Entry], bool]) -> ValueTable:
        """The same with some of the methods."""
        kept = [index for index, entry in enumerate(self.entries) if chosen(entry)]
        entries = tuple(self.entries[index] for index in kept)
        return ValueTable(
            entries,
            self.subjects,
            self.places,
            self.values[:, kept],
            self.whole[:, kept],
            tuple(one for one in self.unmeasured if one.entry in entries),
            self.recipes,
            self.measured,
        )


def load_values(folders: Sequence[RunFolder], labels: Sequence[str], families: Sequence[str]) -> ValueTable:
    """The tables of ``folders``, called ``labels``, as one.

    Args:
        families: registry names of metrics in the order of their columns.

    Raises:
        UsageError: a folder is no run.
        InputError: a run has no table of values, or it cannot be read.
    """
    configs = [folder.read_config() for folder in folders]
    tables = [_read(folder, recipes=len(folders) > 1) for folder in folders]
    methods = [_ordered(config["methods"], table.text("method")) for config, table in zip(configs, tables, strict=True)]
    names = [name for run in methods for name in run]
    entries = tuple(
        Entry(run, name, name if names.count(name) == 1 else f"{labels[run]}:{name}")
        for run, own in enumerate(methods)
        for name in own
    )
    subjects = sorted({name for table in tables for name in table.text("subject").words} - {WHOLE_SET})
    parts = [_places_of(table) for table in tables]
    protocols = list(dict.fromkeys(name for config in configs for name in config["protocols"]))
    found = sorted({place for places, _ in parts for place in places}, key=_order(protocols, families))
    index = {place: number for number, place in enumerate(found)}
    sums = np.zeros((len(found), len(entries), len(subjects) + 1))
    counts = np.zeros_like(sums)
    unmeasured: list[Unmeasured] = []
    for run, (table, (places, codes)) in enumerate(zip(tables, parts, strict=True)):
        own = {entry.method: number for number, entry in enumerate(entries) if entry.run == run}
        where = {name: number for number, name in enumerate(subjects)} | {WHOLE_SET: len(subjects)}
        at = (
            np.array([index[place] for place in places], np.int64)[codes],
            _numbers(table.text("method"), own),
            _numbers(table.text("subject"), where),
        )
        value = table.numbers("value")
        finite = np.isfinite(value) & ~table.text("space").equals("")
        np.add.at(sums, tuple(axis[finite] for axis in at), value[finite])
        np.add.at(counts, tuple(axis[finite] for axis in at), 1.0)
        unmeasured += _unmeasured(table, ~np.isfinite(value), {e.method: e for e in entries if e.run == run})
    with np.errstate(invalid="ignore"):
        mean = np.where(counts > 0, sums / counts, np.nan)
    kept = [number for number, place in enumerate(found) if place.space in _SPACES]
    return ValueTable(
        entries,
        tuple(subjects),
        tuple(found[number] for number in kept),
        mean[kept][:, :, :-1],
        mean[kept][:, :, -1],
        tuple(unmeasured),
        tuple(_recipes(table) for table in tables),
        tuple(_measured(table) for table in tables),
    )


def _read(folder: RunFolder, *, recipes: bool) -> Columns:
    if not folder.metrics.is_file():
        raise InputError(f"run '{folder.path}' has not been measured: 'mesoface metrics {folder.path}' does it.")
    wanted = ["method", "subject", "value", "reason", "result", *_OF_PLACE, *(_OF_RECIPE if recipes else ())]
    return Columns(read_table(folder.metrics, wanted, mend_of(folder)))


def _ordered(known: Iterable[str], column: Text) -> list[str]:
    """Methods of ``run.json`` that the table has, then others of the table."""
    return [name for name in known if name in column.words] + sorted(set(column.words) - set(known))


def _numbers(column: Text, index: Mapping[str, int]) -> NDArray[np.int64]:
    """What ``index`` says of each value of a column."""
    return np.array([index[word] for word in column.words], np.int64)[column.codes]


def _distinct(table: Columns, names: Sequence[str]) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """The distinct rows of some columns of text, and which of them each row is."""
    codes = np.zeros(len(table), np.int64)
    if not len(table):
        return [], codes
    distinct, columns = 1, [table.text(name) for name in names]
    for column in columns:
        kinds = len(column.words)
        # Numbered anew at every step, so that the product of many columns never overflows.
        distinct, codes = _numbered(codes * kinds + column.codes if distinct > 1 else column.codes, distinct * kinds)
    first = np.empty(distinct, np.int64)
    first[codes[::-1]] = np.arange(len(codes) - 1, -1, -1)
    return _rows(columns, first), codes


def _rows(columns: Sequence[Text], rows: NDArray[np.int64]) -> list[tuple[str, ...]]:
    """What some rows say in these columns."""
    return list(zip(*([column.words[code] for code in column.codes[rows].tolist()] for column in columns), strict=True))


def _numbered(codes: NDArray[np.integer], most: int) -> tuple[int, NDArray[np.int64]]:
    """How many of the numbers below ``most`` occur in ``codes``, and which of them, in rising order, each is."""
    if most > len(codes):  # counting would take longer than sorting
        found, numbered = np.unique(codes, return_inverse=True)
        return len(found), numbered.reshape(-1)
    there = np.zeros(most, bool)
    there[codes] = True
    return int(there.sum()), (np.cumsum(there) - 1)[codes]


def _places_of(table: Columns) -> tuple[list[Place], NDArray[np.int64]]:
    rows, codes = _distinct(table, _OF_PLACE)
    return [Place(**dict(zip(_OF_PLACE, row, strict=True))) for row in rows], codes  # type: ignore[arg-type]


def _order(protocols: Sequence[str], families: Sequence[str]) -> Callable[[Place], tuple[Any, ...]]:
    def key(place: Place) -> tuple[Any, ...]:
        words = [word for word in re.split(r"[(),]\s*", place.metric) if word]
        spoken = [_SPOKEN.index(word) for word in words if word in _SPOKEN]
        return (
            protocols.index(place.protocol) if place.protocol in protocols else len(protocols),
            place.protocol,
            _SPACES.index(place.space) if place.space in _SPACES else len(_SPACES),
            place.reference,
            place.view,
            place.region,
            families.index(place.family) if place.family in families else len(families),
            place.family,
            spoken,
            place.metric,
            place.unit,
            place.direction,
        )

    return key


def _unmeasured(table: Columns, lacking: NDArray[np.bool_], entries: Mapping[str, Entry]) -> list[Unmeasured]:
    rows, _ = _distinct(table.only(lacking), ("metric", "method", "protocol", "subject", "reason"))
    return [
        Unmeasured(metric, entries[method], protocol, subject, reason)
        for metric, method, protocol, subject, reason in rows
    ]


def _recipes(table: Columns) -> dict[str, tuple[str, ...]]:
    if _OF_RECIPE[0] not in table:
        return {}
    rows, _ = _distinct(table, ("metric", *_OF_RECIPE))
    return {row[0]: row[1:] for row in rows}


def _measured(table: Columns) -> dict[tuple[str, str, str], str]:
    # The columns that name a result are numbered first, and ``result`` is looked up once for each.
    columns = [table.text(name) for name in ("method", "protocol", "subject")]
    codes = np.zeros(len(table), np.int64)
    for column in columns:
        codes = codes * len(column.words) + column.codes
    _, first = np.unique(codes, return_index=True)
    rows = _rows([*columns, table.text("result")], first)
    return {(method, protocol, subject): result for method, protocol, subject, result in rows}


def matching(words: Sequence[str], known: Sequence[Sequence[str]], noun: str) -> set[int]:
    """Which of ``known`` (each with one or several names, the first its own) the words mean; all without a word.

    A word means what is called so; if nothing is, all that contain it. Case does not matter.

    Raises:
        UsageError: a word means nothing.
    """
    if not words or not known:
        return set(range(len(known)))
    found: set[int] = set()
    for word in words:
        wanted = word.lower()
        exact = {i for i, names in enumerate(known) if any(wanted == name.lower() for name in names)}
        meant = exact or {i for i, names in enumerate(known) if any(wanted in name.lower() for name in names)}
        if not meant:
            offered = ", ".join(dict.fromkeys(names[0] for names in known))
            raise UsageError(f"no {noun} of this run is called '{word}'; it has {offered}.")
        found |= meant
    return found
