"""What is shown of one subject: the photograph and some methods, their differences, maps and heads; and the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dashboard.address import text
from dashboard.pictures.addresses import Kind, Picture
from dashboard.pictures.differences import RANGES, STOPS
from dashboard.pictures.sources import source_of, why_missing
from dashboard.viewer.asked import Asked
from dashboard.viewer.blind import letter, shuffled
from dashboard.viewer.matrix import colours, first_size, frame, frame_of_view, metric_words, shown_picture
from dashboard.viewer.orders import ranks
from metrics.headline import SHOWN, chosen_regions
from metrics.report.layout import ARROWS, decimals, shown
from metrics.value_table import ValueTable
from recon.errors import InputError
from recon.storage import read_json

if TYPE_CHECKING:
    import pandas as pd

PREVIEW = 640
_MAPS: tuple[Kind, ...] = ("difference", "flip", "albedo", "mask", "head")


def beside(asked: Asked) -> dict[str, Any]:
    """The data of the component for the subject that is looked at."""
    subject = asked.subject
    photograph = frame(asked, subject)
    return {
        "state": "beside",
        "subject": subject,
        "mode": asked.mode,
        "view": asked.view,
        "at": text("at"),
        "link": asked.here(at=""),
        "blind": bool(asked.blind),
        "revealed": asked.revealed,
        "metric": "" if hidden(asked) else metric_words(asked),
        "frame": frame_of_view(asked, subject, photograph),
        "map": first_size(asked.picture("albedo", subject, name) for name in asked.beside) or (512, 512),
        "scales": {name: {"name": one.name, "top": one.top, "unit": one.unit} for name, one in RANGES.items()},
        "stops": STOPS,
        "back": {"href": asked.here(subject="", revealed="", at="", mode="")},
        **_neighbours(asked),
        "panes": _panes(asked),
    }


def hidden(asked: Asked) -> bool:
    """Whether names and whatever tells them are hidden."""
    return bool(asked.blind) and not asked.revealed


def _neighbours(asked: Asked) -> dict[str, Any]:
    """Who comes before and after in the present order, with the pictures that will be wanted then."""
    subjects = asked.subjects
    if asked.subject not in subjects:  # left out by a filter: looked at all the same
        return {"position": 0, "total": len(subjects), "previous": None, "next": _neighbour(asked, 0)}
    index = subjects.index(asked.subject)
    return {
        "position": index + 1,
        "total": len(subjects),
        "previous": _neighbour(asked, index - 1),
        "next": _neighbour(asked, index + 1),
    }


def _neighbour(asked: Asked, index: int) -> dict[str, Any] | None:
    if not 0 <= index < len(asked.subjects):
        return None
    subject = asked.subjects[index]
    soon = [asked.picture("photograph", subject)] + [shown_picture(asked, subject, name) for name in asked.beside]
    addresses = [asked.address(picture, PREVIEW) for picture in soon if source_of(picture) is not None]
    return {
        "subject": subject,
        "href": asked.here(subject=subject, revealed="", at=""),
        # The order of methods would tell which is which.
        "soon": sorted(addresses) if asked.blind else addresses,
    }


def _panes(asked: Asked) -> list[dict[str, Any]]:
    subject = asked.subject
    panes = [_reference(asked, "photograph", "photograph")]
    if asked.protocol != "identity":
        panes.append(_reference(asked, "given", f"given: {asked.protocol}"))
    values = asked.measured.of(subject) if asked.measured is not None else {}
    places = ranks(values, asked.measured.place.direction) if asked.measured is not None else {}
    digits = decimals(list(values.values()))
    hues = colours(asked.run.methods)
    methods = list(asked.beside)
    if asked.blind:
        methods = shuffled(methods, asked.blind, asked.protocol, subject)
    for index, method in enumerate(methods):
        pane = _pictures(asked, shown_picture(asked, subject, method))
        name = letter(index) if asked.blind else method
        if asked.revealed:
            name = f"{letter(index)}: {method}"
        pane |= {"role": "method", "name": name, "colour": None if hidden(asked) else hues[method]}
        if method in values and not hidden(asked):
            rank = f" · {places[method]} of {len(values)}" if method in places else ""
            pane["value"] = shown(values[method], digits) + rank
        pane["maps"] = {kind: _map(asked, kind, method) for kind in _MAPS}
        panes.append(pane)
    return panes


def _reference(asked: Asked, kind: Kind, name: str) -> dict[str, Any]:
    found = _pictures(asked, asked.picture(kind, asked.subject))
    return {**found, "role": kind, "name": name, "colour": None, "maps": {}}


def _pictures(asked: Asked, picture: Picture) -> dict[str, Any]:
    missing = why_missing(asked.run, picture)
    if missing:
        return {"missing": "no picture" if hidden(asked) else missing}
    return {"full": asked.address(picture), "preview": asked.address(picture, PREVIEW)}


def _map(asked: Asked, kind: Kind, method: str) -> dict[str, str]:
    picture = asked.picture(kind, asked.subject, method, asked.view if kind in ("difference", "flip") else "")
    missing = why_missing(asked.run, picture)
    if missing:
        return {"missing": "not there" if hidden(asked) else missing}
    return {"src": asked.address(picture)}


def values_frame(asked: Asked, table: ValueTable) -> pd.DataFrame:
    """The metrics of the subject: one row a metric and region, one column a method, with rank among all methods."""
    import pandas as pd

    if asked.subject not in table.subjects:
        raise InputError(
            f"subject '{asked.subject}' has not been measured: 'mesoface metrics {asked.run.folder.path}'."
        )
    column = table.subjects.index(asked.subject)
    tells = chosen_regions(place for place in table.places if place.protocol == asked.protocol)
    names = [entry.method for entry in table.entries]
    rows = []
    for place, values in zip(table.places, table.values[:, :, column], strict=True):
        known = place.metric in SHOWN.get(place.space, ()) or place.reference == "truth"
        of = {name: float(one) for name, one in zip(names, values, strict=True) if math.isfinite(one)}
        if place.protocol != asked.protocol or not known or not of or not tells(place):
            continue
        found, digits = ranks(of, place.direction), decimals(list(of.values()))
        metric = f"{place.metric} {ARROWS[place.direction]}".strip()
        where = {"uv": "albedo", "image": "picture", "shape": "head"}[place.space]
        row = {"metric": metric, "unit": place.unit, "of": where, "region": place.region.removeprefix("skin/")}
        for name in asked.beside:
            rank = f"  ({found[name]})" if name in found and name in of else ""
            row[name] = shown(of[name], digits) + rank if name in of else "not computed"
        rows.append(row)
    return pd.DataFrame(rows)


def unmeasured(asked: Asked, table: ValueTable) -> list[str]:
    """Why values of this subject are missing, each reason once."""
    found: dict[str, list[str]] = {}
    for one in table.unmeasured:
        if one.subject == asked.subject and one.protocol == asked.protocol and one.entry.method in asked.beside:
            known = found.setdefault(f"{one.metric}: not computed, because {one.reason}", [])
            if one.entry.method not in known:
                known.append(one.entry.method)
    return [f"{reason} ({', '.join(methods)})" for reason, methods in found.items()]


def person(asked: Asked) -> Mapping[str, Any]:
    """What the run recorded of the subject: attributes, licence, source.

    Raises:
        InputError: the record cannot be read.
    """
    path = asked.run.folder.reference(asked.subject) / "subject.json"
    record = read_json(path)
    if not isinstance(record, dict):
        raise InputError(f"'{path}' is no record of a subject: delete it and run the same 'mesoface run' again.")
    return record
