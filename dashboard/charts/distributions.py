"""How a metric is spread over people, method by method: box, violin, and a dot a person that can be clicked.

Violins are Gaussian kernel density estimates with Scott's bandwidth (SciPy), cut at the smallest and largest value.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.drawing import Chart
from dashboard.charts.look import ROW, Look, names_axis
from metrics.comparison import Standing
from metrics.report.layout import decimals, heading, shown, shown_interval
from metrics.rows import WHOLE_SET

MOST_DOTS = 3000
"""More dots than this say no more and take long to send: then only those beyond the whiskers are drawn."""

_STEPS = 64
_VIOLIN, _BOX, _JITTER = 0.42, 0.13, 0.1
_GOLDEN = (math.sqrt(5) - 1) / 2
CLICK = "person"


def distributions(standings: Sequence[Standing], look: Look) -> Chart | None:
    """Of one place; None where no person has a value."""
    shown_ones = [one for one in standings if _values(one)]
    if not shown_ones:
        return None
    names = [one.method for one in shown_ones]
    place = shown_ones[0].place
    boxes = pd.DataFrame([_box(index, one) for index, one in enumerate(shown_ones)])
    violins = pd.concat([_violin(index, one) for index, one in enumerate(shown_ones)], ignore_index=True)
    dots = pd.concat([_dots(index, one, _all_dots(shown_ones)) for index, one in enumerate(shown_ones)])
    # Ratios are read by factors.
    scale = alt.Scale(type="log", nice=False) if place.direction == "one" else alt.Scale(zero=False)
    across = alt.X("value:Q", scale=scale, title=heading(place), axis=alt.Axis(tickCount=7))
    rows = alt.Scale(domain=[-0.5, len(names) - 0.5], reverse=True, nice=False, zero=False)
    up = alt.Y("row:Q", axis=names_axis(names), scale=rows)
    colour = alt.Color("method:N", scale=look.colour(names), legend=None)
    tips = [alt.Tooltip("method:N"), alt.Tooltip("mean:N", title="mean [95 %]"), alt.Tooltip("quartiles:N"), "n:Q"]
    violin = (
        alt.Chart(violins)
        .mark_area(orient="vertical", opacity=0.25)
        .encode(across, alt.Y("low:Q", axis=names_axis(names), scale=rows), alt.Y2("high:Q"), colour)
    )
    click = alt.selection_point(name=CLICK, fields=["subject", "method"], on="click", clear=False)
    dot = (
        alt.Chart(dots)
        .mark_point(filled=True, size=34, opacity=0.65, cursor="pointer")
        .encode(
            across, up, colour, alt.Shape("method:N", scale=look.shape(names), legend=None),
            tooltip=[alt.Tooltip("subject:N"), alt.Tooltip("method:N"), alt.Tooltip("said:N", title=place.metric)],
        )
        .add_params(click)
    )  # fmt: skip
    base = alt.Chart(boxes)
    whisker = base.mark_rule(color=look.ink, strokeWidth=1).encode(
        alt.X("least:Q", scale=scale), alt.X2("most:Q"), up, tooltip=tips
    )
    box = base.mark_rule(strokeWidth=9, opacity=0.9).encode(
        alt.X("q25:Q", scale=scale), alt.X2("q75:Q"), up, colour, tooltip=tips
    )
    median = base.mark_tick(color=look.ink, thickness=2.5, size=17).encode(
        alt.X("median:Q", scale=scale), up, tooltip=tips
    )
    return alt.layer(violin, whisker, box, median, dot).properties(height=ROW * len(names) + 40)


def _values(standing: Standing) -> dict[str, float]:
    return {name: value for name, value in standing.values.items() if name != WHOLE_SET}


def _all_dots(standings: Sequence[Standing]) -> bool:
    return sum(len(one.values) for one in standings) <= MOST_DOTS


def _fences(standing: Standing) -> tuple[float, float]:
    """Tukey's: one and a half times the quartiles' distance beyond them, of ratios as logarithms."""
    ratio = standing.place.direction == "one" and standing.q25 > 0
    low, high = (math.log2(standing.q25), math.log2(standing.q75)) if ratio else (standing.q25, standing.q75)
    reach = 1.5 * (high - low)
    return (2.0 ** (low - reach), 2.0 ** (high + reach)) if ratio else (low - reach, high + reach)


def _box(row: int, standing: Standing) -> dict[str, object]:
    values = np.array(list(_values(standing).values()))
    low, high = _fences(standing)
    inside = values[(values >= low) & (values <= high)]
    digits = decimals([standing.mean.value])
    quartiles = (shown(number, digits) for number in (standing.q25, standing.median, standing.q75))
    return {
        "row": row,
        "method": standing.method,
        "least": float(inside.min(initial=standing.q25)),
        "most": float(inside.max(initial=standing.q75)),
        "q25": standing.q25,
        "median": standing.median,
        "q75": standing.q75,
        "mean": f"{shown(standing.mean.value, digits)} {shown_interval(standing.mean, digits)}".strip(),
        "quartiles": " · ".join(quartiles),
        "n": standing.mean.n,
    }


def _violin(row: int, standing: Standing) -> pd.DataFrame:
    from scipy.stats import gaussian_kde

    values = np.array(list(_values(standing).values()))
    ratio = standing.place.direction == "one"
    scaled = np.log2(np.maximum(values, 2.0**-20)) if ratio else values
    # A density needs three people who differ by more than rounding does.
    if len(scaled) < 3 or np.ptp(scaled) <= 1e-9 * np.abs(scaled).max():
        return pd.DataFrame({"value": [], "low": [], "high": [], "method": []})
    grid = np.linspace(scaled.min(), scaled.max(), _STEPS)
    density = gaussian_kde(scaled)(grid)
    width = _VIOLIN * density / density.max()
    return pd.DataFrame(
        {"value": 2.0**grid if ratio else grid, "low": row - width, "high": row + width, "method": standing.method}
    )


def _dots(row: int, standing: Standing, everybody: bool) -> pd.DataFrame:
    low, high = _fences(standing)
    kept = {name: value for name, value in _values(standing).items() if everybody or not low <= value <= high}
    digits = decimals([standing.mean.value])
    # Spread evenly and alike at every visit.
    offset = [_BOX + _JITTER * ((index * _GOLDEN) % 1.0 - 0.2) for index in range(len(kept))]
    return pd.DataFrame(
        {
            "value": list(kept.values()),
            "row": [row + one for one in offset],
            "subject": list(kept),
            "method": standing.method,
            "said": [shown(value, digits) for value in kept.values()],
        }
    )
