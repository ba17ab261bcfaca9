"""From the table of values to what may be said: who stands where, and which differences are beyond chance.

Methods are compared within a place, subject by subject. A mean is over the subjects that a method has a value of; a
contrast over those that both have. Ratios, of which 1 is ideal, are averaged as logarithms (geometric mean) and
compared by ``|log₂|``, so that half and twice as much are equally wrong. A method is *better beyond chance* if the
sign-flip permutation test's p-value, after Holm's correction over all pairs of methods of the place, is at most 0.05;
ranks follow from that (:func:`metrics.statistics.ranks_from_wins`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from metrics import METRICS, SET_METRICS, statistics
from metrics.breakdown import attributes_of, fairness_gaps, groups_of
from metrics.comparison import Comparison, Contrast, Estimate, Gap, SettingChange, Standing
from metrics.headline import COVERAGE, NEARLY_ALL, chosen_metrics, chosen_regions
from metrics.results_state import ResultsState, results_state
from metrics.rows import NOT_COMPUTED, WHOLE_SET
from metrics.run_changes import recipe_notes, setting_changes
from metrics.sensitivity import sensitivities
from metrics.statistics import EXACT, SIGNIFICANT
from metrics.value_table import Entry, ValueTable, load_values, matching
from recon.errors import UsageError
from recon.runs.folder import RunFolder

Float = NDArray[np.float64]

LEAST_RATIO = 2.0**-20
"""What a ratio of 0 counts as, for its logarithm."""
FEW = 5
"""People in a group; below, a note warns."""


@dataclass(frozen=True)
class Selection:
    """What of a run is compared; an empty filter keeps all. Words are those of :func:`metrics.value_table.matching`.

    Attributes:
        metrics: ``all`` among them means all.
        headline: only the metrics, views and regions of :mod:`metrics.headline`, as far as no filter says otherwise.
    """

    metrics: Sequence[str] = ()
    regions: Sequence[str] = ()
    spaces: Sequence[str] = ()
    views: Sequence[str] = ()
    methods: Sequence[str] = ()
    protocols: Sequence[str] = ()
    headline: bool = False


ALL = "all"
EVERYTHING = Selection()
HEADLINE = Selection(headline=True)


@dataclass(frozen=True, eq=False)
class Gathered:
    """What is read before anything is concluded.

    Attributes:
        runs: names of the run folders, in the order given.
        table: all their values.
        state: results that are missing or not measured.
        attributes: of each subject, recorded and derived.
        settings: what else differs between the runs.
    """

    runs: tuple[str, ...]
    table: ValueTable
    state: ResultsState
    attributes: Mapping[str, Mapping[str, str]]
    settings: tuple[SettingChange, ...]


def conclude(
    folders: Sequence[RunFolder], selection: Selection = EVERYTHING, by: str | None = None, *, contrasts: bool = True
) -> Comparison:
    """Compare the methods of one or several runs; without standings where nothing could be measured.

    Args:
        selection: what of them.
        by: an attribute of the subjects (``gender``, ``age``, ``ITA group`` …) that splits them into groups.
        contrasts: whether every pair of methods is wanted with interval and effect; ranks are tested in any case.

    Raises:
        UsageError: a folder is no run, a filter matches nothing, or no subject has the attribute.
        InputError: a run has not been measured, or its table cannot be read.
    """
    return conclude_from(gather(folders), selection, by, contrasts=contrasts)


def gather(folders: Sequence[RunFolder]) -> Gathered:
    """What the conclusions on ``folders`` are drawn from, read once for as many selections as are wanted.

    Raises:
        UsageError: a folder is no run.
        InputError: a run has not been measured, or its table cannot be read.
    """
    labels = _labels(folders)
    table = load_values(folders, labels, list(dict.fromkeys([*METRICS.names(), *SET_METRICS.names()])))
    attributes = attributes_of(folders, table)
    return Gathered(tuple(labels), table, results_state(folders, table), attributes, tuple(setting_changes(folders)))


def conclude_from(
    gathered: Gathered, selection: Selection = EVERYTHING, by: str | None = None, *, contrasts: bool = True
) -> Comparison:
    """:func:`conclude` on what was gathered before; nothing is read.

    Raises:
        UsageError: a filter matches nothing, or no subject has the attribute.
    """
    labels, state, attributes = gathered.runs, gathered.state, gathered.attributes
    families = {*METRICS.names(), *SET_METRICS.names()}
    table, notes = _selected(gathered.table, selection, families)
    if not table.places:
        gaps = (*state.gaps, *_gaps(table))
        return Comparison(labels, (), (), (), (), gaps, state.notes, attributes)
    everybody = _Contenders(table)
    groups = groups_of(attributes, table.subjects, by)
    standings: list[Standing] = []
    pairs: list[Contrast] = []
    for name, members in groups.members.items():
        part = everybody.of(members, name) if name else everybody
        standings += part.standings()
        pairs += part.contrasts() if contrasts else []
    few = [f"{name} ({len(members)})" for name, members in groups.members.items() if by and len(members) < FEW]
    if few:
        notes.append(f"too few people to conclude much: {', '.join(few)}.")
    shared = _shared(table.entries)
    order = {place: number for number, place in enumerate(table.places)}
    # The groups of one way of looking stand together.
    standings.sort(key=lambda one: order[replace(one.place, group="")] if by else 0)
    pairs.sort(key=lambda one: order[replace(one.place, group="")] if by else 0)
    return Comparison(
        runs=labels,
        methods=tuple(entry.label for entry in table.entries),
        protocols=tuple(dict.fromkeys(place.protocol for place in table.places)),
        standings=tuple(standings),
        contrasts=tuple(pairs),
        gaps=(*state.gaps, *_gaps(table)),
        notes=(*state.notes, *notes, *_power_notes(table), *recipe_notes(table, labels)),
        subjects=attributes,
        attribute=groups.attribute,
        fairness=tuple(fairness_gaps(everybody.losses, table, groups)) if by is not None else (),
        sensitivity=tuple(sensitivities(everybody.values, everybody.losses, table)),
        changes=tuple(everybody.contrasts(shared)) if shared else (),
        settings=gathered.settings,
    )


def _labels(folders: Sequence[RunFolder]) -> list[str]:
    """Names of the folders; whole paths where two are called alike."""
    names = [folder.path.resolve().name for folder in folders]
    if len(set(names)) == len(names):
        return names
    paths = [folder.said for folder in folders]
    if len(set(paths)) < len(paths):
        raise UsageError("the same run was named twice: name different ones.")
    return paths


def _selected(table: ValueTable, selection: Selection, built_in: set[str]) -> tuple[ValueTable, list[str]]:
    """The places and methods that are wanted, and notes about what a table leaves out."""
    filters = (
        (selection.protocols, [(place.protocol,) for place in table.places], "protocol"),
        (selection.spaces, [(place.space,) for place in table.places], "space"),
        (selection.views, [(place.view,) for place in table.places], "view"),
        (selection.regions, [(place.region,) for place in table.places], "region"),
        (_named(selection.metrics), [(place.metric, place.family) for place in table.places], "metric"),
    )
    kept = set(range(len(table.places)))
    for words, names, noun in filters:
        kept &= matching(words, names, noun)
    if table.places and not kept:
        raise UsageError("nothing of this run matches all of these filters together: leave one out.")
    places = {table.places[index] for index in kept}
    table = table.only(lambda place: place in places)
    methods = matching(selection.methods, [(entry.label, entry.method) for entry in table.entries], "method")
    wanted = {table.entries[index] for index in methods}
    table = table.of_methods(lambda entry: entry in wanted)
    return _headline(table, selection, built_in) if selection.headline else (table, [])


def _named(metrics: Sequence[str]) -> Sequence[str]:
    return () if ALL in metrics else metrics


def _headline(table: ValueTable, selection: Selection, built_in: set[str]) -> tuple[ValueTable, list[str]]:
    notes: list[str] = []
    if not selection.regions:
        table = table.only(chosen_regions(table.places))
    if selection.metrics:
        return table, notes
    every = {place.metric for place in table.places}
    table = table.only(chosen_metrics(table.places, built_in, any_view=bool(selection.views)))
    empty = {
        place for place, mine, whole in zip(table.places, table.values, table.whole, strict=True)
        if not (np.isfinite(mine).any() or np.isfinite(whole).any())
    }  # fmt: skip
    said = {one.metric: one.reason for one in table.unmeasured if one.reason.startswith(NOT_COMPUTED)}
    filled = {place.metric for place in table.places if place not in empty}
    lacking = dict.fromkeys(place.metric for place in table.places if place.metric not in filled)
    notes += [f"{metric} is {said[metric]}" for metric in lacking if metric in said]
    covered = {
        place
        for place, mine in zip(table.places, table.values, strict=True)
        if place.metric == COVERAGE and not np.fmin.reduce(_nanmeans(mine), initial=np.inf) < NEARLY_ALL
    }
    if len(empty) < len(table.places):
        table = table.only(lambda place: place not in empty and place not in covered)
    hidden = len(every - {place.metric for place in table.places} - {COVERAGE})
    if hidden:
        notes.append(f"{hidden} more metrics were measured: --metrics all shows them, --metrics NAME one.")
    return table, notes


def _nanmeans(values: Float) -> Float:
    present = np.isfinite(values)
    count = present.sum(axis=-1)
    return np.where(count > 0, np.where(present, values, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def _gaps(table: ValueTable) -> list[Gap]:
    """Values that are missing for a reason of their own: not because a metric is absent or a region too small."""
    found = {
        Gap(one.entry.label, one.protocol, one.subject, one.reason): None
        for one in table.unmeasured
        if one.reason and not one.reason.startswith((NOT_COMPUTED, "not defined"))
    }
    return list(found)


def _shared(entries: Sequence[Entry]) -> list[tuple[int, int]]:
    """Pairs of the same method: of a later run, and of the first run that has it."""
    first: dict[str, int] = {}
    pairs = []
    for index, entry in enumerate(entries):
        if entry.method in first:
            pairs.append((index, first[entry.method]))
        else:
            first[entry.method] = index
    return pairs


def _power_notes(table: ValueTable) -> list[str]:
    """Says where so few people were tested that nothing could have been beyond chance."""
    methods = len(table.entries)
    people = int(np.isfinite(table.values).any(axis=1).sum(axis=1).max(initial=0))
    tests = methods * (methods - 1) // 2
    if not tests or not people or statistics.smallest_possible(people) * tests <= SIGNIFICANT:
        return []
    nothing = f"with {people} people no difference between {methods} methods can be beyond chance, however large: "
    needed = next((n for n in range(people, EXACT + 2) if statistics.smallest_possible(n) * tests <= SIGNIFICANT), None)
    if needed is None:
        return [nothing + "these are too many pairs for Holm's correction at once, choose some with --methods."]
    return [f"{nothing}at least {needed} are needed."]


class _Contenders:
    """The values of some people, as they are averaged and as they are compared.

    Attributes:
        values: ``(P, M, N)`` as they are averaged: logarithms (base 2) of ratios.
        losses: ``(P, M, N)`` as they are compared: distances from 0 of such logarithms, other values as they are.
        group: that of the people, as places say it.
    """

    def __init__(self, table: ValueTable, group: str = "", members: Sequence[int] | None = None) -> None:
        chosen = list(range(len(table.subjects)) if members is None else members)
        ratios = np.array([place.direction == "one" for place in table.places], bool)
        self.table = table
        self.group = group
        self.subjects = [table.subjects[index] for index in chosen]
        self.values = table.values[:, :, chosen]
        self.values[ratios] = np.log2(np.maximum(self.values[ratios], LEAST_RATIO))
        self.losses = self.values.copy()
        self.losses[ratios] = np.abs(self.losses[ratios])

    def of(self, members: Sequence[int], group: str) -> _Contenders:
        """The same for some of the people."""
        return _Contenders(self.table, group, members)

    @cached_property
    def all_tests(self) -> _Tests:
        """Of all pairs of methods."""
        return self._tests(_all_pairs(len(self.table.entries)))

    def standings(self) -> list[Standing]:
        """One for each place and method that has a row there."""
        places, methods, people = self.values.shape
        flat = self.values.reshape(places * methods, people)
        found = statistics.mean_intervals(flat)
        quartiles = statistics.quartiles(flat)
        ranks = self._ranks().reshape(-1)
        ratios = np.repeat([place.direction == "one" for place in self.table.places], methods)
        numbers = np.stack([found.value, found.low, found.high, *quartiles.T])
        numbers = np.where(ratios, np.exp2(numbers), numbers)
        reasons = self._reasons()
        standings = []
        for place_index, place in enumerate(self.table.places):
            here = replace(place, group=self.group)
            level = ranks[place_index * methods : (place_index + 1) * methods]
            for method_index, entry in enumerate(self.table.entries):
                row = place_index * methods + method_index
                mean, low, high, q25, median, q75 = map(float, numbers[:, row])
                values = self._values_of(place_index, method_index)
                whole = float(self.table.whole[place_index, method_index])
                if not values and math.isfinite(whole) and not self.group:
                    mean, median, values = whole, whole, {WHOLE_SET: whole}
                reason = "" if values else reasons.get((place.metric, entry, place.protocol), "no value")
                rank = int(level[method_index])
                standings.append(
                    Standing(here, entry.label, Estimate(mean, low, high, int(found.n[row])), median, q25, q75, values,
                             rank, rank == 1, rank > 0 and int((level == rank).sum()) > 1, reason)
                )  # fmt: skip
        return standings

    def _values_of(self, place: int, method: int) -> dict[str, float]:
        values = self.values[place, method]
        if self.table.places[place].direction == "one":
            values = np.exp2(values)
        return {name: value for name, value in zip(self.subjects, values.tolist(), strict=True) if value == value}

    def _reasons(self) -> dict[tuple[str, Entry, str], str]:
        found: dict[tuple[str, Entry, str], dict[str, None]] = {}
        for one in self.table.unmeasured:
            if one.reason:
                found.setdefault((one.metric, one.entry, one.protocol), {})[one.reason] = None
        return {key: "; ".join(list(reasons)[:3]) for key, reasons in found.items()}

    def _ranks(self) -> NDArray[np.int64]:
        """``(P, M)``: see the module."""
        methods = len(self.table.entries)
        rankable = np.array([p.direction != "none" and p.metric != COVERAGE for p in self.table.places], bool)
        ranked = np.isfinite(self.values).any(axis=2) & rankable[:, None]
        ranked &= ranked.sum(axis=1, keepdims=True) > 1
        better = np.zeros((len(self.table.places), methods, methods), bool)
        tests = self.all_tests
        for number, (first, second) in enumerate(_all_pairs(methods)):
            better[:, first, second] = tests.wins[:, number] > 0
            better[:, second, first] = tests.wins[:, number] < 0
        return statistics.ranks_from_wins(better, ranked)

    def _tests(self, pairs: Sequence[tuple[int, int]]) -> _Tests:
        """Permutation tests of pairs of methods, ``(P, K)``."""
        places, _, people = self.losses.shape
        first, second = np.array(pairs, np.int64).reshape(-1, 2).T
        differences = (self.losses[:, first] - self.losses[:, second]).reshape(-1, people)
        permutation = statistics.sign_flip_test(differences).reshape(places, len(pairs))
        adjusted = statistics.holm(permutation)
        mean = _nanmeans(differences).reshape(places, len(pairs))
        signs = {"higher": 1, "lower": -1, "one": -1, "none": 0}
        towards = np.array([0 if p.metric == COVERAGE else signs[p.direction] for p in self.table.places])
        with np.errstate(invalid="ignore"):
            wins = np.where(adjusted <= SIGNIFICANT, np.sign(mean) * towards[:, None], 0)
        return _Tests(differences, permutation, adjusted, np.nan_to_num(wins).astype(np.int64))

    def contrasts(self, pairs: Sequence[tuple[int, int]] | None = None) -> list[Contrast]:
        """One for each place and pair of methods with somebody in common; all pairs if None."""
        chosen = _all_pairs(len(self.table.entries)) if pairs is None else list(pairs)
        if not chosen:
            return []
        tests = self.all_tests if pairs is None else self._tests(chosen)
        found = statistics.mean_intervals(tests.differences)
        ranked = statistics.signed_ranks(tests.differences)
        wilcoxon = statistics.wilcoxon_test(tests.differences, ranked).tolist()
        effect = statistics.rank_biserial(ranked).tolist()
        cohens_d = statistics.cohens_d(tests.differences).tolist()
        names = [entry.label for entry in self.table.entries]
        contrasts = []
        for row, n in enumerate(found.n.tolist()):
            if n == 0:
                continue
            place, pair = divmod(row, len(chosen))
            first, second = (names[index] for index in chosen[pair])
            wins = int(tests.wins[place, pair])
            contrasts.append(
                Contrast(
                    replace(self.table.places[place], group=self.group) if self.group else self.table.places[place],
                    first,
                    second,
                    Estimate(float(found.value[row]), float(found.low[row]), float(found.high[row]), n),
                    wilcoxon[row],
                    float(tests.permutation[place, pair]),
                    float(tests.adjusted[place, pair]),
                    effect[row],
                    first if wins > 0 else second if wins < 0 else "",
                    cohens_d[row],
                )
            )
        return contrasts


@dataclass(frozen=True, eq=False)
class _Tests:
    """Of pairs of methods: ``differences`` ``(P·K, N)``; p-values, and wins ``(P, K)``: +1 the first, −1 the second."""

    differences: Float
    permutation: Float
    adjusted: Float
    wins: NDArray[np.int64]


def _all_pairs(methods: int) -> list[tuple[int, int]]:
    return list(combinations(range(methods), 2))


__all__ = [
    "ALL",
    "EVERYTHING",
    "HEADLINE",
    "SIGNIFICANT",
    "Gathered",
    "Selection",
    "conclude",
    "conclude_from",
    "gather",
]
