"""The Chicago Face Database adapter on generated folders of the database's layout, good and bad.

Nothing of the database is here: the portrait is NASA's, the people and their numbers are invented. Names of files,
folders, sheets and columns, and the rows above the header, are those of version 3.0.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.data import load_test_set
from recon.data.chicago import EXPRESSIONS, parse_name
from recon.data.chicago_norming import find_tables, read_norms
from recon.errors import ImageError, InputError, UsageError
from recon.images import read_photograph

SIZE = (2444, 1718)
WORKBOOK = "CFD 3.0 Norming Data and Codebook.xlsx"
US, MIXED, INDIA_US, INDIA = (
    "CFD U.S. Norming Data",
    "CFD-MR U.S. Norming Data",
    "CFD-I U.S. Norming Data",
    "CFD-I INDIA Norming Data",
)
COLUMNS = ["Model", "EthnicitySelf", "GenderSelf", "AgeSelf", "AgeRated", "", "Attractive", "", "NoseWidth"]
PEOPLE = {
    US: [
        ["AF-200", "A", "F", "NA", 32.5714, 5.1, 3.11, 1.4, 190],
        ["BM-001", "B", "M", 24, 26.2, 4, 3, 1, 201],
    ],
    MIXED: [["MF-300", "M", "F", 19, 21.5, 3.2, 4.2, 1.1, 188]],
    INDIA_US: [["IF601-519", "I", "F", "", 24.4, 3, 2.9, 1, 177], ["IM644-306-1", "I", "M", "", 30.0, 3, 2.0, 1, 210]],
    INDIA: [["IF601-519", "I", "F", "", 23.1, 3, 3.4, 1, 177], ["IM644-306-1", "I", "M", "", 29.0, 3, 2.0, 1, 210]],
}
FILES = (
    "CFD/AF-200/CFD-AF-200-228-N.jpg",
    "CFD/BM-001/CFD-BM-001-043-N.jpg",
    "CFD/BM-001/CFD-BM-001-041-HC.jpg",
    "CFD/BM-001/CFD-BM-001-044-A.jpg",
    "CFD-MR/CFD-MF-300-002-N.jpg",
    "CFD-INDIA/CFD-IF-601-519-N.jpg",
    "CFD-INDIA/CFD-IM-644-306-1-N.jpg",
    "CFD-INDIA/CFD-IM-644-306-2-N.jpg",
)


@lru_cache(maxsize=1)
def portrait(folder: Path) -> Path:
    """NASA's astronaut on a white sheet of the database's size."""
    from skimage.data import astronaut

    sheet = Image.new("RGB", SIZE, "white")
    sheet.paste(Image.fromarray(astronaut()).resize((1536, 1536)), (454, 182))
    sheet.save(folder / "portrait.jpg", quality=60)
    return folder / "portrait.jpg"


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Puts the portrait at a path."""
    source = portrait(tmp_path_factory.getbasetemp())

    def put(file: Path) -> Path:
        file.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(source, file))

    return put


def sheet_rows(title: str, people: list[list[object]]) -> list[list[object]]:
    """A sheet as version 3.0 lays it out: title, numbers of the variables, header, explanations, people."""
    rows: list[list[object]] = [["CFD Version 3.0"], [title], [], [], [], []]
    rows.append(["", "D001", "D002", "D003", "R001", "", "R013", "", "P007"])
    rows.append(list(COLUMNS))
    rows.append(["", "", "", "", "mean", "sd", "mean", "sd", "pixels"])
    return [*rows, *people, ["", "Note: invented"]]


def write_csv(folder: Path, title: str, delimiter: str = ",") -> Path:
    lines = [delimiter.join(str(cell) for cell in row) for row in sheet_rows(title, PEOPLE[title])]
    path = folder / f"{title}.csv"
    path.write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8")
    return path


def write_workbook(folder: Path) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="needs openpyxl, the extra 'chicago'")
    book = openpyxl.Workbook()
    book.active.title = "CFD 3.0 Codebook"
    book.active.append(["VarID", "VarLabel"])
    for title, people in PEOPLE.items():
        sheet = book.create_sheet(title)
        for row in sheet_rows(title, people):
            sheet.append([None if cell == "" else cell for cell in row])
    book.save(folder / WORKBOOK)
    return folder / WORKBOOK


