"""Which subjects are shown, and in which order: by id, by a method's value, or by how much there is to argue about.

A *loss* is a value turned so that less is better: of a ratio, whose ideal is 1, the distance of its binary logarithm
from 0. Where a metric knows no better or worse, the order is by size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.comparison import Place
from metrics.headline import SHOWN
from metrics.report.cases import HEADLINES
from metrics.value_table import ValueTable

Float = NDArray[np.float64]

ID, DISPUTED = "id", "disputed"
WORST, BEST = "worst:", "best:"
_LEAST = 2.0**-20


@dataclass(frozen=True, eq=False)
class Yardstick:
    """A metric in one way of looking.

    Attributes:
        place: what it is.
        methods: ``M`` names; ``subjects``: ``N`` ids.
        values: ``(M, N)`` float64, NaN where missing.
    """

    place: Place
    methods: tuple[str, ...]
    subjects: tuple[str, ...]
    values: Float

    @property
    def losses(self) -> Float:
        """``(M, N)``: less is better."""
        return losses(self.values, self.place.direction)

    def of(self, subject: str) -> dict[str, float]:
        """The values of one subject, finite ones alone."""
        if subject not in self.subjects:
            return {}
        column = self.values[:, self.subjects.index(subject)]
        return {name: float(one) for name, one in zip(self.methods, column, strict=True) if np.isfinite(one)}


def losses(values: Float, direction: str) -> Float:
    """Values turned so that less is better; of a metric without a better or worse as they are."""
    if direction == "higher":
        return -values
    return np.abs(np.log2(np.maximum(values, _LEAST))) if direction == "one" else values


def ranks(values: Mapping[str, float], direction: str) -> dict[str, int]:
    """Rank of each value among ``values``, 1 for the best; equal values share one. Empty where nothing is better."""
    if direction == "none":
        return {}
    found = losses(np.array(list(values.values()), np.float64), direction)
    return {name: 1 + int((found < own).sum()) for name, own in zip(values, found, strict=True)}


def yardstick(table: ValueTable, place: Place) -> Yardstick:
    """The values of ``place``."""
    index = table.places.index(place)
    return Yardstick(place, tuple(entry.method for entry in table.entries), table.subjects, table.values[index])


def label(place: Place) -> str:
    """How a metric is called in a chooser: regions apart."""
    where = {"uv": "albedo", "image": "picture", "shape": "shape"}[place.space]
    view = f" {place.view}" if place.space == "image" and place.view != "fitted" else ""
    return f"{place.metric} · {where}{view}{' · truth' if place.reference == 'truth' else ''}"


def metrics_of(table: ValueTable, protocol: str) -> dict[str, list[Place]]:
    """The places of ``protocol`` in which people have values, by :func:`label`; those that people notice come first."""
    found: dict[str, list[Place]] = {}
    for place, own in zip(table.places, table.values, strict=True):
        if place.protocol == protocol and np.isfinite(own).any():
            found.setdefault(label(place), []).append(place)
    return dict(sorted(found.items(), key=lambda item: _prominence(item[1][0])))


def _prominence(place: Place) -> tuple[int, int]:
    noticed = [place.family == name or place.metric.lower().startswith(name) for name in HEADLINES]
    if place.space == "image" and any(noticed):
        return 0, noticed.index(True)
    return (1, 0) if place.metric in SHOWN.get(place.space, ()) else (2, 0)


def region_first(places: Sequence[Place]) -> str:
    """The region that says most: what was withheld where something was, else all."""
    regions = [place.region for place in places]
    return next((name for name in ("skin/withheld", "skin/all") if name in regions), regions[0])


def known_orders(methods: Sequence[str]) -> list[str]:
    """All orders there are."""
    return [ID, DISPUTED, *(WORST + name for name in methods), *(BEST + name for name in methods)]


def arranged(
    subjects: Sequence[str], order: str, measured: Yardstick | None, disputes: Mapping[str, float]
) -> list[str]:
    """``subjects`` in ``order``; those without a number come last, equal ones by id.

    Args:
        disputes: how disputed raters' verdicts on a subject are; where it is empty, it is how far methods lie apart.
    """
    keys = _keys(order, measured, disputes)
    return sorted(subjects, key=lambda name: (name not in keys, keys.get(name, 0.0), name))


def _keys(order: str, measured: Yardstick | None, disputes: Mapping[str, float]) -> dict[str, float]:
    """What subjects are sorted by, rising."""
    if order == DISPUTED and disputes:
        return {name: -value for name, value in disputes.items()}
    if measured is None or order == ID:
        return {}
    loss = measured.losses
    if order == DISPUTED:
        enough = np.isfinite(loss).sum(axis=0) >= 2
        spread = np.full(enough.shape, np.nan)
        spread[enough] = np.nanmax(loss[:, enough], axis=0) - np.nanmin(loss[:, enough], axis=0)
        return _finite(measured.subjects, -spread)
    kind, method = (WORST, order.removeprefix(WORST)) if order.startswith(WORST) else (BEST, order.removeprefix(BEST))
    if method not in measured.methods:
        return {}
    row = loss[measured.methods.index(method)]
    return _finite(measured.subjects, -row if kind == WORST else row)


def _finite(subjects: Sequence[str], keys: Float) -> dict[str, float]:
    return {name: float(key) for name, key in zip(subjects, keys, strict=True) if np.isfinite(key)}


def inside(subjects: Sequence[str], measured: Yardstick, methods: Sequence[str], low: float, high: float) -> list[str]:
    """Those of ``subjects`` of whom a method of ``methods`` has a value from ``low`` to ``high``."""
    rows = [index for index, name in enumerate(measured.methods) if name in methods]
    with np.errstate(invalid="ignore"):
        fits = (measured.values[rows] >= low) & (measured.values[rows] <= high)
    hit = np.any(fits, axis=0).tolist()
    kept = {name for name, one in zip(measured.subjects, hit, strict=True) if one}
    return [name for name in subjects if name in kept]
