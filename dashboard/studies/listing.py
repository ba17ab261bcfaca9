"""All studies, of the database and of the disk, with where each stands; and the table that shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st
from sqlalchemy import Engine

from dashboard.studies.folders import StudyFolder, folder_of, folders
from dashboard.studies_database import condition
from study.costs import money
from study.launching import Status, study_names, study_status
from study.progress import marks_of, way_of

PEOPLE, MODELS = "people", "simulated"
_FRESH_SECONDS = 2.0
# Counting a hundred thousand answers takes long: it is done when answers came, and now and then because leases run out.
_COUNTED_SECONDS = 20.0


@dataclass(frozen=True)
class Listed:
    """A study.

    Attributes:
        status: of the database; None for one that was not launched.
        folder: on this disk; None where it is not here.
        seconds_left: at the present pace, until all places are done; None where that cannot be said.
        is_in_doubt: the database, which would know whether it was launched, cannot be read.
    """

    name: str
    status: Status | None
    folder: StudyFolder | None
    seconds_left: float | None = None
    is_in_doubt: bool = False

    @property
    def state(self) -> str:
        """In a word."""
        if self.status is not None:
            return self.status.state
        if self.is_in_doubt:
            return "not known"
        return "cannot be read" if self.folder is not None and self.folder.problem else "not launched"

    @property
    def raters(self) -> str:
        """Whether people or models answer."""
        return MODELS if self.status is not None and self.status.simulated else PEOPLE

    @property
    def label(self) -> str:
        """Its name, and its state, or that models answer it."""
        return f"{self.name} ({MODELS if self.raters == MODELS else self.state})"

    @property
    def places(self) -> tuple[int, int]:
        """Done, and all."""
        if self.status is None:
            asked = self.folder.specification if self.folder is not None else None
            return 0, 0 if asked is None else asked.raters
        return self.status.slots.get("done", 0), sum(self.status.slots.values())

    @property
    def design(self) -> str:
        """Its name."""
        asked = self.folder.specification if self.folder is not None else None
        return self.status.design if self.status is not None else "" if asked is None else asked.design

    @property
    def provider(self) -> str:
        """Its name."""
        asked = self.folder.specification if self.folder is not None else None
        return self.status.provider if self.status is not None else "" if asked is None else asked.payment.provider


_known: dict[str, tuple[float, dict[str, Listed]]] = {}
_counted: dict[tuple[str, str], tuple[float, tuple[int, ...], Listed]] = {}


def listed(engine: Engine | None) -> dict[str, Listed]:
    """All studies by name: those that raters may enter first, then what is not launched, then what is closed.

    Raises:
        StudyDatabaseError: the database does not answer.
    """
    key = "" if engine is None else str(engine.url)
    known = _known.get(key)
    if known is None or time.monotonic() - known[0] > _FRESH_SECONDS:
        found = {} if engine is None else {name: _of_database(engine, name) for name in study_names(engine)}
        doubt = engine is None and condition().state not in ("absent", "empty")
        files = {name: one for name, one in folders().items() if name not in found}
        found |= {name: Listed(name, None, one, is_in_doubt=doubt) for name, one in files.items()}
        order = {"open": 0, "paused": 1, "draft": 2, "not launched": 2}
        rows = sorted(found.values(), key=lambda one: (order.get(one.state, 3), one.raters, one.name))
        known = _known[key] = (time.monotonic(), {one.name: one for one in rows})
    return known[1]


def look_again() -> None:
    """Forget what was listed: something was changed from here."""
    _known.clear()
    _counted.clear()


def _of_database(engine: Engine, name: str) -> Listed:
    key, marks = (str(engine.url), name), marks_of(engine, name)
    known = _counted.get(key)
    if known is None or known[1] != marks or time.monotonic() - known[0] > _COUNTED_SECONDS:
        status = study_status(engine, name)
        left = None
        if status.state == "open":
            left = way_of(engine, name).seconds_left(sum(status.slots.values()) - status.slots.get("done", 0))
        known = _counted[key] = (time.monotonic(), marks, Listed(name, status, None, left))
    return replace(known[2], folder=folder_of(name))


def duration(seconds: float | None) -> str:
    """``about 3 h``; a dash where it is not known."""
    if seconds is None:
        return "–"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"about {seconds / size:.0f} {unit}"
    return "under a minute"


def spent(one: Listed) -> str:
    """Cost so far against the cap."""
    if one.status is None:
        asked = one.folder.specification if one.folder is not None else None
        return "" if asked is None else f"– / {money(asked.payment.cap, asked.payment.currency)}"
    if one.status.simulated:
        return "costs nothing"
    budget = one.status.budget
    cap = money(budget.cap_cents, budget.currency).removeprefix(f"{budget.currency} ")
    return f"{money(budget.committed_cents, budget.currency)} / {cap}"


def table(rows: Mapping[str, Listed]) -> pd.DataFrame:
    """What the list shows."""
    return pd.DataFrame(
        {
            "study": list(rows),
            "state": [one.state for one in rows.values()],
            "raters": [one.raters for one in rows.values()],
            "design": [one.design for one in rows.values()],
            "provider": [one.provider for one in rows.values()],
            "done": [one.places[0] / one.places[1] if one.places[1] else 0.0 for one in rows.values()],
            "places": [f"{one.places[0]} of {one.places[1]}" for one in rows.values()],
            "answers": [0 if one.status is None else one.status.answers for one in rows.values()],
            "cost": [spent(one) for one in rows.values()],
            "left": [duration(one.seconds_left) for one in rows.values()],
        }
    )


COLUMNS = {
    "study": st.column_config.TextColumn("Study", width=200),
    "state": st.column_config.TextColumn("State", width=105),
    "raters": st.column_config.TextColumn("Raters", width="small", help="Answers of people and of models never mix."),
    "design": st.column_config.TextColumn("Design", width="small"),
    "provider": st.column_config.TextColumn("Through", width="small"),
    "done": st.column_config.ProgressColumn("Done", min_value=0.0, max_value=1.0, format="percent", width="small"),
    "places": st.column_config.TextColumn("Places", width="small"),
    "answers": st.column_config.NumberColumn("Answers", width="small"),
    "cost": st.column_config.TextColumn("Set aside / cap", help="Promised or paid, fees included, against the cap."),
    "left": st.column_config.TextColumn("Time left", width="small", help="At the pace of the last sessions."),
}
"""How the columns of :func:`table` are shown."""
