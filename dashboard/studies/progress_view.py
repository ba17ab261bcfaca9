"""How a study goes, as it goes: places, who came how far, balance of conditions, time that answers take."""

from __future__ import annotations

import threading

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from dashboard.charts.look import Look, draw, look_of
from dashboard.studies import listing
from dashboard.studies.facts import figures
from dashboard.studies.listing import Listed, duration, spent
from dashboard.trouble import told
from study.contract import PHOTOGRAPH
from study.progress import Tally, Way, marks_of, stimuli_of, way_of

EVERY_SECONDS = 5.0
_HEIGHT = 230
_MOST_TALLIES = 8

_tallies: dict[tuple[str, str, int], Tally] = {}
_lock = threading.Lock()


def progress(engine: Engine, one: Listed) -> None:
    """Draw the progress of the study ``one``; anew every few seconds while raters may enter it."""
    live = one.status is not None and one.status.state == "open"
    st.fragment(_draw, run_every=EVERY_SECONDS if live else None)(engine, one.name, live)


def _draw(engine: Engine, name: str, live: bool) -> None:
    one = listing.listed(engine)[name]
    with told("the progress"):
        way = _way(engine, name)
        tally = tally_of(engine, name)
        _numbers(one, way)
        if not way.steps[0][1]:
            st.info("Nobody came yet. Numbers appear here by themselves.", icon=":material/hourglass_empty:")
            return
        methods = [name for name in _conditions(engine, name) if name != PHOTOGRAPH]
        look = look_of([*methods, PHOTOGRAPH])
        left, right = st.columns(2, gap="large")
        with left:
            _steps(way, look)
            _balance(tally, engine, name, look)
        with right:
            _reached(way, look)
            _times(tally, look)
        if live:
            st.caption(f"Brought up to date every {EVERY_SECONDS:g} s.")


@st.cache_data(max_entries=32, show_spinner=False)
def _way_at(address: str, name: str, marks: tuple[int, ...], _engine: Engine) -> Way:
    return way_of(_engine, name)


def _way(engine: Engine, name: str) -> Way:
    return _way_at(str(engine.url), name, marks_of(engine, name), engine)


def tally_of(engine: Engine, name: str) -> Tally:
    """The counts of the study ``name`` now; only answers that came since the last look are read."""
    key = (str(engine.url), name, marks_of(engine, name)[0])
    with _lock:
        tally = _tallies.setdefault(key, Tally(name))
        tally.update(engine)
        for old in list(_tallies)[: max(0, len(_tallies) - _MOST_TALLIES)]:
            del _tallies[old]
        return tally


def _conditions(engine: Engine, name: str) -> list[str]:
    return sorted({one.condition for one in stimuli_of(engine, name)})


def _numbers(one: Listed, way: Way) -> None:
    status = one.status
    assert status is not None
    done, places = one.places
    left = way.steps[0][1] - way.steps[-1][1] - status.slots.get("leased", 0)
    figures(
        {
            "Places done": f"{done} of {places}",
            "At work": str(status.slots.get("leased", 0)),
            "Free": str(status.slots.get("free", 0)),
            "Left before the end": str(max(0, left)),
            "Answers": f"{status.answers:,}",
            "Time left": duration(one.seconds_left),
            "Set aside / cap": spent(one),
        }
    )


def _steps(way: Way, look: Look) -> None:
    st.markdown("##### Who came how far")
    frame = pd.DataFrame(way.steps, columns=["step", "sessions"])
    frame["share"] = frame["sessions"] / max(1, way.steps[0][1])
    frame["label"] = [f"{count} ({share:.0%})" for count, share in zip(frame["sessions"], frame["share"], strict=True)]
    base = alt.Chart(frame, height=_HEIGHT).encode(
        y=alt.Y("step:N", sort=None, title=None, axis=alt.Axis(labelLimit=180, ticks=False, domain=False)),
        x=alt.X("sessions:Q", title="sessions", scale=alt.Scale(domainMin=0), axis=alt.Axis(tickMinStep=1)),
        tooltip=[alt.Tooltip("step:N"), alt.Tooltip("sessions:Q"), alt.Tooltip("share:Q", format=".0%")],
    )
    bars = base.mark_bar(color=look.grey, height=14)
    words = base.mark_text(align="left", dx=4, color=look.ink).encode(text="label:N")
    draw(bars + words, "; ".join(f"{step}: {count}" for step, count in way.steps), "steps")