@pytest.fixture
def copy(tmp_path: Path, place: Callable[[Path], Path]) -> Path:
    """A copy of the database as it unpacks, with its norming data as CSV."""
    root = tmp_path / "CFD Version 3.0"
    for file in FILES:
        place(root / "Images" / file)
    for title in PEOPLE:
        write_csv(root, title)
    return root


@pytest.mark.parametrize(
    ("stem", "person", "image_set", "expression"),
    [
        ("CFD-AF-200-228-N", "AF-200", "CFD", "N"),
        ("CFD-WM-257-161-HO", "WM-257", "CFD", "HO"),
        ("cfd-bf-001-025-hc", "BF-001", "CFD", "HC"),
        ("CFD-LF-200-058-F", "LF-200", "CFD", "F"),
        ("CFD-MF-300-002-N", "MF-300", "CFD-MR", "N"),
        ("CFD-IF-601-519-N", "IF-601-519", "CFD-INDIA", "N"),
        ("CFD-IF-644-306-1-N", "IF-644-306", "CFD-INDIA", "N"),
    ],
)
def test_names_as_the_database_has_them(stem: str, person: str, image_set: str, expression: str) -> None:
    found = parse_name(stem)
    assert found is not None
    assert (found.person, found.image_set, found.expression) == (person, image_set, expression)


@pytest.mark.parametrize(
    "stem", ["CFD-AF-200-N", "AF-200-228-N", "CFD-XF-200-228-N", "CFD-AF-200-228-N_crop", "CFD-AF-200-228-S"]
)
def test_other_names_are_not_the_databases(stem: str) -> None:
    assert parse_name(stem) is None


@pytest.mark.parametrize("below", ["", "Images", "Images/CFD"])
def test_people_with_attributes_and_measurements(copy: Path, below: str) -> None:
    test_set = load_test_set(f"chicago={copy / below}")
    subjects = {subject.id: subject for subject in test_set.subjects}
    everybody = ["AF-200", "BM-001", "IF-601-519", "IM-644-306", "MF-300"]
    assert list(subjects) == (everybody[:2] if below.endswith("CFD") else everybody)
    first, second = subjects["AF-200"], subjects["BM-001"]
    assert first.photograph == copy / "Images/CFD/AF-200/CFD-AF-200-228-N.jpg"
    assert second.photograph.name == "CFD-BM-001-043-N.jpg"
    assert first.attributes["gender"] == "female" and first.attributes["ethnicity"] == "asian"
    assert first.attributes["image_set"] == "CFD" and first.attributes["expression"] == "neutral"
    assert (first.attributes["age"], first.attributes["age_source"]) == ("32.5714", "rated")
    assert (second.attributes["age"], second.attributes["age_source"]) == ("24", "self-reported")
    assert first.attributes["NoseWidth"] == "190" and first.attributes["Attractive"] == "3.11"
    assert "" not in first.attributes and "AgeSelf" not in first.attributes  # deviations, and what is NA
    assert {subject.source for subject in test_set.subjects} == {"chicago"}


def test_the_extensions_have_their_own_ids_ratings_and_citations(copy: Path) -> None:
    subjects = {subject.id: subject for subject in load_test_set(f"chicago={copy}").subjects}
    mixed, indian, twice = subjects["MF-300"], subjects["IF-601-519"], subjects["IM-644-306"]
    assert mixed.attributes["ethnicity"] == "multiracial" and mixed.attributes["AgeSelf"] == "19"
    # Rated by two groups: what differs is kept twice, what is measured once.
    assert (indian.attributes["Attractive"], indian.attributes["Attractive_India"]) == ("2.9", "3.4")
    assert indian.attributes["age"] == "24.4" and "NoseWidth_India" not in indian.attributes
    assert twice.photograph.name == "CFD-IM-644-306-1-N.jpg" and twice.attributes["NoseWidth"] == "210"
    for subject in subjects.values():
        assert not subject.licence.redistributable and "no redistribution" in subject.licence.name
        assert "10.3758/s13428-014-0532-5" in subject.licence.citation
    assert "10.3758/s13428-020-01482-5" in mixed.licence.citation
    assert "10.3389/fpsyg.2021.627678" in indian.licence.citation


