"""Sections of a study's report in a page of the dashboard: the same tables and figures as ``mesoface study report``.

The style of the report's own page is taken as it is, nested below one class, so that nothing else is touched; colours
follow the theme of the dashboard instead of the system's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

import streamlit as st
from jinja2 import ChoiceLoader, Environment, PackageLoader

from metrics.report.palette import HUES, PAPER
from study.report.findings import Report
from study.report.html import shade
from study.report.tables import Section

_INK = (
    {"ink": "#1b1f23", "faint": "#59626b", "rule": "#d9dde1", "grid": "#e6e9ec", "link": "#0b57a4"},
    {"ink": "#e8eaed", "faint": "#a3adb6", "rule": "#3a4147", "grid": "#2a3036", "link": "#8ec5ff"},
)

_PAGE = """\
<style>.mesoface-report { {% include "style.css" %} }
.mesoface-report { {{ colours }} font-size: .95rem; }
.mesoface-report h3 { font-size: .95rem; margin: .9rem 0 .2rem; padding: 0; }
.mesoface-report td.shaded {
  background: color-mix(in srgb, var(--m0) var(--share), var(--paper)); border: 2px solid var(--paper);
}
.mesoface-report td.shaded .interval { color: var(--ink); }
.mesoface-report td.words, .mesoface-report thead th.words { text-align: left; }
.mesoface-report .notes { font-size: .82rem; color: var(--faint); padding-left: 1.1rem; max-width: 60rem; }
.mesoface-report figure p { font-size: .82rem; color: var(--faint); }
.mesoface-report th[scope=row] { min-width: 7rem; }
.mesoface-report .tables {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 32rem), 1fr)); gap: 0 2.5rem;
}
.mesoface-report .tables > div { min-width: 0; }
.mesoface-report .legend { padding: 0; }
.mesoface-report .legend i { width: .8rem; height: .8rem; border-radius: .15rem; }
.mesoface-report .legend li { margin: 0; }
</style>
"""
_SECTION = """\
{% from "table.html" import grid with context %}
<div class="mesoface-report">
{% for paragraph in section.words %}<p>{{ paragraph }}</p>{% endfor %}
{% if section.figures %}<div class="cards">
{% for figure in section.figures if figure.svg %}
<figure><figcaption>{{ figure.title }}</figcaption>
<img class="figure" src="{{ picture(figure.svg) }}" alt="{{ said(figure.svg) }}"><p>{{ figure.words }}</p></figure>
{% endfor %}</div>{% endif %}
<div class="tables">{% for table in section.tables %}<div>{{ grid(table) }}</div>{% endfor %}</div>
</div>
"""
_LEGEND = """\
<div class="mesoface-report"><ul class="legend" aria-label="Colours of the conditions">
{% for name in hues %}<li><i style="background: var(--m{{ hues[name] }})"></i> {{ name }}</li>{% endfor %}
</ul></div>
"""


_FIGURE_RULES = (".figure", ".h", ".line", ".sample")


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = ChoiceLoader([PackageLoader("study.report"), PackageLoader("metrics.report")])
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _drawn(template: str, **words: Any) -> str:
    return _environment().from_string(template).render(shade=shade, picture=_picture, said=_said, **words)


def _colours(dark: bool) -> str:
    names = {"paper": PAPER[dark], **_INK[dark], **{f"m{index}": hue[dark] for index, hue in enumerate(HUES)}}
    return " ".join(f"--{name}: {value};" for name, value in names.items())


@lru_cache(maxsize=2)
def _figure_style(dark: bool) -> str:
    """The rules of the report's style that figures need, with the colours of the theme."""
    whole = _environment().get_template("style.css").render(palette=list(enumerate(HUES)), paper=PAPER)
    rules = "".join(line.strip() for line in whole.splitlines() if line.strip().startswith(_FIGURE_RULES))
    return f"<style>:root{{{_colours(dark)}}}{rules}</style>"


def _picture(svg: str) -> str:
    """A figure as an address that holds it all: Streamlit lets no SVG element into a page, but pictures."""
    head, end, body = svg.partition(">")
    head = head if "xmlns" in head else head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return "data:image/svg+xml," + quote(head + end + _figure_style(_is_dark()) + body)


def _said(svg: str) -> str:
    """What the figure says to who cannot see it: its own label."""
    return ElementTree.fromstring(svg).get("aria-label", "")


def _is_dark() -> bool:
    return st.context.theme.type == "dark"


def style() -> None:
    """The style of all sections that follow; once a page."""
    st.html(_drawn(_PAGE, palette=list(enumerate(HUES)), paper=PAPER, colours=_colours(_is_dark())))


def legend(report: Report) -> None:
    """The colours of the conditions."""
    st.html(_drawn(_LEGEND, hues=report.hues))


def show_section(section: Section) -> None:
    """One section, without its title."""
    st.html(_drawn(_SECTION, section=section))
