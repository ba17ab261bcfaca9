"""What a texture was made from: the database faces with their weights, the optimiser's residual, and its losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from dashboard.catalogue import Run
from dashboard.charts.curves import Curve, curves
from dashboard.charts.drawing import Chart
from dashboard.charts.look import Look, draw
from dashboard.choosing import kept_choice
from dashboard.pictures.addresses import Picture
from dashboard.run_records.faces import Faces, faces_of, picture_of
from dashboard.wording import plain
from recon.runs.folder import ResultKey

_MOST_BARS, _MOST_FACES = 24, 12
_LEAST_WEIGHT = 5e-4
_WEIGHTS = ("weights", "donors")
_FACE_AXIS = alt.Axis(ticks=False, domain=False, labelFlush=False, labelLimit=140, labelOverlap=False)


def texture(run: Run, protocol: str, look: Look) -> None:
    """Draw what one result, chosen here, was made from."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        subject = kept_choice("subject", run.subjects, run.subjects[0], "Person", width=180)
        method = kept_choice("of", run.methods, run.methods[0], "Method", width=180)
    record = run.folder.finished(ResultKey(method, protocol, subject))
    if record is None:
        st.info(plain(f"'{subject}' has no result of '{method}' under '{protocol}'."), icon=":material/info:")
        return
    _pictures(run, protocol, method, subject)
    said = record.get("record")
    said = said if isinstance(said, dict) else {}
    name = next((name for name in _WEIGHTS if isinstance(said.get(name), dict) and said[name]), None)
    if name is None:
        st.caption(f"The record of '{plain(method)}' names no database faces: it does not combine any.")
    else:
        _weights(run, said, name, look.hue(method), look)
    _losses(said, look)
    with st.expander("The whole record"):
        st.json(said, expanded=1)


def _pictures(run: Run, protocol: str, method: str, subject: str) -> None:
    """What the method saw, its albedo and its view, as thumbnails."""
    named = {
        "given to the method": Picture(run.name, "given", protocol, subject),
        "albedo": Picture(run.name, "albedo", protocol, subject, method),
        "rendered view": Picture(run.name, "view", protocol, subject, method, "fitted"),
    }
    shown = "".join(_figure(picture, words, f"{words}, {subject}, {method}") for words, picture in named.items())
    st.html(f'<div style="display:flex;gap:.8rem;flex-wrap:wrap">{shown}</div>')


def _figure(picture: Picture, words: str, alt: str) -> str:
    image = f'<img src="{escape(picture.address(160))}" alt="{escape(alt)}" style="height:150px;border-radius:4px">'
    caption = f'<figcaption style="font-size:.78rem;opacity:.75">{escape(words)}</figcaption>'
    return f'<figure style="margin:0">{image}{caption}</figure>'


def _weights(run: Run, said: Mapping[str, Any], name: str, hue: str, look: Look) -> None:
    weights = {str(who): float(value) for who, value in said[name].items() if abs(float(value)) >= _LEAST_WEIGHT}
    ordered = dict(sorted(weights.items(), key=lambda item: -abs(item[1])))
    words = {"weights": "Weights of the database faces", "donors": "Share of the patches by database face"}[name]
    st.markdown(f"**{words}**")
    st.caption(_summary(said, ordered))
    left, right = st.columns(2, gap="medium")
    with left:
        top = dict(list(ordered.items())[:_MOST_BARS])
        draw(_bars(top, hue, look), ", ".join(f"{who} {value:.3f}" for who, value in top.items()), "weights")
    with right:
        _faces(faces_of(run), ordered)


def _summary(said: Mapping[str, Any], weights: Mapping[str, float]) -> str:
    total = sum(weights.values())
    spread = 1 / sum((value / total) ** 2 for value in weights.values()) if weights and total else math.nan
    parts = [f"{len(weights)} faces, as many as {spread:.1f} equal ones; their weights add up to {total:.3f}"]
    if said.get("donor"):
        parts.append(f"the fine detail is that of {said['donor']}")
    if isinstance(said.get("kkt"), int | float):
        parts.append(f"optimality (KKT residual) {said['kkt']:.1e}")
    if isinstance(said.get("objective"), int | float):
        parts.append(f"objective {said['objective']:.4g}")
    return plain("; ".join(parts) + ".")


def _bars(weights: Mapping[str, float], hue: str, look: Look) -> Chart:
    data = pd.DataFrame({"face": list(weights), "weight": list(weights.values())})
    up = alt.Y("face:N", sort=list(weights), title=None, axis=_FACE_AXIS)
    base = alt.Chart(data).encode(
        alt.X("weight:Q", title="weight", axis=alt.Axis(tickCount=6)),
        up,
        tooltip=["face:N", alt.Tooltip("weight:Q", format=".4f")],
    )
    bars = base.mark_bar(color=hue)
    return alt.layer(
        bars, base.mark_text(align="left", dx=4, color=look.ink).encode(text=alt.Text("weight:Q", format=".3f"))
    ).properties(height=22 * len(weights) + 40)


def _faces(faces: Faces | None, weights: Mapping[str, float]) -> None:
    if faces is None:
        st.caption("The database of this run is not in this machine's cache: names and weights alone can be shown.")
        return
    pictures = {who: path for who in list(weights)[:_MOST_FACES] if (path := picture_of(faces, who)) is not None}
    held = [who for who in weights if who in faces.withheld]
    if pictures:
        with st.container(horizontal=True, gap="small"):
            for who, path in pictures.items():
                st.image(
                    str(path),
                    caption=f"{weights[who]:.3f}  {plain(who)}",
                    width=104,
                    alt=f"albedo of database face {who}",
                )
        st.caption(f"Albedo maps of the database; {plain(', '.join(sorted(set(faces.open_to_all.values()))))}.")
    if held:
        st.caption(f"{len(held)} of these faces are not shown: their licence does not allow it.")


def _losses(said: Mapping[str, Any], look: Look) -> None:
    kept = said.get("losses")
    levels = [level for level in kept if isinstance(level, list) and level] if isinstance(kept, list) else []
    if not levels:
        return
    st.markdown("**Loss of the synthesis, level by level**")
    drawn = []
    for number, level in enumerate(levels, start=1):
        values = np.array([float(value) for value in level])
        # A record that keeps the ends alone says nothing of the steps between.
        drawn.append(
            Curve(f"level {number}", np.linspace(0, 1, len(values)) if len(values) > 1 else np.zeros(1), values)
        )
    few = len(levels[0]) <= 3
    chart = curves(drawn, look, "from the first step to the last", "loss", log_y=True, points=few, height=220)
    draw(chart, "; ".join(f"{one.name}: {one.y[0]:.4g} to {one.y[-1]:.4g}" for one in drawn), "losses")
