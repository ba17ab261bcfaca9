"""Test sets: the folder and London adapters on good and on bad folders, and the demo set."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.data import load_test_set
from recon.data.demo import astronaut
from recon.data.folder import read_table
from recon.data.london import read_tem
from recon.errors import AssetError, InputError, UsageError
from recon.images import read_photograph


def photograph(path: Path, colour: str = "grey") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (128, 128), colour).save(path)
    return path


def test_folder_without_a_table(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "c d.jpeg"):
        photograph(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no photograph")
    (tmp_path / ".hidden.jpg").write_text("not looked at")
    test_set = load_test_set(f"folder={tmp_path}")
    assert [subject.id for subject in test_set.subjects] == ["a", "b", "c_d"]
    assert {subject.source for subject in test_set.subjects} == {"folder"}
    assert test_set.subjects[0].licence.name == "unknown"
    assert not test_set.subjects[0].licence.redistributable
    assert [name for name, _ in test_set.skipped] == ["notes.txt"]


def test_folder_with_a_table(tmp_path: Path) -> None:
    photograph(tmp_path / "one.jpg")
    photograph(tmp_path / "deep" / "two.png")
    # As Excel saves it: byte order mark, semicolons, blanks, an empty row.
    (tmp_path / "subjects.csv").write_text(
        "\ufeffID; File ;age;Gender;licence;citation\np2;deep/two.png;31;female;CC0;\n;;;;;\np1;one.jpg;;male;;Me\n",
        encoding="utf-8",
    )
    first, second = load_test_set(f"folder={tmp_path}").subjects
    assert (first.id, second.id) == ("p1", "p2")
    assert second.attributes == {"age": "31", "gender": "female"}
    assert second.licence.name == "CC0"
    assert first.licence.name == "unknown"
    assert first.licence.citation == "Me"
    assert first.attributes == {"gender": "male"}
    assert second.photograph == tmp_path / "deep" / "two.png"


def test_faulty_rows_are_skipped_and_the_others_go_on(tmp_path: Path) -> None:
    photograph(tmp_path / "good.jpg")
    photograph(tmp_path / "twin.jpg")
    photograph(tmp_path.parent / "outside.jpg")
    (tmp_path / "readme.md").write_text("x")
    rows = ["a,good.jpg", "A,twin.jpg", "b,gone.jpg", "c,readme.md", "d,../outside.jpg", "e,"]
    (tmp_path / "subjects.csv").write_text("id,file\n" + "\n".join(rows) + "\n")
    test_set = load_test_set(f"folder={tmp_path}")
    assert [subject.id for subject in test_set.subjects] == ["a"]
    reasons = dict(test_set.skipped)
    assert "already that of 'good.jpg'" in reasons["twin.jpg"]
    assert "does not exist" in reasons["gone.jpg"]
    assert "not the ending of a photograph" in reasons["readme.md"]
    assert "outside the folder" in reasons["../outside.jpg"]
    assert "names no file" in reasons["subjects.csv, row 7"]


def test_ids_are_safe_as_folder_names(tmp_path: Path) -> None:
    photograph(tmp_path / "x.jpg")
    photograph(tmp_path / "y.jpg")
    (tmp_path / "subjects.csv").write_text("id,file\n../../etc,x.jpg\nAnna Müller/2,y.jpg\n", encoding="utf-8")
    ids = [subject.id for subject in load_test_set(f"folder={tmp_path}").subjects]
    assert sorted(ids) == ["Anna_M_ller_2", "_.._etc"]


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="folder=PATH"):
        load_test_set("folder")
    with pytest.raises(InputError, match="does not exist"):
        load_test_set(f"folder={tmp_path / 'none'}")
    with pytest.raises(InputError, match="is a file"):
        load_test_set(f"folder={photograph(tmp_path / 'a.jpg')}")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="holds no usable photograph: put"):
        load_test_set(f"folder={empty}")
    (empty / "a.txt").write_text("x")
    with pytest.raises(InputError, match=r"skipped: 1; the first, .a\.txt"):
        load_test_set(f"folder={empty}")


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"id,name\n1,a.jpg\n", "no column 'file'"), (b"", "no column 'file'"), (b"\xff\xfe\x00file", "not UTF-8")],
)
def test_bad_tables(tmp_path: Path, content: bytes, said: str) -> None:
    photograph(tmp_path / "a.jpg")
    (tmp_path / "subjects.csv").write_bytes(content)
    with pytest.raises(InputError, match=rf"subjects\.csv.*{said}"):
        load_test_set(f"folder={tmp_path}")


def test_table_with_more_cells_than_columns(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,file\n1,a.jpg,surplus\n2\n")
    assert read_table(tmp_path / "t.csv", ("file",)) == [{"id": "1", "file": "a.jpg"}, {"id": "2", "file": ""}]


def test_unknown_set_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown data set 'londn': did you mean 'london'"):
        load_test_set("londn=somewhere")


def fake_london(folder: Path, table: str = "london_info.csv", prefix: str = "", gender: str = "face_gender") -> Path:
    for name in ("001", "003"):
        photograph(folder / "neutral_front" / f"{name}_03.jpg")
    rows = [f"{prefix}001,24,female,white", f"{prefix}002,27,male,east_asian", f"{prefix}003,NA,male,black"]
    (folder / table).write_text(f"face_id,face_age,{gender},face_eth\n" + "\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize(
    ("table", "prefix", "gender"),
    [("london_info.csv", "", "face_gender"), ("london_faces_info.csv", "X", "face_sex")],
)
@pytest.mark.parametrize("below", ["", "neutral_front"])
def test_london_layouts(tmp_path: Path, table: str, prefix: str, gender: str, below: str) -> None:
    fake_london(tmp_path, table, prefix, gender)
    test_set = load_test_set(f"london={tmp_path / below}")
    assert [subject.id for subject in test_set.subjects] == ["001", "003"]
    assert test_set.subjects[0].attributes == {"age": "24", "gender": "female", "ethnicity": "white"}
    assert test_set.subjects[1].attributes == {"gender": "male", "ethnicity": "black"}
    assert test_set.skipped == (("002_03.jpg", "in the table, but its photograph is absent"),)
    assert test_set.subjects[0].licence.name == "CC BY 4.0"
    assert "10.6084/m9.figshare.5047666" in test_set.subjects[0].licence.citation


def test_what_is_not_the_london_set(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not the London set"):
        load_test_set(f"london={tmp_path}")
    fake_london(tmp_path)
    (tmp_path / "london_info.csv").unlink()
    with pytest.raises(InputError, match=r"lacks its table london_info\.csv"):
        load_test_set(f"london={tmp_path}")


def test_london_without_a_path_is_the_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESOFACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MESOFACE_ASSET_LONDON", raising=False)
    with pytest.raises(AssetError, match="mesoface assets fetch london"):
        load_test_set("london")
    monkeypatch.setenv("MESOFACE_ASSET_LONDON", str(fake_london(tmp_path / "set")))
    assert len(load_test_set("london")) == 2


def test_real_london_set(london_folder: Path) -> None:
    """76 of the 102 people of the table have their photograph here (README of the shared data)."""
    test_set = load_test_set(f"london={london_folder}")
    assert len(test_set) + len(test_set.skipped) == 102
    assert len(test_set) >= 20
    assert test_set.subjects[0].id == "001"
    assert test_set.subjects[0].attributes == {"age": "24", "gender": "female", "ethnicity": "white"}


def test_real_template_marks_the_face(london_folder: Path) -> None:
    """189 points (the set's documentation), all in the 1350² picture; the first two are the pupils."""
    path = london_folder / "neutral_front" / "001_03.tem"
    points, lines = read_tem(path)
    assert points.shape == (189, 2)
    assert points.min() >= 0
    assert points.max() < 1350
    assert {len(line) > 1 for line in lines} == {True}
    (right, left), srgb = points[:2].astype(int), read_photograph(path.with_suffix(".jpg")).srgb
    assert right[0] < left[0]
    for x, y in (right, left):
        pupil = srgb[y - 4 : y + 5, x - 4 : x + 5].mean()
        assert pupil < srgb[y + 80 : y + 120, x - 20 : x + 20].mean()  # darker than the cheek below


@pytest.mark.parametrize(
    "text", ["", "three", "2\n1 2\n", "1\n1 2 3\n0\n", "1\n1 2\n1\n0\n2\n0 5\n", "1\n1 2\n2\n0\n1\n0\n"]
)
def test_damaged_template(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.tem").write_text(text)
    with pytest.raises(InputError, match=r"a\.tem' is not a WebMorph template"):
        read_tem(tmp_path / "a.tem")


def test_astronaut_is_the_picture_that_scikit_image_ships(tmp_path: Path) -> None:
    from skimage.data import astronaut as shipped

    subject = astronaut(tmp_path)
    assert subject.licence.name == "public domain"
    assert subject.licence.redistributable
    assert np.array_equal(np.round(read_photograph(subject.photograph).srgb * 255).astype(np.uint8), shipped())
    written = subject.photograph.stat().st_mtime_ns
    assert astronaut(tmp_path).photograph.stat().st_mtime_ns == written


def test_demo_takes_no_path(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="takes no path"):
        load_test_set(f"demo={tmp_path}")


def test_subjects_hold_for_a_copied_folder(london_folder: Path, tmp_path: Path) -> None:
    """Ids and attributes depend on the files alone, not on where they lie."""
    for name in ("001_03.jpg", "003_03.jpg"):
        (tmp_path / "neutral_front").mkdir(exist_ok=True)
        shutil.copy(london_folder / "neutral_front" / name, tmp_path / "neutral_front")
    shutil.copy(london_folder / "london_info.csv", tmp_path)
    original = {subject.id: subject for subject in load_test_set(f"london={london_folder}").subjects}
    for subject in load_test_set(f"london={tmp_path}").subjects:
        assert subject.attributes == original[subject.id].attributes


@pytest.mark.slow
def test_demo_set_has_the_astronaut_and_made_up_people(monkeypatch: pytest.MonkeyPatch) -> None:
    from recon.data import demo

    monkeypatch.setattr(demo, "SYNTHETIC_SUBJECTS", 1)
    monkeypatch.setattr(demo, "SYNTHETIC_SIZE", 128)
    test_set = load_test_set("demo")
    assert [subject.synthetic for subject in test_set.subjects] == [False, True]
    made = test_set.subjects[1]
    assert made.truth is not None
    assert np.load(made.truth.albedo).shape == (128, 128, 3)
    for subject in test_set.subjects:
        assert subject.licence.redistributable
        assert read_photograph(subject.photograph).srgb.std() > 0.05
