"""Figures of a study's report, drawn with the plots of :mod:`metrics.report.plots` in the colours of its palette."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from metrics.comparison import Estimate
from metrics.report.layout import decimals, shown, shown_interval, shown_p
from metrics.report.palette import places_in_palette
from metrics.report.plots import Bar, Box, box_plot, interval_plot
from metrics.statistics import SIGNIFICANT
from study.analysis.fooling import BoxPlot
from study.contract import PHOTOGRAPH
from study.report.tables import Figure

MOST_POINTS = 60
"""Raters that have a point each; of more, only those beyond the whiskers have one."""


def hues_of(conditions: Sequence[str]) -> dict[str, int]:
    """The colour of each condition; photographs take one that no method has."""
    methods = [name for name in conditions if name != PHOTOGRAPH]
    return places_in_palette([*methods, *([PHOTOGRAPH] if PHOTOGRAPH in conditions else [])])


def rater_boxes(
    title: str,
    axis: str,
    values: Mapping[str, tuple[NDArray[np.float64], BoxPlot]],
    raters: Sequence[str],
    hues: Mapping[str, int],
) -> Figure:
    """A box a condition over ``raters`` ``(R,)``, from their values ``(R,)``."""
    boxes = [
        Box(
            name,
            hues[name],
            {f"rater {int(who)}": float(value) for who, value in zip(raters, each, strict=True) if np.isfinite(value)},
            box.median,
            box.q25,
            box.q75,
        )
        for name, (each, box) in values.items()
    ]
    every = len(raters) <= MOST_POINTS
    svg = box_plot({"": boxes}, name=title, axis=axis, all_points=every)
    points = "every point is a rater" if every else "points are raters beyond the whiskers"
    words = f"Box from quartile to quartile, line at the median, whiskers within 1.5 box lengths; {points}."
    return Figure(title, svg, words)


def estimates_plot(
    title: str, axis: str, rows: Sequence[tuple[str, Estimate, int | None]], *, zero: float | None, words: str
) -> Figure:
    """Numbers with their intervals: label, estimate, and colour of each; None draws it hollow."""
    digits = min(2, decimals([one.value for _, one, _ in rows]))
    bars = [Bar(label, one, shown(one.value, digits), _hover(label, one), hue) for label, one, hue in rows]
    return Figure(title, interval_plot({"": bars}, name=title, axis=axis, zero=zero), words)


def _hover(label: str, one: Estimate) -> str:
    return f"{label}: {shown(one.value, 3)} {shown_interval(one, 3)}, n = {one.n}"


def differences_plot(
    title: str, axis: str, rows: Sequence[tuple[str, str, Estimate, float]], hues: Mapping[str, int]
) -> Figure:
    """First less second with interval and p after Holm; in the colour of the higher one where beyond chance."""
    bars = []
    for first, second, one, p in rows:
        winner = None if not p <= SIGNIFICANT else first if one.value > 0 else second
        label, text = f"{first} − {second}", f"{shown(one.value, 2)}, p {shown_p(p)}"
        bars.append(Bar(label, one, text, _hover(label, one), None if winner is None else hues[winner]))
    words = "Filled where one condition is higher beyond chance (Holm), in its colour; hollow where not."
    return Figure(title, interval_plot({"": bars}, name=title, axis=axis), words)
