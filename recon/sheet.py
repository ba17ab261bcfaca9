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


@dataclass(frozen=True, eq=False)
class _Row:
    """One subject: its face and, below it, crops at full size.

    Attributes:
        reference: the record in ``reference.json``.
        parts: ``face``, then the regions to crop.
        side: the subject's own side that the crops show: the withheld one where there is one.
        crop: side of a crop in pixels of the photograph.
        factor: sheet pixels a photograph pixel, in each direction.
    """

    subject: str
    reference: dict[str, Any]
    parts: Sequence[str]
    side: str
    crop: int
    factor: int

    @staticmethod
    def of(folder: RunFolder, protocol: Protocol, subject: str, parts: Sequence[str]) -> _Row:
        reference = read_json(folder.judged(subject, protocol.name) / "reference.json")
        left, top, right, bottom = reference["crop"]
        wanted = round(CROP_SHARE * float(reference["fit"]["interocular"]))
        crop = max(1, min(CELL, wanted, right - left, bottom - top))
        return _Row(subject, reference, parts, protocol.withheld_side or "left", crop, max(1, CELL // crop))

    @property
    def height(self) -> int:
        """Of the subject's part of the sheet, gaps included."""
        return CELL + GAP + (len(self.parts) - 1) * (self.crop * self.factor + GAP)

    def cut(self, picture: Picture, region: str) -> Picture:
        """The crop around ``region``, moved inwards at the border."""
        x, y = self.reference["places"][self.side][region]
        left = min(max(0, round(x - self.crop / 2)), picture.width - self.crop)
        top = min(max(0, round(y - self.crop / 2)), picture.height - self.crop)
        square = picture.crop((left, top, left + self.crop, top + self.crop))
        return square.resize((self.crop * self.factor,) * 2, Image.Resampling.NEAREST)


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
    rows = [_Row.of(folder, shown, name, parts) for name in subjects]
    width = LABEL + len(columns) * (CELL + GAP) + GAP
    terms_of_use = _credits(folder, subjects, width)
    height = HEADER + sum(row.height for row in rows) + GAP + (TEXT + 4) * len(terms_of_use)
    if height > TALLEST:
        raise UsageError(f"the sheet would be {height} pixels tall: choose fewer people with --subjects.")
    sheet = Image.new("RGB", (width, height), _PAPER)
    _headings(sheet, columns)
    top = HEADER
    for row in rows:
        _draw_row(sheet, top, folder, shown, row, columns)
        top += row.height
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


def _draw_row(
    sheet: Picture, top: int, folder: RunFolder, protocol: Protocol, row: _Row, columns: Sequence[_Column]
) -> None:
    """The label, and each column's face; below them the crops."""
    pictures = [_picture(folder, protocol, row.subject, column, row.reference["crop"]) for column in columns]
    y = top
    for part in row.parts:
        height = CELL if part == "face" else row.crop * row.factor
        label = _label(folder, row) if part == "face" else [part, f"{row.side} side", f"{row.factor}:1"]
        _write_label(sheet, y, label)
        for index, picture in enumerate(pictures):
            x = LABEL + index * (CELL + GAP)
            if isinstance(picture, str):
                _explain(sheet, x, y, height, picture)
            else:
                cell = _fitted(picture) if part == "face" else row.cut(picture, part)
                sheet.paste(cell, (x + (CELL - cell.width) // 2, y + (height - cell.height) // 2))
        y += height + GAP


def _label(folder: RunFolder, row: _Row) -> list[str]:
    known = read_json(folder.reference(row.subject) / "subject.json")
    # A bare number does not say what it is.
    attributes = [
        f"{name.replace('_', ' ')} {value}" if str(value)[-1].isdigit() else str(value)
        for name, value in known["attributes"].items()
        if value
    ]
    made_up = ["computer-made"] if known.get("synthetic") else []
    verdict = row.reference["fit"]["verdict"]
    return [row.subject, *made_up, *attributes[:4], *([] if verdict == "pass" else [f"fit: {verdict}"])]


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


def _explain(sheet: Picture, x: int, y: int, height: int, reason: str) -> None:
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((x, y, x + CELL - 1, y + height - 1), fill=_BLANK)
    lines = textwrap.wrap(reason, 32)[: max(1, height // (TEXT + 8))]
    draw.multiline_text((x + CELL // 2, y + height // 2), "\n".join(lines), _FAINT, _font(TEXT), anchor="mm",
                        align="center")  # fmt: skip


def _credits(folder: RunFolder, subjects: Sequence[str], width: int) -> list[str]:
    """Where the pictures come from and under which licence, wrapped to the sheet's width."""
    terms: dict[str, None] = {}
    for subject in subjects:
        known = read_json(folder.reference(subject) / "subject.json")
        licence, what = known["licence"], "computer-made pictures" if known.get("synthetic") else "photographs"
        terms[f"{what}: {licence['name']}{': ' + licence['citation'] if licence['citation'] else ''}"] = None
    characters = max(20, int(width / (0.55 * TEXT)))
    return [line for term in terms for line in textwrap.wrap(term, characters)]
