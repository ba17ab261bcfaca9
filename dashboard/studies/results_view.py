"""Results of a study: the sections of its report, analysed in the background, and the files to take away."""

from __future__ import annotations

import json

import streamlit as st
from sqlalchemy import Engine

from dashboard import background
from dashboard.studies.analysing import analysed
from dashboard.studies.folders import folder_of
from dashboard.studies.listing import Listed
from dashboard.studies.report_view import legend, show_section, style
from dashboard.trouble import told
from dashboard.wording import plain
from study.progress import marks_of, without_seen
from study.report import Report, build_report, read_study_data
from study.report.export import answers_frame, markdown, record
from study.report.findings import SIMULATED
from study.report.html import as_page


def results(engine: Engine, one: Listed) -> None:
    """Draw the results of the study ``one``."""
    rehearsed = one.status is not None and one.status.simulated
    every = st.toggle(
        "All sessions that were handed in", value=rehearsed, key=f"all sessions {one.name}",
        help="Otherwise those alone whose answers are used, as decided under Quality.",
    )  # fmt: skip
    folder = folder_of(one.name)
    path, measured = (None, ()) if folder is None else (folder.path, folder.measured)

    def analyse(_progress: object) -> Report:
        return build_report(read_study_data(engine, one.name, all_sessions=every), path)

    # A session that is under way says nothing yet, so an answer of it makes nothing anew.
    key = ("report", one.name, every, without_seen(marks_of(engine, one.name)), measured)
    work = background.start(key, "Analysing the answers", analyse)
    if analysed(work, one.name):
        _show(work.result)


def _show(made: Report) -> None:
    st.markdown(f"**{plain(made.design)}** {made.size}.")
    for warning in made.warnings:
        if warning != SIMULATED:  # the page says it at its top
            st.caption(f":material/info: {plain(warning)}")
    _downloads(made)
    style()
    legend(made)
    for section in made.sections:
        st.subheader(plain(section.title), anchor=section.key)
        with told(f"the section '{section.title}'"):
            show_section(section)


def _downloads(made: Report) -> None:
    name = made.data.name
    files = (
        ("Report", f"{name}.html", "text/html", lambda: as_page(made)),
        ("Tables", f"{name}.md", "text/markdown", lambda: markdown(made)),
        ("Answers", f"{name}.csv", "text/csv", lambda: answers_frame(made.data).to_csv(index=False)),
        ("Numbers", f"{name}.json", "application/json", lambda: json.dumps(record(made), indent=2, ensure_ascii=False)),
    )
    with st.container(horizontal=True):
        for label, file, kind, content in files:
            st.download_button(
                label, content, file, kind, icon=":material/download:", on_click="ignore", key=f"take {file}"
            )
