"""Lines with their bands: spectra, metrics against a protocol's strength, losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import altair as alt
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.charts.drawing import Chart
from dashboard.charts.look import Look

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """A line: ``x`` and ``y`` ``(N,)``, with the ends of its band where it has one; ``name`` is a method or not."""

    name: str
    x: Numbers
    y: Numbers
    low: Numbers = field(default_factory=lambda: np.zeros(0))
    high: Numbers = field(default_factory=lambda: np.zeros(0))


def curves(
    drawn: Sequence[Curve], look: Look, across: str, up: str, *, log_x: bool = False, log_y: bool = False,
    level: float | None = None, points: bool = False, height: int = 300,
) -> Chart:  # fmt: skip
    """The lines in one chart.

    Args:
        level: where a line across is drawn.
        points: whether each point is marked, for few of them.
    """
    data = pd.concat([_frame(one, log_x, log_y) for one in drawn], ignore_index=True)
    names = [one.name for one in drawn]
    x = alt.X(
        "x:Q",
        title=across,
        axis=alt.Axis(tickCount=8),
        scale=alt.Scale(type="log", nice=False) if log_x else alt.Scale(zero=False, nice=False),
    )
    y_scale = alt.Scale(type="log", nice=False) if log_y else alt.Scale(zero=False)
    legend = alt.Legend(title=None, orient="top", columns=3, symbolStrokeWidth=2.5)
    colour = alt.Color("name:N", scale=look.colour(names), legend=legend)
    tips = [alt.Tooltip("name:N", title=" "), alt.Tooltip("x:Q", title=across, format=".4~g"),
            alt.Tooltip("y:Q", title=up, format=".4~g")]  # fmt: skip
    base = alt.Chart(data)
    y = alt.Y("y:Q", title=up, scale=y_scale)
    layers: list[alt.Chart] = []
    if level is not None:
        layers.append(base.mark_rule(color=look.grey, aria=False).encode(y=alt.datum(level)))
    if any(len(one.low) for one in drawn):
        layers.append(base.mark_area(opacity=0.15).encode(x, alt.Y("low:Q", scale=y_scale), alt.Y2("high:Q"), colour))
    dash = alt.StrokeDash("name:N", scale=look.dash(names), legend=legend)
    layers.append(base.mark_line(strokeWidth=2.2).encode(x, y, colour, dash, tooltip=tips))
    if points:
        shape = alt.Shape("name:N", scale=look.shape(names), legend=legend)
        layers.append(base.mark_point(filled=True, size=60, opacity=1).encode(x, y, colour, shape, tooltip=tips))
    return alt.layer(*layers).properties(height=height)


def _frame(curve: Curve, log_x: bool, log_y: bool) -> pd.DataFrame:
    banded = len(curve.low) == len(curve.x)
    frame = pd.DataFrame({"x": curve.x, "y": curve.y, "low": curve.low if banded else np.nan,
                          "high": curve.high if banded else np.nan, "name": curve.name})  # fmt: skip
    kept = np.isfinite(frame["y"]) & ((frame["x"] > 0) | (not log_x)) & ((frame["y"] > 0) | (not log_y))
    return frame[kept]
