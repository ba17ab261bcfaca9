"""The contact sheet of a run: subjects down, methods across, the photograph first; crops at full size on request.

Faces are cropped alike for all methods and scaled to the cell. Crops of cheek, forehead and jaw are not resampled:
one pixel of the photograph is one pixel of the sheet, or a square of n × n where the face is small (then said so).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from recon.data.protocols import Protocol, parse_protocol
from recon.errors import InputError, UsageError
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import atomic_path, read_json

CELL = 288
GAP = 8
LABEL = 132
HEADER = 40
TEXT = 15
# Width of a crop in parts of the distance between the outer eye corners: skin alone, no eye and no hair.
CROP_SHARE = 0.8
# PNG readers refuse more; also what a person can scroll.
TALLEST = 60_000

_PAPER, _INK, _FAINT, _BLANK = (255, 255, 255), (20, 20, 20), (110, 110, 110), (236, 236, 236)

Picture = Image.Image


@dataclass(frozen=True, eq=False)
class _Column:
    """One column: its heading, and the picture of a subject in it (cropped photograph size), or why there is none."""

    heading: str
    source: str
    method: str = ""


def draw_sheet(
    folder: RunFolder,
    *,
    protocol: str | None = None,
    crops: bool = False,
    methods: Sequence[str] = (),
    subjects: Sequence[str] = (),
    out: Path | None = None,
) -> Path:
    """Draw the contact sheet and give its path.

    Args:
        protocol: protocol to show; the run's first if None.
        crops: whether cheek, forehead and jaw follow below each face.
        methods, subjects: what to show; all of the run if empty.
        out: PNG to write; ``report/sheet-<protocol>[-crops].png`` in the run if None.

    Raises:
        UsageError: no run, or a protocol, method or subject that it does not have; or the sheet would be too tall.
        InputError: nothing of it has been made yet.
        StorageError: the picture cannot be written.
    """
    config = folder.read_config()
    shown = parse_protocol(protocol or config["protocols"][0])
    _known([shown.name], config["protocols"], "protocol")
    methods = _known(methods, list(config["methods"]), "method")
    subjects = _known(subjects, config["subjects"], "subject")
    subjects = [name for name in subjects if folder.reference_record(name, shown.name) is not None]
    if not subjects:
        raise InputError(f"run '{folder.path}' has nothing to show for protocol '{shown.name}' yet: run it to the end.")
    columns = [_Column("photograph", "photo")]
    if shown.degrades_photograph or shown.withheld_side:
        columns.append(_Column("given", "given"))
    columns += [_Column(name, "result", name) for name in methods]
    parts = ["face", *(("cheek", "forehead", "jaw") if crops else ())]
    rows = len(subjects) * len(parts)
    width = LABEL + len(columns) * (CELL + GAP) + GAP
    terms_of_use = _credits(folder, subjects, width)
    height = HEADER + rows * (CELL + GAP) + GAP + (TEXT + 4) * len(terms_of_use)
    if height > TALLEST:
        raise UsageError(f"the sheet would be {height} pixels tall: choose fewer people with --subjects.")
    sheet = Image.new("RGB", (width, height), _PAPER)
    _headings(sheet, columns)
    for index, subject in enumerate(subjects):
        top = HEADER + index * len(parts) * (CELL + GAP)
        _subject_rows(sheet, top, folder, shown, subject, columns, parts)
    draw = ImageDraw.Draw(sheet)
    for index, line in enumerate(terms_of_use):
        draw.text((GAP, height - (len(terms_of_use) - index) * (TEXT + 4)), line, _FAINT, _font(TEXT - 3))
    target = out or folder.path / "report" / f"sheet-{shown.folder}{'-crops' if crops else ''}.png"
    with atomic_path(target) as temporary:
        sheet.save(temporary, format="PNG", compress_level=4)
    return target


def _known(wanted: Sequence[str], have: Sequence[str], noun: str) -> list[str]:
    for name in wanted:
        if name not in have:
            raise UsageError(f"this run has no {noun} '{name}'; it has {', '.join(have)}.")
    return list(wanted) or list(have)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _headings(sheet: Picture, columns: Sequence[_Column]) -> None:
    draw = ImageDraw.Draw(sheet)
    for index, column in enumerate(columns):
        centre = LABEL + index * (CELL + GAP) + CELL // 2
        draw.text((centre, HEADER // 2), column.heading, _INK, _font(TEXT + 5), anchor="mm")


def _subject_rows(
    sheet: Picture,
    top: int,
    folder: RunFolder,
    protocol: Protocol,
    subject: str,
    columns: Sequence[_Column],
    parts: Sequence[str],
) -> None:
    """One row a part of the face: the label, then each column's picture."""
    reference = read_json(folder.judged(subject, protocol.name) / "reference.json")
    pictures = [_picture(folder, protocol, subject, column, reference["crop"]) for column in columns]
    side = protocol.withheld_side or "left"
    crop = max(16, min(CELL, round(CROP_SHARE * float(reference["fit"]["interocular"]))))
    for row, part in enumerate(parts):
        y = top + row * (CELL + GAP)
        label = _label(folder, subject, reference) if part == "face" else [part, f"{side} side", _scale(crop)]
        _write_label(sheet, y, label)
        for index, picture in enumerate(pictures):
            x = LABEL + index * (CELL + GAP)
            if isinstance(picture, str):
                _explain(sheet, x, y, picture)
            else:
                place = None if part == "face" else reference["places"][side][part]
                cell = _fitted(picture) if place is None else _cut(picture, place, crop)
                sheet.paste(cell, (x + (CELL - cell.width) // 2, y + (CELL - cell.height) // 2))


def _scale(crop: int) -> str:
    factor = CELL // crop
    return "1:1" if factor == 1 else f"{factor}:1"


def _label(folder: RunFolder, subject: str, reference: dict[str, Any]) -> list[str]:
    known = read_json(folder.reference(subject) / "subject.json")
    attributes = [str(value) for value in known["attributes"].values() if value]
    verdict = reference["fit"]["verdict"]
    return [subject, *attributes[:4], *([] if verdict == "pass" else [f"fit: {verdict}"])]


def _write_label(sheet: Picture, top: int, lines: Sequence[str]) -> None:
    draw = ImageDraw.Draw(sheet)
    y = top + 4
    for index, line in enumerate(lines):
        for piece in textwrap.wrap(line, 16) or [""]:
            draw.text((GAP, y), piece, _FAINT if index else _INK, _font(TEXT - 2 if index else TEXT))
            y += TEXT + 4


def _picture(
    folder: RunFolder, protocol: Protocol, subject: str, column: _Column, crop: Sequence[int]
) -> Picture | str:
    """The column's picture of a subject, cropped to the face; or why there is none."""
    if column.source == "result":
        key = ResultKey(column.method, protocol.name, subject)
        if folder.finished(key) is None:
            failure = folder.failure(key)
            return failure["message"] if failure else folder.not_applicable(key) or "not made yet"
        return _opened(folder.result(key) / "views" / "fitted.png")
    path = folder.reference(subject) / "photo.png" if column.source == "photo" else folder.given(subject, protocol.name)
    return _opened(path).crop((crop[0], crop[1], crop[2], crop[3]))


def _opened(path: Path) -> Picture:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error}): delete its folder and run again.") from error


