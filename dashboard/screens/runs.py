"""The page *Runs*: what was run, when and how, how long it took, what failed, and whose faces a texture is made of."""

from __future__ import annotations

import streamlit as st

from dashboard.catalogue import Run, runs
from dashboard.charts.look import look_of
from dashboard.choosing import chosen_protocol, chosen_run
from dashboard.measurements.chosen import part
from dashboard.trouble import told

_PARTS = {
    "settings": "How it was made",
    "problems": "What failed",
    "timings": "Timings",
    "texture": "Faces behind a texture",
    "compared": "Against another run",
}


def show() -> None:
    """Draw the page."""
    from dashboard.run_records.listing import listing

    known = runs()
    if known:
        with told("the list of runs"):
            listing(known)
    with told("this run"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            run = chosen_run("Run in depth")
            if run is None:
                return
            if not (run.methods and run.protocols and run.subjects):
                st.info("This run has no results yet: run the same 'mesoface run' again, and they appear here.")
                return
            chosen = part(_PARTS)
            protocol = chosen_protocol(run) if chosen in ("timings", "texture") else ""
        _draw(chosen, run, protocol)


def _draw(chosen: str, run: Run, protocol: str) -> None:
    look = look_of(run.methods)
    if chosen == "problems":
        from dashboard.run_records.problems import problems

        problems(run)
    elif chosen == "timings":
        from dashboard.run_records.timings import timings

        timings(run, protocol, look)
    elif chosen == "texture":
        from dashboard.run_records.texture import texture

        texture(run, protocol, look)
    elif chosen == "compared":
        from dashboard.run_records.settings import compared

        compared(run)
    else:
        from dashboard.run_records.settings import settings

        settings(run)
