"""``mesoface results import``: another system's pictures become results as the run itself makes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from import_toy import PEOPLE, PROTOCOLS, SIZE, Outcome, everyone
from PIL import Image
from texture_toy import face, known_fit

from recon.images import read_png
from recon.runs.folder import ResultKey, RunFolder
from recon.runs.pictures import PictureOrder, pending
from recon.runs.views import crop_box, cropped
from recon.storage import read_json
from recon.texture.completion import face_masks


def test_views_become_results_of_the_same_bytes(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    """The same files are the same numbers, whatever measures them."""
    code, said, _ = command(views, "--licence", "CC0", "--source", "a paper")
    assert code == 0
    assert (said["kind"], said["guessed"], said["imported"]["made"]) == ("views", True, 4)
    for protocol, name in everyone():
        theirs, own = (run.result(ResultKey(method, protocol, name)) for method in ("theirs", "own"))
        record = run.finished(ResultKey("theirs", protocol, name))
        assert record is not None
        assert sorted(record["files"]) == ["views/fitted.png", "views/fitted_mask.png"]
        for file in record["files"]:
            assert (theirs / file).read_bytes() == (own / file).read_bytes()
    parameters = run.read_config()["methods"]["theirs"]
    assert {k: parameters[k] for k in ("imported", "source", "licence", "files")} == {
        "imported": "views",
        "source": "a paper",
        "licence": "CC0",
        "files": 8,
    }
    assert len(parameters["sha256"]) == 64


def test_a_view_of_the_whole_photograph_is_cut_to_the_crop(
    run: RunFolder, views: Path, command: Callable[..., Outcome]
) -> None:
    fit = known_fit()
    box = crop_box(face(), fit)
    whole = np.random.default_rng(0).integers(0, 256, (fit.camera.height, fit.camera.width, 3)).astype(np.uint8)
    (views / "identity" / "anna.mask.png").unlink()
    Image.fromarray(whole).save(views / "identity" / "anna.png")
    code, said, _ = command(views, "--kind", "views")
    assert code == 0, said
    place = run.result(ResultKey("theirs", "identity", "anna")) / "views"
    assert (np.asarray(Image.open(place / "fitted.png")) == cropped(whole, box)).all()
    assert read_png(place / "fitted_mask.png").all(), "without a mask the whole picture counts"


def test_a_transparent_view_lies_over_what_the_method_was_given(
    run: RunFolder, views: Path, command: Callable[..., Outcome]
) -> None:
    file = views / "identity" / "anna.png"
    (views / "identity" / "anna.mask.png").unlink()
    colours = np.asarray(Image.open(file))
    alpha = np.zeros(colours.shape[:2], np.uint8)
    alpha[20:60, 20:60], alpha[60:80, 20:60] = 255, 51
    Image.fromarray(np.dstack([colours, alpha])).save(file)
    code, said, _ = command(views, "--kind", "views")
    assert code == 0
    assert ["has an alpha channel"] in [fit["notes"] for fit in said["fits"]]
    place = run.result(ResultKey("theirs", "identity", "anna")) / "views"
    given = cropped(read_png(run.given("anna", "identity")), crop_box(face(), known_fit()))
    assert (read_png(place / "fitted_mask.png") == (alpha == 255)).all()
    made = read_png(place / "fitted.png")
    weight = alpha[..., None] / 255
    assert made == pytest.approx(weight * colours / 255 + (1 - weight) * given, abs=0.6 / 255)


def test_an_albedo_map_is_rendered_as_the_run_renders(
    run: RunFolder, albedos: Path, command: Callable[..., Outcome]
) -> None:
    """Of an albedo that 8 bits hold exactly, every file is the one that the run itself made."""
    code, said, _ = command(albedos)
    assert (code, said["kind"]) == (0, "albedo")
    for protocol, name in everyone():
        theirs, own = (run.result(ResultKey(method, protocol, name)) for method in ("theirs", "own"))
        for file in ("albedo.png", "mask.png", "views/fitted_mask.png", "views/fitted.png"):
            assert read_png(theirs / file) == pytest.approx(read_png(own / file), abs=1e-6), file
        assert (theirs / "head.glb").is_file()


def test_an_albedo_of_another_size_is_averaged_and_its_mask_kept(
    run: RunFolder, albedos: Path, command: Callable[..., Outcome]
) -> None:
    """A map of doubled texels has the mean of four equal ones."""
    file = albedos / "identity" / "anna_front.png"
    pixels = np.asarray(Image.open(file))
    marked = np.zeros(pixels.shape[:2], bool)
    marked[:, : SIZE // 2] = True
    Image.fromarray(pixels.repeat(2, 0).repeat(2, 1)).save(file)
    Image.fromarray(marked.repeat(2, 0).repeat(2, 1)).save(file.with_name("anna_front.mask.png"))
    assert command(albedos, "--kind", "albedo")[0] == 0
    place = run.result(ResultKey("theirs", "identity", "anna"))
    assert (np.asarray(Image.open(place / "albedo.png")) == pixels).all()
    assert (read_png(place / "mask.png") == (marked & face_masks(face(), SIZE).face)).all()


def test_imported_views_have_no_head_to_render(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    from recon.errors import UsageError
    from recon.runs.pictures import render_run

    assert command(views)[0] == 0
    order = PictureOrder(run.path, "gbuffer", ("fitted",))
    tasks, _ = pending(order, run, ["own", "theirs"], list(PROTOCOLS), list(PEOPLE))
    assert {task.key.method for task in tasks} == {"own"}
    with pytest.raises(UsageError, match="imported as views"):
        render_run(order, lambda stage, done, total: None, methods=["theirs"])


def test_another_version_of_the_face_model_is_refused(
    run: RunFolder, albedos: Path, command: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recon.face_model.load_face_model", lambda name: replace(face(), version="2"))
    code, _, error = command(albedos)
    assert (code, "version 1" in error) == (3, True)
    assert read_json(run.config)["methods"]["own"] == {}
