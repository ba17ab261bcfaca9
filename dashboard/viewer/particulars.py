"""Below the pictures of a subject: its numbers, who it is and under which licence, and what raters said."""

from __future__ import annotations

import streamlit as st
from sqlalchemy import Engine

from dashboard import background
from dashboard.address import say
from dashboard.studies_database import address, readable
from dashboard.trouble import sentence, told
from dashboard.viewer.asked import Asked
from dashboard.viewer.beside import hidden, person, unmeasured, values_frame
from dashboard.viewer.verdicts import Rated, of_subject, studies_of, verdicts_of
from dashboard.wording import plain
from metrics.value_table import ValueTable
from recon.errors import MesofaceError

_READ_AT_ONCE = 5_000
"""So many answers are read while the page waits."""


def particulars(asked: Asked, table: ValueTable | None) -> None:
    """Draw all of it; in blind mode only what tells no method's name."""
    if hidden(asked):
        st.button(
            "Reveal the names", icon=":material/visibility:", on_click=lambda: say(revealed=asked.subject),
            help="For this subject: the next one is hidden again.",
        )  # fmt: skip
        st.caption("Numbers and verdicts are hidden in blind mode, because they would tell the methods apart.")
        _person(asked)
        return
    left, right = st.columns([3, 2], gap="medium")
    with left:
        _numbers(asked, table)
    with right:
        _person(asked)
        _verdicts(asked)


def _numbers(asked: Asked, table: ValueTable | None) -> None:
    st.subheader("Numbers", anchor=False)
    if table is None:
        st.caption("This run has not been measured.")
        return
    with told("the table of numbers"):
        frame = values_frame(asked, table)
        if frame.empty:
            st.caption("Nothing was measured of this subject under this protocol.")
            return
        columns = {name: st.column_config.TextColumn(name, alignment="right") for name in asked.beside}
        columns |= {"metric": st.column_config.TextColumn("metric", pinned=True, width="medium")}
        st.dataframe(frame, hide_index=True, column_config=columns, height=min(580, 38 + 35 * len(frame)))
        st.caption(
            f"In brackets the rank among all {len(table.entries)} methods for this one subject; equal values share it."
        )
        reasons = unmeasured(asked, table)
        if reasons:
            with st.expander(f"Not computed ({len(reasons)})"):
                st.markdown("\n".join(f"- {plain(reason)}" for reason in reasons))


def _person(asked: Asked) -> None:
    st.subheader("Subject", anchor=False)
    with told("the record of this subject"):
        record = person(asked)
        attributes = record.get("attributes")
        facts = {"id": asked.subject, **(attributes if isinstance(attributes, dict) else {})}
        facts["source"] = record.get("source", "")
        st.markdown(
            "  \n".join(f"**{plain(str(name))}**: {plain(str(value))}" for name, value in facts.items() if value)
        )
        licence = record.get("licence")
        if isinstance(licence, dict):
            named = plain(str(licence.get("name") or "unknown"))
            given = "may be passed on" if licence.get("redistributable") else "may not be passed on"
            citation = plain(str(licence.get("citation") or ""))
            st.caption(f"Licence: {named}, {given}. {citation}")


def _verdicts(asked: Asked) -> None:
    st.subheader("Verdicts of raters", anchor=False)
    engine = readable()
    if engine is None:
        st.caption("There is no study database to read from: the page Studies says more.")
        return
    name = asked.run.folder.path.resolve().name
    with told("what raters said"):
        shown = 0
        for study in studies_of(address(), name, asked.protocol, engine):
            shown += _verdicts_of(asked, study, name, engine)
        if not shown:
            st.caption("No study has answers to these pictures yet: the page Studies makes one.")


def _verdicts_of(asked: Asked, study: Rated, run: str, engine: Engine) -> bool:
    """What raters of one study said of this subject; whether there is anything to say."""
    label = ", simulated raters" if study.simulated else ""
    of = (address(), study.name, study.state, study.simulated, run, asked.protocol)
    if study.state[0] > _READ_AT_ONCE:
        # A hundred thousand answers take seconds: the pictures do not wait for them.
        work = background.start(("verdicts", *of), "Reading what raters said", lambda _: verdicts_of(*of, engine))
        if work.running:
            return not background.settled(work)
    try:
        frame = verdicts_of(*of, engine)
    except MesofaceError as error:  # nothing may be concluded from its answers yet
        st.markdown(f"**{plain(study.name)}**{label}")
        st.caption(plain(sentence(error)))
        return True
    own = of_subject(frame, asked.run, asked.protocol, asked.subject, asked.beside)
    if own.empty:
        return False
    st.markdown(f"**{plain(study.name)}**{label}")
    st.dataframe(own, hide_index=True, column_order=("method", "verdict", "answers", "raters", "question"))
    return True
