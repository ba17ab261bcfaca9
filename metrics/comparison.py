"""What a comparison says, as data: who stands where, which differences are beyond chance, and what is missing.

``metrics.conclusions`` makes it from the table of values; the reports print it. It holds no pictures and no text for
people, so that every format says the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from metrics.contract import Direction, Reference, Space


@dataclass(frozen=True)
class Estimate:
    """A number over ``n`` subjects with its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Place:
    """What is compared: one metric, one way of looking, one group of people. Methods compete within a place.

    Attributes:
        protocol, space, view, region, reference: as in the table of values.
        metric: name of the component; ``family`` is the metric's registry name.
        unit, direction: of the component.
        group: ``gender=female`` …, an empty string for all subjects.
    """

    protocol: str
    space: Space
    view: str
    region: str
    reference: Reference
    metric: str
    family: str
    unit: str
    direction: Direction
    group: str = ""


@dataclass(frozen=True)
class Standing:
    """A method in a place.

    Attributes:
        method: name; with several runs ``run:method`` where the name alone would be ambiguous.
        mean: mean over subjects with its interval; of a ratio (direction ``one``) the geometric mean.
        median, q25, q75: over subjects; NaN where nobody has a value.
        values: by subject, finite ones alone; under ``*`` the value of a whole set of subjects, whose ``mean`` has no
            interval and ``n`` 0.
        rank: 1 for the best, ties share a rank (:func:`metrics.statistics.ranks_from_wins`); 0 where it cannot be
            ranked: a metric without a better or worse, a single method, a value of a whole set.
        best: of rank 1; ``tied``: of a rank that others share. Where all share rank 1 all are best and tied.
        reason: why there is no value.
    """

    place: Place
    method: str
    mean: Estimate
    median: float
    q25: float
    q75: float
    values: Mapping[str, float]
    rank: int
    best: bool
    tied: bool
    reason: str = ""


@dataclass(frozen=True)
class Contrast:
    """Two methods in a place, on the subjects that both have.

    Attributes:
        first, second: methods.
        difference: mean of first − second over subjects (of a ratio: of |log₂| of either, so that less is nearer to
            one), with a BCa interval.
        wilcoxon, permutation: two-sided p-values of the signed-rank test and of the sign-flip permutation test.
        adjusted: the permutation test's p-value after Holm's correction over all pairs of methods of this place.
        effect: matched-pairs rank-biserial correlation, in [−1, 1].
        better: the method that is better beyond chance, an empty string for a tie.
        cohens_d: mean over standard deviation of the differences, ``d_z``; NaN where they do not vary.
    """

    place: Place
    first: str
    second: str
    difference: Estimate
    wilcoxon: float
    permutation: float
    adjusted: float
    effect: float
    better: str
    cohens_d: float = math.nan


@dataclass(frozen=True)
class Gap:
    """A partner that is missing: the method lacks a value that others have; ``reason`` as far as it is known."""

    method: str
    protocol: str
    subject: str
    reason: str


@dataclass(frozen=True)
class FairnessGap:
    """How unlike groups of people are served by a method: the largest minus the smallest mean of a group.

    Attributes:
        place: of all people together (``group`` is empty).
        attribute: what splits them, for example ``gender``.
        gap: of a ratio that of the mean |log₂|. The interval resamples people within their groups and corrects for
            bias; ``n`` counts people in groups that are large enough.
        worst, best: the groups; of a metric without a direction those of the largest and the smallest mean.
        chance: p-value: part of random divisions into groups of the same sizes whose gap is at least as large. A gap
            is never negative, so this and not its interval says whether it is more than chance.
        adjusted: ``chance`` after Holm's correction over the methods of the place.
    """

    place: Place
    method: str
    attribute: str
    gap: Estimate
    worst: str
    best: str
    chance: float
    adjusted: float


@dataclass(frozen=True)
class Sensitivity:
    """How a method answers to the strength of a protocol.

    Attributes:
        place: as elsewhere, but ``protocol`` is the kind alone: ``blur``.
        strengths: rising; ``means`` belongs to them, of subjects that have a value under each.
        slope: mean over subjects of the least-squares slope (of a ratio: of |log₂|), with its interval.
        per: what the slope is per, for example ``doubling of σ``.
        lasting: whether the interval leaves out 0.
    """

    place: Place
    method: str
    strengths: tuple[float, ...]
    means: tuple[Estimate, ...]
    slope: Estimate
    per: str
    lasting: bool


@dataclass(frozen=True)
class SettingChange:
    """A setting, version or asset that is not the same in all runs; ``values`` in their order, ``–`` for none."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """All that ``mesoface compare`` knows.

    Attributes:
        runs: names of the run folders, in the order given.
        methods, protocols: in the order of the runs.
        standings, contrasts: in the order in which tables show them.
        gaps: missing partners; such subjects are left out of the contrasts of that method, never out of others'.
        notes: sentences for the reader (values out of date, groups too small …).
        subjects: attributes of each subject, recorded and derived (``age band``, ``ITA group``).
        attribute: what groups the subjects, an empty string for nothing.
        fairness: for each place and method, where subjects are grouped.
        sensitivity: where a kind of protocol was run with several strengths.
        changes: methods that several runs share: ``first`` is of the later run, ``second`` of the first one that has
            it; ``adjusted`` is corrected over the methods of the place.
        settings: what else differs between the runs.
    """

    runs: tuple[str, ...]
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    standings: tuple[Standing, ...]
    contrasts: tuple[Contrast, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]
    subjects: Mapping[str, Mapping[str, str]]
    attribute: str = ""
    fairness: tuple[FairnessGap, ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    changes: tuple[Contrast, ...] = ()
    settings: tuple[SettingChange, ...] = ()
