"""Who leads: methods down, metrics across, means with intervals, and marks that are tested, as ``mesoface compare``."""

from __future__ import annotations

import math

import streamlit as st

from dashboard.charts.look import Look
from dashboard.grid import Cell, Head, grid
from dashboard.wording import plain
from metrics.comparison import Comparison, Place, Standing
from metrics.report.layout import Table, decimals, shown, shown_interval, tables_of
from metrics.report.marks import BEST, heading, marks_of
from metrics.report.sections import gap_lines, legend, not_computed
from metrics.rows import WHOLE_SET

MOST_LINES = 12


def leaderboard(comparison: Comparison, look: Look, identities: dict[Place, str]) -> None:
    """All tables of a comparison; ``identities`` are said on hover."""
    for table in tables_of(comparison):
        columns = [
            Head("method"),
            *(Head(heading(place), identities.get(place, "")) for place in table.places),
            Head("n"),
        ]
        texts = {place: _column(table, place) for place in table.places}
        rows = [
            (
                Head(method, colour=look.hue(method)),
                [*(texts[place][method] for place in table.places), Cell(_people(table, method))],
            )
            for method in table.methods
        ]
        grid(table.block.title, columns, rows)
    for line in legend(comparison):
        st.caption(plain(line))


def _people(table: Table, method: str) -> str:
    return str(max((cell.mean.n for (name, _), cell in table.cells.items() if name == method), default=0))


def _column(table: Table, place: Place) -> dict[str, Cell]:
    cells = {method: table.cells.get((method, place)) for method in table.methods}
    digits = decimals([cell.mean.value for cell in cells.values() if cell])
    marks = marks_of(table, place)
    return {method: _cell(cell, digits, marks.get(method, "")) for method, cell in cells.items()}


def _cell(standing: Standing | None, digits: int, mark: str) -> Cell:
    if standing is None:
        return Cell("–")
    if not math.isfinite(standing.mean.value):
        return Cell("–", hover=standing.reason)
    words = f"rank {standing.rank}, " if standing.rank else ""
    words += "of all people together" if WHOLE_SET in standing.values else (
        f"n = {standing.mean.n}, median {shown(standing.median, digits)} "
        f"(quartiles {shown(standing.q25, digits)} and {shown(standing.q75, digits)})"
    )  # fmt: skip
    return Cell(shown(standing.mean.value, digits), shown_interval(standing.mean, digits), mark, words, mark == BEST)


def notes(comparison: Comparison) -> None:
    """Notes, what was not computed with the reason, and what is missing."""
    lines = [f"- {plain(note)}" for note in comparison.notes]
    lines += [f"- {plain(line)}" for line in not_computed(comparison)]
    if comparison.gaps:
        lines.append(f"- {len(comparison.gaps)} values or results are missing:")
        lines += [f"    - {plain(line)}" for line in gap_lines(comparison, MOST_LINES)]
    if lines:
        with st.expander(f"Notes, and what is missing ({len(lines)})"):
            st.markdown("\n".join(lines))
