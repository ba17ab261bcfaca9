"""One rater's answers: every trial with its pictures, what was said of them, and how long it took."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import streamlit as st
from sqlalchemy import Engine

from dashboard.studies.folders import folder_of
from dashboard.studies.pictures import stimulus_address
from study.contract import Stimulus
from study.progress import Answered, answers_of_session, stimuli_of

_PLAIN = ("choice", "real-or-fake", "ranking", "scores")
_MARKS = {None: "", True: "<span class='fine'>right</span>", False: "<span class='wrong'>wrong</span>"}
PARTS = ("main", "gold", "attention", "training")
_STYLE = Path(__file__).with_name("answers.css")


def show_answers(engine: Engine, study: str, session: int) -> None:
    """Draw all trials of ``session``."""
    found = answers_of_session(engine, study, session)
    stimuli = {one.sha256: one for one in stimuli_of(engine, study)}
    there = [part for part in PARTS if any(one.part == part for one in found.trials)]
    if not found.trials:
        st.caption("This session was given no trials.")
        return
    parts = st.pills("Trials", there, selection_mode="multi", default=there, key=f"parts {session}")
    shown = [one for one in found.trials if one.part in parts]
    times = [one.reaction_ms / 1000 for one in shown if one.reaction_ms is not None]
    if times:
        st.caption(f"{len(times)} answers, {min(times):.1f} to {max(times):.1f} s each")
    if folder_of(study) is None:
        st.caption("The study's folder is not here, so its pictures are not: name where studies lie with --studies.")
        study = ""
    cards = "".join(_card(study, one, stimuli) for one in shown)
    scheme = "dark" if st.context.theme.type == "dark" else "light"
    style = f"<style>{_STYLE.read_text(encoding='utf-8')}</style>"
    st.html(f"{style}<div class='mesoface-trials' style='color-scheme:{scheme}'>{cards}</div>")


def _card(study: str, one: Answered, stimuli: Mapping[str, Stimulus]) -> str:
    chosen = _chosen(one)
    shown = [
        _picture(study, sha256, stimuli, place in chosen, _place(one, place)) for place, sha256 in enumerate(one.shown)
    ]
    if one.reference:
        shown.insert(0, _picture(study, one.reference, stimuli, False, "reference: "))
    took = "" if one.reaction_ms is None else f"{one.reaction_ms / 1000:.1f} s"
    said = "not answered" if one.answer is None else said_of(one.answer)
    question = "" if one.question in _PLAIN else f" · {escape(one.question)}"
    return (
        f"<div class='mesoface-trial'><div class='head'><span>{one.index + 1} · {escape(one.part)}{question}</span>"
        f"<span>{took}</span></div><div class='shown'>{''.join(shown)}</div><div>{escape(said)} {_MARKS[one.correct]}"
        "</div></div>"
    )


def _picture(study: str, sha256: str, stimuli: Mapping[str, Stimulus], chosen: bool, before: str) -> str:
    known = stimuli.get(sha256)
    spoilt = ", spoilt" if known is not None and known.degraded else ""
    label = "unknown picture" if known is None else f"{known.condition}{spoilt} · {known.subject}"
    address, words = (escape(text, quote=True) for text in (stimulus_address(study, sha256, 160), label))
    picture = f"<img loading='lazy' src='{address}' alt='{words}'>" if study else ""
    return (
        f"<figure{' class=chosen' if chosen else ''}>{picture}<figcaption>{escape(before)}{words}</figcaption></figure>"
    )


def _chosen(one: Answered) -> tuple[int, ...]:
    """Places of the pictures that were chosen."""
    if one.answer is None:
        return ()
    choice = one.answer.get("choice")
    if isinstance(choice, int):
        return (choice,)
    order = one.answer.get("order")
    return (int(order[0]),) if order else ()


def _place(one: Answered, place: int) -> str:
    order = None if one.answer is None else one.answer.get("order")
    return f"{list(order).index(place) + 1}. " if order else ""


def said_of(answer: Mapping[str, Any]) -> str:
    """A stored answer in words."""
    if "scores" in answer:
        return ", ".join(f"{name} {score}" for name, score in answer["scores"].items())
    if "order" in answer:
        return "sorted as numbered"
    choice = answer.get("choice")
    return f"chose picture {choice + 1}" if isinstance(choice, int) else f"said {choice}"