def _fitted(picture: Picture) -> Picture:
    """The picture scaled into a cell."""
    factor = CELL / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _cut(picture: Picture, place: Sequence[float], side: int) -> Picture:
    """A square of ``side`` pixels around ``place``, moved inwards at the border, magnified by a whole factor."""
    width, height = min(side, picture.width), min(side, picture.height)
    left = min(max(0, round(place[0] - width / 2)), picture.width - width)
    top = min(max(0, round(place[1] - height / 2)), picture.height - height)
    square = picture.crop((left, top, left + width, top + height))
    factor = max(1, CELL // side)
    return square.resize((width * factor, height * factor), Image.Resampling.NEAREST)


def _explain(sheet: Picture, x: int, y: int, reason: str) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((x, y, x + CELL - 1, y + CELL - 1), fill=_BLANK)
    lines = textwrap.wrap(reason, 32)[:9]
    draw.multiline_text((x + CELL // 2, y + CELL // 2), "\n".join(lines), _FAINT, _font(TEXT), anchor="mm",
                        align="center")  # fmt: skip


def _credits(folder: RunFolder, subjects: Sequence[str], width: int) -> list[str]:
    """Where the photographs come from and under which licence, wrapped to the sheet's width."""
    terms: dict[str, None] = {}
    for subject in subjects:
        licence = read_json(folder.reference(subject) / "subject.json")["licence"]
        terms[f"{licence['name']}{': ' + licence['citation'] if licence['citation'] else ''}"] = None
    characters = max(20, int(width / (0.55 * TEXT)))
    return [line for term in terms for line in textwrap.wrap(f"photographs: {term}", characters)]
