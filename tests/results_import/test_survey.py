"""``mesoface results import``: what a folder holds is checked, and what is missing or unusable named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import png
import pytest
from import_toy import Outcome, tree
from PIL import Image

from recon.runs.folder import ResultKey, RunFolder
from recon.runs.importing.pictures import read_picture


def test_a_dry_run_writes_nothing(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    before = tree(run.path)
    code, said, _ = command(views, "--dry-run")
    assert (code, len(said["fits"]), said["imported"]) == (0, 4, None)
    assert tree(run.path) == before


def test_gaps_and_strangers_are_named_and_the_rest_is_imported(
    run: RunFolder, views: Path, command: Callable[..., Outcome]
) -> None:
    (views / "identity" / "bert.png").rename(views / "identity" / "brt.png")
    (views / "blur-3").rename(views / "blur-4")
    code, said, _ = command(views, "--kind", "views")
    assert code == 5
    assert said["imported"]["made"] == 1
    assert said["missing"] == [
        {"protocol": "identity", "subject": "bert"},
        {"protocol": "blur:3", "subject": "anna"},
        {"protocol": "blur:3", "subject": "bert"},
    ]
    reasons = {entry["file"]: entry["reason"] for entry in said["extra"]}
    assert "did you mean 'bert'" in reasons["identity/brt.png"]
    assert "did you mean 'blur-3'" in reasons["blur-4/"]


def sixteen_bits(path: Path, size: tuple[int, int]) -> None:
    rows = np.full((size[1], size[0] * 3), 40000, np.uint16)
    with path.open("wb") as file:
        png.Writer(*size, bitdepth=16, greyscale=False).write(file, rows.tolist())


def spoil(path: Path, how: str) -> None:
    with Image.open(path) as image:
        picture, size = image.copy(), image.size
    if how == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "no picture":
        path.write_text("no picture")
    elif how == "one pixel":
        picture.crop((0, 0, 1, 1)).save(path)
    elif how == "other size":
        picture.resize((size[0] + 1, size[1])).save(path)
    elif how == "cmyk":
        picture.convert("CMYK").save(path, format="TIFF")
    elif how == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.save(path, exif=exif)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("truncated", "truncated or damaged"),
        ("empty", "is an empty file"),
        ("no picture", "is no picture that can be read"),
        ("one pixel", "is 1×1, a view of it has"),
        ("other size", "a view of it has"),
        ("cmyk", "colour mode CMYK"),
        ("turned", "save it upright"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_and_the_others_go_on(
    run: RunFolder, views: Path, command: Callable[..., Outcome], how: str, words: str
) -> None:
    spoil(views / "identity" / "anna.png", how)
    code, said, _ = command(views, "--kind", "views")
    assert code == 5
    assert said["imported"]["made"] == 3
    (bad,) = said["unusable"]
    assert (bad["protocol"], bad["subject"]) == ("identity", "anna")
    assert "anna.png" in bad["message"] and words in bad["message"]
    assert not run.result(ResultKey("theirs", "identity", "anna")).exists()


def test_what_is_unusual_about_a_picture_is_said(tmp_path: Path) -> None:
    """Modes that Pillow and pypng write; 40000 of 65535 is 155.6 of 255, of which Pillow keeps 40000 >> 8 = 156."""
    path = tmp_path / "a.png"
    sixteen_bits(path, (8, 6))
    deep = read_picture(path)
    assert deep.notes == ("16 bits, kept as 8",) and deep.size == (8, 6)
    assert deep.srgb == pytest.approx(156 / 255, abs=1e-6)
    Image.new("L", (8, 6), 51).save(path)
    assert read_picture(path).notes == ("grey",)
    assert read_picture(path).srgb == pytest.approx(0.2, abs=1e-6)
    Image.new("I;16", (8, 6), 13107).save(path)
    assert read_picture(path).srgb == pytest.approx(0.2, abs=1e-6)
    Image.new("RGBA", (8, 6), (1, 2, 3, 255)).save(path)
    opaque = read_picture(path)
    assert opaque.alpha is None and "opaque" in opaque.notes[0]
    Image.new("RGB", (8, 6)).save(tmp_path / "a.jpg")
    assert "compression" in read_picture(tmp_path / "a.jpg").notes[0]


def test_the_kind_is_asked_for_where_files_do_not_tell(
    run: RunFolder, albedos: Path, views: Path, command: Callable[..., Outcome]
) -> None:
    shutil.copy(albedos / "identity" / "anna_front.png", views / "identity" / "anna.png")
    code, _, error = command(views)
    assert code == 2
    assert "--kind" in error


def test_a_missing_folder_an_empty_one_and_an_unknown_protocol(
    run: RunFolder, views: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    code, _, error = command(tmp_path / "nowhere")
    assert (code, "is no folder" in error) == (3, True)
    (tmp_path / "empty").mkdir()
    code, _, error = command(tmp_path / "empty")
    assert (code, "holds nothing of the kind" in error) == (3, True)
    code, _, error = command(views, "--protocols", "blur:4")
    assert (code, "did you mean 'blur:3'" in error) == (2, True)


def test_a_run_that_lacks_a_reference_says_so(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    (run.judged("bert", "identity") / "reference.json").unlink()
    code, said, _ = command(views, "--kind", "views")
    assert (code, said["imported"]["made"]) == (5, 3)
    assert "no complete reference" in said["unusable"][0]["message"]
