"""Tables of a few numbers with their intervals and marks, as HTML: for a phone, screen readers, and both themes.

Streamlit's own table is for many rows; these are for what has two lines in a cell, a mark, and a word on hover.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from metrics.report.palette import PAPER

_STYLE = """<style>
.mf-grid{overflow-x:auto;margin:0 0 .5rem}
.mf-grid table{border-collapse:collapse;font-size:.9rem;line-height:1.25;min-width:100%}
.mf-grid caption{text-align:left;font-weight:600;padding:.1rem 0 .3rem}
.mf-grid th,.mf-grid td{padding:.28rem .6rem;text-align:right;vertical-align:top;border:0;white-space:nowrap;
 border-bottom:1px solid color-mix(in srgb,currentColor 16%,transparent)}
.mf-grid thead th{font-weight:600;white-space:normal;vertical-align:bottom;font-size:.82rem;min-width:5.2rem}
.mf-grid tbody th,.mf-grid thead th:first-child{text-align:left;font-weight:500;position:sticky;left:0;min-width:0}
.mf-grid tbody th{background:var(--mf-paper)}
.mf-grid thead th:first-child{background:var(--mf-paper)}
.mf-grid td.text{text-align:left;white-space:normal;min-width:8rem}
.mf-grid th.text{text-align:left!important}
.mf-grid small{display:block;opacity:.72;font-size:.76rem}
.mf-grid .best{font-weight:700}
.mf-grid .mark{display:inline-block;width:1.1em;text-align:center}
.mf-grid .dot{display:inline-block;width:.7em;height:.7em;margin-right:.45em;border-radius:50%}
</style>"""


@dataclass(frozen=True)
class Cell:
    """A cell: ``text``, smaller words below it, a mark behind it, words on hover; left-aligned if ``words``."""

    text: str
    small: str = ""
    mark: str = ""
    hover: str = ""
    best: bool = False
    words: bool = False


@dataclass(frozen=True)
class Head:
    """A heading of a column or row; ``colour`` puts a dot before it."""

    text: str
    hover: str = ""
    colour: str = ""
    words: bool = False


def grid(title: str, columns: Sequence[Head], rows: Sequence[tuple[Head, Sequence[Cell]]]) -> None:
    """Draw a table; the first of ``columns`` heads the rows' own headings."""
    st.html(_STYLE + html_of(title, columns, rows))


def html_of(title: str, columns: Sequence[Head], rows: Sequence[tuple[Head, Sequence[Cell]]]) -> str:
    """The table as HTML; every text is escaped."""
    paper = PAPER[st.context.theme.type == "dark"]
    marked = [any(cells[index].mark for _, cells in rows if index < len(cells)) for index in range(len(columns) - 1)]
    head = "".join(_head(one, "col") for one in columns)
    body = "".join(
        f"<tr>{_head(name, 'row')}{''.join(_cell(one, room) for one, room in zip(cells, marked, strict=True))}</tr>"
        for name, cells in rows
    )
    caption = f"<caption>{escape(title)}</caption>" if title else ""
    name = escape(title or columns[0].text or "table")
    return (
        f'<div class="mf-grid" style="--mf-paper:{paper}" tabindex="0" role="region" aria-label="{name}">'
        f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _head(head: Head, scope: str) -> str:
    dot = f'<span class="dot" style="background:{escape(head.colour)}"></span>' if head.colour else ""
    kind = ' class="text"' if head.words else ""
    return f'<th scope="{scope}"{kind}{_hover(head.hover)}>{dot}{escape(head.text)}</th>'


def _cell(cell: Cell, room: bool) -> str:
    # A column with a mark anywhere keeps room for it, so that numbers stand below each other.
    mark = f'<span class="mark">{escape(cell.mark)}</span>' if room else ""
    small = f"<small>{escape(cell.small)}</small>" if cell.small else ""
    kinds = " ".join(name for name, on in (("best", cell.best), ("text", cell.words)) if on)
    kind = f' class="{kinds}"' if kinds else ""
    return f"<td{kind}{_hover(cell.hover)}>{escape(cell.text)}{mark}{small}</td>"


def _hover(words: str) -> str:
    return f' title="{escape(words)}"' if words else ""
