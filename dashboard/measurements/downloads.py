"""Downloads of what is shown: tables as CSV, LaTeX, JSON and Markdown, figures as SVG, as reports write them."""

from __future__ import annotations

import re
from collections.abc import Callable

import streamlit as st

from dashboard.charts.look import Look
from metrics.comparison import Comparison
from metrics.report.data import as_csv, as_json
from metrics.report.latex import as_latex
from metrics.report.markdown import as_markdown
from metrics.report.palette import places_in_palette

_FORMS: dict[str, tuple[str, str, Callable[[Comparison], str]]] = {
    "CSV": ("csv", "text/csv", as_csv),
    "LaTeX": ("tex", "application/x-tex", as_latex),
    "JSON": ("json", "application/json", as_json),
    "Markdown": ("md", "text/markdown", as_markdown),
}


def downloads(comparison: Comparison, name: str, look: Look) -> None:
    """Buttons in a popover: the tables, and the pairs where the comparison has some.

    Nothing is written until a button is pressed.
    """
    stem = _file_name(name)
    with st.popover("Download", icon=":material/download:"):
        st.caption("Tables as shown, numbers unrounded in CSV and JSON")
        with st.container(horizontal=True):
            for title, (ending, kind, write) in _FORMS.items():
                _button(title, f"{stem}.{ending}", kind, lambda write=write: write(comparison), f"{name} {title}")  # type: ignore[misc]
        if comparison.contrasts and len({one.place for one in comparison.standings}) == 1:
            st.caption("Pairs of methods, and the figures")
            with st.container(horizontal=True):
                _button(
                    "Pairs, CSV",
                    f"{stem}-pairs.csv",
                    "text/csv",
                    lambda: as_csv(comparison, pairs=True),
                    f"{name} pairs",
                )
                _button(
                    "Boxes, SVG",
                    f"{stem}-boxes.svg",
                    "image/svg+xml",
                    lambda: _figure(comparison, look, "boxes"),
                    f"{name} boxes",
                )
                _button("Differences, SVG", f"{stem}-differences.svg", "image/svg+xml",
                        lambda: _figure(comparison, look, "differences"), f"{name} differences")  # fmt: skip


def _button(label: str, file: str, kind: str, data: Callable[[], str], key: str) -> None:
    st.download_button(label, data, file, kind, key=f"download {key}", on_click="ignore")


def _figure(comparison: Comparison, look: Look, which: str) -> str:
    from itertools import combinations

    from metrics.report.figures import cards
    from metrics.report.standalone import as_file

    hues = places_in_palette(look.methods)
    found = cards(comparison, hues, list(combinations(comparison.methods, 2)))
    return as_file(getattr(found[0], which))


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text).strip("-")
