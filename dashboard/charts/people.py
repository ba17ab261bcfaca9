"""Two methods person by person: the paired difference of each, from the smallest to the largest, to be clicked."""

from __future__ import annotations

import math

import altair as alt
import numpy as np
import pandas as pd

from dashboard.charts.drawing import Chart
from dashboard.charts.intervals import difference_axis
from dashboard.charts.look import Look
from metrics.comparison import Contrast, Standing
from metrics.report.layout import decimals, shown, shown_interval
from metrics.rows import WHOLE_SET

CLICK = "person"
MOST_DOTS = 2000
"""Of more people an even choice is drawn, and always those at the ends."""
_ENDS = 100


def differences(first: Standing, second: Standing, contrast: Contrast, look: Look) -> Chart:
    """The difference of every person whom both methods have."""
    data = _differences(first, second)
    kept = _thinned(len(data))
    data = data.iloc[kept]
    names = [first.method, second.method, ""]
    digits = decimals([contrast.difference.value])
    mean = pd.DataFrame(
        [{"value": contrast.difference.value, "low": contrast.difference.low, "high": contrast.difference.high,
          "said": f"{shown(contrast.difference.value, digits)} {shown_interval(contrast.difference, digits)}"}]
    )  # fmt: skip
    click = alt.selection_point(name=CLICK, fields=["subject"], on="click", clear=False)
    everybody = len(kept) == contrast.difference.n
    people = f"{len(data)} people" if everybody else f"{len(data)} of {contrast.difference.n} people"
    order = alt.Scale(zero=False, nice=False, padding=6)
    legend = alt.Legend(title="better for this person", orient="top", values=names[:2])
    dots = (
        alt.Chart(data)
        .mark_point(filled=True, size=48, opacity=0.8, cursor="pointer")
        .encode(
            alt.X(
                "order:Q",
                title=f"{people}, by difference",
                axis=alt.Axis(labels=False, ticks=False, grid=False),
                scale=order,
            ),
            alt.Y("difference:Q", title=difference_axis(contrast)),
            alt.Color("better:N", scale=look.colour(names), legend=legend),
            alt.Shape("better:N", scale=look.shape(names), legend=legend),
            tooltip=[
                alt.Tooltip("subject:N"),
                alt.Tooltip("first:N", title=first.method),
                alt.Tooltip("second:N", title=second.method),
                alt.Tooltip("said:N", title="difference"),
            ],
        )
        .add_params(click)
    )
    base = alt.Chart(mean)
    layers = [base.mark_rule(color=look.ink, aria=False).encode(y=alt.datum(0))]
    if math.isfinite(contrast.difference.low):
        layers.append(
            base.mark_rect(opacity=0.18, color=look.grey, aria=False).encode(
                alt.Y("low:Q"), alt.Y2("high:Q"), tooltip=[alt.Tooltip("said:N", title="mean [95 %]")]
            )
        )
    layers.append(
        base.mark_rule(color=look.grey, strokeDash=[5, 3], aria=False).encode(
            alt.Y("value:Q"), tooltip=[alt.Tooltip("said:N", title="mean [95 %]")]
        )
    )
    return alt.layer(*layers, dots).properties(height=300)


def _differences(first: Standing, second: Standing) -> pd.DataFrame:
    shared = [name for name in first.values if name in second.values and name != WHOLE_SET]
    ours, theirs = (np.array([one.values[name] for name in shared]) for one in (first, second))
    direction = first.place.direction
    if direction == "one":
        loss = np.abs(np.log2(np.maximum(np.stack([ours, theirs]), 2.0**-20)))
        difference = loss[0] - loss[1]
    else:
        difference = ours - theirs
    towards = {"higher": 1, "lower": -1, "one": -1, "none": 0}[direction] * np.sign(difference)
    order = np.argsort(difference, kind="stable")
    digits = decimals([*ours, *theirs])
    frame = pd.DataFrame(
        {
            "subject": shared,
            "difference": difference,
            "better": np.select([towards > 0, towards < 0], [first.method, second.method], ""),
            "first": [shown(value, digits) for value in ours],
            "second": [shown(value, digits) for value in theirs],
            "said": [shown(value, digits) for value in difference],
        }
    ).iloc[order]
    return frame.assign(order=range(len(frame)))


def _thinned(people: int) -> np.ndarray:
    if people <= MOST_DOTS:
        return np.arange(people)
    middle = np.linspace(_ENDS, people - _ENDS - 1, MOST_DOTS - 2 * _ENDS).round().astype(int)
    return np.unique(np.concatenate([np.arange(_ENDS), middle, np.arange(people - _ENDS, people)]))
