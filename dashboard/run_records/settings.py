"""How a run was made: settings, parameters, versions, assets, notes, licences; and what another run did otherwise."""

from __future__ import annotations

import streamlit as st

from dashboard.catalogue import Run, runs
from dashboard.choosing import kept_choice
from dashboard.grid import Cell, Head, grid
from dashboard.run_records.state import FRESH_SECONDS
from dashboard.wording import plain
from metrics.report.provenance import Terms, runs_in_words, terms_of_pictures
from metrics.report.sources import Sources
from metrics.run_changes import setting_changes

_MOST_NAMES = 8


def settings(run: Run) -> None:
    """Draw all that ``run.json`` says, and whose pictures these are."""
    sources = Sources({run.name: run.folder}, {run.name: run.config}, {})
    said = runs_in_words(sources)[0]
    left, right = st.columns((3, 2), gap="medium")
    with left:
        rows = [(Head(name), [Cell(words, words=True)]) for name, words in said["facts"]]
        grid("", [Head("setting"), Head("value", words=True)], rows)
    with right:
        terms = _terms(str(run.folder.path), run.stamp, run)
        people = [(Head(one.licence), [Cell(_people(one), one.citation, words=True), Cell(_yes(one))]) for one in terms]
        columns = [Head("licence of the pictures"), Head("people", words=True), Head("may be passed on")]
        grid("", columns, people)
        if said["notes"]:
            with st.expander(f"Notes of the run ({len(said['notes'])})"):
                st.markdown("\n".join(f"- {plain(note)}" for note in said["notes"]))


# While a run goes on, nothing of its stamp changes.
@st.cache_resource(max_entries=32, ttl=FRESH_SECONDS, refresh_mode="background", show_spinner="Reading the licences …")
def _terms(name: str, stamp: tuple[int, ...], _run: Run) -> list[Terms]:
    sources = Sources({_run.name: _run.folder}, {_run.name: _run.config}, {})
    return terms_of_pictures(sources, _run.subjects)


def _people(terms: Terms) -> str:
    names = ", ".join(terms.subjects[:_MOST_NAMES])
    more = len(terms.subjects) - _MOST_NAMES
    return f"{len(terms.subjects)}: {names}" + (f" and {more} more" if more > 0 else "")


def _yes(terms: Terms) -> str:
    return "yes" if terms.redistributable else "no"


def compared(run: Run) -> None:
    """Draw what differs between the settings of ``run`` and of another one."""
    others = {name: other for name, other in runs().items() if name != run.name and not other.problem}
    if not others:
        st.info("There is no other run here to compare with.", icon=":material/info:")
        return
    name = kept_choice(
        "before", list(others), next(iter(others)), "Compared with the run", lambda name: others[name].title
    )
    changed = setting_changes([others[name].folder, run.folder])
    if not changed:
        st.success("Settings, parameters of shared methods, versions and assets are the same.")
        return
    columns = [Head("what differs"), Head(others[name].title, words=True), Head(run.title, words=True)]
    grid("", columns, [(Head(one.name), [Cell(value, words=True) for value in one.values]) for one in changed])
    st.caption("What the numbers do otherwise is on the page Metrics, under Between runs.")
