"""Sections of a study's report in a page of the dashboard: the same tables and figures as ``mesoface study report``.

The style of the report's own page is taken as it is, nested below one class, so that nothing else is touched; colours
follow the theme of the dashboard instead of the system's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import streamlit as st
from jinja2 import ChoiceLoader, Environment, PackageLoader

from metrics.report.palette import HUES, PAPER
from metrics.report.plots import line_sample
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
</style>
"""
_SECTION = """\
{% from "table.html" import grid with context %}
<div class="mesoface-report">
{% for paragraph in section.words %}<p>{{ paragraph }}</p>{% endfor %}
{% if section.figures %}<div class="cards">
{% for figure in section.figures if figure.svg %}
<figure><figcaption>{{ figure.title }}</figcaption>{{ figure.svg|safe }}<p>{{ figure.words }}</p></figure>
{% endfor %}</div>{% endif %}
{% for table in section.tables %}{{ grid(table) }}{% endfor %}
</div>
"""
_LEGEND = """\
<div class="mesoface-report"><ul class="legend" aria-label="Colours of the conditions">
{% for name in hues %}<li>{{ sample(hues[name])|safe }} {{ name }}</li>{% endfor %}
</ul></div>
"""


@lru_cache(maxsize=1)
def _environment() -> Environment:
    loader = ChoiceLoader([PackageLoader("study.report"), PackageLoader("metrics.report")])
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)


def _drawn(template: str, **words: Any) -> str:
    return _environment().from_string(template).render(shade=shade, sample=line_sample, **words)


def style() -> None:
    """The style of all sections that follow; once a page."""
    dark = int(st.context.theme.type == "dark")
    names = {"paper": PAPER[dark], **_INK[dark], **{f"m{index}": hue[dark] for index, hue in enumerate(HUES)}}
    colours = " ".join(f"--{name}: {value};" for name, value in names.items())
    st.html(_drawn(_PAGE, palette=list(enumerate(HUES)), paper=PAPER, colours=colours))


def legend(report: Report) -> None:
    """The colours of the conditions."""
    st.html(_drawn(_LEGEND, hues=report.hues))


def show_section(section: Section) -> None:
    """One section, without its title."""
    st.html(_drawn(_SECTION, section=section))
