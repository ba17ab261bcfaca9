"""Two runs beside each other: which methods changed beyond chance, and which settings differ."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.catalogue import Run, runs
from dashboard.charts import intervals
from dashboard.charts.look import Look, draw
from dashboard.choosing import kept_choice
from dashboard.grid import Cell, Head, grid
from dashboard.measurements.chosen import Chosen
from dashboard.values import comparison_of
from dashboard.wording import plain
from metrics.comparison import Comparison, Contrast, Place
from metrics.report.layout import Block, decimals, heading, shown, shown_interval, shown_p


def changes(chosen: Chosen, place: Place | None, look: Look, row: DeltaGenerator) -> Comparison | None:
    """Draw what ``chosen.run`` does otherwise than another run, chosen in ``row``; None where there is no other."""
    others = _comparable(chosen.run)
    if not others:
        st.info(
            "There is no other measured run with a method and people of this one. Run the same people again with other "
            "settings into another folder, 'mesoface run … --out FOLDER', and it can be chosen here.",
            icon=":material/info:",
        )
        return None
    with row:
        name = kept_choice(
            "before", list(others), next(iter(others)), "Compared with the run", lambda name: others[name].title
        )
    before = others[name]
    if chosen.protocol not in before.protocols:
        st.info(
            f"The run '{before.title}' has no results under '{chosen.protocol}'; it has {', '.join(before.protocols)}."
        )
        return None
    comparison = comparison_of(
        chosen.run, replace(chosen.selection, protocols=(chosen.protocol,)), before=before, contrasts=False
    )
    if not comparison.changes:
        st.info(
            "No person has a value in both runs, so that nothing can be compared pair by pair.", icon=":material/info:"
        )
    for block, rows in _by_block(comparison.changes).items():
        _table(block, rows)
    if comparison.changes:
        st.caption(
            "This run less the other, of the same people: mean difference with its 95 % interval. Bold and in words "
            "where it is beyond chance (sign-flip permutation, Holm's correction over the methods)."
        )
    here = [one for one in comparison.changes if place is not None and one.place == place]
    if here:
        st.markdown(f"**{plain(heading(here[0].place))}**")
        drawn = [intervals.row_of_contrast(one) for one in here]
        chart = intervals.forest(drawn, look, intervals.difference_axis(here[0]), zero=True)
        if chart is not None:
            draw(chart, f"Changes of {heading(here[0].place)} between the runs", f"changes {name} {here[0].place}")
    _settings(comparison)
    for note in comparison.notes:
        if note not in chosen.comparison.notes:
            st.caption(plain(note))
    return comparison


def _comparable(run: Run) -> dict[str, Run]:
    measured = {name: one for name, one in runs().items() if not one.problem and one.folder.metrics.is_file()}
    return {
        name: one
        for name, one in measured.items()
        if name != run.name and set(one.methods) & set(run.methods) and set(one.subjects) & set(run.subjects)
    }


def _by_block(rows: tuple[Contrast, ...]) -> dict[Block, list[Contrast]]:
    found: dict[Block, list[Contrast]] = {}
    for row in rows:
        found.setdefault(Block.of(row.place), []).append(row)
    return found


def _table(block: Block, rows: list[Contrast]) -> None:
    """Methods down, metrics across, the difference of the later run from the earlier one."""
    places = list(dict.fromkeys(row.place for row in rows))
    pairs = list(dict.fromkeys((row.first, row.second) for row in rows))
    cells = {(row.place, row.first, row.second): row for row in rows}
    digits = {place: decimals([row.difference.value for row in rows if row.place == place]) for place in places}
    body = [
        (Head(f"{first} − {second}"), [_cell(cells.get((place, first, second)), digits[place]) for place in places])
        for first, second in pairs
    ]
    grid(
        f"What changed · {block.title}",
        [Head("this run − the other"), *(Head(heading(place)) for place in places)],
        body,
    )


def _cell(row: Contrast | None, digits: int) -> Cell:
    if row is None:
        return Cell("–")
    verdict = {row.first: "better", row.second: "worse"}.get(row.better, "")
    sign = "+" if row.difference.value > 0 else ""
    hover = f"p = {shown_p(row.adjusted)} (Holm), effect {shown(row.effect, 2)}, n = {row.difference.n}"
    return Cell(
        f"{sign}{shown(row.difference.value, digits)}",
        f"{shown_interval(row.difference, digits)} {verdict}".strip(),
        hover=hover,
        best=bool(verdict),
    )


def _settings(comparison: Comparison) -> None:
    if not comparison.settings:
        st.caption("Settings, versions and assets of the two runs are the same.")
        return
    columns = [Head("settings and versions that differ"), *(Head(name, words=True) for name in comparison.runs)]
    grid(
        "",
        columns,
        [(Head(one.name), [Cell(value, words=True) for value in one.values]) for one in comparison.settings],
    )
