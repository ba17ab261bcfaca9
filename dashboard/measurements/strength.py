"""How a metric answers to the strength of a protocol: blur, resolution, angle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from dashboard.charts.curves import Curve, curves
from dashboard.charts.look import Look, draw
from dashboard.grid import Cell, Head, grid
from dashboard.measurements.chosen import Chosen
from dashboard.values import comparison_of
from metrics.comparison import Comparison, Place, Sensitivity
from metrics.report.layout import decimals, heading, shown, shown_interval


def strength(chosen: Chosen, place: Place, look: Look) -> Comparison | None:
    """Draw ``place`` against the strengths of its kind of protocol; None where there is but one."""
    kind = place.protocol.partition(":")[0]
    strengths = tuple(name for name in chosen.run.protocols if name.partition(":")[0] == kind)
    if len(strengths) < 2:
        other = "a kind with strengths, such as blur:4 and blur:8"
        st.info(
            f"The protocol '{place.protocol}' was run at one strength. For a curve, run {other}: "
            f"'mesoface run … --protocols blur:4,blur:8 --out {chosen.run.title}' adds what is missing.",
            icon=":material/info:",
        )
        return None
    comparison = comparison_of(chosen.run, replace(chosen.of(place), protocols=strengths), contrasts=False)
    found = [one for one in comparison.sensitivity if one.place == replace(place, protocol=kind)]
    if not found:
        st.info("Nobody has a value of this metric at each strength.", icon=":material/info:")
        return None
    chart = curves([_curve(one) for one in found], look, f"strength of {kind}", f"mean {heading(place)}",
                   log_x=found[0].per.startswith("doubling"), points=True)  # fmt: skip
    draw(chart, "; ".join(_in_words(one) for one in found), f"strength {place}")
    of = " of |log₂|" if place.direction == "one" else ""
    columns = [Head("method"), Head(f"slope{of} per {found[0].per}"), Head("beyond chance"), Head("n")]
    digits = decimals([one.slope.value for one in found])
    rows = [
        (
            Head(one.method, colour=look.hue(one.method)),
            [
                Cell(shown(one.slope.value, digits), shown_interval(one.slope, digits), best=one.lasting),
                Cell("yes" if one.lasting else "no"),
                Cell(str(one.slope.n)),
            ],
        )
        for one in found
    ]
    grid("", columns, rows)
    return comparison


def _curve(one: Sensitivity) -> Curve:
    value, low, high = (np.array([getattr(mean, name) for mean in one.means]) for name in ("value", "low", "high"))
    return Curve(one.method, np.array(one.strengths), value, low, high)


def _in_words(one: Sensitivity) -> str:
    digits = decimals([mean.value for mean in one.means])
    return f"{one.method}: {', '.join(shown(mean.value, digits) for mean in one.means)}"
