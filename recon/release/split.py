"""Training and test people of a data set: nobody is in both, and both have the same mix of attributes.

People are put in order of their attributes and every n-th is drawn (systematic sampling of an ordered list, which
stratifies implicitly; Kish, *Survey Sampling*, 1965, 4.2): of any n people who are neighbours in that order, as those
of one gender or of one gender and ethnicity are, the share f in the test set is ⌊n·f⌋ or ⌈n·f⌉.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from recon.data.subject import Subject

TRAIN, TEST = "train", "test"

PERSON = "person"
"""Attribute that says who is shown, where several subjects are pictures of one person."""

# A column with more values than this names people or places, not strata.
_MOST_LEVELS = 12
_AGE_GROUPS = 3


def split_subjects(subjects: Sequence[Subject], fraction: float, seed: int) -> dict[str, str]:
    """``train`` or ``test`` by subject id.

    Subjects with the same attribute ``person`` stay together.

    Args:
        fraction: share of the people in the test set, 0 ≤ fraction < 1.
        seed: moves the draw; the same seed and people give the same split, in whatever order they come.
    """
    people: dict[str, list[Subject]] = {}
    for subject in sorted(subjects, key=lambda one: one.id):
        people.setdefault(subject.attributes.get(PERSON) or subject.id, []).append(subject)
    strata = _strata({name: group[0].attributes for name, group in people.items()})
    order = sorted(people, key=lambda name: (strata[name], _draw(seed, name)))
    start = np.random.default_rng(seed).random()
    marks = np.floor(np.arange(len(order) + 1) * fraction + start)
    chosen = {name for name, before, after in zip(order, marks[:-1], marks[1:], strict=True) if after > before}
    return {one.id: TEST if name in chosen else TRAIN for name, group in people.items() for one in group}


def _draw(seed: int, name: str) -> str:
    """An order among equals that depends on nobody else."""
    return hashlib.sha256(f"{seed} {name}".encode()).hexdigest()


def _strata(attributes: Mapping[str, Mapping[str, str]]) -> dict[str, tuple[str, ...]]:
    """For each person the levels of all attributes that make strata: categories before numbers, fewest levels first."""
    names = sorted({key for one in attributes.values() for key in one if key != PERSON})
    columns: list[tuple[bool, int, str, dict[str, str]]] = []
    for name in names:
        values = {person: one.get(name, "") for person, one in attributes.items()}
        numbers = is_numeric(values.values())
        levels = _grouped(values) if numbers else values
        count = len(set(levels.values()))
        if 1 < count <= _MOST_LEVELS:
            columns.append((numbers, count, name, levels))
    columns.sort(key=lambda column: column[:3])
    return {person: tuple(column[3][person] for column in columns) for person in attributes}


def is_numeric(values: Iterable[str]) -> bool:
    """Whether all values that are given (not empty) are numbers, and there is one."""
    given = [value for value in values if value]
    try:
        return bool(given) and all(np.isfinite(float(value)) for value in given)
    except ValueError:
        return False


def _grouped(values: Mapping[str, str]) -> dict[str, str]:
    """Numbers as thirds of their distribution; an absent one is a group of its own."""
    numbers = np.array([float(value) for value in values.values() if value])
    limits = np.quantile(numbers, np.arange(1, _AGE_GROUPS) / _AGE_GROUPS)
    return {name: str(int(np.searchsorted(limits, float(value)))) if value else "" for name, value in values.items()}
