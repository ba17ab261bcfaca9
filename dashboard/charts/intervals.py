"""Forest plots: numbers with their intervals below each other, whether of pairs of methods, of groups, or of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import pandas as pd

from dashboard.charts.drawing import Chart
from dashboard.charts.look import Look
from metrics.comparison import Contrast, Estimate, Standing
from metrics.report.layout import decimals, heading, shown, shown_interval, shown_p

_HEIGHT = 26
_GROUPED = 15


@dataclass(frozen=True)
class Row:
    """A line of a forest plot.

    Attributes:
        name: what it is of.
        estimate: where it stands.
        hue: the method whose colour it has; of a difference the better one, empty for a tie.
        facts: what the tooltip says beside the number, by name.
        panel: lines of one panel stand together under this heading.
    """

    name: str
    estimate: Estimate
    hue: str
    facts: dict[str, str]
    panel: str = ""


def row_of_contrast(contrast: Contrast) -> Row:
    """A paired difference."""
    verdict = f"{contrast.better} is better" if contrast.better else "a tie: no more than chance"
    facts = {"p (Holm)": shown_p(contrast.adjusted), "effect (rank-biserial)": shown(contrast.effect, 2),
             "Cohen’s d": shown(contrast.cohens_d, 2), "verdict": verdict}  # fmt: skip
    return Row(f"{contrast.first} − {contrast.second}", contrast.difference, contrast.better, facts)


def row_of_mean(standing: Standing, panel: str) -> Row:
    """A mean within a group."""
    return Row(standing.method, standing.mean, standing.method, {}, panel)


def forest(rows: Sequence[Row], look: Look, axis: str, *, zero: bool) -> Chart | None:
    """The plot; None where no line has a number.

    Args:
        zero: whether 0 means *no difference* and is drawn.
    """
    data = pd.DataFrame([_record(row) for row in rows if row.estimate.value == row.estimate.value])
    if data.empty:
        return None
    names = list(dict.fromkeys(data["name"]))
    hues = list(dict.fromkeys(data["hue"]))
    colour = alt.Color("hue:N", scale=look.colour(hues), legend=None)
    known = dict.fromkeys(name for row in rows for name in row.facts)
    tips = [alt.Tooltip("name:N", title=" "), alt.Tooltip("said:N", title="value [95 %]"), alt.Tooltip("n:Q"),
            *(alt.Tooltip(f"{name}:N") for name in known)]  # fmt: skip
    up = alt.Y(
        "name:N",
        sort=names,
        title=None,
        axis=alt.Axis(
            labelLimit=190, labelOverlap=False, ticks=False, domain=False, labelFlush=False, labelFontSize=13
        ),
    )
    base = alt.Chart(data)
    line = base.mark_rule(strokeWidth=2.5).encode(
        alt.X("low:Q", title=axis, scale=alt.Scale(zero=zero), axis=alt.Axis(tickCount=7)),
        alt.X2("high:Q"),
        up,
        colour,
        tooltip=tips,
    )
    point = base.mark_point(filled=True, size=75, opacity=1).encode(
        alt.X("value:Q", scale=alt.Scale(zero=zero)), up, colour,
        alt.Shape("hue:N", scale=look.shape(hues), legend=None), tooltip=tips,
    )  # fmt: skip
    layers = [line, point]
    if zero:
        layers.insert(0, base.mark_rule(color=look.grey, strokeDash=[4, 3], aria=False).encode(x=alt.datum(0)))
    return alt.layer(*layers).properties(height=_HEIGHT * len(names) + 40)


def grouped_forest(rows: Sequence[Row], look: Look, axis: str) -> Chart | None:
    """The same with the lines of a panel close together beside its name; None where no line has a number."""
    data = pd.DataFrame([_record(row) for row in rows if row.estimate.value == row.estimate.value])
    if data.empty:
        return None
    names, panels = list(dict.fromkeys(data["name"])), list(dict.fromkeys(data["panel"]))
    legend = alt.Legend(title=None, orient="top", columns=3)
    colour = alt.Color("name:N", scale=look.colour(names), legend=legend)
    tips = ["panel:N", "name:N", alt.Tooltip("said:N", title="value [95 %]"), "n:Q"]
    side = alt.Axis(labelLimit=190, ticks=False, domain=False, labelFlush=False, labelFontSize=13, grid=True)
    up = alt.Y("panel:N", sort=panels, title=None, scale=alt.Scale(padding=0.12), axis=side)
    offset = alt.YOffset("name:N", sort=names)
    base = alt.Chart(data)
    line = base.mark_rule(strokeWidth=2.5).encode(
        alt.X("low:Q", title=axis, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=7)),
        alt.X2("high:Q"),
        up,
        offset,
        colour,
        tooltip=tips,
    )
    point = base.mark_point(filled=True, size=65, opacity=1).encode(
        alt.X("value:Q", scale=alt.Scale(zero=False)), up, offset, colour,
        alt.Shape("name:N", scale=look.shape(names), legend=legend), tooltip=tips,
    )  # fmt: skip
    return alt.layer(line, point).properties(height=(_GROUPED * len(names) + 10) * len(panels) + 60)


def _record(row: Row) -> dict[str, object]:
    estimate = row.estimate
    digits = decimals([estimate.value])
    low, high = (end if end == end else estimate.value for end in (estimate.low, estimate.high))
    return {
        "name": row.name,
        "value": estimate.value,
        "low": low,
        "high": high,
        "n": estimate.n,
        "said": f"{shown(estimate.value, digits)} {shown_interval(estimate, digits)}".strip(),
        "hue": row.hue,
        "panel": row.panel,
        **row.facts,
    }


def difference_axis(contrast: Contrast) -> str:
    """What a difference is of, and which side is better for the first method."""
    place = contrast.place
    if place.direction == "one":
        return f"difference of |log₂ {place.metric}|  (← first better)"
    side = {"higher": "first better →", "lower": "← first better"}.get(place.direction, "")
    return f"difference of {heading(place)}" + (f"  ({side})" if side else "")
