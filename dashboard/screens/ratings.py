"""The page *Ratings*: how a study goes, whose answers count and who is paid, and what people said."""

from __future__ import annotations

import streamlit as st

from dashboard.address import one_of, say
from dashboard.choosing import kept_choice
from dashboard.studies import listing
from dashboard.studies.going import link_to
from dashboard.studies.progress_view import progress
from dashboard.studies.quality_view import quality
from dashboard.studies.results_view import results
from dashboard.studies_database import is_to_be_made, studies_database
from dashboard.trouble import told
from study.report.findings import SIMULATED

VIEWS = {"progress": "Progress", "quality": "Quality and payment", "results": "Results"}


def show() -> None:
    """Draw the page."""
    st.title("Ratings", anchor=False)
    engine = studies_database()
    if engine is None and not is_to_be_made():
        return
    found = {name: one for name, one in listing.listed(engine).items() if one.status is not None}
    if not found:
        st.info("No study was launched yet: launch one, and its answers appear here.", icon=":material/groups:")
        link_to("studies", "To the studies", ":material/arrow_forward:")
        return
    assert engine is not None  # what was launched is in it
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = kept_choice("study", list(found), next(iter(found)), "Study", lambda one: found[one].label, width=380)
        view = _view()
        link_to("studies", "The study itself", ":material/groups:", study=name)
    one = found[name]
    if one.raters == listing.MODELS:
        st.warning(SIMULATED, icon=":material/smart_toy:")
    with told(f"the {VIEWS[view].lower()}"):
        {"progress": progress, "quality": quality, "results": results}[view](engine, one)


def _view() -> str:
    view = one_of("view", list(VIEWS), "progress")
    key = "ratings view"
    st.session_state[key] = view

    def take() -> None:
        chosen = st.session_state[key] or view
        say(view="" if chosen == "progress" else chosen, session="")

    st.segmented_control(
        "View", list(VIEWS), format_func=VIEWS.__getitem__, key=key, on_change=take, label_visibility="collapsed"
    )
    return view
