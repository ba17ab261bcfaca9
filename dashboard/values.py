"""The measurements of a run as the pages need them: loaded once a state of the file, shared by all who look.

The table is :class:`metrics.value_table.ValueTable`: places × methods × subjects, tens of megabytes for a thousand
people; the statistics of :mod:`metrics.conclusions` are kept beside it.
"""

from __future__ import annotations

import streamlit as st

from dashboard.catalogue import Run
from metrics import METRICS, SET_METRICS
from metrics.comparison import Comparison
from metrics.conclusions import HEADLINE, Selection, conclude
from metrics.value_table import ValueTable, load_values


@st.cache_resource(max_entries=8, show_spinner="Reading the measurements …")
def _table(name: str, stamp: tuple[int, ...], _run: Run) -> ValueTable:
    return load_values([_run.folder], [name], list(dict.fromkeys([*METRICS.names(), *SET_METRICS.names()])))


def values_of(run: Run) -> ValueTable:
    """All values of ``run``.

    Raises:
        InputError: the run has not been measured, or its table cannot be read.
    """
    return _table(str(run.folder.path), run.stamp, run)


@st.cache_resource(max_entries=64, show_spinner="Comparing the methods …")
def _comparison(name: str, stamp: tuple[int, ...], selection: Selection, by: str | None, _run: Run) -> Comparison:
    return conclude([_run.folder], selection, by)


def comparison_of(run: Run, selection: Selection = HEADLINE, by: str | None = None) -> Comparison:
    """The conclusions on ``run``, as ``mesoface compare`` prints them; filters of ``selection`` must be tuples.

    Raises:
        UsageError, InputError: as of :func:`metrics.conclusions.conclude`.
    """
    return _comparison(str(run.folder.path), run.stamp, selection, by, run)
