"""One study: where it stands, what comes next, its server, its file and the facts of its launch."""

from __future__ import annotations

import streamlit as st
import yaml
from sqlalchemy import Engine

from dashboard import background
from dashboard.access import may_change, why_not
from dashboard.address import say
from dashboard.studies.changes import ask_launch, ask_state, launching_key
from dashboard.studies.facts import facts, figures
from dashboard.studies.going import link_to
from dashboard.studies.hosting_view import hosting
from dashboard.studies.listing import Listed, duration, spent
from dashboard.studies.preparing import preparation
from dashboard.trouble import told
from dashboard.wording import plain
from recon.errors import InputError
from study.progress import posted_live
from study.report.findings import SIMULATED

_BADGES = {"open": "green", "paused": "orange", "closed": "gray", "not launched": "blue", "cannot be read": "red"}


def show_study(engine: Engine | None, one: Listed) -> None:
    """Draw the study ``one``."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("All studies", icon=":material/arrow_back:", key="all studies"):
            say(study="")
            st.rerun()
        st.subheader(plain(one.name), anchor=False, width="content")
        st.badge(one.state, color=_BADGES.get(one.state, "gray"))  # type: ignore[arg-type]
        if one.status is not None and one.status.simulated:
            st.badge("simulated raters", icon=":material/smart_toy:", color="orange")
    if one.status is not None and one.status.simulated:
        st.warning(SIMULATED, icon=":material/smart_toy:")
    if one.folder is not None and one.folder.problem:
        st.error(plain(one.folder.problem), icon=":material/error:")
    _facts(one)
    _buttons(engine, one)
    _launching(one)
    if one.state == "not launched" and one.folder is not None and one.folder.specification is not None:
        with told("what comes before the launch"):
            preparation(one.folder)
    if engine is not None and one.status is not None and not one.status.simulated and one.status.state != "closed":
        with told("the server"):
            hosting(one)
    with told("the study file"):
        _file(engine, one)


def _facts(one: Listed) -> None:
    done, places = one.places
    numbers = {"Places done": f"{done} of {places}"}
    if one.status is not None:
        numbers |= {"At work now": str(one.status.slots.get("leased", 0)), "Answers": f"{one.status.answers:,}"}
        numbers |= {"Time left": duration(one.seconds_left)}
    figures({**numbers, "Set aside / cap": spent(one) or "–"})


def _buttons(engine: Engine | None, one: Listed) -> None:
    held, help_ = not may_change(), why_not() or None
    with st.container(horizontal=True, vertical_alignment="center"):
        if one.state == "not launched" and one.folder is not None and one.folder.specification is not None:
            if st.button("Launch …", type="primary", disabled=held, help=help_, key="ask launch"):
                ask_launch(one.folder)
            st.caption("Launching makes the pictures and checks again; the three steps below let you look before it.")
        if engine is None or one.status is None:
            return
        link_to("ratings", "Ratings and results", ":material/how_to_vote:", study=one.name)
        if one.status.simulated:
            return
        moves = {"open": ("paused", "closed"), "paused": ("open", "closed"), "draft": ("closed",)}
        labels = {"paused": ":material/pause: Pause …", "open": ":material/play_arrow: Resume …", "closed": "Close …"}
        for wanted in moves.get(one.status.state, ()):
            if st.button(labels[wanted], disabled=held, help=help_, key=f"ask {wanted}"):
                ask_state(engine, one.name, wanted)


def _launching(one: Listed) -> None:
    """The launch that was asked for, and what came of it."""
    work = background.known(launching_key(one.name))
    if work is None or not background.settled(work):
        return
    if not may_change():  # the codes are what raters prove their work with
        return
    done = work.result
    background.forget(launching_key(one.name))  # it is said once
    gaps = f"; {done.gaps} could not be made" if done.gaps else ""
    st.success(f"Launched with {done.pictures} pictures{gaps}.", icon=":material/rocket_launch:")
    if done.completion_code:
        st.markdown(
            f"Serve it with the completion code `{plain(done.completion_code)}` and the screen-out code "
            f"`{plain(done.screen_out_code)}`."
        )


def _file(engine: Engine | None, one: Listed) -> None:
    st.markdown("##### Study file and launch")
    rows: dict[str, str] = {}
    if one.folder is not None:
        rows["Folder"] = str(one.folder.path)
    if one.status is not None and engine is not None:
        rows["Opened"] = _moment(one.status.opened_at)
        rows["Closed"] = _moment(one.status.closed_at)
        for state, places, url in one.status.postings:
            # Raters of our own come to the server, wherever it runs: the address of the launch is none of theirs.
            rows["Posting"] = f"{state}, {places} places" + f", {url}" * bool(url and one.provider != "local")
        if one.status.postings and one.provider != "local":
            rows["Money"] = "real" if posted_live(engine, one.name) else "none: a sandbox or a draft"
    facts({name: value for name, value in rows.items() if value})
    with st.expander("study.yaml"):
        st.code(_yaml(one), language="yaml", height=420)


def _moment(when: object) -> str:
    return "" if when is None else f"{when:%Y-%m-%d %H:%M} UTC"


def _yaml(one: Listed) -> str:
    """The file as it was written; of a rehearsal, and where there is none, nothing more than is known."""
    if one.folder is None:
        raise InputError(
            f"the folder of '{one.name}' is not among the studies here: start the dashboard with --studies."
        )
    try:
        return one.folder.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        record = None if one.folder.specification is None else one.folder.specification.record()
        return yaml.safe_dump(record, sort_keys=False, allow_unicode=True)