def test_excel_and_csv_say_the_same(copy: Path, tmp_path: Path) -> None:
    root = tmp_path / "excel"
    root.mkdir()
    from_excel = read_norms([write_workbook(root)])
    for delimiter in ",;\t":
        from_csv = read_norms([write_csv(copy, title, delimiter) for title in PEOPLE])
        assert list(from_csv.rows) == list(from_excel.rows)
        for person, row in from_csv.rows.items():
            other = from_excel.rows[person]
            assert row.keys() == other.keys()
            for column, value in row.items():
                if column[:3] in {"Age", "Att", "Nos"}:
                    assert float(value) == pytest.approx(float(other[column]), rel=1e-9)
                else:
                    assert value == other[column]


def test_csv_is_taken_before_excel(copy: Path) -> None:
    (copy / WORKBOOK).write_bytes(b"not looked at")
    assert [table.suffix for table in find_tables(copy / "Images" / "CFD")] == [".csv"] * 4


def test_another_expression_is_the_same_person(copy: Path) -> None:
    test_set = load_test_set(f"chicago={copy}#hc")
    assert [(s.id, s.photograph.name) for s in test_set.subjects] == [("BM-001", "CFD-BM-001-041-HC.jpg")]
    assert test_set.subjects[0].attributes["expression"] == EXPRESSIONS["HC"]
    with pytest.raises(UsageError, match="no expression 'SAD'; it has N "):
        load_test_set(f"chicago={copy}#SAD")
    with pytest.raises(InputError, match=r"no photograph .* expression HO .* only 6 N, 1 HC, 1 A|only 6 N, 1 A, 1 HC"):
        load_test_set(f"chicago={copy}#HO")


