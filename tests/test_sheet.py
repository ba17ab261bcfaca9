"""The contact sheet: right pictures in right cells, crops that are not resampled, reasons where one is missing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from recon.errors import InputError, UsageError
from recon.images import write_png
from recon.runs.folder import FORMAT, ResultKey, RunFolder, file_hashes
from recon.sheet import CELL, GAP, HEADER, LABEL, _credits, draw_sheet
from recon.storage import read_json, write_json

WIDTH, HEIGHT = 400, 500
BOX = (50, 40, 350, 440)
COLOURS = {"photo": (200, 60, 60), "meso": (60, 200, 60), "pca": (60, 60, 200)}
INTEROCULAR = 200.0  # crops of 160 pixels


def flat(name: str, size: tuple[int, int]) -> np.ndarray:
    return np.broadcast_to(np.array(COLOURS[name], np.float32) / 255, (*size, 3)).copy()


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    subjects = ["anna", "bert"]
    config = {"format": FORMAT, "methods": {"meso": {}, "pca": {}}, "protocols": ["identity"], "subjects": subjects}
    write_json(run.config, config)
    for name in subjects:
        photo = flat("photo", (HEIGHT, WIDTH))
        photo[:40] = photo[440:] = 0  # outside the crop
        # A pattern of single pixels around the cheek: a crop that is resampled would blur it.
        photo[200:300:2, 100:200:2] = 1.0
        write_png(run.reference(name) / "photo.png", photo)
        licence = {"name": "CC0", "citation": "Nobody"}
        write_json(run.reference(name) / "subject.json", {"attributes": {"age": "30"}, "licence": licence})
        place = run.judged(name, "identity")
        places = {side: {key: [100.0, 210.0] for key in ("cheek", "forehead", "jaw")} for side in ("left", "right")}
        record = {"crop": list(BOX), "places": places, "fit": {"interocular": INTEROCULAR, "verdict": "pass"}}
        write_json(place / "reference.json", {**record, "files": {}})
        for method in ("meso", "pca"):
            result = run.result(ResultKey(method, "identity", name))
            write_png(result / "views" / "fitted.png", flat(method, (BOX[3] - BOX[1], BOX[2] - BOX[0])))
            write_json(result / "result.json", {"files": file_hashes(result, ["views/fitted.png"])})
    return run


def cell(sheet: Image.Image, column: int, top: int, height: int = CELL) -> np.ndarray:
    left = LABEL + column * (CELL + GAP)
    return np.asarray(sheet)[top : top + height, left : left + CELL]


def test_photograph_first_then_the_methods_in_their_order(folder: RunFolder) -> None:
    with Image.open(draw_sheet(folder)) as sheet:
        for row in range(2):
            top = HEADER + row * (CELL + GAP)
            for column, name in enumerate(("photo", "meso", "pca")):
                shown = cell(sheet, column, top)
                middle = shown[CELL // 2 + 60, CELL // 2 + 60]
                assert np.abs(middle.astype(int) - COLOURS[name]).max() <= 2, f"row {row}, {name}"
            # The photograph is cropped to the face: nothing of its black border is left.
            assert (cell(sheet, 0, top).max(axis=-1) > 100).all()


def test_crops_show_every_pixel_of_the_photograph_as_it_is(folder: RunFolder) -> None:
    path = draw_sheet(folder, crops=True, subjects=["anna"])
    with Image.open(path) as sheet, Image.open(folder.reference("anna") / "photo.png") as photo:
        shown = cell(sheet, 0, HEADER + CELL + GAP, 160)[:, (CELL - 160) // 2 : (CELL + 160) // 2]
        x, y = BOX[0] + 100, BOX[1] + 210
        expected = np.asarray(photo)[y - 80 : y + 80, x - 80 : x + 80]
    assert shown.std() > 20
    assert (shown == expected).all()


def test_a_missing_result_shows_why(folder: RunFolder) -> None:
    key = ResultKey("pca", "identity", "bert")
    (folder.result(key) / "result.json").unlink()
    write_json(folder.result(key) / "failure.json", {"error": "FitError", "message": "the face is turned away"})
    with Image.open(draw_sheet(folder)) as sheet:
        explained = cell(sheet, 2, HEADER + CELL + GAP)
        other = cell(sheet, 2, HEADER)
    assert not np.isin(COLOURS["pca"][2], explained[..., 2][explained[..., 0] == 60]).any()
    assert (explained == 236).all(axis=-1).mean() > 0.8
    assert (explained.max(axis=-1) < 150).any(), "no text was written"
    assert np.abs(other[CELL // 2, CELL // 2].astype(int) - COLOURS["pca"]).max() <= 2


def test_one_can_choose_what_is_shown(folder: RunFolder, tmp_path: Path) -> None:
    path = draw_sheet(folder, methods=["pca"], subjects=["bert"], out=tmp_path / "one.png")
    assert path == tmp_path / "one.png"
    with Image.open(path) as sheet:
        assert sheet.width == LABEL + 2 * (CELL + GAP) + GAP
        assert sheet.height < HEADER + 2 * CELL


@pytest.mark.parametrize("choice", [{"methods": ["deep"]}, {"subjects": ["carl"]}, {"protocol": "blur:8"}])
def test_unknown_names_are_refused_with_the_known_ones(folder: RunFolder, choice: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="it has"):
        draw_sheet(folder, **choice)  # type: ignore[arg-type]


def test_made_up_people_are_not_called_photographed(folder: RunFolder) -> None:
    path = folder.reference("bert") / "subject.json"
    write_json(path, {**read_json(path), "synthetic": True})
    assert _credits(folder, ["anna", "bert"], 1000) == [
        "photographs: CC0: Nobody",
        "computer-made pictures: CC0: Nobody",
    ]


def test_a_run_without_results_says_so(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    write_json(run.config, {"format": FORMAT, "methods": {"meso": {}}, "protocols": ["identity"], "subjects": ["a"]})
    with pytest.raises(InputError, match="nothing to show"):
        draw_sheet(run)
