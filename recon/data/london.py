"""The data set ``london``: Face Research Lab London Set, one neutral frontal photograph of each of 102 people.

DeBruine, L. and Jones, B. (2017), figshare, doi 10.6084/m9.figshare.5047666, CC BY 4.0. Every photograph
``<face_id>_03.jpg`` has a WebMorph template ``<face_id>_03.tem`` of 189 points beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.data.folder import check_folder, read_table
from recon.data.subject import Licence, Subject, TestSet
from recon.errors import InputError

LICENCE = Licence(
    "CC BY 4.0",
    "DeBruine, L. and Jones, B. (2017): Face Research Lab London Set. figshare. doi 10.6084/m9.figshare.5047666",
    redistributable=True,
)
_PHOTOGRAPHS = "neutral_front"
_TABLES = ("london_info.csv", "london_faces_info.csv")
_SUFFIX = "_03.jpg"
# Columns of the table → attribute; the deposit's versions differ in how they call the second.
_ATTRIBUTES = {"face_age": "age", "face_gender": "gender", "face_sex": "gender", "face_eth": "ethnicity"}


def load_london(path: Path | None) -> TestSet:
    """The London set in a folder (the one above ``neutral_front``, or that folder itself), in order of id.

    Without a path: the asset ``london``. People in the table without a photograph are skipped with that reason.

    Raises:
        AssetError: no path was given and the asset is not on this machine.
        InputError: the folder is not the London set.
    """
    if path is None:
        from recon.assets import require

        path = require("london")
    check_folder(path)
    photographs = path / _PHOTOGRAPHS if (path / _PHOTOGRAPHS).is_dir() else path
    files = {file.name.removesuffix(_SUFFIX): file for file in photographs.glob(f"*{_SUFFIX}")}
    if not files:
        raise InputError(
            f"'{path}' is not the London set: neither it nor its folder '{_PHOTOGRAPHS}' holds photographs called "
            f"<face_id>{_SUFFIX}; `mesoface assets fetch london` gets the set."
        )
    people = _people(path, photographs)
    skipped = [(f"{key}{_SUFFIX}", "in the table, but its photograph is absent") for key in people if key not in files]
    subjects = [Subject(key, "london", file, LICENCE, people.get(key, {})) for key, file in sorted(files.items())]
    return TestSet("london", tuple(subjects), tuple(sorted(skipped)))


def _people(*places: Path) -> dict[str, dict[str, str]]:
    """Attributes by face id, from the first table found in ``places`` or the folder above the last of them."""
    for folder in (*places, places[-1].parent):
        for name in _TABLES:
            if (folder / name).is_file():
                rows = read_table(folder / name, ("face_id",))
                # The deposit writes X001 for the face that its files call 001.
                return {row["face_id"].removeprefix("X"): _attributes(row) for row in rows}
    raise InputError(
        f"the London set in '{places[0]}' lacks its table {_TABLES[0]} (age, gender and ethnicity of every face); "
        "put it beside the photographs."
    )


def _attributes(row: dict[str, str]) -> dict[str, str]:
    return {
        attribute: row[column]
        for column, attribute in _ATTRIBUTES.items()
        if row.get(column) and row[column].upper() != "NA"
    }


def read_tem(path: Path) -> tuple[NDArray[np.float64], tuple[tuple[int, ...], ...]]:
    """The points and lines of a WebMorph template.

    The format: the number of points; one ``x<TAB>y`` a point, in pixels of the image; the number of lines; for each
    line whether it is closed, the number of its points, and their indices.

    Returns:
        ``(N, 2)`` float64 pixel positions (N = 189 in this set), and the point indices of each line.

    Raises:
        InputError: the file is absent or not such a template.
    """
    try:
        text = path.read_text(encoding="ascii").split("\n")
        count = int(text[0])
        points = np.array([line.split() for line in text[1 : count + 1]], dtype=np.float64)
        if points.shape != (count, 2):
            raise ValueError(f"{len(points)} points instead of {count}")
        number, start = int(text[count + 1]), count + 2
        lines = tuple(tuple(int(index) for index in text[start + 3 * line + 2].split()) for line in range(number))
        if any(not 0 <= index < count for line in lines for index in line):
            raise ValueError("a line names a point that is not there")
    except OSError as error:
        raise InputError(f"the template '{path}' cannot be read: {error.strerror or error}.") from error
    except (ValueError, IndexError) as error:
        raise InputError(f"'{path}' is not a WebMorph template ({error}).") from error
    return points, lines
