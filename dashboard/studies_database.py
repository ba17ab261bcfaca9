"""The study database for the pages: opened once, and its state as a sentence where it cannot be used.

A database that is not there is never made by looking, and one that does not answer is not asked again for some seconds.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

import streamlit as st
from sqlalchemy import Engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from dashboard.access import may_change, require_change, why_not
from dashboard.settings import current
from dashboard.trouble import told
from dashboard.wording import plain
from recon.errors import StudyDatabaseError
from study.engine import default_url, is_known, is_there, open_database, schema_version, upgrade

State = Literal["ready", "absent", "empty", "older", "later", "away"]

# A page that waits longer than this for a database looks dead.
_CONNECT_SECONDS = 3
# How long a state is believed: one that works is a fact for long, one that does not may be mended at any moment.
_BELIEVED = {"ready": 30.0, "away": 10.0}


@dataclass(frozen=True)
class Condition:
    """Whether the study database can be used.

    Attributes:
        state: ``ready``; ``absent``: no such file; ``empty``: no tables; ``older`` or ``later`` than this mesoface;
            ``away``: it does not answer.
        sentence: what is wrong, with the mend; empty when ready.
    """

    state: State
    sentence: str = ""


_engines: dict[str, Engine] = {}
_believed: dict[str, tuple[float, Condition]] = {}


def address() -> str:
    """Where the study database is, as it may be shown: without a password."""
    try:
        return make_url(_url()).render_as_string(hide_password=True)
    except ArgumentError:
        return "the address given by --db"


def engine() -> Engine:
    """The engine, made once; nothing is asked of the database yet.

    Raises:
        StudyDatabaseError: as of :func:`study.engine.open_database`.
    """
    url = _url()
    if url not in _engines:
        _engines[url] = open_database(_impatient(url))
    return _engines[url]


def condition() -> Condition:
    """Whether the database can be used."""
    url = _url()
    known = _believed.get(url)
    if known is None or time.monotonic() > known[0]:
        found = _condition()
        known = _believed[url] = (time.monotonic() + _BELIEVED.get(found.state, 2.0), found)
    return known[1]


def readable() -> Engine | None:
    """The engine where the database can be used, else None; says nothing. For pages on which studies are an extra."""
    return engine() if condition().state == "ready" else None


def is_to_be_made() -> bool:
    """Whether there is no database yet, or one without tables: nobody launched a study, and a launch makes it."""
    return condition().state in ("absent", "empty")


def studies_database() -> Engine | None:
    """The engine where the database can be used.

    Otherwise None. Where it :func:`is_to_be_made` nothing is said, for without studies nobody misses it; else the page
    says why, with a button for what this visitor may mend by one.
    """
    found = condition()
    if found.state == "ready":
        return engine()
    if not is_to_be_made():
        st.warning(plain(found.sentence), icon=":material/database_off:")
        if found.state == "older":
            st.caption("What is in it stays. Make a copy first where it matters.")
            _offer("Bring it up to date")
    return None


def made_database() -> Engine:
    """The engine; its tables are made where there are none.

    Raises:
        StudyDatabaseError, StorageError: it cannot be reached or made.
    """
    if is_to_be_made():
        upgrade(engine())
        _believed.clear()
    return engine()


def _offer(label: str) -> None:
    if st.button(label, disabled=not may_change(), help=why_not() or None, key="mend the study database"):
        with told("the study database"), st.spinner("Making the tables …"):
            require_change()
            upgrade(engine())
            _believed.clear()
            st.rerun()


def _url() -> str:
    return current().database or default_url()


def _impatient(url: str) -> str:
    try:
        parsed = make_url(url)
    except ArgumentError:  # open_database says so better
        return url
    if parsed.get_backend_name() == "postgresql" and "connect_timeout" not in parsed.query:
        parsed = parsed.update_query_dict({"connect_timeout": str(_CONNECT_SECONDS)})
    return parsed.render_as_string(hide_password=False)


def _condition() -> Condition:
    try:
        if not is_there(engine()):
            return Condition("absent", f"There is no study database yet: '{address()}' does not exist.")
        present, newest = schema_version(engine())
    except StudyDatabaseError as error:
        return Condition("away", _capital(str(error)).replace(f"?connect_timeout={_CONNECT_SECONDS}", ""))
    if present == newest:
        return Condition("ready")
    if present is None:
        return Condition("empty", f"The study database '{address()}' has no tables yet.")
    said = (
        f"The study database '{address()}' is of another mesoface: it has the schema '{present}', this one '{newest}'."
    )
    if is_known(present):
        return Condition("older", f"{said} Bring it up to date, here or with 'mesoface study database upgrade'.")
    return Condition("later", f"{said} It was made by a later mesoface: install that one.")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
