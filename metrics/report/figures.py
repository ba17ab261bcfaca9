"""Which figures a comparison gets: for each metric its boxes and differences, for groups and strengths their means."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metrics.comparison import Comparison, Contrast, Place, Standing
from metrics.report.layout import (
    Block,
    as_pair,
    chosen_pairs,
    contrasts_by_pair,
    decimals,
    heading,
    headline_and_further,
    shown,
    shown_interval,
    shown_p,
)
from metrics.report.plots import Bar, Box, Line, box_plot, interval_plot, line_plot
from recon.data.protocols import parse_protocol
from recon.errors import UsageError

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
    """One metric by an attribute of the subjects, under one protocol."""

    title: str
    figure: str
    gaps: tuple[str, ...]


def cards(comparison: Comparison, hues: Mapping[str, int], pairs: Sequence[tuple[str, str]] = ()) -> list[Card]:
    """One card for each metric and way of looking, in the order of the tables."""
    gathered: dict[tuple[str, str], list[Place]] = {}
    tables = headline_and_further(comparison)[0]
    whole = [table for table in tables if not table.block.group] or tables
    for table in whole:
        for place in table.places:
            gathered.setdefault((table.block.looked_at, heading(place)), []).append(place)
    by_place = _by_place(comparison.standings)
    contrasts = contrasts_by_pair(comparison)
    points = sum(len(s.values) for places in gathered.values() for place in places for s in by_place[place])
    opened: dict[str, int] = {}
    found = []
    # What is looked at stays together: metrics of albedos, then of views, then of heads.
    for section, title in sorted(gathered, key=lambda key: list(dict.fromkeys(k[0] for k in gathered)).index(key[0])):
        places = gathered[section, title]
        boxes = _boxes(places, by_place, hues, points <= MOST_POINTS)
        if not boxes:
            continue
        opened[section] = opened.get(section, 0) + 1
        differences = _differences(places, contrasts, chosen_pairs(comparison, pairs), hues)
        found.append(Card(title, section, boxes, differences, opened[section] <= 4))
    return found


def draws_all_points(comparison: Comparison) -> bool:
    """Whether every subject has a point of its own in the box plots."""
    return sum(len(s.values) for s in comparison.standings if not s.place.group) <= MOST_POINTS


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
            Box(s.method, hues[s.method], s.values, s.median, s.q25, s.q75)
            for s in by_place[place]
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
    """The headline metric of each protocol by group, for each attribute that the comparison has groups of.

    Args:
        headlines: the place that decides, by protocol.
    """
    found = []
    for protocol, headline in headlines.items():
        grouped: dict[str, dict[str, list[Standing]]] = {}
        for standing in comparison.standings:
            place = standing.place
            if place.group and Block.of(place).protocol == protocol and _alike(place, headline):
                attribute, _, value = place.group.partition("=")
                grouped.setdefault(attribute, {}).setdefault(value, []).append(standing)
        for attribute, groups in grouped.items():
            panels = {
                f"{attribute} {value} (n = {max(s.mean.n for s in standings)})": [
                    _mean_bar(standing, hues) for standing in standings
                ]
                for value, standings in groups.items()
            }
            axis = f"mean {_axis(headline)}"
            figure = interval_plot(panels, name=f"{headline.metric} by {attribute}", axis=axis, zero=None)
            if figure:
                title = f"{heading(headline)} by {attribute} · {_panel(headline)}"
                found.append(Breakdown(title, figure, tuple(_gaps(groups, headline))))
    return found


def _alike(place: Place, other: Place) -> bool:
    names = ("protocol", "space", "view", "region", "reference", "metric")
    return all(getattr(place, name) == getattr(other, name) for name in names)


def _mean_bar(standing: Standing, hues: Mapping[str, int]) -> Bar:
    digits = decimals([standing.mean.value])
    text = f"{shown(standing.mean.value, digits)} {shown_interval(standing.mean, digits)}".strip()
    return Bar(standing.method, standing.mean, text, f"{standing.method}: {text}, n = {standing.mean.n}",
               hues[standing.method])  # fmt: skip


def _gaps(groups: Mapping[str, Sequence[Standing]], place: Place) -> list[str]:
    """How far the group that a method serves best lies from the one that it serves worst, a sentence a method."""
    sentences = []
    methods = dict.fromkeys(standing.method for standings in groups.values() for standing in standings)
    for method in methods:
        means = {
            value: standing.mean.value
            for value, standings in groups.items()
            for standing in standings
            if standing.method == method and math.isfinite(standing.mean.value)
        }
        if len(means) > 1:
            low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
            digits = decimals(list(means.values()))
            unit = f" {place.unit}" if place.unit else ""
            sentences.append(
                f"{method}: {shown(means[high] - means[low], digits)}{unit} between {low} "
                f"({shown(means[low], digits)}) and {high} ({shown(means[high], digits)})"
            )
    return sentences


def strengths(comparison: Comparison, hues: Mapping[str, int], headlines: Mapping[str, Place]) -> list[tuple[str, str]]:
    """The headline metric against the strength of a protocol that was run at several, each as title and SVG."""
    kinds: dict[str, list[tuple[float, str]]] = {}
    for name in comparison.protocols:
        try:
            protocol = parse_protocol(name)
            kinds.setdefault(protocol.kind, []).append((float(protocol.argument), name))
        except (UsageError, ValueError):  # a protocol without a strength
            continue
    found = []
    for kind, steps in kinds.items():
        if len(steps) < 2 or steps[0][1] not in headlines:
            continue
        place = headlines[steps[0][1]]
        lines = [_against_strength(comparison, place, sorted(steps), method, hues) for method in comparison.methods]
        words = "; ".join(
            f"{line.label}: " + ", ".join(f"{shown(float(y), 3)} at {x:g}" for x, y in zip(line.x, line.y, strict=True))
            for line in lines
        )
        name = f"{place.metric} against {kind}. {words}"
        figure = line_plot(lines, name=name, across=kind, up=_axis(place))
        if figure:
            found.append((f"{heading(place)} against the strength of {kind} · {Block.of(place).looked_at}", figure))
    return found


def _against_strength(
    comparison: Comparison,
    place: Place,
    steps: Sequence[tuple[float, str]],
    method: str,
    hues: Mapping[str, int],
) -> Line:
    wanted = ("space", "view", "region", "reference", "metric", "group")
    means = {
        s.place.protocol: s.mean.value
        for s in comparison.standings
        if s.method == method and all(getattr(s.place, name) == getattr(place, name) for name in wanted)
    }
    known = [(strength, means[name]) for strength, name in steps if name in means]
    x, y = (np.array([point[i] for point in known]) for i in range(2))
    return Line(method, x, y, hues[method])
