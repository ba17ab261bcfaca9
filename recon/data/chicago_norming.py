"""Norming data of the Chicago Face Database: ratings and measurements of every person, from Excel or CSV.

``CFD 3.0 Norming Data and Codebook.xlsx`` has a codebook and a sheet for each image set: ``CFD U.S. Norming Data``,
``CFD-MR U.S. Norming Data``, ``CFD-I U.S. Norming Data`` and, for the same faces judged by raters in India,
``CFD-I INDIA Norming Data``. People export the sheets as CSV under their names. In each, some rows of title come first,
then one of variable numbers, then the header.
"""

from __future__ import annotations

import csv
import importlib
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon.errors import InputError

# What the column of ids is called: version 3, and version 2.
_ID_COLUMNS = ("model", "target")
# The header lies in row 8 of version 3 and row 5 of version 2.
_HEADER_WITHIN = 30
_MISSING = {"", "na", "n/a", "nan", "none", ".", "#n/a"}
_EXCEL_FAULTS = (OSError, ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile)
_OTHER_RATERS = "INDIA NORMING"
"""Mark in the name of a sheet whose ratings repeat those of another sheet with other raters."""
OTHER_RATERS_SUFFIX = "_India"
"""Added to columns of that sheet whose values differ from the first ones."""

Row = Sequence[str]


@dataclass(frozen=True)
class Norms:
    """Norming data by person.

    Attributes:
        rows: by plain id (letters and digits alone): column → value as written, numbers with up to ten digits.
        names: by plain id: the id as the table writes it.
        notes: what the user should know of the table.
    """

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def key(self, ids: Iterable[str]) -> str | None:
        """The plain id under which one of ``ids`` is here (``IF-601-519`` is written IF601-519), or None."""
        return next((plain for plain in map(_plain, ids) if plain in self.rows), None)


def find_tables(folder: Path) -> list[Path]:
    """Norming tables in ``folder``, one level below it, or in the two folders above it; CSV rather than Excel.

    Empty if there is none.
    """
    places = [folder, *sorted(f for f in folder.iterdir() if f.is_dir()), *folder.resolve().parents[:2]]
    for kinds in ({".csv"}, {".xlsx", ".xls"}):
        for place in places:
            # A folder above may be one that the user may enter but not list.
            try:
                files = sorted(place.iterdir())
            except PermissionError:
                continue
            tables = [f for f in files if "norming" in f.name.lower() and f.suffix.lower() in kinds]
            tables = [f for f in tables if f.is_file() and not f.name.startswith((".", "~$"))]
            if tables:
                return tables
    return []


def read_norms(tables: list[Path]) -> Norms:
    """The norming data of one workbook or of several CSV files.

    Raises:
        InputError: a table cannot be read or has no column of ids; or Excel without the package that reads it.
    """
    sheets = []
    for table in tables:
        sheets += _csv_sheets(table) if table.suffix.lower() == ".csv" else _excel_sheets(table)
    norms = Norms()
    # Sheets of other raters come last, so that their ratings are the ones with the suffix.
    for title, table, rows in sorted(sheets, key=lambda sheet: (_OTHER_RATERS in sheet[0].upper(), sheet[0])):
        _take_sheet(norms, title, table, rows)
    return norms


def _csv_sheets(table: Path) -> list[tuple[str, Path, list[Row]]]:
    try:
        text = table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{table}' is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8.") from error
    except OSError as error:
        raise InputError(f"'{table}' cannot be read: {error.strerror or error}.") from error
    delimiter = max(",;\t", key=text.count)
    return [
        (
            table.stem,
            table,
            [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=delimiter)],
        )
    ]


def _excel_sheets(table: Path) -> list[tuple[str, Path, list[Row]]]:
    """Sheets of a workbook that are norming data (all of them, if none is called so)."""
    if table.suffix.lower() == ".xls":
        raise InputError(f"'{table}' is of Excel before 2007; save it as .xlsx, or its sheets as CSV beside it.")
    try:
        openpyxl = importlib.import_module("openpyxl")
    except ImportError as error:
        raise InputError(
            f"'{table}' is an Excel workbook, and the package that reads these is not installed: "
            "pip install 'mesoface[chicago]', or save the workbook's norming sheets as CSV beside it."
        ) from error
    try:
        book = openpyxl.load_workbook(table, read_only=True, data_only=True)
        try:
            titles = [title for title in book.sheetnames if "norming" in title.lower()] or book.sheetnames
            return [
                (title, table, [[_text(cell) for cell in row] for row in book[title].iter_rows(values_only=True)])
                for title in titles
            ]
        finally:
            book.close()
    except _EXCEL_FAULTS as error:
        raise InputError(f"'{table}' cannot be read as an Excel workbook ({error}); copy it again.") from error


def _text(value: Any) -> str:
    """A cell as text; floats with ten digits, so that 0.1 + 0.2 reads 0.3."""
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value).strip()


def _take_sheet(norms: Norms, title: str, table: Path, rows: list[Row]) -> None:
    """Adds the rows of one sheet."""
    header, start = _header(title, table, rows)
    suffix = OTHER_RATERS_SUFFIX if _OTHER_RATERS in title.upper() else ""
    id_column = next(index for index, name in enumerate(header) if name.lower() in _ID_COLUMNS)
    columns = {name: index for index, name in reversed(list(enumerate(header))) if name and index != id_column}
    seen: set[str] = set()
    for row in rows[start:]:
        name = row[id_column] if id_column < len(row) else ""
        plain = _plain(name)
        # Below the header stands a row of explanations, and notes may follow the data: ids hold a number.
        if not re.fullmatch(r"[A-Z]{2}\d+", plain):
            continue
        if plain in seen:
            norms.notes.append(f"'{name}' has two rows in '{title}'; the first is used")
            continue
        seen.add(plain)
        norms.names.setdefault(plain, name)
        known = norms.rows.setdefault(plain, {})
        for column, index in columns.items():
            value = row[index] if index < len(row) else ""
            if value.lower() in _MISSING or known.get(column) == value:
                continue
            known[column + suffix if column in known else column] = value
    if not seen:
        raise InputError(f"'{table}', sheet '{title}', names no person under '{header[id_column]}'; copy it again.")


def _header(title: str, table: Path, rows: list[Row]) -> tuple[list[str], int]:
    """The header's names and the number of the row after it."""
    for number, row in enumerate(rows[:_HEADER_WITHIN]):
        if any(cell.lower() in _ID_COLUMNS for cell in row):
            return list(row), number + 1
    raise InputError(
        f"'{table}', sheet '{title}', has no column 'Model' in its first {_HEADER_WITHIN} rows: it is not the norming "
        "data of the Chicago Face Database, or was saved without its header."
    )


def _plain(name: str) -> str:
    """An id without what its spellings differ in."""
    return re.sub(r"[^A-Z0-9]", "", name.upper())
