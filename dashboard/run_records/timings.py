"""How long a run took: seconds a result by method and stage, from ``timings.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from dashboard.catalogue import Run
from dashboard.charts.drawing import Chart
from dashboard.charts.look import Look, draw
from dashboard.grid import Cell, Head, grid
from dashboard.run_records.state import FRESH_SECONDS
from recon.errors import MesofaceError
from recon.runs.folder import ResultKey
from recon.storage import read_json

MOST = 150
"""So many results are read a method and protocol, spread evenly over the people."""

_STAGES = ("fit", "observe", "method", "render")
_WORDS = {"fit": "fit of the face model", "observe": "unwrapping", "method": "texture", "render": "rendering"}


@dataclass(frozen=True, eq=False)
class Timings:
    """Seconds: ``stages`` has columns method, stage, seconds; ``inside`` the same of stages within a method."""

    stages: pd.DataFrame
    inside: pd.DataFrame
    read: int
    unreadable: int


# While a run goes on, nothing of its stamp changes.
@st.cache_resource(
    max_entries=32, ttl=FRESH_SECONDS, refresh_mode="background", show_spinner="Reading how long it took …"
)
def _timings(name: str, stamp: tuple[int, ...], protocol: str, _run: Run) -> Timings:
    stages: list[tuple[str, str, float]] = []
    inside: list[tuple[str, str, float]] = []
    read = unreadable = 0
    chosen = np.unique(np.linspace(0, len(_run.subjects) - 1, min(MOST, len(_run.subjects))).round().astype(int))
    for method in _run.methods:
        for index in chosen:
            path = _run.folder.result(ResultKey(method, protocol, _run.subjects[index])) / "timings.json"
            if not path.is_file():
                continue
            try:
                found = read_json(path)
                stages += [(method, stage, float(seconds)) for stage, seconds in found["seconds"].items()]
                inside += [(method, stage, seconds) for stage, seconds in _numbers(found.get("method", {}))]
                read += 1
            except (MesofaceError, KeyError, TypeError, ValueError, AttributeError):
                unreadable += 1
    columns = ["method", "stage", "seconds"]
    return Timings(pd.DataFrame(stages, columns=columns), pd.DataFrame(inside, columns=columns), read, unreadable)


def _numbers(found: Mapping[str, object], before: str = "") -> list[tuple[str, float]]:
    """Names and numbers of a nested table."""
    numbers: list[tuple[str, float]] = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            numbers += _numbers(value, "" if name in ("timings", "seconds") else f"{before}{name} ")
        elif isinstance(value, int | float):
            numbers.append((f"{before}{name}", float(value)))
    return numbers


def timings(run: Run, protocol: str, look: Look) -> None:
    """Draw boxes by stage and method, and a table of medians."""
    found = _timings(str(run.folder.path), run.stamp, protocol, run)
    if found.unreadable:
        st.caption(f"{found.unreadable} files with timings cannot be read; they are left out.")
    if found.stages.empty:
        st.info(
            "No timings: these results were imported, or made by a mesoface that kept none.", icon=":material/info:"
        )
        return
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown("**Seconds a result**")
        boxes = _boxes(found.stages)
        draw(_chart(boxes, look), _in_words(boxes), f"timings {protocol}")
        st.caption(
            f"Median, quartiles, and the 5 % and 95 % quantiles of {found.read} results. "
            "Methods share the fit of a person, and so its time."
        )
    with right:
        _medians("Median seconds", found.stages, list(run.methods), look)
        if not found.inside.empty:
            _medians("Within the texture", found.inside, list(run.methods), look)


def _boxes(stages: pd.DataFrame) -> pd.DataFrame:
    quantiles = stages.groupby(["stage", "method"], sort=False)["seconds"].quantile(
        np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    )
    boxes = quantiles.unstack().reset_index()
    boxes.columns = ["stage", "method", "least", "q25", "median", "q75", "most"]
    boxes["named"] = boxes["stage"].map(lambda name: _WORDS.get(name, name))
    # A logarithm has no place for nothing.
    numbers = ["least", "q25", "median", "q75", "most"]
    boxes[numbers] = boxes[numbers].clip(lower=1e-3)
    return boxes


def _chart(boxes: pd.DataFrame, look: Look) -> Chart:
    names = list(dict.fromkeys(boxes["method"]))
    stages = sorted(dict.fromkeys(boxes["stage"]), key=lambda s: _STAGES.index(s) if s in _STAGES else len(_STAGES))
    order = [_WORDS.get(name, name) for name in stages]
    legend = alt.Legend(title=None, orient="top", columns=3)
    side = alt.Axis(labelLimit=160, ticks=False, domain=False, labelFlush=False, labelFontSize=13, grid=True)
    up = alt.Y("named:N", sort=order, title=None, scale=alt.Scale(padding=0.12), axis=side)
    offset, scale = alt.YOffset("method:N", sort=names), alt.Scale(type="log")
    colour = alt.Color("method:N", scale=look.colour(names), legend=legend)
    tips = ["named:N", "method:N", *(alt.Tooltip(f"{name}:Q", format=".3~g") for name in ("median", "q25", "q75"))]
    base = alt.Chart(boxes)
    whisker = base.mark_rule().encode(
        alt.X("least:Q", scale=scale, title="seconds", axis=alt.Axis(tickCount=6, format="~g")),
        alt.X2("most:Q"), up, offset, colour, tooltip=tips,
    )  # fmt: skip
    box = base.mark_rule(strokeWidth=8).encode(
        alt.X("q25:Q", scale=scale), alt.X2("q75:Q"), up, offset, colour, tooltip=tips
    )
    median = base.mark_point(filled=True, opacity=1, size=45, stroke=look.ink, strokeWidth=1).encode(
        alt.X("median:Q", scale=scale), up, offset, colour,
        alt.Shape("method:N", scale=look.shape(names), legend=legend), tooltip=tips,
    )  # fmt: skip
    return alt.layer(whisker, box, median).properties(height=(15 * len(names) + 12) * len(order) + 60)


def _in_words(boxes: pd.DataFrame) -> str:
    return "; ".join(f"{row.method}, {row.named}: median {row.median:.3g} s" for row in boxes.itertuples())


def _medians(title: str, rows: pd.DataFrame, methods: list[str], look: Look) -> None:
    medians = rows.groupby(["method", "stage"], sort=False)["seconds"].median()
    stages = list(dict.fromkeys(rows["stage"]))
    body = [
        (
            Head(method, colour=look.hue(method)),
            [
                Cell(f"{medians[method, stage]:.2f}" if (method, stage) in medians.index else "–")
                for stage in stages
            ],
        )
        for method in methods
        if method in set(rows["method"])
    ]  # fmt: skip
    grid(title, [Head("method"), *(Head(stage.replace("_", " ")) for stage in stages)], body)
