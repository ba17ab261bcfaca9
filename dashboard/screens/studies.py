"""The page *Studies*: all studies, one of them, and the form that makes a new one."""

from __future__ import annotations

import streamlit as st

from dashboard.access import may_change, why_not
from dashboard.address import one_of, say
from dashboard.studies import listing
from dashboard.studies.folders import studies_folder
from dashboard.studies.new_study import new_study
from dashboard.studies.study_view import show_study
from dashboard.studies_database import studies_database
from dashboard.trouble import told
from dashboard.wording import plain

_TURN = "studies table"


def show() -> None:
    """Draw the page."""
    st.title("Studies", anchor=False)
    engine = studies_database()
    if one_of("view", ("new",)):
        new_study()
        return
    found = listing.listed(engine)
    chosen = one_of("study", list(found))
    if chosen:
        show_study(engine, found[chosen])
        return
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        people = sum(one.raters == listing.PEOPLE for one in found.values())
        models = len(found) - people
        st.caption(f"{people} of people, {models} rehearsed with model raters · {plain(str(studies_folder()))}")
        held, why = not may_change(), why_not() or None
        if st.button("New study", icon=":material/add:", type="primary", disabled=held, help=why):
            say(view="new")
            st.rerun()
    with told("the list"):
        _table(found)


def _table(found: dict[str, listing.Listed]) -> None:
    if not found:
        st.info(
            "No studies yet. A study asks people which of a run's pictures look real: make one with *New study*, or "
            "with `mesoface study example` on the command line.",
            icon=":material/groups:",
        )
        return
    turn = st.session_state.setdefault(_TURN, 0)
    picked = st.dataframe(
        listing.table(found), hide_index=True, column_config=listing.COLUMNS, on_select="rerun",
        selection_mode="single-row", key=f"{_TURN} {turn}",
    )  # fmt: skip
    rows = picked["selection"]["rows"]
    st.caption("Select a row to open the study.")
    if rows:
        st.session_state[_TURN] = turn + 1  # Back must find the table without its selection
        say(study=list(found)[rows[0]])
        st.rerun()
