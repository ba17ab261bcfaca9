"""What a comparison says, as data: who stands where, which differences are beyond chance, and what is missing.

``metrics.conclusions`` makes it from the table of values; the reports print it. It holds no pictures and no text for
people, so that every format says the same.
"""

from __future__ import annotations

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
        values: by subject, finite ones alone.
        rank: 1 for the best; methods that differ by no more than chance share the rank; 0 where it cannot be ranked.
        best: of rank 1; ``tied``: of a rank that others share.
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


@dataclass(frozen=True)
class Gap:
    """A partner that is missing: the method lacks a value that others have; ``reason`` as far as it is known."""

    method: str
    protocol: str
    subject: str
    reason: str


@dataclass(frozen=True)
class Comparison:
    """All that ``mesoface compare`` knows.

    Attributes:
        runs: names of the run folders, in the order given.
        methods, protocols: in the order of the runs.
        standings, contrasts: in the order in which tables show them.
        gaps: missing partners; such subjects are left out of the contrasts of that method, never out of others'.
        notes: sentences for the reader (values out of date, groups too small …).
        subjects: attributes of each subject, recorded and derived (``ITA group``).
    """

    runs: tuple[str, ...]
    methods: tuple[str, ...]
    protocols: tuple[str, ...]
    standings: tuple[Standing, ...]
    contrasts: tuple[Contrast, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]
    subjects: Mapping[str, Mapping[str, str]]
