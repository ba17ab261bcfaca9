"""How a study goes, as it goes: places, who came how far, balance of conditions, time that answers take."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from dashboard.access import role
from dashboard.charts.drawing import Chart, kept
from dashboard.charts.look import Look, draw, look_of
from dashboard.studies import listing
from dashboard.studies.facts import figures
from dashboard.studies.listing import Listed, duration, spent
from dashboard.trouble import told
from study.contract import PHOTOGRAPH
from study.progress import Tally, Way, marks_of, stimuli_of, way_of

EVERY_SECONDS = 5.0
_HEIGHT = 230
# Every condition is named, however close the bars stand; and there are no half pictures.
_NAMES = alt.Axis(labelLimit=180, labelOverlap=False, ticks=False, domain=False)
_WHOLE = alt.Axis(tickMinStep=1, format="d")
_MOST_TALLIES = 8

Key = tuple[object, ...]
"""All that a chart follows from: database, study, its marks, the look."""

_tallies: dict[tuple[str, str, int], Tally] = {}
_lock = threading.Lock()


def progress(engine: Engine, one: Listed) -> None:
    """Draw the progress of the study ``one``; anew every few seconds while raters may enter it."""
    live = one.status is not None and one.status.state == "open"
    st.fragment(_draw, run_every=EVERY_SECONDS if live else None)(engine, one.name, live)


def _draw(engine: Engine, name: str, live: bool) -> None:
    if role() is None:  # logged out since the page was drawn: the whole of it says so
        st.rerun()
    with told("the progress"):
        one = listing.listed(engine)[name]
        state = (str(engine.url), name, marks_of(engine, name))
        way = _way_at(*state, engine)
        _numbers(one, way)
        if not way.steps[0][1]:
            st.info("Nobody came yet. Numbers appear here by themselves.", icon=":material/hourglass_empty:")
            return
        counts = _counts_at(*state, engine)
        look = look_of([*(name for name in sorted(counts.views) if name != PHOTOGRAPH), PHOTOGRAPH])
        key = (*state, look)
        left, right = st.columns(2, gap="large")
        with left:
            _steps(way, look, key)
            _balance(counts, look, key)
        with right:
            _reached(way, look, key)
            _times(counts, look, key)
        if live:
            st.caption(f"Brought up to date every {EVERY_SECONDS:g} s.")


@st.cache_data(max_entries=32, show_spinner=False)
def _way_at(address: str, name: str, marks: tuple[int, ...], _engine: Engine) -> Way:
    return way_of(_engine, name)


@dataclass(frozen=True)
class Counts:
    """What the answers of a study come to.

    Attributes:
        views: how often a picture of each condition was judged.
        seconds: by trial, from 1: quarter, median and three quarters of the seconds that answers took, and how many.
    """

    views: dict[str, int]
    seconds: tuple[tuple[int, float, float, float, int], ...]


@st.cache_data(max_entries=32, show_spinner=False)
def _counts_at(address: str, name: str, marks: tuple[int, ...], _engine: Engine) -> Counts:
    tally = tally_of(_engine, name)
    rows = []
    for index, seconds in sorted(tally.seconds.items()):
        low, middle, high = np.quantile(seconds, (0.25, 0.5, 0.75)).tolist()
        rows.append((index + 1, low, middle, high, len(seconds)))
    return Counts(tally.views(stimuli_of(_engine, name)), tuple(rows))


def tally_of(engine: Engine, name: str) -> Tally:
    """The counts of the study ``name`` now; only answers that came since the last look are read."""
    key = (str(engine.url), name, marks_of(engine, name)[0])
    with _lock:
        tally = _tallies.setdefault(key, Tally(name))
        tally.update(engine)
        for old in list(_tallies)[: max(0, len(_tallies) - _MOST_TALLIES)]:
            del _tallies[old]
        return tally


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


def _steps(way: Way, look: Look, key: Key) -> None:
    st.markdown("##### Who came how far")
    words = "; ".join(f"{step}: {count}" for step, count in way.steps)
    draw(kept((*key, "steps"), lambda: _bars_of_steps(way, look)), words, "steps")


def _bars_of_steps(way: Way, look: Look) -> Chart:
    frame = pd.DataFrame(way.steps, columns=["step", "sessions"])
    frame["share"] = frame["sessions"] / max(1, way.steps[0][1])
    frame["label"] = [f"{count} ({share:.0%})" for count, share in zip(frame["sessions"], frame["share"], strict=True)]
    base = alt.Chart(frame, height=_HEIGHT).encode(
        y=alt.Y("step:N", sort=None, title=None, axis=alt.Axis(labelLimit=180, ticks=False, domain=False)),
        x=alt.X("sessions:Q", title="sessions", scale=alt.Scale(domainMin=0), axis=alt.Axis(tickMinStep=1)),
        tooltip=[alt.Tooltip("step:N"), alt.Tooltip("sessions:Q"), alt.Tooltip("share:Q", format=".0%")],
    )
    bars = base.mark_bar(color=look.grey, height=14)
    return alt.layer(bars, base.mark_text(align="left", dx=4, color=look.ink).encode(text="label:N"))


def _points(look: Look) -> alt.OverlayMarkDef:
    return alt.OverlayMarkDef(color=look.ink, size=25)


def _reached(way: Way, look: Look, key: Key) -> None:
    st.markdown("##### Sessions that answered each trial")
    if not way.begun:
        st.caption("Nobody has begun the trials.")
        return
    last = int(way.reached[-1]) if len(way.reached) else 0
    words = f"{last} of {way.begun} sessions that began answered the last trial"
    draw(kept((*key, "reached"), lambda: _line_of_reached(way, look)), words, "reached")


def _line_of_reached(way: Way, look: Look) -> Chart:
    frame = pd.DataFrame({"trial": np.arange(1, len(way.reached) + 1), "sessions": way.reached})
    frame["share"] = frame["sessions"] / way.begun
    return alt.Chart(frame, height=_HEIGHT).mark_line(interpolate="step", color=look.ink, point=_points(look)).encode(
        x=alt.X("trial:Q", title="trial", axis=alt.Axis(tickMinStep=1, grid=False)),
        y=alt.Y("share:Q", title=f"of {way.begun} sessions", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%")),
        tooltip=[alt.Tooltip("trial:Q"), alt.Tooltip("sessions:Q"), alt.Tooltip("share:Q", format=".0%")],
    )  # fmt: skip


def _balance(counts: Counts, look: Look, key: Key) -> None:
    st.markdown("##### Pictures judged, by condition")
    views = {name: count for name, count in counts.views.items() if count}
    if not views:
        st.caption("No main trial was answered yet.")
        return
    words = "; ".join(f"{name}: {count}" for name, count in views.items())
    draw(kept((*key, "balance"), lambda: _bars_of_views(views, look)), words, "balance")
    methods = [count for name, count in views.items() if name != PHOTOGRAPH]
    if methods:
        least, most = min(methods), max(methods)
        times = f"{least} to {most} times; equal once all places are done" if least < most else f"{least} times"
        st.caption(f"Each method {times}.")


def _bars_of_views(views: dict[str, int], look: Look) -> Chart:
    names = list(views)
    frame = pd.DataFrame({"condition": names, "pictures": list(views.values())})
    base = alt.Chart(frame, height=max(90, 30 * len(names) + 40)).encode(
        y=alt.Y("condition:N", sort=None, title=None, axis=_NAMES),
        x=alt.X("pictures:Q", title="pictures in answered main trials", scale=alt.Scale(domainMin=0), axis=_WHOLE),
        tooltip=["condition:N", "pictures:Q"],
    )
    bars = base.mark_bar(height=14).encode(color=alt.Color("condition:N", scale=look.colour(names), legend=None))
    return alt.layer(bars, base.mark_text(align="left", dx=4, color=look.ink).encode(text="pictures:Q"))


def _times(counts: Counts, look: Look, key: Key) -> None:
    st.markdown("##### Seconds an answer takes, by trial: median and middle half")
    if not counts.seconds:
        st.caption("No trial was answered yet.")
        return
    first, last = (counts.seconds[index][2] for index in (0, -1))
    words = f"median of the first trial {first:.1f} s, of the last {last:.1f} s"
    draw(kept((*key, "times"), lambda: _band_of_times(counts, look)), words, "times")


def _band_of_times(counts: Counts, look: Look) -> Chart:
    frame = pd.DataFrame(counts.seconds, columns=["trial", "low", "median", "high", "answers"])
    base = alt.Chart(frame, height=_HEIGHT).encode(
        x=alt.X("trial:Q", title="trial", axis=alt.Axis(tickMinStep=1, grid=False)),
        tooltip=["trial:Q", alt.Tooltip("median:Q", format=".1f"), alt.Tooltip("low:Q", format=".1f", title="quarter"),
                 alt.Tooltip("high:Q", format=".1f", title="three quarters"), "answers:Q"],
    )  # fmt: skip
    scale = alt.Scale(domainMin=0)
    band = base.mark_area(opacity=0.25, color=look.grey).encode(
        y=alt.Y("low:Q", title="seconds", scale=scale), y2="high:Q"
    )
    return alt.layer(band, base.mark_line(color=look.ink, point=_points(look)).encode(y=alt.Y("median:Q", scale=scale)))
