"""The data set ``chicago``: Chicago Face Database with CFD-MR and CFD-INDIA, from a licensed user's own copy.

Ma, D. S., Correll, J. and Wittenbrink, B. (2015): The Chicago Face Database: A free stimulus set of faces and norming
data. Behavior Research Methods 47, 1122–1135. The database is given for scientific research by its authors
(chicagofaces.org) and is not passed on, so nothing of it comes with mesoface.

Photographs, 2444×1718 pixels, lie in ``Images/CFD/<model>/``, ``Images/CFD-MR/…`` and ``Images/CFD-INDIA/…`` or in any
folder of the user's, and are named::

    CFD-<ethnicity><gender>-<number>-<photograph>[-<take>]-<expression>.jpg

with ethnicity A, B, L, W, M (multiracial) or I (India), gender F or M, and expression N (neutral), A (angry), F
(fearful), HC or HO (happy, closed or open mouth). A set holds one photograph a person and the id is the person's, so
that nobody can be in a texture database under one expression and be tested under another. ``chicago=PATH`` takes the
neutral photographs, ``chicago=PATH#HC`` those of another expression.

The norming data, ``CFD 3.0 Norming Data and Codebook.xlsx`` or its sheets saved as CSV, give every person's ratings
and measurements. The header lies a few rows down, so it is found by its column ``Model`` (``Target`` in version 2);
columns without a name are standard deviations and are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recon.data.chicago_norming import Norms, find_tables, read_norms
from recon.data.folder import check_folder
from recon.data.subject import Licence, Subject, TestSet
from recon.errors import InputError, UsageError
from recon.images import PHOTOGRAPH_SUFFIXES

EXPRESSIONS = {"N": "neutral", "A": "angry", "F": "fearful", "HC": "happy, closed mouth", "HO": "happy, open mouth"}
"""Letters in the file names and what they mean."""

ETHNICITIES = {"A": "asian", "B": "black", "L": "latino", "W": "white", "M": "multiracial", "I": "indian"}
"""Letters in the file names: as the person said of themselves, M and I being the two extension sets."""

_MAIN = (
    "Ma, D. S., Correll, J. and Wittenbrink, B. (2015): The Chicago Face Database: A free stimulus set of faces and "
    "norming data. Behavior Research Methods 47, 1122–1135. doi 10.3758/s13428-014-0532-5"
)
_TERMS = "CFD terms of use (non-commercial research, no redistribution)"
LICENCES = {
    "CFD": Licence(_TERMS, _MAIN),
    "CFD-MR": Licence(
        _TERMS,
        "Ma, D. S., Kantner, J. and Wittenbrink, B. (2021): Chicago Face Database: Multiracial expansion. Behavior "
        f"Research Methods 53, 1289–1300. doi 10.3758/s13428-020-01482-5; {_MAIN}",
    ),
    "CFD-INDIA": Licence(
        _TERMS,
        "Lakshmi, A., Wittenbrink, B., Correll, J. and Ma, D. S. (2021): The India Face Set: International and "
        "cultural boundaries impact face impressions and perceptions of category membership. Frontiers in Psychology "
        f"12, 627678. doi 10.3389/fpsyg.2021.627678; {_MAIN}",
    ),
}
"""Terms and citation of the main set and of its two extensions."""

_NAME = re.compile(
    r"CFD-(?P<ethnicity>[ABLWMI])(?P<gender>[FM])-(?P<number>\d+)-(?P<photograph>\d+)(?:-(?P<take>\d+))?"
    r"-(?P<expression>HC|HO|N|A|F)",
    re.IGNORECASE,
)
_GENDERS = {"F": "female", "M": "male"}
_SETS = {"M": "CFD-MR", "I": "CFD-INDIA"}


@dataclass(frozen=True)
class ChicagoName:
    """What a file name of the database says.

    Attributes:
        person: the model's id, for example ``AF-200``; ``IF-601-519`` in the India set, whose ids hold both numbers.
        ethnicity: one letter of :data:`ETHNICITIES`.
        gender: ``F`` or ``M``.
        photograph: number of the photograph.
        take: number of the take where there are several, else 0.
        expression: one of :data:`EXPRESSIONS`.
    """

    person: str
    ethnicity: str
    gender: str
    photograph: str
    take: int
    expression: str

    @property
    def image_set(self) -> str:
        """``CFD``, ``CFD-MR`` or ``CFD-INDIA``."""
        return _SETS.get(self.ethnicity, "CFD")

    @property
    def norming_ids(self) -> tuple[str, ...]:
        """Under which ids the norming data may have the person, the likeliest first."""
        return (f"{self.person}-{self.take}", self.person) if self.take else (self.person,)


def parse_name(stem: str) -> ChicagoName | None:
    """Reads a file name without its ending; None if it is not one of the database's."""
    found = _NAME.fullmatch(stem)
    if found is None:
        return None
    part = {key: value.upper() for key, value in found.groupdict(default="0").items()}
    person = f"{part['ethnicity']}{part['gender']}-{part['number']}"
    if part["ethnicity"] == "I":
        person += f"-{part['photograph']}"
    return ChicagoName(
        person, part["ethnicity"], part["gender"], part["photograph"], int(part["take"]), part["expression"]
    )