def test_a_folder_whose_name_holds_the_mark(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    place(tmp_path / "faces#HC" / "CFD-AF-200-228-N.jpg")
    assert len(load_test_set(f"chicago={tmp_path / 'faces#HC'}")) == 1


def test_a_flat_folder_without_norming_data(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    for file in FILES:
        place(tmp_path / Path(file).name)
    place(tmp_path / "__MACOSX" / "CFD-AF-201-060-N.jpg")
    place(tmp_path / "._CFD-AF-202-122-N.jpg")
    place(tmp_path / "holiday.jpg")
    (tmp_path / "read me.pdf").write_text("x")
    test_set = load_test_set(f"chicago={tmp_path}")
    assert [s.id for s in test_set.subjects] == ["AF-200", "BM-001", "IF-601-519", "IM-644-306", "MF-300"]
    assert dict(test_set.subjects[0].attributes) == {
        "gender": "female",
        "ethnicity": "asian",
        "image_set": "CFD",
        "expression": "neutral",
    }
    reasons = dict(test_set.skipped)
    assert set(reasons) == {"holiday.jpg", "CFD-IM-644-306-2-N.jpg", "norming data"}
    assert "is not one of the Chicago Face Database" in reasons["holiday.jpg"]
    assert "a second photograph of 'IM-644-306'" in reasons["CFD-IM-644-306-2-N.jpg"]
    assert "not found beside the photographs" in reasons["norming data"]


def test_two_files_of_one_name_are_one_person(copy: Path, place: Callable[[Path], Path]) -> None:
    twin = place(copy / "Images" / "selected" / "CFD-AF-200-228-N.jpg")
    test_set = load_test_set(f"chicago={copy}")
    assert [s.id for s in test_set.subjects].count("AF-200") == 1
    reason = dict(test_set.skipped)[str(twin)]
    assert "the id 'AF-200' is already that of" in reason and "CFD/AF-200" in reason.replace("\\", "/")


def test_a_photograph_of_the_databases_size_is_read_and_a_damaged_one_is_named(copy: Path) -> None:
    broken = copy / "Images" / "CFD" / "BM-001" / "CFD-BM-001-043-N.jpg"
    broken.write_bytes(broken.read_bytes()[:20_000])
    whole, damaged = load_test_set(f"chicago={copy / 'Images' / 'CFD'}").subjects
    assert read_photograph(whole.photograph).srgb.shape == (SIZE[1], SIZE[0], 3)
    with pytest.raises(ImageError, match=r"CFD-BM-001-043-N\.jpg.*truncated or damaged"):
        read_photograph(damaged.photograph)


def test_what_table_and_photographs_do_not_share_is_said(copy: Path, place: Callable[[Path], Path]) -> None:
    place(copy / "Images" / "CFD" / "WF-001" / "CFD-WF-001-003-N.jpg")
    (copy / "Images" / "CFD-MR" / "CFD-MF-300-002-N.jpg").unlink()
    test_set = load_test_set(f"chicago={copy}")
    said = [reason for _, reason in test_set.skipped]
    assert "no norming data for WF-001" in said
    assert "no photograph with expression N here for MF-300" in said
    stranger = next(s for s in test_set.subjects if s.id == "WF-001")
    assert stranger.attributes["ethnicity"] == "white" and "age" not in stranger.attributes


def test_a_person_with_two_rows(tmp_path: Path, place: Callable[[Path], Path]) -> None:
    place(tmp_path / "CFD-AF-200-228-N.jpg")
    (tmp_path / "norming.csv").write_text("Target,Race,Gender,Age\nAF-200,A,F,20\nAF-200,A,F,40\n")
    test_set = load_test_set(f"chicago={tmp_path}")
    assert test_set.subjects[0].attributes["age"] == "20"  # version 2 calls its columns so
    assert any("'AF-200' has two rows" in reason for _, reason in test_set.skipped)


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--data chicago=PATH"):
        load_test_set("chicago")
    with pytest.raises(InputError, match="does not exist"):
        load_test_set(f"chicago={tmp_path / 'none'}")
    (tmp_path / "001_03.jpg").write_text("x")
    with pytest.raises(InputError, match=r"is not the Chicago Face Database: .* CFD-AF-200-228-N\.jpg.*chicagofaces"):
        load_test_set(f"chicago={tmp_path}")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("norming.csv", b"Model,Age\nWM-999,30\n", "norming data of 1 people, but none of those photographed here"),
        ("norming.csv", b"id,age\nAF-200,30\n", "no column 'Model' in its first 30 rows"),
        ("norming.csv", b"Model,age\n", "names no person under 'Model'"),
        ("norming.csv", b"Model,age\n\xff\xfe,30\n", "not UTF-8 text"),
        (WORKBOOK, b"PK no workbook", "cannot be read as an Excel workbook"),
        ("CFD 2.0 norming data.xls", b"x", "save it as .xlsx"),
    ],
)
def test_bad_tables(tmp_path: Path, place: Callable[[Path], Path], name: str, content: bytes, said: str) -> None:
    if name == WORKBOOK:
        pytest.importorskip("openpyxl", reason="needs openpyxl, the extra 'chicago'")
    place(tmp_path / "CFD-AF-200-228-N.jpg")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        load_test_set(f"chicago={tmp_path}")
    assert name in str(caught.value)


def test_excel_without_its_package(
    tmp_path: Path, place: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path / "CFD-AF-200-228-N.jpg")
    (tmp_path / WORKBOOK).write_bytes(b"x")
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(InputError, match=r"pip install 'mesoface\[chicago\]', or save .* as CSV"):
        load_test_set(f"chicago={tmp_path}")


def test_the_portrait_is_not_blank(place: Callable[[Path], Path], tmp_path: Path) -> None:
    """The generated stand-in has a face in it, or the tests above would read empty sheets."""
    picture = np.asarray(Image.open(place(tmp_path / "p.jpg")))
    assert picture.shape == (SIZE[1], SIZE[0], 3) and picture.std() > 50
