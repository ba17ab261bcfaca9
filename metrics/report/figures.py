"""Which figures a comparison gets: for each metric its boxes and differences, for groups and strengths their means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrics.comparison import Comparison, Contrast, Place, Sensitivity, Standing
from metrics.report.layout import (
    Block,
    Table,
    as_pair,
    by_pair,
    chosen_pairs,
    decimals,
    heading,
    headline_and_further,
    shown,
    shown_interval,
    shown_p,
)
from metrics.report.plots import Bar, Box, Line, box_plot, interval_plot, line_plot
from metrics.rows import WHOLE_SET

MOST_POINTS = 30_000
"""More points than this make a page of megabytes: then only those beyond the whiskers are drawn."""


@dataclass(frozen=True)
class Card:
    """The figures of one metric.

    Attributes:
        title: metric, unit and direction.
        section: what is looked at.
        boxes, differences: SVG, or an empty string.
        first: whether it is shown opened.
    """

    title: str
    section: str
    boxes: str
    differences: str
    first: bool


@dataclass(frozen=True)
class Breakdown:
    """One metric by group of subjects, under one protocol."""

    title: str
    figure: str


@dataclass(frozen=True)
class Strength:
    """One metric against the strength of a protocol: ``words`` says the methods' slopes."""

    title: str
    figure: str
    words: str


def cards(comparison: Comparison, hues: Mapping[str, int], pairs: Sequence[tuple[str, str]] = ()) -> list[Card]:
    """One card for each metric and way of looking, in the order of the tables."""
    gathered: dict[tuple[str, str], list[Place]] = {}
    for table in _with_cards(comparison):
        for place in table.places:
            gathered.setdefault((table.block.looked_at, heading(place)), []).append(place)
    by_place = _by_place(comparison.standings)
    contrasts = by_pair(comparison.contrasts)
    all_points = draws_all_points(comparison)
    opened: dict[str, int] = {}
    found = []
    # What is looked at stays together: metrics of albedos, then of views, then of heads.
    for section, title in sorted(gathered, key=lambda key: list(dict.fromkeys(k[0] for k in gathered)).index(key[0])):
        places = gathered[section, title]
        boxes = _boxes(places, by_place, hues, all_points)
        if not boxes:
            continue
        opened[section] = opened.get(section, 0) + 1
        differences = _differences(places, contrasts, chosen_pairs(comparison, pairs), hues)
        found.append(Card(title, section, boxes, differences, opened[section] <= 4))
    return found


def draws_all_points(comparison: Comparison) -> bool:
    """Whether every subject has a point of its own in the box plots."""
    return sum(len(cell.values) for table in _with_cards(comparison) for cell in table.cells.values()) <= MOST_POINTS


def _with_cards(comparison: Comparison) -> list[Table]:
    """The tables whose metrics get a card: of everybody together, or of the groups where there is nothing else."""
    tables = headline_and_further(comparison)[0]
    return [table for table in tables if not table.block.group] or tables


def _by_place(standings: Sequence[Standing]) -> dict[Place, list[Standing]]:
    found: dict[Place, list[Standing]] = {}
    for standing in standings:
        found.setdefault(standing.place, []).append(standing)
    return found


def _panel(place: Place) -> str:
    return " · ".join(part for part in (place.protocol, place.region, place.group) if part)


def _axis(place: Place) -> str:
    return f"{place.metric}{f' ({place.unit})' if place.unit else ''}"


def _boxes(
    places: Sequence[Place], by_place: Mapping[Place, list[Standing]], hues: Mapping[str, int], all_points: bool
) -> str:
    panels = {
        _panel(place): [
            _box(standing, hues[standing.method])
            for standing in by_place[place]
        ]
        for place in places
    }  # fmt: skip
    ratio = places[0].direction == "one"
    return box_plot(
        panels,
        name=f"Box plot of {_axis(places[0])}",
        axis=_axis(places[0]),
        ideal=1.0 if ratio else None,
        logarithmic=ratio,
        all_points=all_points,
    )


def _box(standing: Standing, hue: int) -> Box:
    if WHOLE_SET in standing.values:
        value = standing.values[WHOLE_SET]
        return Box(standing.method, hue, {"all people together": value}, value, value, value)
    return Box(standing.method, hue, standing.values, standing.median, standing.q25, standing.q75)


