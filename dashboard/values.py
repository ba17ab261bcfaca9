"""The measurements of runs as the pages need them: read once a state of the file, shared by all who look.

The table is :class:`metrics.value_table.ValueTable`: places × methods × subjects, tens of megabytes for a thousand
people; the statistics of :mod:`metrics.conclusions` are kept beside it.
"""

from __future__ import annotations

import streamlit as st

from dashboard.catalogue import Run
from metrics.comparison import Comparison
from metrics.conclusions import HEADLINE, Gathered, Selection, conclude_from, gather
from metrics.value_table import ValueTable

Key = tuple[tuple[str, tuple[int, ...]], ...]


@st.cache_resource(max_entries=8, show_spinner="Reading the measurements …")
def _gathered(key: Key, _runs: tuple[Run, ...]) -> Gathered:
    return gather([run.folder for run in _runs])


def gathered_of(*runs: Run) -> Gathered:
    """All that was measured of ``runs``, and what is missing.

    Raises:
        InputError: a run has not been measured, or its table cannot be read.
    """
    return _gathered(_key(runs), runs)


def _key(runs: tuple[Run, ...]) -> Key:
    return tuple((str(run.folder.path), run.stamp) for run in runs)


def values_of(run: Run) -> ValueTable:
    """All values of ``run``.

    Raises:
        InputError: the run has not been measured, or its table cannot be read.
    """
    return gathered_of(run).table


@st.cache_resource(max_entries=256, show_spinner="Comparing the methods …")
def _comparison(key: Key, selection: Selection, by: str | None, contrasts: bool, _runs: tuple[Run, ...]) -> Comparison:
    return conclude_from(gathered_of(*_runs), selection, by, contrasts=contrasts)


def comparison_of(
    run: Run, selection: Selection = HEADLINE, by: str | None = None, *, before: Run | None = None,
    contrasts: bool = True,
) -> Comparison:  # fmt: skip
    """The conclusions on ``run``, as ``mesoface compare`` prints them; filters of ``selection`` must be tuples.

    Args:
        by: an attribute of the subjects that splits them.
        before: an earlier run, with which ``run`` is compared method by method.
        contrasts: whether every pair of methods is wanted with interval and effect.

    Raises:
        UsageError, InputError: as of :func:`metrics.conclusions.conclude`.
    """
    runs = (run,) if before is None else (before, run)
    return _comparison(_key(runs), selection, by, contrasts, runs)
