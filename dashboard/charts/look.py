"""How charts look: the methods' colours and shapes on the visitor's theme, and words for who sees none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import streamlit as st

from dashboard.charts.drawing import Chart, Drawing, drawing_of
from metrics.report.palette import DASHES, HUES, MARKS, places_in_palette

_SHAPES = {"circle": "circle", "square": "square", "diamond": "diamond", "up": "triangle-up", "down": "triangle-down"}
_GREY = ("#5c6670", "#a5afb8")
_INK = ("#1b1f23", "#e8eaed")
ROW = 46
"""Height in pixels of one method in charts that list methods downwards."""


@dataclass(frozen=True)
class Look:
    """Colours and shapes of some methods, light or dark.

    Attributes:
        methods: all methods of the run, so that a colour does not depend on which of them are shown.
        dark: whether the page is.
    """

    methods: tuple[str, ...]
    dark: bool

    @property
    def grey(self) -> str:
        """For what belongs to no method."""
        return _GREY[self.dark]

    @property
    def ink(self) -> str:
        """The colour of text."""
        return _INK[self.dark]

    def hue(self, method: str) -> str:
        """A method's colour; grey for what is no method."""
        places = places_in_palette(self.methods)
        return HUES[places[method]][self.dark] if method in places else self.grey

    def colour(self, names: Sequence[str]) -> alt.Scale:
        """The scale that gives ``names`` their colours."""
        return alt.Scale(domain=list(names), range=[self.hue(name) for name in names])

    def shape(self, names: Sequence[str]) -> alt.Scale:
        """The scale that gives ``names`` their shapes."""
        places = places_in_palette(self.methods)
        shapes = [_SHAPES[MARKS[places[name]]] if name in places else "cross" for name in names]
        return alt.Scale(domain=list(names), range=shapes)

    def dash(self, names: Sequence[str]) -> alt.Scale:
        """The scale that gives lines of ``names`` their dashes."""
        places = places_in_palette(self.methods)
        others = iter(DASHES)
        dashes = [DASHES[places[name]] if name in places else next(others, "") for name in names]
        return alt.Scale(
            domain=list(names), range=[[float(part) for part in dash.split()] or [1, 0] for dash in dashes]
        )


def look_of(methods: Sequence[str]) -> Look:
    """The look on the theme that the visitor has."""
    return Look(tuple(methods), st.context.theme.type == "dark")


def draw(chart: Chart | Drawing, words: str, key: str, *, select: str = "") -> dict[str, Any] | None:
    """Draw ``chart`` across its container; what was clicked, if something was.

    Args:
        words: what the chart says, for who cannot see it.
        select: name of the chart's selection that answers to clicks.

    Returns:
        The data of the first point that is selected.
    """
    # Streamlit takes tables out of what it is given.
    spec = dict((chart if isinstance(chart, Drawing) else drawing_of(chart)).spec)
    if not select:
        st.vega_lite_chart(spec, width="stretch", key=key, alt=words)
        return None
    state = st.vega_lite_chart(spec, width="stretch", key=key, alt=words, on_select="rerun", selection_mode=select)
    chosen = state["selection"].get(select) if state else None
    return dict(chosen[0]) if chosen else None


def names_axis(names: Sequence[str]) -> alt.Axis:
    """An axis of whole numbers that shows ``names`` in their place: for charts that draw above and below a name."""
    import json

    return alt.Axis(
        values=list(range(len(names))),
        labelExpr=f"{json.dumps(list(names), ensure_ascii=False)}[round(datum.value)]",
        title=None,
        grid=False,
        ticks=False,
        domain=False,
        labelLimit=180,
        labelFontSize=13,
    )
