"""A comparison as one page that stands alone: tables, figures, people, and what stands behind every number.

The page loads nothing: styles, figures and small pictures are inside it, there is no script, and a content security
policy forbids what is not there. It follows the reader's light or dark theme, and what is wide scrolls in its own box,
so that a phone can show it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metrics.comparison import Comparison, Place, Standing
from metrics.report.cases import Cases, cases_under, headline_place
from metrics.report.figures import breakdowns, cards, draws_all_points, strengths
from metrics.report.layout import Block, Table, decimals, heading, headline_and_further, shown, shown_interval, shown_p
from metrics.report.marks import BEST, LEGEND, TIED, marks_of
from metrics.report.palette import HUES, PAPER, places_in_palette
from metrics.report.plots import Line, line_plot, line_sample
from metrics.report.provenance import Terms, identities, runs_in_words, terms_of_pictures
from metrics.report.sections import not_computed
from metrics.report.sources import Sources
from metrics.report.spectra import Spectra, mean_spectra
from metrics.report.thumbnails import Pictures
from metrics.rows import WHOLE_SET
from metrics.statistics import SIGNIFICANT
from recon.errors import UsageError
from recon.runs.folder import RunFolder
from recon.storage import write_text

WORST = 2
SPECTRUM_PEOPLE = 12
"""Subjects whose spectra are averaged: their mean no longer moves by a decibel, and a page is made in seconds."""
MOST_GAPS = 40


def write_html(
    comparison: Comparison,
    folders: Sequence[RunFolder],
    path: Path,
    *,
    title: str | None = None,
    headline: str | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    pictures: bool = True,
    worst: int = WORST,
) -> Path:
    """Write the report of ``comparison`` to ``path``, atomically.

    Args:
        folders: the run folders, in the order of ``comparison.runs``.
        title: heading of the page; the names of the runs if None.
        headline: part of the name of the metric that picks the worst cases and the break-downs; if None LPIPS, or
            what comes nearest to it.
        pairs: methods whose differences are drawn; the first beside each other one if empty.
        pictures: whether people are shown; without, the page may go wherever its numbers may.
        worst: how many of the worst cases of each method.

    Returns:
        ``path``.

    Raises:
        UsageError: ``path`` is a folder; a pair names no method of the comparison, ``headline`` no metric; a folder is
            no run.
        StorageError: the file cannot be written.
    """
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder: name a file to write the report to, such as '{path / 'report.html'}'.")
    for name in (name for pair in pairs for name in pair):
        if name not in comparison.methods:
            raise UsageError(f"the comparison has no method '{name}'; it has {', '.join(comparison.methods)}.")
    sources = Sources.of(comparison, folders)
    write_text(path, _page(comparison, sources, title, headline, pairs, worst if pictures else None))
    return path


def _page(
    comparison: Comparison,
    sources: Sources,
    title: str | None,
    headline: str | None,
    pairs: Sequence[tuple[str, str]],
    worst: int | None,
) -> str:
    """The page; ``worst`` None for one without pictures."""
    from jinja2 import Environment, PackageLoader

    hues = places_in_palette(comparison.methods)
    headlines = _headlines(comparison, headline)
    stores: dict[str, Pictures] = {}
    shown_people: list[Cases] = []
    if worst is not None:
        shown_people = [cases_under(comparison, sources, stores, hues, place, worst) for place in headlines.values()]
    terms = terms_of_pictures(sources, list(comparison.subjects))
    numbers, unread = identities(comparison, sources)
    first, further = headline_and_further(comparison)
    places = {replace(place, group="") for table in first for place in table.places}
    environment = Environment(
        loader=PackageLoader("metrics.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["heading"] = heading
    return environment.get_template("report.html").render(
        title=title or f"Comparison of {' and '.join(comparison.runs)}",
        made=datetime.now(UTC).strftime("%Y-%m-%d"),
        comparison=comparison,
        hues=hues,
        palette=list(enumerate(HUES)),
        paper=PAPER,
        sample=lambda method: line_sample(None if method is None else hues[method]),
        protocols=_by_protocol(comparison, first, further),
        cards=cards(comparison, hues, pairs),
        all_points=draws_all_points(comparison),
        breakdowns=breakdowns(comparison, hues, headlines),
        strengths=strengths(comparison, hues),
        fairness=_fairness(comparison, places),
        changes=_changes(comparison, places),
        spectra=[_spectrum_figures(comparison, sources, protocol, hues) for protocol in comparison.protocols],
        people=shown_people,
        pictured=worst is not None,
        shown_subjects=len({case.subject for cases in shown_people for case in cases.cases}),
        restricted=_restricted(terms, shown_people),
        terms=terms,
        without_values=not_computed(comparison),
        gaps=comparison.gaps[:MOST_GAPS],
        more_gaps=len(comparison.gaps) - MOST_GAPS,
        runs=runs_in_words(sources),
        numbers=numbers,
        unread=unread,
        marks=LEGEND,
    )


def _headlines(comparison: Comparison, metric: str | None) -> dict[str, Place]:
    """The deciding place of each protocol that has one."""
    found = {protocol: headline_place(comparison, protocol, metric) for protocol in comparison.protocols}
    if metric and not any(
        place and metric.lower() in f"{place.metric} {place.family}".lower() for place in found.values()
    ):
        known = dict.fromkeys(standing.place.metric for standing in comparison.standings)
        raise UsageError(f"the comparison has no metric '{metric}'; it has {', '.join(known)}.")
    return {protocol: place for protocol, place in found.items() if place is not None}


def _by_protocol(comparison: Comparison, first: list[Table], further: list[Table]) -> list[dict[str, Any]]:
    """Tables as the template prints them: metrics down, methods across."""
    return [
        {
            "name": protocol,
            "tables": [_grid(table) for table in first if table.block.protocol == protocol and not table.block.group],
            "groups": [_grid(table) for table in first if table.block.protocol == protocol and table.block.group],
            "further": [_grid(table) for table in further if table.block.protocol == protocol],
        }
        for protocol in comparison.protocols
    ]


def _grid(table: Table) -> dict[str, Any]:
    rows = []
    for place in table.places:
        cells = [table.cells.get((method, place)) for method in table.methods]
        digits = decimals([cell.mean.value for cell in cells if cell])
        marks = marks_of(table, place)
        counts = sorted({cell.mean.n for cell in cells if cell})
        of_all = any(cell and WHOLE_SET in cell.values for cell in cells)
        rows.append(
            {
                "heading": heading(place),
                "cells": [_cell(cell, digits, marks.get(cell.method, "") if cell else "") for cell in cells],
                "n": "all" if of_all else f"{counts[0]}–{counts[-1]}" if len(counts) > 1 else str(counts[0]),
            }
        )
    return {"title": table.block.title, "methods": table.methods, "rows": rows}


def _cell(standing: Standing | None, digits: int, mark: str) -> dict[str, str]:
    if standing is None or not math.isfinite(standing.mean.value):
        return {"value": "–", "interval": "", "mark": "", "kind": "", "why": standing.reason if standing else ""}
    kind = {BEST: "best", TIED: "tied"}.get(mark, "")
    return {
        "value": shown(standing.mean.value, digits),
        "interval": shown_interval(standing.mean, digits),
        "mark": mark,
        "kind": kind,
        "why": f"median {shown(standing.median, digits)}, n = {standing.mean.n}"
        + (f", rank {standing.rank}" if standing.rank else ""),
    }


def _fairness(comparison: Comparison, places: Collection[Place]) -> list[dict[str, str]]:
    """The gaps between groups, a row a place and method."""
    rows = []
    for gap in comparison.fairness:
        if gap.place in places and math.isfinite(gap.gap.value):
            digits = decimals([gap.gap.value])
            rows.append(
                {
                    "metric": heading(gap.place),
                    "where": Block.of(gap.place).title,
                    "method": gap.method,
                    "gap": shown(gap.gap.value, digits),
                    "interval": shown_interval(gap.gap, digits),
                    "groups": f"{gap.worst} / {gap.best}",
                    "p": shown_p(gap.adjusted),
                    "kind": "best" if gap.adjusted <= SIGNIFICANT else "",
                }
            )
    return rows


def _changes(comparison: Comparison, places: Collection[Place]) -> list[dict[str, str]]:
    """What methods do otherwise than in the first run that has them, a row a place and method."""
    rows = []
    for change in comparison.changes:
        if change.place not in places:
            continue
        digits = decimals([change.difference.value])
        verdict = {change.first: "better", change.second: "worse"}.get(change.better, "no more than chance")
        rows.append(
            {
                "metric": heading(change.place),
                "where": Block.of(change.place).title,
                "methods": f"{change.first} − {change.second}",
                "difference": f"{'+' if change.difference.value > 0 else ''}{shown(change.difference.value, digits)}",
                "interval": shown_interval(change.difference, digits),
                "p": shown_p(change.adjusted),
                "n": str(change.difference.n),
                "verdict": verdict,
            }
        )
    return rows


def _restricted(terms: Sequence[Terms], people: Sequence[Cases]) -> int:
    """How many of the people who are shown may not be passed on."""
    pictured = {case.subject for cases in people for case in cases.cases}
    return len(pictured & {subject for item in terms if not item.redistributable for subject in item.subjects})


def _spectrum_figures(comparison: Comparison, sources: Sources, protocol: str, hues: dict[str, int]) -> dict[str, Any]:
    spectra = mean_spectra(comparison, sources, protocol, SPECTRUM_PEOPLE)
    if not spectra.people:
        return {"spectra": spectra, "power": "", "relative": ""}
    across = "cycles per texel of a 512² map"
    lines = [Line(name, spectra.frequencies, power, hues[name]) for name, power in spectra.methods.items()]
    reference = Line("photograph", spectra.frequencies, spectra.reference, None)
    return {
        "spectra": spectra,
        "power": line_plot(
            [reference, *lines],
            name=f"Power spectrum of the albedo's luma under {protocol}: photograph and methods.",
            across=across,
            up="power of relative contrast",
            log_across=True,
            log_up=True,
        ),
        "relative": line_plot(
            [Line(name, spectra.frequencies, decibel, hues[name]) for name, decibel in spectra.relative.items()],
            name=f"Power against the photograph's under {protocol}. {_in_words(spectra)}",
            across=across,
            up="dB against the photograph",
            log_across=True,
            level=0.0,
        ),
    }


def _in_words(spectra: Spectra) -> str:
    """Each method's mean of the upper half of the frequencies."""
    half = len(spectra.frequencies) // 2
    return "At the finer half of the frequencies: " + ", ".join(
        f"{name} {shown(float(decibel[half:].mean()), 1)} dB" for name, decibel in spectra.relative.items()
    )
