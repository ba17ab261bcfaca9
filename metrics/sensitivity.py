"""How a metric answers to the strength of a protocol: to the blur's σ, the factor of ``lowres``, the angle of ``yaw``.

For each subject with a value under every strength the slope is that of least squares, in closed form; what is reported
is the mean slope over subjects with its bootstrap interval. Blur and resolution act by factors, so their slope is per
doubling; that of an angle is per ten degrees.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from metrics.comparison import Estimate, Place, Sensitivity
from metrics.statistics import Intervals, mean_intervals
from metrics.value_table import ValueTable

Float = NDArray[np.float64]


@dataclass(frozen=True)
class _Scale:
    """What strengths of a kind are measured by, and what a slope is per."""

    of: Callable[[Float], Float]
    per: str


_SCALES = {
    "blur": _Scale(np.log2, "doubling of σ"),
    "lowres": _Scale(np.log2, "doubling of k"),
    "yaw": _Scale(lambda degrees: degrees / 10.0, "10° of yaw"),
}


def sensitivities(values: Float, losses: Float, table: ValueTable) -> list[Sensitivity]:
    """One for each place and method of which a kind of protocol was run with at least two strengths.

    Args:
        values, losses: ``(P, M, N)`` as they are averaged and as they are compared, NaN where missing.
    """
    found: list[Sensitivity] = []
    for place, members in _families(table).items():
        scale = _SCALES[place.protocol]
        strengths = np.array([strength for strength, _ in members])
        rows = [row for _, row in members]
        x = scale.of(strengths) - scale.of(strengths).mean()
        own, loss = values[rows], losses[rows]
        complete = np.isfinite(own).all(axis=0)
        slopes = np.where(complete, np.einsum("s,smn->mn", x, np.nan_to_num(loss)) / np.square(x).sum(), np.nan)
        slope = mean_intervals(slopes)
        means = [mean_intervals(np.where(complete, part, np.nan)) for part in own]
        ratio = place.direction == "one"
        for index, entry in enumerate(table.entries):
            if slope.n[index] == 0:
                continue
            found.append(
                Sensitivity(
                    place,
                    entry.label,
                    tuple(strengths.tolist()),
                    tuple(_estimate(mean, index, ratio) for mean in means),
                    _estimate(slope, index, False),
                    scale.per,
                    bool(slope.low[index] > 0 or slope.high[index] < 0),
                )
            )
    return found


def _families(table: ValueTable) -> dict[Place, list[tuple[float, int]]]:
    """Rows of places that differ in the strength of their protocol alone, by strength."""
    gathered: dict[Place, list[tuple[float, int]]] = {}
    for row, place in enumerate(table.places):
        kind, _, argument = place.protocol.partition(":")
        if kind in _SCALES and re.fullmatch(r"-?\d+(\.\d+)?", argument):
            gathered.setdefault(replace(place, protocol=kind), []).append((float(argument), row))
    return {place: sorted(members) for place, members in gathered.items() if len(members) > 1}


def _estimate(found: Intervals, index: int, ratio: bool) -> Estimate:
    numbers = [float(part[index]) for part in (found.value, found.low, found.high)]
    value, low, high = (2.0**number for number in numbers) if ratio else numbers
    return Estimate(value, low, high, int(found.n[index]))
