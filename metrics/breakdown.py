"""Comparisons within groups of people, and how unlike the groups are served.

Groups come from what the source recorded of a person (``gender``, ``ethnicity``), from the age (``age band``), or from
the skin tone of the reference (``ITA group``: the individual typology angle cut at 55, 41, 28, 10 and −30°, Chardon,
Cretois and Hourseau 1991 as used by FAIR, arXiv 2205.03962).

The *fairness gap* of a method is the largest minus the smallest mean of a group. It is never negative, so with random
groups it is above 0 as well; whether it is more than chance is answered by dividing the same people at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metrics.comparison import Estimate, FairnessGap
from metrics.statistics import LEVEL, RESAMPLES, SEED, holm, sorted_quantiles
from metrics.value_table import ValueTable
from recon.errors import InputError, UsageError
from recon.runs.folder import RunFolder
from recon.skin_tone import TONE_GROUPS, tone_group
from recon.storage import read_json

Float = NDArray[np.float64]

AGE, AGE_BAND, TONE_GROUP = "age", "age band", "ITA group"
TONE = "ITA of the reference"
AGE_CUTS = (18, 25, 35, 45, 55, 65)
UNKNOWN = "unknown"

LEAST_IN_GROUP = 2
"""A group of one has no spread of its own: it is left out of the gap."""
SHUFFLES = 999
_BLOCK = 512


@dataclass(frozen=True)
class Groups:
    """People by group.

    Attributes:
        attribute: what divides them; empty where nothing does.
        members: indices of subjects by name of the group (``gender=female``), in the order of tables.
    """

    attribute: str
    members: Mapping[str, Sequence[int]]


def age_band(age: float) -> str:
    """``25–34`` and so on."""
    below = [cut for cut in AGE_CUTS if cut <= age]
    above = [cut for cut in AGE_CUTS if cut > age]
    if not below:
        return f"under {AGE_CUTS[0]}"
    return f"{below[-1]}–{above[0] - 1}" if above else f"{below[-1]} and over"


def attributes_of(folders: Sequence[RunFolder], table: ValueTable) -> dict[str, dict[str, str]]:
    """Attributes of each subject, recorded and derived; of several runs the first that knows the subject."""
    tones = _tones(table)
    found: dict[str, dict[str, str]] = {}
    for subject in table.subjects:
        recorded = next((read for folder in folders if (read := _recorded(folder, subject)) is not None), {})
        own = {str(name): str(value) for name, value in recorded.items() if value not in (None, "")}
        age = _number(own.get(AGE))
        if age is not None:
            own[AGE_BAND] = age_band(age)
        if subject in tones:
            own[TONE_GROUP] = tone_group(tones[subject])
        found[subject] = own
    return found


def _recorded(folder: RunFolder, subject: str) -> Mapping[str, object] | None:
    path = folder.reference(subject) / "subject.json"
    if not path.is_file():
        return None
    record = read_json(path)
    attributes = record.get("attributes", {}) if isinstance(record, dict) else None
    if not isinstance(attributes, Mapping):
        raise InputError(f"'{path}' has attributes that are no table: delete it and run 'mesoface run' again.")
    return attributes


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _tones(table: ValueTable) -> dict[str, float]:
    """Degrees by subject: the median over all rows that say it, which differ by the region that was looked at."""
    rows = [index for index, place in enumerate(table.places) if place.metric == TONE]
    values = table.values[rows].reshape(-1, len(table.subjects)) if rows else np.empty((0, len(table.subjects)))
    return {
        subject: float(np.median(own[np.isfinite(own)]))
        for subject, own in zip(table.subjects, values.T, strict=True)
        if np.isfinite(own).any()
    }


def groups_of(attributes: Mapping[str, Mapping[str, str]], subjects: Sequence[str], by: str | None) -> Groups:
    """The groups into which the attribute ``by`` divides the subjects; one of all, without a name, if it is None.

    Raises:
        UsageError: nobody has the attribute; the message names those that there are.
    """
    if by is None:
        return Groups("", {"": range(len(subjects))})
    known = sorted({name for own in attributes.values() for name in own})
    attribute = next((name for name in known if _plain(name) == _plain(by)), None)
    if attribute == AGE and AGE_BAND in known:
        attribute = AGE_BAND
    if attribute is None:
        if _plain(by) == _plain(TONE_GROUP):
            raise UsageError(
                f"--by '{by}': no value of '{TONE}' was measured, which it is read from: 'mesoface metrics RUN' does."
            )
        raise UsageError(f"--by {by}: the subjects have no such attribute; known: {', '.join(known) or 'none'}.")
    divided: dict[str, list[int]] = {}
    for index, subject in enumerate(subjects):
        divided.setdefault(attributes[subject].get(attribute, UNKNOWN), []).append(index)
    order = sorted(divided, key=lambda name: _rank(attribute, name))
    return Groups(attribute, {f"{attribute}={name}": divided[name] for name in order})


def _plain(name: str) -> str:
    return name.lower().replace("-", " ").replace("_", " ")


def _rank(attribute: str, group: str) -> tuple[bool, int, float, str]:
    """Ages rise, tones darken, numbers rise, other names follow the alphabet; who is unknown comes last."""
    named = list(TONE_GROUPS)
    bands = [age_band(0), *(age_band(cut) for cut in AGE_CUTS)]
    place = {TONE_GROUP: named, AGE_BAND: bands}.get(attribute, [])
    number = _number(group)
    return group == UNKNOWN, place.index(group) if group in place else 0, number if number is not None else 0.0, group


def fairness_gaps(losses: Float, table: ValueTable, groups: Groups) -> list[FairnessGap]:
    """The gap of each method in each place that at least two groups have values in.

    Args:
        losses: ``(P, M, N)`` values as methods are compared by them, NaN where missing.
    """
    named = {
        name: np.asarray(members, np.int64)
        for name, members in groups.members.items()
        if name != f"{groups.attribute}={UNKNOWN}" and len(members) >= LEAST_IN_GROUP
    }
    places, methods, people = losses.shape
    if len(named) < 2:
        return []
    flat = losses.reshape(places * methods, people)
    means = np.stack([_means(flat, members) for members in named.values()])
    low, high, chance = _uncertainty(flat, list(named.values()), means)
    adjusted = holm(chance.reshape(places, methods)).reshape(-1)
    counts = np.stack([np.isfinite(flat[:, members]).sum(axis=1) for members in named.values()])
    names = [name.partition("=")[2] for name in named]
    found = []
    for row in range(len(flat)):
        of_groups = means[:, row]
        if np.isfinite(of_groups).sum() < 2:
            continue
        place, method = divmod(row, methods)
        smallest, largest = names[int(np.nanargmin(of_groups))], names[int(np.nanargmax(of_groups))]
        higher = table.places[place].direction == "higher"
        estimate = Estimate(float(np.nanmax(of_groups) - np.nanmin(of_groups)), float(low[row]), float(high[row]),
                            int(counts[:, row].sum()))  # fmt: skip
        found.append(
            FairnessGap(
                replace(table.places[place], group=""),
                table.entries[method].label,
                groups.attribute,
                estimate,
                smallest if higher else largest,
                largest if higher else smallest,
                float(chance[row]),
                float(adjusted[row]),
            )
        )
    return found


def _means(rows: Float, members: NDArray[np.int64]) -> Float:
    """Mean ``(R,)`` of those members who have a value; NaN for fewer than :data:`LEAST_IN_GROUP`."""
    own = rows[:, members]
    present = np.isfinite(own)
    count = present.sum(axis=1)
    total = np.where(present, own, 0.0).sum(axis=1)
    return np.where(count >= LEAST_IN_GROUP, total / np.maximum(count, 1), np.nan)


def _spread(means: NDArray[np.floating]) -> NDArray[np.floating]:
    """Largest minus smallest along the first axis, of groups that have a mean; −∞ where none has."""
    there = np.isfinite(means)
    return np.where(there, means, -np.inf).max(axis=0) - np.where(there, means, np.inf).min(axis=0)


def _uncertainty(rows: Float, groups: Sequence[NDArray[np.int64]], means: Float) -> tuple[Float, Float, Float]:
    """Ends of the bias-corrected interval, and the p-value of a random division, ``(R,)`` each."""
    from scipy.special import ndtr, ndtri

    rng = np.random.default_rng(SEED)
    resampled = [
        rng.multinomial(len(members), np.full(len(members), 1.0 / len(members)), RESAMPLES) for members in groups
    ]
    together = np.concatenate(groups)
    shuffled = together[np.argsort(rng.random((SHUFFLES, len(together))), axis=1)]
    ends = np.cumsum([0, *(len(members) for members in groups)])
    belongs = [_indicator(shuffled[:, ends[k] : ends[k + 1]], rows.shape[1]) for k in range(len(groups))]
    everybody = np.arange(rows.shape[1])
    edge = float(ndtri(0.5 + LEVEL / 2))
    low, high, chance = (np.full(len(rows), np.nan) for _ in range(3))
    for start in range(0, len(rows), _BLOCK):
        block = slice(start, start + _BLOCK)
        # Centred, so that single precision loses nothing that a gap could show.
        centre = _means(rows[block], everybody)
        own = rows[block] - np.nan_to_num(centre)[:, None]
        seen = _spread(means[:, block])
        valid = np.isfinite(seen)
        spread = np.where(valid, seen, 0.0)[:, None]
        drawn = np.stack([_weighted(own[:, members], w) for members, w in zip(groups, resampled, strict=True)])
        replicates = np.nan_to_num(_spread(drawn), nan=0.0, neginf=0.0)
        # As far apart as seen but for rounding, which depends on what else is computed, is neither nearer nor farther.
        slack = 1e-6 * np.abs(np.nan_to_num(own)).max(axis=1, keepdims=True)
        share = np.where(np.abs(replicates - spread) <= slack, 0.5, replicates < spread).mean(axis=1)
        bias = ndtri(np.clip(share, 0.5 / RESAMPLES, 1 - 0.5 / RESAMPLES))[:, None]
        ends_of = sorted_quantiles(np.sort(replicates, axis=1), ndtr(2 * bias + np.array([[-edge, edge]])))
        by_chance = _spread(np.stack([_weighted(own, weights) for weights in belongs]))
        larger = (by_chance >= spread - slack).sum(axis=1)
        low[block] = np.where(valid, ends_of[:, 0], np.nan)
        high[block] = np.where(valid, ends_of[:, 1], np.nan)
        chance[block] = np.where(valid, (larger + 1) / (SHUFFLES + 1), np.nan)
    return low, high, chance


def _indicator(members: NDArray[np.int64], people: int) -> NDArray[np.int64]:
    """``(B, people)``: 1 for those in a row of ``members`` ``(B, n)``."""
    found = np.zeros((len(members), people), np.int64)
    np.put_along_axis(found, members, 1, axis=1)
    return found


def _weighted(rows: Float, weights: NDArray[np.int64]) -> NDArray[np.float32]:
    """Weighted means ``(R, B)`` of ``rows`` ``(R, N)`` under ``weights`` ``(B, N)``; NaN where nobody weighs."""
    present = np.isfinite(rows)
    heavy = weights.astype(np.float32).T
    total = np.where(present, rows, 0.0).astype(np.float32) @ heavy
    count = present.astype(np.float32) @ heavy
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(count > 0, total / count, np.float32(np.nan))
