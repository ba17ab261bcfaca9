"""`mesoface run` as a user meets it on photographs that cannot be used: one sentence each, an exit code, nothing lost.

The pictures are made here: of NASA's public-domain portrait of Eileen Collins and of nothing at all. What decoding
alone has to say is in ``test_images``, what a run does about failures in ``runs/``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw
from skimage import data

ROOT = Path(__file__).resolve().parent.parent
# What the message about each unusable photograph must say: what is wrong, and the mend.
SAID = {
    "black": ("no face was found in 'black.png'", "use a photograph"),
    "cat": ("no face was found in 'cat.png'", "use a photograph"),
    "drawing": ("drawing.png", "use a photograph"),
    "empty": ("empty.png' is an empty file", "copy it again"),
    "not-an-image": ("not-an-image.jpg' is not an image", "save it as"),
    "sunglasses": ("sunglasses.png", "use a photograph"),
    "tiny": ("tiny.png' is too small (40×40 pixels)", "needs at least"),
    "truncated": ("truncated.jpg' cannot be decoded", "copy it again"),
}
USABLE = ("cmyk", "rotated", "six-faces")


def sentences(stderr: str) -> int:
    """How many lines of the error stream are errors and not progress; the last must be one."""
    lines = stderr.splitlines()
    assert lines[-1].startswith("mesoface: ")
    return sum(line.startswith("mesoface: ") for line in lines)


def mesoface(*arguments: str | Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mesoface", *(str(argument) for argument in arguments)]
    environment = {**os.environ, "COLUMNS": "400"}  # so that no message is broken into lines
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment, timeout=timeout
    )


def mirror(folder: Path, out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    options = ["--methods", "mirror", "--size", "128", "--face-model", "anny", "--jobs", "2"]
    return mesoface("run", "--data", f"folder={folder}", *options, "--out", out, *more)


def write_pictures(folder: Path) -> None:
    folder.mkdir()
    portrait = Image.fromarray(data.astronaut())
    Image.new("RGB", (300, 300), "black").save(folder / "black.png")
    Image.fromarray(data.cat()).save(folder / "cat.png")
    _drawing().save(folder / "drawing.png")
    (folder / "empty.png").write_bytes(b"")
    (folder / "not-an-image.jpg").write_text("minutes of the meeting")
    sunglasses = portrait.copy()
    ImageDraw.Draw(sunglasses).rectangle((175, 90, 285, 135), fill=(5, 5, 5))
    sunglasses.save(folder / "sunglasses.png")
    portrait.resize((40, 40)).save(folder / "tiny.png")
    portrait.save(folder / "whole.jpg")
    encoded = (folder / "whole.jpg").read_bytes()
    (folder / "whole.jpg").unlink()
    (folder / "truncated.jpg").write_bytes(encoded[: len(encoded) // 2])

    portrait.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    portrait.transpose(Image.Transpose.ROTATE_90).save(folder / "rotated.jpg", quality=95, exif=orientation)
    Image.fromarray(np.tile(data.astronaut()[:300, 90:390], (2, 3, 1))).save(folder / "six-faces.png")


def _drawing() -> Image.Image:
    sheet = Image.new("RGB", (500, 500), "white")
    pen = ImageDraw.Draw(sheet)
    for box in ((100, 60, 400, 440), (170, 190, 220, 220), (280, 190, 330, 220)):
        pen.ellipse(box, outline="black", width=4)
    pen.line((250, 220, 240, 300, 260, 300), fill="black", width=3)
    pen.arc((190, 310, 310, 380), 0, 180, fill="black", width=3)
    return sheet


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bad-input") / "photographs"
    write_pictures(folder)
    return folder


@pytest.fixture(scope="module")
def outcome(photographs: Path, asset: Callable[[str], Path]) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run over all the pictures, and its folder."""
    asset("dlib-landmarks")
    out = photographs.parent / "run"
    return mirror(photographs, out, "--json"), out


def results(out: Path) -> dict[str, bytes]:
    """Every file of the finished results by name, less the times."""
    folder = out / "results" / "mirror" / "identity"
    made = [folder / name for name in USABLE]
    files = [file for each in made for file in each.rglob("*") if file.is_file() and file.name != "timings.json"]
    return {str(file.relative_to(out)): file.read_bytes() for file in files}


@pytest.mark.slow
def test_each_unusable_photograph_gets_one_sentence(
    outcome: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, _ = outcome
    assert done.returncode == 5, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    said = {entry["subject"]: entry["message"] for entry in summary["failed"]}
    assert sorted(said) == sorted(SAID)
    for name, parts in SAID.items():
        assert all(part in said[name] for part in parts), said[name]
        assert "\n" not in said[name]


@pytest.mark.slow
def test_the_usable_ones_are_made_and_what_was_done_to_them_is_said(
    outcome: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, out = outcome
    summary = json.loads(done.stdout)
    assert summary["made"] == len(USABLE)
    assert any("6 faces were found in 'six-faces.png'; the largest was taken" in note for note in summary["notes"])
    record = json.loads((out / "reference" / "rotated" / "subject.json").read_text())
    assert any("turned upright" in note for note in record["notes"])
    # The same portrait, upright and on its side, gives the same face but for JPEG's rounding.
    verdicts = [
        json.loads((out / "results" / "mirror" / "identity" / name / "result.json").read_text())["fit"]
        for name in ("cmyk", "rotated")
    ]
    assert verdicts[0]["interocular"] == pytest.approx(verdicts[1]["interocular"], abs=2.0)


@pytest.mark.slow
def test_a_photograph_that_was_mended_is_made_and_the_others_are_kept(
    outcome: tuple[subprocess.CompletedProcess[str], Path], photographs: Path
) -> None:
    _, out = outcome
    before = results(out)
    Image.fromarray(data.astronaut()).save(photographs / "truncated.jpg", quality=95)
    again = json.loads(mirror(photographs, out, "--json").stdout)
    assert (again["made"], again["kept"], len(again["failed"])) == (1, len(USABLE), len(SAID) - 1)
    assert results(out) == before


def test_a_folder_without_photographs(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("nothing to see")
    done = mirror(tmp_path / "empty", tmp_path / "run")
    assert done.returncode == 3
    assert "holds no usable photograph" in done.stderr
    assert "put " in done.stderr
    assert sentences(done.stderr) == 1
    assert not (tmp_path / "run" / "results").exists()


def test_a_database_of_one(tmp_path: Path, asset: Callable[[str], Path]) -> None:
    """The one other person cannot be combined with anybody; said before anything is reconstructed."""
    asset("dlib-landmarks")
    for name in ("people", "others"):
        (tmp_path / name).mkdir()
        Image.fromarray(data.astronaut()).save(tmp_path / name / f"{name}.png")
    options = ["--methods", "pca", "--size", "128", "--face-model", "anny", "--out", tmp_path / "run"]
    done = mesoface(
        "run", "--data", f"folder={tmp_path / 'people'}", "--database", f"folder={tmp_path / 'others'}", *options
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "1 usable besides the tested" in done.stderr
    assert "add photographs" in done.stderr
    assert sentences(done.stderr) == 1
