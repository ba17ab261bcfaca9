"""Tables in a terminal: methods down, metrics across, marks for the best; nothing is ever cut.

Metrics that do not fit side by side go on in a further table below. A mean stands with its interval beside it where all
metrics fit like that, else the interval stands below it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from metrics.comparison import Comparison, Place, Standing
from metrics.report.layout import Table, decimals, shown, shown_interval, tables_of
from metrics.report.marks import BEST, TIED, heading, marks_of
from metrics.report.sections import Section, gap_lines, legend, sections_of

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table as RichTable

# Characters between two columns of a table.
_GAP = 2
# More lines than these bury the tables; a program gets them all.
MOST_NOTES = 8
_STYLES = {BEST: "bold green", TIED: "green", "": ""}


def print_comparison(
    comparison: Comparison, console: Console, *, pairs: bool = False, sensitivity: bool = False, notes: bool = True
) -> None:
    """All tables of a comparison, then how to read them, then notes and what is missing."""
    print_tables(comparison, console)
    for section in sections_of(comparison, pairs=pairs, sensitivity=sensitivity):
        _print_section(section, console)
    if not notes:
        return
    for line in legend(comparison):
        console.print(line, style="dim", highlight=False, markup=False)
    print_notes(comparison, console)


def print_notes(comparison: Comparison, console: Console) -> None:
    """Notes, and what is missing with the reason."""
    for note in comparison.notes[:MOST_NOTES]:
        console.print(f"note: {note}", style="dim", highlight=False, markup=False)
    if len(comparison.notes) > MOST_NOTES:
        more = len(comparison.notes) - MOST_NOTES
        console.print(f"and {more} more notes; --format json lists them all", style="dim", highlight=False)
    if comparison.gaps:
        console.print(f"[bold]missing[/] ({len(comparison.gaps)})", highlight=False)
        for line in gap_lines(comparison, MOST_NOTES):
            console.print(f"  {line}", highlight=False, markup=False)


def print_tables(comparison: Comparison, console: Console) -> None:
    """The standings, one table for each protocol, way of looking, region and group."""
    for table in tables_of(comparison):
        _print_table(table, console)


def _print_table(table: Table, console: Console) -> None:
    from rich.cells import cell_len

    columns = {place: _Column(table, place) for place in table.places}
    counts = [str(_people(table, method)) for method in table.methods]
    outer = max(map(cell_len, ["method", *table.methods])) + _GAP + max(map(len, ["n", *counts]))
    room = console.width - outer
    beside = sum(column.width(beside=True) + _GAP for column in columns.values()) <= room
    widths = {place: column.width(beside=beside) for place, column in columns.items()}
    for part, places in enumerate(_rows_of_columns(widths, room)):
        # Headings are broken only where the table would not fit otherwise.
        whole = {place: max(cell_len(heading(place)), widths[place]) for place in places}
        broken = sum(width + _GAP for width in whole.values()) > room
        drawn = _grid()
        drawn.add_column("method", no_wrap=True)
        for place in places:
            drawn.add_column(heading(place), justify="right", width=(widths if broken else whole)[place])
        drawn.add_column("n", justify="right", no_wrap=True)
        for index, method in enumerate(table.methods):
            drawn.add_row(method, *(columns[place].cell(method, beside=beside) for place in places), counts[index])
        console.print(table.block.title + (" (continued)" if part else ""), style="bold", highlight=False)
        console.print(drawn)
        console.print()


def _grid() -> RichTable:
    from rich import box
    from rich.table import Table as RichTable

    return RichTable(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)


def _people(table: Table, method: str) -> int:
    return max((cell.mean.n for (name, _), cell in table.cells.items() if name == method), default=0)


class _Column:
    """The texts of one metric in a table."""

    def __init__(self, table: Table, place: Place) -> None:
        self.place = place
        cells: Mapping[str, Standing] = {
            method: cell for method in table.methods if (cell := table.cells.get((method, place)))
        }
        digits = decimals([cell.mean.value for cell in cells.values()])
        self.marks = marks_of(table, place)
        self.values = {method: shown(cell.mean.value, digits) for method, cell in cells.items()}
        self.intervals = {method: shown_interval(cell.mean, digits) for method, cell in cells.items()}

    def _texts(self, method: str) -> tuple[str, str]:
        value, mark = self.values.get(method, "–"), self.marks.get(method, "")
        # A column with a mark anywhere keeps room for it, so that numbers stand below each other.
        marked = f"{value} {mark or ' '}" if self.marks else value
        return marked, self.intervals.get(method, "")

    def width(self, *, beside: bool) -> int:
        """Characters that no line of the column may be narrower than."""
        from rich.cells import cell_len

        words = [cell_len(word) for word in heading(self.place).split()]
        for method in self.values:
            value, interval = self._texts(method)
            parts = [f"{value} {interval}"] if beside and interval else [value, interval]
            words += [cell_len(part) for part in parts]
        return max(words, default=1)

    def cell(self, method: str, *, beside: bool) -> RenderableType:
        """Value, mark and interval; beside each other or on two lines."""
        from rich.text import Text

        value, interval = self._texts(method)
        text = Text(value, style=_STYLES[self.marks.get(method, "")])
        if interval:
            text.append(" " if beside else "\n")
            text.append(interval, style="not bold dim default")
        return text


def _rows_of_columns(widths: Mapping[Place, int], room: int) -> list[list[Place]]:
    """The columns in their order, as many beside each other as ``room`` characters hold, at least one."""
    lines: list[list[Place]] = []
    left = 0
    for place, width in widths.items():
        if not lines or left < width + _GAP:
            lines.append([])
            left = room
        lines[-1].append(place)
        left -= width + _GAP
    return lines


def _print_section(section: Section, console: Console) -> None:
    from rich.cells import cell_len

    columns = list(zip(section.headings, *section.rows, strict=True))
    first = max(cell_len(word) for text in columns[0] for word in text.split() or [""])
    rest = sum(max(map(cell_len, column)) + _GAP for column in columns[1:])
    # Names go on in the next line before an interval does, as long as the width allows.
    whole = first + rest <= console.width
    drawn = _grid()
    for index, name in enumerate(section.headings):
        if index == 0:
            drawn.add_column(name, overflow="fold")
        else:
            drawn.add_column(name, justify="right", overflow="fold", no_wrap=whole)
    for row in section.rows:
        drawn.add_row(*_plain(row))
    console.print(section.title, style="bold", highlight=False, markup=False)
    console.print(drawn)
    console.print()


def _plain(row: Sequence[str]) -> list[RenderableType]:
    from rich.text import Text

    return [Text(text) for text in row]
