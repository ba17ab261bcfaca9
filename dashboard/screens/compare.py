"""The page *Compare*: the matrix of subjects × methods, and one subject's pictures side by side."""

from __future__ import annotations

import streamlit as st

from dashboard.address import say, text
from dashboard.catalogue import Run
from dashboard.choosing import chosen_protocol, chosen_run
from dashboard.studies_database import address, readable
from dashboard.trouble import sentence, told
from dashboard.values import values_of
from dashboard.viewer.asked import Asked
from dashboard.viewer.beside import beside, hidden
from dashboard.viewer.blind import new_seed
from dashboard.viewer.component import viewer
from dashboard.viewer.filters import choice, chosen_beside, chosen_order, filtered, order_in_words, shown_methods
from dashboard.viewer.matrix import known_views, matrix
from dashboard.viewer.orders import DISPUTED, ID, Yardstick, arranged, metrics_of, region_first, yardstick
from dashboard.viewer.particulars import particulars
from dashboard.viewer.verdicts import disputes, rated_by_people
from dashboard.wording import plain
from metrics.breakdown import attributes_of
from metrics.value_table import ValueTable
from recon.errors import MesofaceError


def show() -> None:
    """Draw the page."""
    with told("the page Compare"):
        _draw()


def _draw() -> None:
    row = st.container(horizontal=True, vertical_alignment="bottom", gap="small")
    with row:
        run = chosen_run(width=170)
        if run is None:
            return
        if not (run.methods and run.protocols and run.subjects):
            st.info("This run has no results yet: run the same 'mesoface run' again, and they appear here.")
            return
        protocol = chosen_protocol(run, width=150)
        table, problem = _measured(run)
        view = choice("view", list(views := _views(run.name, protocol, run.stamp, run)), next(iter(views)), "View",
                      views.__getitem__, width=155)  # fmt: skip
        blind = text("blind")
        measured = _chosen_metric(table, protocol) if table is not None else None
        # Reading all answers takes long: it waits until somebody asks for this order.
        wanted = text("order") == DISPUTED
        disputed = _disputes(run, protocol) if wanted else {}
        divided = bool(disputed) if wanted else _has_raters(run, protocol)
        by = "raters most divided first" if divided else "methods farthest apart first"
        order = chosen_order(run.methods, by, names_hidden=bool(blind))
        subjects, said = filtered(run, _attributes(run.name, run.stamp, run, table) if table else {}, measured)
        _blind_switch(blind)
    shown = arranged(subjects, order, measured, disputed)
    asked = Asked(run, protocol, view, shown_methods(run), measured, tuple(shown), order, blind)
    if problem:
        st.caption(plain(problem))
    if asked.subject:
        _one_subject(asked, table)
    else:
        _all_subjects(asked, said, by)


def _all_subjects(asked: Asked, said: list[str], by: str) -> None:
    if not asked.subjects:
        st.info("Nobody passes these filters.", icon=":material/filter_alt_off:")
        st.button("Take the filters away", on_click=lambda: say(by="", group="", between="", page=""))
        return
    people = "1 subject" if len(asked.subjects) == 1 else f"{len(asked.subjects)} subjects"
    parts = [people, *said]
    if asked.order != ID:
        parts.append(order_in_words(asked.order, by))
    last = (len(asked.subjects) - 1) // asked.rows
    number = text("page", "1")
    page = min(last, max(0, int(number) - 1)) if number.isascii() and number.isdigit() else 0
    viewer(matrix(asked, page, " · ".join(parts)))


def _one_subject(asked: Asked, table: ValueTable | None) -> None:
    if not hidden(asked):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            chosen_beside(asked.run, asked.beside)
            if asked.revealed:
                st.button("Hide the names again", on_click=lambda: say(revealed=""))
    viewer(beside(asked))
    particulars(asked, table)


def _measured(run: Run) -> tuple[ValueTable | None, str]:
    """The values of the run, or why there are none."""
    try:
        return values_of(run), ""
    except MesofaceError as error:
        return None, sentence(error)


def _chosen_metric(table: ValueTable, protocol: str) -> Yardstick | None:
    known = metrics_of(table, protocol)
    if not known:
        return None
    name = choice("metric", list(known), next(iter(known)), "Metric", width=190)
    places = {place.region: place for place in known[name]}
    first = region_first(known[name])
    region = first
    if len(places) > 1:
        region = choice("region", list(places), first, "Region", lambda one: one.removeprefix("skin/"), width=110)
    return yardstick(table, places[region])


def _disputes(run: Run, protocol: str) -> dict[str, float]:
    """How divided raters were; empty where there are none, or where the database cannot be asked."""
    try:
        return disputes(run, protocol, address(), readable())
    except MesofaceError:  # the page Studies says what is wrong with the database
        return {}


def _has_raters(run: Run, protocol: str) -> bool:
    """Whether people have answered to pictures of the run."""
    try:
        return rated_by_people(run, protocol, address(), readable())
    except MesofaceError:  # the page Studies says what is wrong with the database
        return False


def _blind_switch(blind: str) -> None:
    st.session_state["compare blind"] = bool(blind)

    def take() -> None:
        say(blind=new_seed() if st.session_state["compare blind"] else "", revealed="", order="", between="")

    st.toggle("Blind", key="compare blind", on_change=take, help="Hides the names of the methods and shuffles them.")


@st.cache_data(ttl=10.0, max_entries=64, show_spinner=False)
def _views(name: str, protocol: str, stamp: tuple[int, ...], _run: Run) -> dict[str, str]:
    return known_views(_run, protocol)


@st.cache_data(max_entries=16, show_spinner="Reading who the subjects are …")
def _attributes(name: str, stamp: tuple[int, ...], _run: Run, _table: ValueTable) -> dict[str, dict[str, str]]:
    return attributes_of([_run.folder], _table)
