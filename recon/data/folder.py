"""The data set ``folder``: a folder of photographs, with what is known of the people in an optional ``subjects.csv``.

Without the table every photograph of the folder is a subject, named after its file. The table has a header and the
columns ``file`` (required), ``id``, ``licence``, ``citation``; every other column is an attribute (age, gender, …).
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path

from recon.data.subject import Licence, Subject, TestSet
from recon.errors import InputError, UsageError
from recon.images import PHOTOGRAPH_SUFFIXES

TABLE = "subjects.csv"
_KNOWN = ("id", "file", "licence", "license", "citation")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

Skipped = list[tuple[str, str]]


def load_folder(path: Path | None) -> TestSet:
    """The subjects of a folder, in order of id.

    Files that cannot be subjects (not an image, absent, an id that is taken) go to ``skipped`` with the reason.

    Raises:
        UsageError: no path was given.
        InputError: the folder does not exist or holds no photograph, or its table cannot be read.
    """
    if path is None:
        raise UsageError("say which folder of photographs: --data folder=PATH.")
    check_folder(path)
    skipped: Skipped = []
    table = path / TABLE
    subjects = _from_table(path, table, skipped) if table.exists() else _from_files(path, skipped)
    if not subjects:
        kinds = ", ".join(sorted(suffix[1:] for suffix in PHOTOGRAPH_SUFFIXES))
        seen = f" (skipped: {len(skipped)}; the first, '{skipped[0][0]}', because {skipped[0][1]})" if skipped else ""
        raise InputError(f"the folder '{path}' holds no usable photograph{seen}: put {kinds} files in it.")
    return TestSet("folder", tuple(sorted(subjects, key=lambda subject: subject.id)), tuple(skipped))


def check_folder(path: Path) -> None:
    """Raises InputError unless ``path`` is a folder."""
    if not path.exists():
        raise InputError(f"the folder '{path}' does not exist.")
    if not path.is_dir():
        raise InputError(f"'{path}' is a file: give the folder that holds the photographs.")


def read_table(path: Path, required: tuple[str, ...]) -> list[dict[str, str]]:
    """Rows of a CSV file (UTF-8, with or without byte order mark; comma, semicolon or tab), stripped strings.

    Column names are lower case. Empty rows are dropped.

    Raises:
        InputError: unreadable, not text, or a required column is missing.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"'{path}' is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8.") from error
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    reader = csv.DictReader(text.splitlines(), delimiter=delimiter, skipinitialspace=True)
    rows = [
        {(k or "").strip().lower(): (v or "").strip() for k, v in row.items() if isinstance(k, str)}
        for row in reader
        if any(isinstance(v, str) and v.strip() for v in row.values())
    ]
    columns = [name.strip().lower() for name in reader.fieldnames or ()]
    absent = [name for name in required if name not in columns]
    if absent:
        raise InputError(f"'{path}' has no column '{absent[0]}' (it has {', '.join(columns) or 'none'}).")
    return rows


def _from_files(folder: Path, skipped: Skipped) -> list[Subject]:
    subjects: dict[str, Subject] = {}
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if file.suffix.lower() not in PHOTOGRAPH_SUFFIXES:
            skipped.append((file.name, f"'{file.suffix or 'no suffix'}' is not the ending of a photograph"))
            continue
        _keep(subjects, Subject(_safe(file.stem), "folder", file, Licence("unknown")), skipped)
    return list(subjects.values())


def _from_table(folder: Path, table: Path, skipped: Skipped) -> list[Subject]:
    subjects: dict[str, Subject] = {}
    for number, row in enumerate(read_table(table, ("file",)), start=2):
        name = row.get("file", "")
        if not name:
            skipped.append((f"{TABLE}, row {number}", "it names no file"))
            continue
        file = folder / name
        if not file.resolve().is_relative_to(folder.resolve()):
            skipped.append((name, "it lies outside the folder"))
        elif not file.is_file():
            skipped.append((name, f"the file that {TABLE} names does not exist"))
        elif file.suffix.lower() not in PHOTOGRAPH_SUFFIXES:
            skipped.append((name, f"'{file.suffix or 'no suffix'}' is not the ending of a photograph"))
        else:
            _keep(subjects, _subject(row, file), skipped)
    return list(subjects.values())


def _subject(row: Mapping[str, str], file: Path) -> Subject:
    licence = row.get("licence") or row.get("license") or "unknown"
    return Subject(
        id=_safe(row.get("id") or file.stem),
        source="folder",
        photograph=file,
        licence=Licence(licence, row.get("citation", "")),
        attributes={key: value for key, value in row.items() if key and value and key not in _KNOWN},
    )


def _safe(name: str) -> str:
    """An id of letters, digits, ``-``, ``_`` and ``.`` that is no path: runs of anything else become ``_``."""
    return _UNSAFE.sub("_", name).lstrip(".") or "_"


def _keep(subjects: dict[str, Subject], subject: Subject, skipped: Skipped) -> None:
    """Adds the subject unless its id is taken; ids that differ in case alone would share a folder on some systems."""
    holder = subjects.setdefault(subject.id.casefold(), subject)
    if holder is not subject:
        skipped.append(
            (subject.photograph.name, f"the id '{subject.id}' is already that of '{holder.photograph.name}'")
        )
