"""The people of a report: whom each method did worst on, and one typical person, as pictures beside each other."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from metrics.comparison import Comparison, Place, Standing
from metrics.report.layout import decimals, headline_and_further, shown
from metrics.report.sources import Sources
from metrics.report.thumbnails import Pictures, Thumbnail, absent
from metrics.rows import WHOLE_SET

# What people notice comes first; where weights were absent, the next.
HEADLINES = ("lpips", "dists", "flip", "ssim", "psnr")
MOST_BYTES = 6_000_000
"""Pictures beyond this are left out, and said to be: a report is sent by mail."""


@dataclass(frozen=True)
class Tile:
    """A picture of the face and the piece of skin below it.

    Attributes:
        heading: ``photograph``, ``given`` or a method.
        hue: index of the method's colour, None for what is no method's.
        face, skin: pictures; None where there is none to show.
        number: the method's value, in words.
    """

    heading: str
    hue: int | None
    face: Thumbnail | None
    skin: Thumbnail | None
    number: str


@dataclass(frozen=True)
class Case:
    """One person under one protocol, and why they are shown."""

    subject: str
    about: str
    why: str
    licence: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Cases:
    """The cases under one protocol: ``place`` says by which number they were chosen."""

    place: Place
    cases: tuple[Case, ...]
    left_out: int


def headline_place(comparison: Comparison, protocol: str, metric: str | None = None) -> Place | None:
    """The place by which people are chosen under ``protocol``.

    Args:
        metric: part of a metric's name or family; if None the first of :data:`HEADLINES` that has values, else
            whatever has.
    """
    places = [
        replace(place, group="")
        for table in headline_and_further(comparison)[0]
        for place in table.places
        if place.protocol == protocol and place.direction != "none" and place.space != "shape"
        and any(_of_people(cell) for method in table.methods if (cell := table.cells.get((method, place))))
    ]  # fmt: skip
    # Where skin was withheld, what was made up is what matters; a view is nearer to what people see than a map.
    places.sort(key=lambda place: (place.region == "skin/visible", place.space != "image", place.reference == "truth"))
    for wanted in (metric,) if metric else HEADLINES:
        for place in places:
            if wanted and (wanted.lower() in place.metric.lower() or wanted.lower() in place.family.lower()):
                return place
    return places[0] if places else None


def _of_people(standing: Standing) -> bool:
    """Whether people have values, and not only all of them together."""
    return bool(set(standing.values) - {WHOLE_SET})


def of_everybody(comparison: Comparison, place: Place) -> list[Standing]:
    """The standings in ``place``, of all people together also where the comparison splits them into groups."""
    alike = [standing for standing in comparison.standings if replace(standing.place, group="") == place]
    whole = [standing for standing in alike if not standing.place.group]
    if whole:
        return whole
    by_method: dict[str, list[Standing]] = {}
    for standing in alike:
        by_method.setdefault(standing.method, []).append(standing)
    joined = []
    for parts in by_method.values():
        values = {name: value for part in parts for name, value in part.values.items()}
        median = statistics.median(values.values()) if values else math.nan
        joined.append(replace(parts[0], place=place, values=values, median=median))
    return joined


def loss(value: float, direction: str) -> float:
    """How bad a value is: of a ratio its distance from 1 in octaves."""
    if direction == "one":
        return abs(math.log2(value)) if value > 0 else math.inf
    return -value if direction == "higher" else value


def chosen_people(standings: Sequence[Standing], worst: int) -> dict[str, str]:
    """Subjects and why they are shown: the ``worst`` of each method, and one at the median of the first method."""
    why: dict[str, dict[str, list[str]]] = {}
    for standing in standings:
        values, direction = standing.values, standing.place.direction
        ranked = sorted(values, key=lambda name: (-loss(values[name], direction), name))
        for position, subject in enumerate(ranked[: worst if len(ranked) > 1 else 0]):
            words = "worst" if position == 0 else f"{_ordinal(position + 1)} worst"
            why.setdefault(subject, {}).setdefault(words, []).append(standing.method)
    first = next((standing for standing in standings if standing.values), None)
    if first is not None:
        middle = sorted(first.values, key=lambda name: (abs(first.values[name] - first.median), name))
        typical = next((name for name in middle if name not in why), middle[0])
        why.setdefault(typical, {})["typical"] = [first.method]
    return {
        subject: "; ".join(
            f"{words} for {', '.join(methods)}" for words, methods in sorted(found.items(), reverse=True)
        )
        for subject, found in why.items()
    }


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if number % 100 in {11, 12, 13} else endings.get(number % 10, 'th')}"


def cases_under(
    comparison: Comparison,
    sources: Sources,
    pictures: dict[str, Pictures],
    hues: dict[str, int],
    place: Place,
    worst: int,
) -> Cases:
    """The people to show under the protocol of ``place``.

    Args:
        pictures: by run; filled as needed, so that pictures of several protocols share them.
        worst: how many of each method.
    """
    standings = of_everybody(comparison, place)
    cases, left_out = [], 0
    for subject, why in chosen_people(standings, worst).items():
        if sum(store.size for store in pictures.values()) > MOST_BYTES:
            left_out += 1
            continue
        record = sources.record(subject)
        licence = record.get("licence") if isinstance(record.get("licence"), dict) else {}
        about = [f"{name} {value}" for name, value in comparison.subjects.get(subject, {}).items() if value]
        cases.append(
            Case(
                subject,
                ", ".join([*(["computer-made"] if record.get("synthetic") else []), *about]),
                why,
                f"licence {(licence or {}).get('name') or 'unknown'}",
                tuple(_tiles(sources, pictures, hues, standings, place.protocol, subject)),
            )
        )
    return Cases(place, tuple(cases), left_out)


def _tiles(
    sources: Sources,
    pictures: dict[str, Pictures],
    hues: dict[str, int],
    standings: Sequence[Standing],
    protocol: str,
    subject: str,
) -> list[Tile]:
    tiles = []
    run = sources.run_of(subject, protocol)
    if run is not None:
        store = pictures.setdefault(run, Pictures(sources.runs[run]))
        skin = store.skin_of_reference(subject, protocol)
        tiles.append(Tile("photograph", None, store.photograph(subject, protocol), skin, ""))
        if protocol != "identity":
            tiles.append(Tile("given", None, store.given(subject, protocol), None, ""))
    digits = decimals([standing.mean.value for standing in standings])
    for standing in standings:
        found = sources.result(standing.method, protocol, subject)
        if found is None:
            face: Thumbnail | None = absent("the run of this method is not at hand")
            skin_made: Thumbnail | None = None
        else:
            store = pictures.setdefault(found[0], Pictures(sources.runs[found[0]]))
            face = store.fitted(found[1])
            skin_made = store.skin(found[1]) if face.uri else None
        value = standing.values.get(subject, math.nan)
        unit = f" {standing.place.unit}" if standing.place.unit else ""
        number = f"{shown(value, digits)}{unit}" if math.isfinite(value) else "no value"
        tiles.append(Tile(standing.method, hues[standing.method], face, skin_made, number))
    return tiles
