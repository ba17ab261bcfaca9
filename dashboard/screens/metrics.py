"""The page *Metrics*: who leads and whether beyond chance, one metric in depth, groups, spectra, two runs."""

from __future__ import annotations

import streamlit as st

from dashboard.charts.look import Look, look_of
from dashboard.choosing import chosen_protocol, chosen_run
from dashboard.measurements import chosen as filters
from dashboard.measurements.chosen import Chosen
from dashboard.trouble import told
from metrics.comparison import Comparison, Place

_PARTS = {
    "overview": "Leaderboard",
    "groups": "Groups of people",
    "strength": "Strength",
    "spectrum": "Spectrum",
    "changes": "Between runs",
    "identity": "What the numbers are",
}


def show() -> None:
    """Draw the page."""
    with told():
        with st.container(horizontal=True, vertical_alignment="bottom"):
            run = chosen_run()
            if run is None:
                return
            if not (run.methods and run.protocols and run.subjects):
                st.info("This run has no results yet: run the same 'mesoface run' again, and they appear here.")
                return
            chosen = filters.choose(run, chosen_protocol(run))
        look = look_of(run.methods)
        _draw(filters.part(_PARTS), chosen, look)


def _draw(part: str, chosen: Chosen, look: Look) -> None:
    from dashboard.measurements.downloads import downloads
    from dashboard.measurements.leaderboard import notes

    title = f"{chosen.run.title} {chosen.protocol}"
    if not chosen.comparison.standings:
        st.info("Nothing of this run has been measured under this protocol.", icon=":material/info:")
    elif part == "overview":
        _overview(chosen, look, title)
    elif part == "spectrum":
        with told("the spectrum"):
            from dashboard.measurements.spectrum import spectrum

            spectrum(chosen.run, chosen.protocol, look)
    elif part == "identity":
        with told("the identity of the numbers"):
            from dashboard.measurements.identity import identities_of, identity_table

            identity_table(identities_of(chosen.run, chosen.comparison))
            downloads(chosen.comparison, title, look)
    else:
        with told("this part"):
            _of_metric(part, chosen, look)
    notes(chosen.comparison)


def _overview(chosen: Chosen, look: Look, title: str) -> None:
    from dashboard.measurements.depth import depth
    from dashboard.measurements.downloads import downloads
    from dashboard.measurements.identity import identities_of, said_of
    from dashboard.measurements.leaderboard import leaderboard

    with told("the leaderboard"):
        rows = identities_of(chosen.run, chosen.comparison)
        leaderboard(chosen.comparison, look, {place: said_of(place, rows) for place in chosen.places})
        downloads(chosen.comparison, title, look)
    with told("the metric in depth"):
        st.subheader("One metric in depth", anchor=False)
        place = filters.chosen_place(chosen)
        if place is None:
            st.caption("No person has a value here.")
            return
        st.caption(said_of(place, rows).replace("\n", " · "))
        downloads(depth(chosen, place, look), f"{title} {place.metric}", look)


def _of_metric(part: str, chosen: Chosen, look: Look) -> None:
    from dashboard.measurements.downloads import downloads

    row = st.container(horizontal=True, vertical_alignment="bottom")
    with row:
        place = filters.chosen_place(chosen)
        by = filters.chosen_attribute(chosen) if part == "groups" and place else ""
    if part == "changes":
        from dashboard.measurements.changes import changes

        found = changes(chosen, place, look, row)
    elif place is None:
        st.caption("No person has a value here.")
        return
    elif part == "groups":
        found = _groups(chosen, place, by, look)
    else:
        from dashboard.measurements.strength import strength

        found = strength(chosen, place, look)
    if found is not None:
        downloads(found, f"{chosen.run.title} {chosen.protocol} {part}", look)


def _groups(chosen: Chosen, place: Place, by: str, look: Look) -> Comparison | None:
    from dashboard.measurements.groups import groups

    if not by:
        st.info(
            "The people of this run have no attribute that several of them share (gender, age, ethnicity), and their "
            "skin tone was not measured: there are no groups.",
            icon=":material/info:",
        )
        return None
    return groups(chosen, place, by, look)
