"""The tables beside the standings, as plain text that the terminal and Markdown draw in their own ways.

Pairs of methods, groups of people, strengths of a protocol, two runs beside each other, and what is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from metrics.comparison import Comparison, Contrast, Estimate, FairnessGap, Place, Sensitivity
from metrics.report.layout import Block, decimals, shown, shown_interval, shown_p
from metrics.report.marks import LEGEND, heading

NOTHING = "–"

Shown = TypeVar("Shown", Contrast, FairnessGap, Sensitivity)


@dataclass(frozen=True)
class Section:
    """One table: a title, headings, and rows of text; the first column stands left, numbers right."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def sections_of(comparison: Comparison, *, pairs: bool, sensitivity: bool) -> list[Section]:
    """All that a comparison says beside its standings; pairs and strengths where asked for."""
    found: list[Section] = []
    if pairs:
        found += [_contrasts("", place, rows) for place, rows in _by_place(comparison.contrasts)]
    found += [_fairness(place, rows) for place, rows in _by_place(comparison.fairness)]
    if sensitivity:
        found += [_sensitivity(place, rows) for place, rows in _by_place(comparison.sensitivity)]
    found += [_contrasts("what changed · ", place, rows) for place, rows in _by_place(comparison.changes)]
    if comparison.settings:
        rows = tuple((one.name, *one.values) for one in comparison.settings)
        found.append(Section("settings and versions that differ", ("", *comparison.runs), rows))
    return found


def _by_place(rows: Iterable[Shown]) -> Iterable[tuple[Place, list[Shown]]]:
    gathered: dict[Place, list[Shown]] = {}
    for row in rows:
        gathered.setdefault(row.place, []).append(row)
    return gathered.items()


def _title(place: Place, what: Callable[[Place], str] = heading) -> str:
    return f"{Block.of(place).title} · {what(place)}"


def _compared(place: Place) -> str:
    """What is subtracted: of a ratio how far it is from 1, whichever way."""
    if place.direction == "one":
        return f"|log₂| of {heading(place).removesuffix(' →1')} ↓"
    return heading(place)


def _with_interval(estimate: Estimate, digits: int) -> str:
    return f"{shown(estimate.value, digits)} {shown_interval(estimate, digits)}".strip()


def _contrasts(before: str, place: Place, rows: Sequence[Contrast]) -> Section:
    digits = decimals([row.difference.value for row in rows])
    return Section(
        f"{before}{_title(place, _compared)}",
        ("pair", "difference", "p", "effect", "better", "n"),
        tuple(
            (
                f"{row.first} − {row.second}",
                _with_interval(row.difference, digits),
                shown_p(row.adjusted),
                shown(row.effect, 2),
                row.better or NOTHING,
                str(row.difference.n),
            )
            for row in rows
        ),
    )


def _fairness(place: Place, rows: Sequence[FairnessGap]) -> Section:
    digits = decimals([row.gap.value for row in rows])
    return Section(
        f"gap between groups by {rows[0].attribute} · {_title(place, _compared)}",
        ("method", "gap", "p", "worst", "best", "n"),
        tuple(
            (
                row.method,
                _with_interval(row.gap, digits),
                shown_p(row.adjusted),
                row.worst,
                row.best,
                str(row.gap.n),
            )
            for row in rows
        ),
    )


def _sensitivity(place: Place, rows: Sequence[Sensitivity]) -> Section:
    digits = decimals([mean.value for row in rows for mean in row.means])
    finer = decimals([row.slope.value for row in rows])
    strengths = rows[0].strengths
    kept = [row for row in rows if row.strengths == strengths]
    return Section(
        f"strength of {_title(place)}" + (", slope of |log₂|" if place.direction == "one" else ""),
        ("method", *(f"{strength:g}" for strength in strengths), f"slope per {rows[0].per}", "lasting", "n"),
        tuple(
            (
                row.method,
                *(shown(mean.value, digits) for mean in row.means),
                _with_interval(row.slope, finer),
                "yes" if row.lasting else NOTHING,
                str(row.slope.n),
            )
            for row in kept
        ),
    )


def gap_lines(comparison: Comparison, most: int) -> list[str]:
    """What is missing: each reason once with whom it concerns, at most ``most`` reasons."""
    by_reason: dict[str, list[str]] = {}
    for gap in comparison.gaps:
        by_reason.setdefault(gap.reason, []).append(f"{gap.subject} · {gap.protocol} · {gap.method}")
    lines = [
        f"{reason} ({len(keys)}): {', '.join(keys[:3])}{' …' if len(keys) > 3 else ''}"
        for reason, keys in by_reason.items()
    ]
    return lines if len(lines) <= most else [*lines[:most], f"… and {len(lines) - most} more reasons"]


def not_computed(comparison: Comparison) -> list[str]:
    """What could not be computed at all, and why: each metric and reason once, with the methods."""
    gathered: dict[tuple[str, str], dict[str, None]] = {}
    for standing in comparison.standings:
        if not standing.values and standing.reason and not standing.place.group:
            gathered.setdefault((standing.place.metric, standing.reason), {})[standing.method] = None
    return [
        f"{metric} ({'all methods' if len(methods) == len(comparison.methods) else ', '.join(methods)}): {reason}"
        for (metric, reason), methods in gathered.items()
    ]


def legend(comparison: Comparison) -> list[str]:
    """How to read the tables, as far as the comparison needs it."""
    lines = list(LEGEND if len(comparison.methods) > 1 else LEGEND[1:])
    if comparison.contrasts or comparison.changes:
        lines.append("Pairs: p after Holm's correction; effect: matched-pairs rank-biserial correlation, −1 to 1.")
    if comparison.fairness:
        lines.append("Gaps: largest minus smallest mean of a group; p: chance that a random division has such a gap.")
    return lines