def _points(look: Look) -> alt.OverlayMarkDef:
    return alt.OverlayMarkDef(color=look.ink, size=25)


def _reached(way: Way, look: Look) -> None:
    st.markdown("##### Sessions that answered each trial")
    if not way.begun:
        st.caption("Nobody has begun the trials.")
        return
    frame = pd.DataFrame({"trial": np.arange(1, len(way.reached) + 1), "sessions": way.reached})
    frame["share"] = frame["sessions"] / way.begun
    chart = alt.Chart(frame, height=_HEIGHT).mark_line(interpolate="step", color=look.ink, point=_points(look)).encode(
        x=alt.X("trial:Q", title="trial", axis=alt.Axis(tickMinStep=1, grid=False)),
        y=alt.Y("share:Q", title=f"of {way.begun} sessions", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        tooltip=[alt.Tooltip("trial:Q"), alt.Tooltip("sessions:Q"), alt.Tooltip("share:Q", format=".0%")],
    )  # fmt: skip
    last = int(way.reached[-1]) if len(way.reached) else 0
    draw(chart, f"{last} of {way.begun} sessions that began answered the last trial", "reached")


def _balance(tally: Tally, engine: Engine, name: str, look: Look) -> None:
    st.markdown("##### Pictures judged, by condition")
    views = tally.views(stimuli_of(engine, name))
    names = [one for one in views if views[one]]
    if not names:
        st.caption("No main trial was answered yet.")
        return
    frame = pd.DataFrame({"condition": names, "pictures": [views[one] for one in names]})
    base = alt.Chart(frame, height=max(90, 30 * len(names) + 40)).encode(
        y=alt.Y("condition:N", sort=None, title=None, axis=alt.Axis(labelLimit=180, ticks=False, domain=False)),
        x=alt.X("pictures:Q", title="pictures in answered main trials", scale=alt.Scale(domainMin=0)),
        tooltip=["condition:N", "pictures:Q"],
    )
    bars = base.mark_bar(height=14).encode(color=alt.Color("condition:N", scale=look.colour(names), legend=None))
    words = base.mark_text(align="left", dx=4, color=look.ink).encode(text="pictures:Q")
    draw(bars + words, "; ".join(f"{one}: {views[one]}" for one in names), "balance")
    methods = [views[one] for one in names if one != PHOTOGRAPH]
    if methods:
        st.caption(f"Each method {min(methods)} to {max(methods)} times; equal once all places are done.")


def _times(tally: Tally, look: Look) -> None:
    st.markdown("##### Seconds an answer takes, by trial: median and middle half")
    rows = [(index + 1, *np.quantile(seconds, (0.25, 0.5, 0.75)), len(seconds))
            for index, seconds in sorted(tally.seconds.items())]  # fmt: skip
    if not rows:
        st.caption("No trial was answered yet.")
        return
    frame = pd.DataFrame(rows, columns=["trial", "low", "median", "high", "answers"])
    base = alt.Chart(frame, height=_HEIGHT).encode(
        x=alt.X("trial:Q", title="trial", axis=alt.Axis(tickMinStep=1, grid=False)),
        tooltip=["trial:Q", alt.Tooltip("median:Q", format=".1f"), alt.Tooltip("low:Q", format=".1f", title="quarter"),
                 alt.Tooltip("high:Q", format=".1f", title="three quarters"), "answers:Q"],
    )  # fmt: skip
    scale = alt.Scale(domainMin=0)
    band = base.mark_area(opacity=0.25, color=look.grey).encode(
        y=alt.Y("low:Q", title="seconds", scale=scale), y2="high:Q"
    )
    line = base.mark_line(color=look.ink, point=_points(look)).encode(y=alt.Y("median:Q", scale=scale))
    draw(band + line, f"median of the first trial {rows[0][2]:.1f} s, of the last {rows[-1][2]:.1f} s", "times")