def _differences(
    places: Sequence[Place],
    contrasts: Mapping[tuple[Place, frozenset[str]], Contrast],
    pairs: Sequence[tuple[str, str]],
    hues: Mapping[str, int],
) -> str:
    if places[0].direction == "none":
        return ""
    panels = {}
    for place in places:
        found = [
            as_pair(contrasts[place, frozenset(pair)], pair[0])
            for pair in pairs
            if (place, frozenset(pair)) in contrasts
        ]
        if found:
            digits = decimals([contrast.difference.value for contrast in found])
            panels[_panel(place)] = [_bar(contrast, digits, hues) for contrast in found]
    name = places[0].metric
    if places[0].direction == "one":
        axis = f"difference of |log₂ {name}|" if len(name) < 34 else "difference of |log₂|"
    else:
        axis = f"difference{f' ({places[0].unit})' if places[0].unit else ''}"
    higher = places[0].direction == "higher"
    sides = "first better →" if higher else "← first better"
    return interval_plot(panels, name=f"Paired differences of {name}", axis=axis, sides=sides) if panels else ""


def _bar(contrast: Contrast, digits: int, hues: Mapping[str, int]) -> Bar:
    difference = contrast.difference
    sign = "+" if difference.value > 0 else ""
    text = f"{sign}{shown(difference.value, digits)} {shown_interval(difference, digits)}".strip()
    verdict = f"{contrast.better} is better beyond chance" if contrast.better else "no more than chance"
    hover = (
        f"{contrast.first} − {contrast.second}: {text}, n = {difference.n}, p = {shown_p(contrast.adjusted)} (Holm), "
        f"effect {shown(contrast.effect, 2)}; {verdict}"
    )
    hue = hues[contrast.better] if contrast.better else None
    return Bar(f"{contrast.first} − {contrast.second}", difference, text, hover, hue)


def breakdowns(comparison: Comparison, hues: Mapping[str, int], headlines: Mapping[str, Place]) -> list[Breakdown]:
    """The headline metric of each protocol by group, where the comparison has groups.

    Args:
        headlines: the place that decides, by protocol.
    """
    found = []
    for headline in headlines.values():
        groups: dict[str, list[Standing]] = {}
        for standing in comparison.standings:
            if standing.place.group and replace(standing.place, group="") == headline:
                groups.setdefault(standing.place.group, []).append(standing)
        panels = {
            f"{group.replace('=', ' ')} (n = {max(s.mean.n for s in standings)})": [
                _mean_bar(standing, hues) for standing in standings
            ]
            for group, standings in groups.items()
        }
        figure = interval_plot(panels, name=f"{headline.metric} by group", axis=f"mean {_axis(headline)}", zero=None)
        if figure:
            found.append(Breakdown(f"{heading(headline)} · {_panel(headline)}", figure))
    return found


def _mean_bar(standing: Standing, hues: Mapping[str, int]) -> Bar:
    digits = decimals([standing.mean.value])
    text = f"{shown(standing.mean.value, digits)} {shown_interval(standing.mean, digits)}".strip()
    return Bar(standing.method, standing.mean, text, f"{standing.method}: {text}, n = {standing.mean.n}",
               hues[standing.method])  # fmt: skip


def strengths(comparison: Comparison, hues: Mapping[str, int]) -> list[Strength]:
    """Every metric against the strength of a protocol that was run at several."""
    gathered: dict[Place, list[Sensitivity]] = {}
    for sensitivity in comparison.sensitivity:
        gathered.setdefault(sensitivity.place, []).append(sensitivity)
    found = []
    for place, rows in gathered.items():
        lines = [_against_strength(row, hues[row.method]) for row in rows]
        slopes = []
        for row in rows:
            digits = decimals([row.slope.value])
            certain = "" if row.lasting else ", no more than chance"
            sign = "+" if row.slope.value > 0 else ""
            slopes.append(
                f"{row.method} {sign}{shown(row.slope.value, digits)} {shown_interval(row.slope, digits)}{certain}"
            )
        of = " of |log₂|" if place.direction == "one" else ""
        words = f"Slope{of} per {rows[0].per}: {'; '.join(slopes)}."
        name = f"{place.metric} against {place.protocol}. {words}"
        figure = line_plot(
            lines,
            name=name,
            across=f"strength of {place.protocol}",
            up=_axis(place),
            log_across=rows[0].per.startswith("doubling"),
        )
        if figure:
            title = f"{heading(place)} · {Block.of(place).title}"
            found.append(Strength(title, figure, words))
    return found


def _against_strength(row: Sensitivity, hue: int) -> Line:
    value, low, high = (
        np.array([getattr(mean, name) for mean in row.means], float) for name in ("value", "low", "high")
    )
    return Line(row.method, np.array(row.strengths, float), value, hue, low, high)
