"""One metric by groups of people: means within each group, and how unlike the groups are served."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from dashboard.charts import intervals
from dashboard.charts.drawing import kept
from dashboard.charts.look import Look, draw
from dashboard.grid import Cell, Head, grid
from dashboard.measurements.chosen import Chosen
from dashboard.values import comparison_of
from metrics.comparison import Comparison, FairnessGap, Place
from metrics.conclusions import SIGNIFICANT
from metrics.report.layout import decimals, heading, shown, shown_interval, shown_p


def groups(chosen: Chosen, place: Place, by: str, look: Look) -> Comparison:
    """Draw the break-down of ``place`` by the attribute ``by``; what was concluded on it."""
    comparison = comparison_of(chosen.run, chosen.of(place), by, contrasts=False)
    standings = [one for one in comparison.standings if replace(one.place, group="") == place]
    sizes: dict[str, int] = {}
    for one in standings:
        sizes[one.place.group] = max(sizes.get(one.place.group, 0), one.mean.n)
    rows = [
        intervals.row_of_mean(one, f"{one.place.group.replace('=', ': ')} (n = {sizes[one.place.group]})")
        for one in standings
    ]
    gaps = [gap for gap in comparison.fairness if gap.place == place and gap.gap.value == gap.gap.value]
    left, right = st.columns((3, 2), gap="medium")
    with left:
        st.markdown("**Means within each group**")
        key, axis = chosen.key(place, look, "groups", by), f"mean {heading(place)}"
        chart = kept(key, lambda: intervals.grouped_forest(rows, look, axis))
        if chart is None:
            st.caption("No person has a value of this metric, so there are no groups.")
        else:
            words = "; ".join(f"{one.place.group}, {one.method}: {shown(one.mean.value, 3)}" for one in standings)
            draw(chart, words, f"groups {place} {by}")
    with right:
        _gaps(gaps, comparison.attribute)
        for note in comparison.notes:
            if note.startswith("too few"):
                st.caption(note)
    return comparison


def _gaps(gaps: list[FairnessGap], attribute: str) -> None:
    if not gaps:
        st.caption("No gap: fewer than two groups have two people or more with a value.")
        return
    digits = decimals([gap.gap.value for gap in gaps])
    columns = [
        Head("method"),
        Head("gap"),
        Head("p (Holm)"),
        Head("served worst", words=True),
        Head("served best", words=True),
        Head("n"),
    ]
    rows = [
        (
            Head(gap.method),
            [
                Cell(shown(gap.gap.value, digits), shown_interval(gap.gap, digits), best=gap.adjusted <= SIGNIFICANT),
                Cell(shown_p(gap.adjusted), best=gap.adjusted <= SIGNIFICANT),
                Cell(gap.worst.partition("=")[2] or gap.worst, words=True),
                Cell(gap.best.partition("=")[2] or gap.best, words=True),
                Cell(str(gap.gap.n)),
            ],
        )
        for gap in gaps
    ]  # fmt: skip
    grid(f"Gap between groups by {attribute}", columns, rows)
    of = "mean |log₂|, of which 0 is ideal" if gaps[0].place.direction == "one" else "mean"
    st.caption(
        f"Largest minus smallest {of} of a group, with its interval. A gap is never negative: p, the chance that a "
        "random division of the same people has such a gap, says whether it is more than chance; bold where it is."
    )
