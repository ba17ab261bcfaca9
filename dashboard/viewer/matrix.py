"""What the matrix shows: a page of subjects, each with the photograph and a picture of every method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from dashboard.catalogue import Run
from dashboard.pictures.addresses import Picture
from dashboard.pictures.sources import frame_of, source_of, why_missing
from dashboard.viewer.asked import Asked
from dashboard.viewer.blind import letter, shuffled
from dashboard.viewer.orders import BEST, WORST, ranks
from metrics.report.layout import ARROWS, decimals, shown
from metrics.report.palette import HUES, places_in_palette
from recon.errors import MesofaceError
from recon.runs.folder import ResultKey

SMALL = 160
_PORTRAIT = (4, 5)


def matrix(asked: Asked, page: int, note: str) -> dict[str, Any]:
    """The data of the component for page ``page`` (from 0); ``note`` says who is shown."""
    first = page * asked.rows
    subjects = asked.subjects[first : first + asked.rows]
    pages = max(1, -(-len(asked.subjects) // asked.rows))
    return {
        "state": "matrix",
        "note": note,
        "blind": bool(asked.blind),
        "metric": "" if asked.blind else metric_words(asked),
        "columns": _columns(asked),
        "rows": [_row(asked, subject) for subject in subjects],
        "first": first,
        "total": len(asked.subjects),
        "pages": [_page(asked, number) if 0 <= number < pages else None for number in (page - 1, page + 1)],
        "page": page,
        "last": pages - 1,
    }


def metric_words(asked: Asked) -> str:
    """The metric below the pictures, with unit, direction and region; empty where nothing was measured."""
    if asked.measured is None:
        return ""
    place = asked.measured.place
    unit = f", {place.unit}" if place.unit else ""
    return f"{place.metric}{unit} {ARROWS[place.direction]} ({place.region})".replace("  ", " ")


def colours(methods: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    """The colour of each method on light and on dark paper, as in reports."""
    return {name: HUES[index % len(HUES)] for name, index in places_in_palette(methods).items()}


def _columns(asked: Asked) -> list[dict[str, Any]]:
    if asked.blind:
        return [{"name": letter(index), "colour": None, "sorted": ""} for index in range(len(asked.methods))]
    hues = colours(asked.run.methods)
    found = []
    for name in asked.methods:
        sorted_ = {WORST + name: "worst", BEST + name: "best"}.get(asked.order, "")
        order = (BEST if sorted_ == "worst" else WORST) + name
        column: dict[str, Any] = {"name": name, "colour": hues[name], "sorted": sorted_}
        if asked.measured is not None:
            column |= {"order": order, "href": asked.here(order=order, page="")}
        found.append(column)
    return found


def _page(asked: Asked, number: int) -> dict[str, str]:
    return {"page": str(number + 1), "href": asked.here(page=str(number + 1))}


def _row(asked: Asked, subject: str) -> dict[str, Any]:
    values = asked.measured.of(subject) if asked.measured is not None else {}
    own = {name: value for name, value in values.items() if name in asked.methods}
    places = ranks(own, asked.measured.place.direction) if asked.measured is not None else {}
    digits = decimals(list(own.values()))
    methods = list(asked.methods)
    if asked.blind:
        methods = shuffled(methods, asked.blind, asked.protocol, subject)
    cells = []
    for method in methods:
        picture = shown_picture(asked, subject, method)
        cell: dict[str, Any] = {"href": _opens(asked, subject, method), "go": _go(asked, subject, method)}
        missing = why_missing(asked.run, picture)
        cell |= {"missing": _in_blind(asked, missing)} if missing else {"src": asked.address(picture, SMALL)}
        if method in own and not asked.blind:
            cell |= {"value": shown(own[method], digits), "rank": places.get(method, 0), "of": len(own)}
        cells.append(cell)
    photograph = asked.picture("photograph", subject)
    there = frame(asked, subject)
    return {
        "subject": subject,
        "href": asked.here(subject=subject),
        "go": {"subject": subject},
        "frame": frame_of_view(asked, subject, there),
        "photograph": {"src": photograph.address(SMALL), "frame": there}
        if there
        else {"missing": why_missing(asked.run, photograph)},
        "cells": cells,
    }


def _in_blind(asked: Asked, reason: str) -> str:
    """Why a picture is missing, without names where they are hidden."""
    return "no picture" if asked.blind else reason


def _opens(asked: Asked, subject: str, method: str) -> str:
    return asked.here(**_go(asked, subject, method))


def _go(asked: Asked, subject: str, method: str) -> dict[str, str]:
    """The changes of the address that open ``subject`` with ``method`` among those beside the photograph."""
    if asked.blind or method in asked.beside:
        return {"subject": subject}
    return {"subject": subject, "beside": ",".join([method, *asked.beside][: max(1, len(asked.beside))])}


def shown_picture(asked: Asked, subject: str, method: str) -> Picture:
    """The picture of a result in the view that was chosen."""
    if asked.view == "albedo":
        return asked.picture("albedo", subject, method)
    return asked.picture("view", subject, method, asked.view)


def frame(asked: Asked, subject: str) -> tuple[int, int] | None:
    """Width and height of the photograph's crop; None where it is not there."""
    try:
        box = frame_of(asked.run, subject, asked.protocol)
    except (MesofaceError, KeyError, TypeError, ValueError):  # a reference that another program wrote wrongly
        return None
    return (box[2] - box[0], box[3] - box[1]) if box else None


def frame_of_view(asked: Asked, subject: str, photograph: tuple[int, int] | None) -> tuple[int, int]:
    """Width and height of the pictures of a subject in the chosen view, as far as they can be known."""
    if asked.view.rpartition("/")[2] == "fitted" and photograph:
        return photograph
    return first_size([shown_picture(asked, subject, method) for method in asked.methods]) or photograph or _PORTRAIT


def first_size(pictures: Iterable[Picture]) -> tuple[int, int] | None:
    """Width and height of the first of ``pictures`` that can be read."""
    for picture in pictures:
        source = source_of(picture)
        if source is not None:
            path = source.files[0]
            try:
                return _size(path, path.stat().st_mtime_ns)
            # The picture itself will say that it cannot be read.
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
                continue
    return None


@lru_cache(maxsize=20_000)
def _size(path: Path, modified: int) -> tuple[int, int]:
    with Image.open(path) as opened:
        return opened.size


def known_views(run: Run, protocol: str, look: int = 4) -> dict[str, str]:
    """Views that the first ``look`` finished results of each method have, with their names in words."""
    found: set[str] = set()
    for method in run.methods:
        seen = 0
        for subject in run.subjects[:50]:
            key = ResultKey(method, protocol, subject)
            record = run.folder.finished(key)
            if record is None:
                continue
            found |= _views(run.folder.result(key), record)
            seen += 1
            if seen == look:
                break
    order = sorted(found, key=lambda name: (name != "fitted", name != "albedo", name))
    return {name: _in_words(name) for name in order} or {"fitted": _in_words("fitted")}


def _views(folder: Path, record: Mapping[str, Any]) -> set[str]:
    own = {Path(name).stem for name in record["files"] if name.startswith("views/") and name.endswith(".png")}
    found = {name for name in own if not name.endswith("_mask")}
    if "albedo.png" in record["files"]:
        found.add("albedo")
    return found | {f"{path.parent.name}/{path.stem}" for path in (folder / "views").glob("*/*.json")}


def _in_words(view: str) -> str:
    return {"fitted": "fitted", "albedo": "albedo map"}.get(view, view.replace("/", " · "))
