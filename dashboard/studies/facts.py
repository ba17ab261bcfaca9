"""Facts and figures as small blocks of HTML: denser than Streamlit's own, and nothing in them is taken for markup."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import streamlit as st

_FACTS = """<style>
.mesoface-facts { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; margin: 0;
  padding: 0 !important; font-size: .9rem; overflow-wrap: anywhere; }
.mesoface-facts dt { opacity: .75; margin: 0; }
.mesoface-facts dd { margin: 0 !important; }
</style>"""
_FIGURES = """<style>
.mesoface-figures { display: flex; flex-wrap: wrap; gap: .5rem; margin: 0; padding: 0 !important; }
.mesoface-figures div { border: 1px solid color-mix(in srgb, currentColor 18%, transparent); border-radius: .4rem;
  padding: .35rem .8rem; }
.mesoface-figures dt { font-size: .8rem; opacity: .75; margin: 0; }
.mesoface-figures dd { font-size: 1.2rem; margin: 0 !important; font-variant-numeric: tabular-nums; }
</style>"""


def facts(rows: Mapping[str, str]) -> None:
    """Names and what they are, one below the other."""
    cells = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    st.html(f"{_FACTS}<dl class='mesoface-facts'>{cells}</dl>")


def figures(numbers: Mapping[str, str]) -> None:
    """Numbers side by side, each under its name."""
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in numbers.items())
    st.html(f"{_FIGURES}<dl class='mesoface-figures'>{cells}</dl>")
