"""Below the pictures of a subject: its numbers, who it is and under which licence, and what raters said."""

from __future__ import annotations

import streamlit as st

from dashboard.address import say
from dashboard.studies_database import address, readable
from dashboard.trouble import told
from dashboard.viewer.asked import Asked
from dashboard.viewer.beside import hidden, person, unmeasured, values_frame
from dashboard.viewer.verdicts import of_subject, studies_of, verdicts_of
from dashboard.wording import plain
from metrics.value_table import ValueTable
from study.contract import PHOTOGRAPH


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
        st.dataframe(frame, hide_index=True, column_config=columns, height=min(420, 38 + 35 * len(frame)))
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
    name = asked.run.folder.path.resolve().name
    with told("what raters said"):
        studies = studies_of(address(), name, asked.protocol, engine) if engine is not None else []
        shown = 0
        for study in studies:
            with told(f"the study {study.name}"):
                frame = verdicts_of(address(), study.name, study.answers, name, asked.protocol, engine)
                own = of_subject(frame, asked.subject, {one: one for one in (PHOTOGRAPH, *asked.beside)})
                if own.empty:
                    continue
                shown += 1
                label = ", simulated raters" if study.simulated else ""
                st.markdown(f"**{plain(study.name)}**{label}")
                st.dataframe(own, hide_index=True)
        if not shown:
            st.caption("No study has answers to these pictures yet: the page Studies makes one.")
