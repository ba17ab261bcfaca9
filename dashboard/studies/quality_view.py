"""Quality: every session with what the rules say and what was decided, one rater's answers, decisions, and payment."""

from __future__ import annotations

import getpass
import time

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from dashboard.access import may_change, require_change, why_not
from dashboard.address import say, text
from dashboard.settings import current
from dashboard.studies import listing
from dashboard.studies.answers_view import show_answers
from dashboard.studies.listing import Listed
from dashboard.studies.paying_view import paying
from dashboard.trouble import told
from dashboard.wording import plain
from recon.errors import UsageError
from study.progress import marks_of, without_seen
from study.quality.decisions import Review, Standing, decide_by_person, decide_by_rules, review

SHOWN = ("all", "to decide", "with a reason", "not used", "not paid")
_TURN = "sessions table"


# Of a study that many answer at this moment a review is kept for so many times what it took: it would be old at once.
_KEPT_TIMES = 10
_reviews: dict[tuple[str, str], tuple[float, tuple[int, ...], Review]] = {}


def review_of(engine: Engine, name: str) -> Review:
    """The review of the study ``name`` as it stands; of one with many answers at this moment, as it stood just now."""
    key, marks = (str(engine.url), name), marks_of(engine, name)
    known = _reviews.get(key)
    if known is not None:
        until, then, found = known
        if then == marks or (time.monotonic() < until and without_seen(then) == without_seen(marks)):
            return found
    begun = time.monotonic()
    with st.spinner("Reading the sessions …"):
        found = review(engine, name)
    _reviews[key] = (time.monotonic() + _KEPT_TIMES * (time.monotonic() - begun), marks, found)
    return found


def quality(engine: Engine, one: Listed) -> None:
    """Draw the sessions of the study ``one``."""
    found = review_of(engine, one.name)
    if not found.standings:
        st.info("Nobody came yet: there is nothing to review.", icon=":material/hourglass_empty:")
        return
    _summary(engine, one, found)
    with told("the sessions"):
        chosen = _table(found)
        if chosen is not None:
            _session(engine, one, chosen)
    if not found.simulated:
        with told("the payment"):
            paying(engine, one)


def _summary(engine: Engine, one: Listed, found: Review) -> None:
    handed_in = [each for each in found.standings if each.judgement.finished]
    undecided = sum(each.decision is None for each in handed_in)
    use, pay = sum(each.use for each in handed_in), sum(each.pay for each in handed_in)
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(
            f"**{len(found.standings)}** sessions, **{len(handed_in)}** handed in, **{len(handed_in) - undecided}** of "
            f"these decided · use **{use}**" + ("" if found.simulated else f" · pay **{pay}**")
        )
        held, why = not may_change(), why_not() or None
        label = f"Decide {undecided} by the rules" if undecided else "Decide by the rules"
        if st.button(label, icon=":material/rule:", disabled=held or not undecided, help=why, key="by rules"):
            _ask_rules(engine, one.name, undecided)


@st.dialog("Decide by the rules")
def _ask_rules(engine: Engine, name: str, count: int) -> None:
    st.markdown(
        f"The study file's rules decide **{count}** sessions that were handed in: whose answers are used, and who is "
        "paid. What a person decided stays. Nothing is paid yet."
    )
    if st.button("Decide", type="primary", disabled=not may_change(), key="rules now"):
        with told("the decisions"):
            require_change()
            decide_by_rules(engine, name)
            listing.look_again()
            st.rerun()


def rows_of(found: Review, shown: str) -> list[Standing]:
    """The sessions that ``shown``, one of :data:`SHOWN`, asks for."""
    tests = {
        "all": lambda one: True,
        "to decide": lambda one: one.judgement.finished and one.decision is None,
        "with a reason": lambda one: one.judgement.finished and bool(one.reasons),
        "not used": lambda one: one.judgement.finished and not one.use,
        "not paid": lambda one: one.judgement.finished and not one.pay,
    }
    return [one for one in found.standings if tests[shown](one)]


