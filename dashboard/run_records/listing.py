"""The list of runs: what, when, of whom, how far, from which commit."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from dashboard.address import say
from dashboard.catalogue import Run
from dashboard.run_records.state import size_of, state_of
from recon.errors import MesofaceError

_MOST_HEIGHT = 380
_MOST_ROWS = 10  # as high as these are, without a sliver of an empty one
_TEXTS = ("data", "methods", "protocols", "measured", "commit", "problem")
_COLUMNS = ("run", "made", "data", "people", "methods", "protocols", "results", "failed", "missing", "measured",
            "commit", "size")  # fmt: skip


def listing(known: dict[str, Run]) -> None:
    """Draw the table; a click on a row looks at that run."""
    rows = [_row(run) for run in known.values()]
    broken = any("problem" in row for row in rows)
    chosen = st.dataframe(
        pd.DataFrame(rows, columns=[_COLUMNS[0], *(["problem"] if broken else []), *_COLUMNS[1:]]).fillna(
            dict.fromkeys(_TEXTS, "")
        ),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        # A click is of a row in this order: in another table, as when a run came in, the place means another run.
        key=" ".join(["runs listed", *known]),
        height="auto" if len(rows) <= _MOST_ROWS else _MOST_HEIGHT,
        alt=f"{len(rows)} runs, the newest first",
        column_config={
            "made": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            "results": st.column_config.ProgressColumn(
                format="percent", help="complete results, of methods × protocols × people less those set aside"
            ),
            "size": st.column_config.NumberColumn("MB", format="%.0f"),
            "problem": st.column_config.TextColumn(width="medium"),
        },
    )
    picked = chosen["selection"]["rows"]
    name = list(known)[picked[0]] if picked else ""
    # The row that was clicked last leads; the chooser below may have gone on since.
    if name and st.session_state.get("run clicked") != name:
        say(run=name)
    st.session_state["run clicked"] = name


def _row(run: Run) -> dict[str, Any]:
    plain: dict[str, Any] = {"run": run.title}
    if run.problem:
        return {**plain, "problem": run.problem}
    try:
        state = state_of(run)
    except (MesofaceError, OSError) as error:
        return {**plain, "problem": str(error)}
    wanted = state.expected - len(state.aside)
    made_with = (run.config.get("made_with") or [{}])[-1]
    return {
        **plain,
        "made": state.made,
        "data": str(run.config.get("settings", {}).get("data", "")),
        "people": len(run.subjects),
        "methods": ", ".join(run.methods),
        "protocols": ", ".join(run.protocols),
        "results": state.done / wanted if wanted else 0.0,
        "failed": len(state.failed),
        "missing": state.missing,
        "measured": "yes" if run.folder.metrics.is_file() else "no",
        "commit": str(made_with.get("commit") or made_with.get("mesoface") or "")[:10],
        "size": size_of(run) / 1e6,
    }
