"""A comparison in Markdown: the best in bold, tied best in italics, intervals beside the means."""

from __future__ import annotations

from metrics.comparison import Comparison, Place
from metrics.report.layout import Table, decimals, shown, shown_interval, tables_of
from metrics.report.marks import BEST, heading, marks_of
from metrics.report.sections import Section, gap_lines, legend, sections_of

MOST_GAPS = 20


def as_markdown(comparison: Comparison, *, pairs: bool = False, sensitivity: bool = False) -> str:
    """All tables, how to read them, notes, and what is missing."""
    parts = [_table(table) for table in tables_of(comparison)]
    parts += [_section(section) for section in sections_of(comparison, pairs=pairs, sensitivity=sensitivity)]
    parts.append("\n".join(f"- {escaped(line)}" for line in [*_legend(comparison), *comparison.notes]))
    if comparison.gaps:
        lines = [f"- {escaped(line)}" for line in gap_lines(comparison, MOST_GAPS)]
        parts.append("\n".join([f"**missing** ({len(comparison.gaps)})", "", *lines]))
    return "\n\n".join(parts)


def _legend(comparison: Comparison) -> list[str]:
    return [line.replace("★ best", "Bold: best").replace("☆ tied", "italic: tied") for line in legend(comparison)]


def escaped(text: str) -> str:
    """``text`` with the signs that would end a cell or begin emphasis made harmless."""
    for sign in ("\\", "|", "*", "_", "`", "<"):
        text = text.replace(sign, f"\\{sign}")
    return text


def _table(table: Table) -> str:
    headings = ["method", *(heading(place) for place in table.places), "n"]
    digits = {
        place: decimals([cell.mean.value for (_, where), cell in table.cells.items() if where == place])
        for place in table.places
    }
    rows = []
    for method in table.methods:
        texts = [_cell(table, method, place, digits[place]) for place in table.places]
        people = max((cell.mean.n for (name, _), cell in table.cells.items() if name == method), default=0)
        rows.append([escaped(method), *texts, str(people)])
    return _grid(table.block.title, headings, rows)


def _cell(table: Table, method: str, place: Place, digits: int) -> str:
    cell = table.cells.get((method, place))
    if cell is None:
        return "–"
    mark = marks_of(table, place).get(method, "")
    value = shown(cell.mean.value, digits)
    stars = "" if not mark else "**" if mark == BEST else "*"
    return f"{stars}{value}{stars} {shown_interval(cell.mean, digits)}".strip()


def _section(section: Section) -> str:
    return _grid(section.title, section.headings, [[escaped(text) for text in row] for row in section.rows])


def _grid(title: str, headings: list[str] | tuple[str, ...], rows: list[list[str]]) -> str:
    lines = [f"**{escaped(title)}**", "", f"| {' | '.join(escaped(text) for text in headings)} |"]
    lines.append("|---" + "|---:" * (len(headings) - 1) + "|")
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)