def _table(found: Review) -> Standing | None:
    """The table, and the session that is looked at."""
    shown = st.segmented_control("Sessions", SHOWN, default="all", key="which sessions") or "all"
    rows = rows_of(found, shown)
    known = {one.judgement.session: one for one in found.standings}
    turn = st.session_state.setdefault(_TURN, 0)
    if rows:
        st.caption("Select a row to see that rater's answers with their pictures, and to decide otherwise.")
        picked = st.dataframe(
            frame_of(rows, found.simulated), hide_index=True, column_config=_COLUMNS, on_select="rerun",
            selection_mode="single-row", key=f"{_TURN} {turn} {shown}",
        )  # fmt: skip
        if picked["selection"]["rows"]:
            st.session_state[_TURN] = turn + 1
            say(session=str(rows[picked["selection"]["rows"][0]].judgement.session))
            st.rerun()
    else:
        st.caption("No such session.")
    said = text("session")
    return known.get(int(said)) if said.isascii() and said.isdecimal() else None


def frame_of(rows: list[Standing], simulated: bool) -> pd.DataFrame:
    """What the table of sessions shows."""
    frame = pd.DataFrame(
        {
            "session": [one.judgement.session for one in rows],
            "rater": [one.judgement.rater for one in rows],
            "state": [one.judgement.state for one in rows],
            "answered": [f"{one.judgement.answered} of {one.judgement.trials}" for one in rows],
            "use": [one.use for one in rows],
            "pay": [one.pay for one in rows],
            "decided": ["–" if one.decision is None else one.decision.decided_by for one in rows],
            "why": ["; ".join(one.reasons) for one in rows],
            "notes": ["; ".join(one.judgement.notes) for one in rows],
        }
    )
    return frame.drop(columns="pay") if simulated else frame


_COLUMNS = {
    "session": st.column_config.NumberColumn("Session", width=70, format="%d"),
    "rater": st.column_config.TextColumn("Rater", width=120, help="First digits of a keyed pseudonym."),
    "state": st.column_config.TextColumn("State", width=100),
    "answered": st.column_config.TextColumn("Answered", width=90),
    "use": st.column_config.CheckboxColumn("Use", width=50, help="Whether the answers are analysed."),
    "pay": st.column_config.CheckboxColumn("Pay", width=50),
    "decided": st.column_config.TextColumn("Decided by", width=90, help="– : this is what the rules would say."),
    "why": st.column_config.TextColumn("Why", width="large"),
    "notes": st.column_config.TextColumn("Notes", width="medium", help="Withhold nothing."),
}


def _session(engine: Engine, one: Listed, chosen: Standing) -> None:
    judged = chosen.judgement
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"##### Session {judged.session} · rater {judged.rater}")
            if st.button("Close", icon=":material/close:", type="tertiary", key="close session"):
                say(session="")
                st.rerun()
        for reason in chosen.reasons:
            st.markdown(f":material/flag: {plain(reason)}")
        for note in judged.notes:
            st.caption(f":material/info: {plain(note)}")
        if judged.finished:
            _decide(engine, one, chosen)
        with told("the answers"):
            show_answers(engine, one.name, judged.session)


def decider() -> str:
    """Who decides: who is logged in by name, else whose program this is."""
    mail = st.user.to_dict().get("email") if current().door.oidc else ""
    return str(mail or getpass.getuser())


def _decide(engine: Engine, one: Listed, chosen: Standing) -> None:
    """A person's decision, which holds over the rules."""
    session = chosen.judgement.session
    simulated = one.status is not None and one.status.simulated
    with st.form(f"decide {session}", border=False):
        first, second, third, fourth = st.columns([1, 1, 3, 1], vertical_alignment="bottom")
        use = first.toggle("Use answers", chosen.use, key=f"use {session}")
        pay = second.toggle("Pay" if not simulated else "Would pay", chosen.pay, key=f"pay {session}")
        reason = third.text_input("Reason", key=f"reason {session}", placeholder="A rejected rater reads it")
        if fourth.form_submit_button("Decide", disabled=not may_change(), help=why_not() or None):
            with told("the decision"):
                require_change()
                if not reason.strip():
                    raise UsageError("a decision of yours needs a reason: write it beside the button.")
                decide_by_person(engine, one.name, session, pay=pay, use=use, reason=reason, by=decider())
                listing.look_again()
                st.rerun()
