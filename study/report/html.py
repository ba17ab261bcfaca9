"""The report of a study as one page that stands alone: no script, nothing loaded, light and dark, on a phone too."""

from __future__ import annotations

import math

from metrics.comparison import Estimate
from metrics.report.palette import HUES, PAPER
from metrics.report.plots import line_sample
from study.report.findings import SIMULATED, Report
from study.report.tables import Cell


def as_page(report: Report) -> str:
    """The page, as HTML."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader

    # The second has the style that this page shares with that of a comparison.
    loader = ChoiceLoader([PackageLoader("study.report"), PackageLoader("metrics.report")])
    environment = Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("report.html").render(
        report=report,
        data=report.data,
        simulated=SIMULATED if report.data.simulated else "",
        palette=list(enumerate(HUES)),
        paper=PAPER,
        sample=lambda name: line_sample(report.hues[name]),
        shade=shade,
    )


def shade(cell: Cell) -> str:
    """How strong the background of a share is, in per cent of the palette's first colour; empty for what is none."""
    if not isinstance(cell, Estimate) or not math.isfinite(cell.value):
        return ""
    return f"{45 * min(max(cell.value, 0.0), 1.0):.0f}%"