def load_chicago(path: Path | None) -> TestSet:
    """The people of a copy of the database, in order of id; see the module for ``PATH#EXPRESSION``.

    Attributes of a subject: ``gender``, ``ethnicity``, ``image_set``, ``expression``; with norming data also ``age``
    (self-reported, else as rated: ``age_source`` says which), and every named column of the table under its own name.

    Raises:
        UsageError: no path was given, or an expression that the database does not have.
        InputError: no photograph of the database is there, or the norming data cannot be read or are other people's.
    """
    if path is None:
        raise UsageError("say where your copy of the Chicago Face Database is: --data chicago=PATH.")
    folder, expression = _split_expression(path)
    check_folder(folder)
    skipped: list[tuple[str, str]] = []
    named = list(_photographs(folder, skipped))
    people = _one_each(named, expression, skipped)
    if not people:
        raise InputError(_nothing_found(folder, expression, [name for name, _ in named]))
    tables = find_tables(folder)
    norms = read_norms(tables) if tables else None
    if norms is None:
        reason = "not found beside the photographs: gender and ethnicity are read from the file names, nothing else"
        skipped.append(("norming data", reason))
    else:
        skipped += _disagreements(norms, [name for name, _ in people.values()], expression, tables[0])
    subjects = [_subject(name, file, norms) for _, (name, file) in sorted(people.items())]
    return TestSet("chicago", tuple(subjects), tuple(skipped))


def _split_expression(path: Path) -> tuple[Path, str]:
    """Folder and expression of ``PATH#EXPRESSION``; a folder that is really called so is meant as it is."""
    front, mark, expression = str(path).rpartition("#")
    if not mark or path.exists():
        return path, "N"
    if expression.upper() not in EXPRESSIONS:
        known = ", ".join(f"{letter} ({meaning})" for letter, meaning in EXPRESSIONS.items())
        raise UsageError(f"the Chicago Face Database has no expression '{expression}'; it has {known}.")
    return Path(front), expression.upper()


def _photographs(folder: Path, skipped: list[tuple[str, str]]) -> Iterator[tuple[ChicagoName, Path]]:
    """Photographs below ``folder`` that are named as the database names them, in order of path."""
    for file in sorted(folder.rglob("*")):
        inner = file.relative_to(folder)
        # Hidden files and the shadow copies that macOS puts into zips hold no pictures.
        if any(part.startswith((".", "__MACOSX")) for part in inner.parts):
            continue
        if file.suffix.lower() not in PHOTOGRAPH_SUFFIXES or not file.is_file():
            continue
        name = parse_name(file.stem)
        if name is None:
            skipped.append((str(inner), "its name is not one of the Chicago Face Database (CFD-AF-200-228-N.jpg)"))
        else:
            yield name, file


def _one_each(
    named: list[tuple[ChicagoName, Path]], expression: str, skipped: list[tuple[str, str]]
) -> dict[str, tuple[ChicagoName, Path]]:
    """The first photograph of every person with that expression; further ones go to ``skipped``."""
    people: dict[str, tuple[ChicagoName, Path]] = {}
    ordered = sorted(named, key=lambda item: (item[0].person, item[0].photograph, item[0].take, item[1]))
    for name, file in ordered:
        if name.expression != expression:
            continue
        first, held = people.setdefault(name.person, (name, file))
        if held == file:
            continue
        if (first.photograph, first.take) == (name.photograph, name.take):
            skipped.append((str(file), f"the id '{name.person}' is already that of '{held}'"))
        else:
            skipped.append((file.name, f"a second photograph of '{name.person}', of whom '{held.name}' is used"))
    return people


def _nothing_found(folder: Path, expression: str, names: list[ChicagoName]) -> str:
    if names:
        there = ", ".join(f"{count} {letter}" for letter, count in Counter(n.expression for n in names).most_common())
        return (
            f"'{folder}' holds no photograph of the Chicago Face Database with the expression {expression} "
            f"({EXPRESSIONS[expression]}), only {there}: choose one of these with --data chicago=PATH#EXPRESSION."
        )
    return (
        f"'{folder}' is not the Chicago Face Database: no photograph below it is named like CFD-AF-200-228-N.jpg; "
        "give the folder that holds 'Images'. The database is obtained from chicagofaces.org."
    )


def _disagreements(norms: Norms, names: list[ChicagoName], expression: str, table: Path) -> list[tuple[str, str]]:
    """What the norming data and the photographs do not have in common.

    Raises:
        InputError: nothing at all.
    """
    found = {row for name in names if (row := norms.key(name.norming_ids)) is not None}
    if not found:
        raise InputError(
            f"'{table}' has norming data of {len(norms.rows)} people, but none of those photographed here (the first "
            f"is '{names[0].person}'): use the table that belongs to these photographs, or move it away."
        )
    out = [(table.name, note) for note in norms.notes]
    missing = [name.person for name in names if norms.key(name.norming_ids) is None]
    if missing:
        out.append((table.name, f"no norming data for {_some(missing)}"))
    absent = [norms.names[row] for row in norms.rows if row not in found]
    if absent:
        out.append((table.name, f"no photograph with expression {expression} here for {_some(absent)}"))
    return out


def _some(names: list[str], shown: int = 5) -> str:
    rest = f" and {len(names) - shown} more" if len(names) > shown else ""
    return f"{', '.join(names[:shown])}{rest}"


def _subject(name: ChicagoName, file: Path, norms: Norms | None) -> Subject:
    attributes = {
        "gender": _GENDERS[name.gender],
        "ethnicity": ETHNICITIES[name.ethnicity],
        "image_set": name.image_set,
        "expression": EXPRESSIONS[name.expression],
    }
    row = norms.key(name.norming_ids) if norms is not None else None
    if norms is not None and row is not None:
        measured = norms.rows[row]
        for column, source in (("AgeSelf", "self-reported"), ("AgeRated", "rated"), ("Age", "rated")):
            if column in measured:
                attributes |= {"age": measured[column], "age_source": source}
                break
        attributes = {**measured, **attributes}
    return Subject(name.person, "chicago", file, LICENCES[name.image_set], attributes)
