"""What a report consists of: sections of tables and figures. A table's cells are values; words are made when printed.

So the same table is a page's, a Markdown file's, and with all its digits a program's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from metrics.comparison import Estimate
from metrics.report.layout import decimals, shown, shown_interval, shown_p
from metrics.report.markdown import escaped

Cell = str | int | float | Estimate
Kind = Literal["words", "number", "share", "p"]


SHARE_DIGITS = 3


@dataclass(frozen=True)
class Column:
    """A heading, and how the cells below it are printed."""

    name: str
    kind: Kind = "number"


@dataclass(frozen=True)
class Table:
    """Cells under headings; the first column names the row.

    Attributes:
        key: what programs call it.
        notes: what a reader must know of these numbers.
        shaded: its numbers are shares, and a page gives them a background by their size.
        folded: a page shows its title alone until a reader opens it.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    shaded: bool = False
    folded: bool = False

    def texts(self) -> list[list[tuple[str, str]]]:
        """Of every cell its value and its interval as they are printed; the interval is often empty."""
        columns = [_printed(column.kind, [row[i] for row in self.rows]) for i, column in enumerate(self.columns)]
        return [list(row) for row in zip(*columns, strict=True)]


def _printed(kind: Kind, cells: Sequence[Cell]) -> list[tuple[str, str]]:
    """Numbers of one column stand with equally many digits."""
    values = [cell.value if isinstance(cell, Estimate) else cell for cell in cells if not isinstance(cell, (str, int))]
    digits = SHARE_DIGITS if kind == "share" else decimals(values)
    return [_text(kind, cell, digits) for cell in cells]


def _text(kind: Kind, cell: Cell, digits: int) -> tuple[str, str]:
    if isinstance(cell, Estimate):
        return shown(cell.value, digits), shown_interval(cell, digits)
    if isinstance(cell, (str, int)):
        return str(cell), ""
    return (shown_p(cell) if kind == "p" else shown(cell, digits)), ""


@dataclass(frozen=True)
class Figure:
    """A drawing as an ``<svg>`` element that takes its colours from the page; ``words`` say how to read it."""

    title: str
    svg: str
    words: str


@dataclass(frozen=True)
class Section:
    """A part of a report: in words, in tables, in figures."""

    key: str
    title: str
    words: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()


def ranks_in_words(ranks: NDArray[np.integer]) -> tuple[str, ...]:
    """Ranks as they are printed: shared ones are marked, and where all are shared there is no order to print."""
    values = ranks.tolist()
    if len(values) > 1 and len(set(values)) == 1:
        return ("–",) * len(values)
    return tuple(f"{rank} (tied)" if values.count(rank) > 1 else str(rank) for rank in values)


def counted(number: int, noun: str) -> str:
    """``1 rater``, ``2 raters``."""
    return f"{number} {noun}{'s' * (number != 1)}"


NO_ORDER = "Nothing tells these conditions apart beyond chance, so none is ranked."


def no_order(ranks: NDArray[np.integer]) -> tuple[str, ...]:
    """The note to ranks that are all shared."""
    return (NO_ORDER,) if len(ranks) > 1 and len(set(ranks.tolist())) == 1 else ()


def as_markdown(table: Table) -> str:
    """The table in Markdown, with its title above and its notes below."""
    headings = [escaped(column.name) for column in table.columns]
    ends = ["---" if column.kind == "words" else "---:" for column in table.columns]
    lines = [f"**{escaped(table.title)}**", "", f"| {' | '.join(headings)} |", f"|{'|'.join(ends)}|"]
    for row in table.texts():
        lines.append(f"| {' | '.join(escaped(f'{value} {interval}'.strip()) for value, interval in row)} |")
    return "\n".join([*lines, *(["", *(f"- {escaped(note)}" for note in table.notes)] if table.notes else [])])


def as_record(table: Table) -> dict[str, Any]:
    """The table for programs: JSON, a number without a value is null."""
    return {
        "key": table.key,
        "title": table.title,
        "columns": [column.name for column in table.columns],
        "rows": [[_plain(cell) for cell in row] for row in table.rows],
        "notes": list(table.notes),
    }


def _plain(cell: Cell) -> Any:
    if isinstance(cell, Estimate):
        return {"value": _plain(cell.value), "low": _plain(cell.low), "high": _plain(cell.high), "n": int(cell.n)}
    if isinstance(cell, float):
        return float(cell) if math.isfinite(cell) else None
    return cell
