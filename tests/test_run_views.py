"""The pictures of a result: crops keep pixels and geometry, and a real portrait goes all the way through a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon.data.protocols import parse_protocols
from recon.errors import InputError, UsageError
from recon.fitting.camera import Camera
from recon.images import read_png
from recon.render_commands import draw_views, render
from recon.rendering.hdr import read_radiance, tone_map
from recon.rendering.scene import Scene
from recon.runs import ResultKey, RunConfig, Summary, execute
from recon.runs.pictures import PictureOrder, PictureOutcome, PictureTask, PictureWorker, pending, render_run
from recon.runs.views import at_texels, cropped, cropped_camera, read_vertices, write_head
from recon.storage import read_json
from tests.rendering_scenes import ball, directed, head, looking, smooth_albedo

BOX = (30, 20, 130, 220)


def test_a_cropped_camera_sees_the_cropped_picture() -> None:
    angle = 0.3
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    camera = Camera(turn, np.array([0.1, -0.2, 8.0]), 600.0, (101.0, 118.0), 200, 240)
    points = np.random.default_rng(0).normal(size=(50, 3))
    crop = cropped_camera(camera, BOX)
    assert (crop.width, crop.height) == (100, 200)
    assert crop.project(points) == pytest.approx(camera.project(points) - (30, 20), abs=1e-9)
    picture = np.arange(240 * 200).reshape(240, 200)
    assert (cropped(picture, BOX) == picture[20:220, 30:130]).all()


def test_uv_masks_are_read_with_row_0_at_the_top() -> None:
    mask = np.zeros((4, 4), bool)
    mask[0, 3] = True  # u in [0.75, 1], v in [0.75, 1]
    uv = np.array([[[0.8, 0.9], [0.9, 0.1], [0.1, 0.9], [1.0, 1.0]]], np.float32)
    assert at_texels(mask, uv).tolist() == [[True, False, False, True]]


@pytest.fixture(scope="module")
def portrait(asset: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Summary:
    """NASA's portrait of Eileen Collins, half of the face withheld, with the one method that needs no database."""
    from recon.data.demo import astronaut

    asset("dlib-landmarks")
    folder = tmp_path_factory.mktemp("portrait")
    people = folder / "people"
    people.mkdir()
    astronaut(people)
    config = RunConfig(
        out=folder / "run",
        data=f"folder={people}",
        methods=("mirror",),
        protocols=parse_protocols("occlude:right"),
        size=256,
        face_model="anny",
        device="cpu",
        jobs=1,
    )
    return execute(config, no_progress)


def no_progress(stage: str, done: int, total: int) -> None:
    """Says nothing."""


KEY = ResultKey("mirror", "occlude:right", "astronaut")


@pytest.mark.slow
def test_a_real_portrait_goes_all_the_way(portrait: Summary) -> None:
    from recon.sheet import draw_sheet

    summary, key = portrait, KEY
    assert not summary.failed
    place = summary.folder.result(key)
    judged = summary.folder.judged(key.subject, key.protocol)
    reference = summary.folder.reference_record(key.subject, key.protocol)
    assert reference is not None
    given = cropped(read_png(summary.folder.given(key.subject, key.protocol)), tuple(reference["crop"]))
    view, shown = read_png(place / "views" / "fitted.png"), read_png(place / "views" / "fitted_mask.png")
    skin, withheld = read_png(judged / "image_skin.png"), read_png(judged / "image_withheld.png")
    assert view.shape == given.shape
    assert skin.mean() > 0.1, "the face fills a good part of its own crop"
    # The subject's right half is on the left of the picture, and nothing of it was given.
    columns = np.arange(skin.shape[1])
    assert (withheld.sum(axis=0) @ columns) / withheld.sum() < (skin.sum(axis=0) @ columns) / skin.sum()
    assert np.abs(given[withheld & skin] - 0.5).max() < 0.01
    # The mirrored half has colour where the given picture is grey; the rest of the photograph is untouched.
    assert np.abs(view[withheld & skin & shown] - 0.5).mean() > 0.05
    border = np.zeros(skin.shape, bool)
    border[:, -5:] = True
    assert (view[border] == given[border]).all()
    assert draw_sheet(summary.folder, crops=True).is_file()


# --- more pictures of the run ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_pictures_are_added_to_a_run_and_kept(portrait: Summary, capsys: pytest.CaptureFixture[str]) -> None:
    folder = portrait.folder
    order = PictureOrder(folder.path, "gbuffer", ("fitted", "closeup-eyes"), 48, 60, samples=1)
    summary = render_run(order, no_progress, jobs=1)
    assert (len(summary.made), summary.failed, summary.kept) == (2, (), 0)
    place = folder.result(KEY) / "views"
    # The scene came back from the folder: the same picture as the run drew itself, but for the albedo's eight bits.
    again, before = (np.asarray(read_png(place / name), float) for name in ("gbuffer/fitted.png", "fitted.png"))
    assert again.shape == before.shape
    # At outlines inside the face (lid before eye) the mesh's rounding may tip a pixel from one surface to the other.
    assert (np.abs(again - before).max(axis=-1) > 6 / 255).mean() < 0.002
    assert np.abs(again - before).mean() < 0.5 / 255
    radiance, alpha = read_radiance(place / "gbuffer" / "closeup-eyes.exr")
    assert radiance.shape == (60, 48, 3)
    background = np.float32(0.2140) * (1 - alpha[..., None])
    shown = read_png(place / "gbuffer" / "closeup-eyes.png")
    assert shown == pytest.approx(tone_map(radiance * alpha[..., None] + background), abs=1.5 / 255)
    record = read_json(place / "gbuffer" / "closeup-eyes.json")
    assert record["renderer"] == "gbuffer"
    assert record["parameters"] == {"supersample": 1}
    assert record["size"] == [48, 60]
    assert set(record["files"]) == {"closeup-eyes.png", "closeup-eyes.exr"}
    assert folder.finished(KEY) is not None

    arguments = [str(folder.path), "--renderer", "gbuffer", "--samples", "1", "--size", "48x60", "--json", "-q"]
    code = render.main([*arguments, "--views", "fitted,closeup-eyes"], standalone_mode=False)
    assert code == 0
    assert json.loads(capsys.readouterr().out) | {"run": ""} == {
        "run": "",
        "made": 0,
        "kept": 2,
        "seconds_per_picture": 0.0,
        "failed": [],
    }


@pytest.mark.slow
def test_the_views_of_a_run_are_drawn_after_it(portrait: Summary) -> None:
    config = RunConfig(portrait.folder.path, "", ("mirror",), parse_protocols("occlude:right"))
    assert draw_views(config, no_progress) is None  # fitted is there
    with pytest.raises(UsageError, match="did you mean 'closeup'"):
        draw_views(replace(config, views=("closeups",)), no_progress)
    drawn = draw_views(replace(config, views=("fitted", "relight-rim"), jobs=1), no_progress)
    assert drawn is not None
    assert [outcome.view for outcome in drawn.made] == ["fitted", "relight-rim"]


@pytest.mark.slow
def test_what_would_be_drawn_differently_is_drawn_again(portrait: Summary) -> None:
    folder = portrait.folder
    names = (["mirror"], ["occlude:right"], ["astronaut"])

    def lacking(order: PictureOrder) -> list[str]:
        tasks, _ = pending(order, folder, *names)
        return [view for task in tasks for view in task.views]

    order = PictureOrder(folder.path, "gbuffer", ("front",), 32, 40, samples=1)
    reports: list[PictureOutcome] = []
    worker = PictureWorker(order)
    worker(PictureTask(KEY, ("front",)), reports.append)
    assert [(o.view, o.message) for o in reports] == [("front", "")]
    assert lacking(order) == []
    assert lacking(replace(order, width=33)) == ["front"]
    assert lacking(replace(order, samples=4)) == ["front"]
    assert lacking(replace(order, renderer="mitsuba")) == ["front"]
    picture = folder.result(KEY) / "views" / "gbuffer" / "front.exr"
    kept = picture.read_bytes()
    picture.unlink()
    assert lacking(order) == ["front"]
    picture.write_bytes(kept)
    assert lacking(order) == []

    head = folder.result(KEY) / "head.glb"
    good = head.read_bytes()
    try:
        head.write_bytes(good[: len(good) // 2])
        worker(PictureTask(KEY, ("front",)), reports.append)
    finally:
        head.write_bytes(good)
    assert "head.glb" in reports[-1].message
    assert lacking(order) == ["front"], "a picture that failed has no record"


@pytest.mark.slow
def test_wrong_orders_are_refused_before_anything_is_drawn(portrait: Summary, tmp_path: Path) -> None:
    path = portrait.folder.path
    order = PictureOrder(path, "gbuffer", ("front",))
    with pytest.raises(UsageError, match="no method 'deep'; it has mirror"):
        render_run(order, no_progress, methods=["deep"])
    with pytest.raises(UsageError, match="not a run folder"):
        render_run(replace(order, run=tmp_path), no_progress)
    with pytest.raises(UsageError, match="did you mean 'cycles'"):
        render_run(replace(order, renderer="cycle"), no_progress)
    with pytest.raises(UsageError, match="gbuffer' takes"):
        render_run(replace(order, samples=7), no_progress)
    with pytest.raises(UsageError, match="between 16 and 8192"):
        replace(order, width=3)


def test_a_head_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """The GLB keeps positions as 32-bit floats in metres: what comes back differs by their rounding alone."""
    model = head()
    moved = (model.mean * np.float32([1.1, 0.9, 1.0]) + np.float32(0.01)).astype(np.float32)
    scene = Scene(model, moved, smooth_albedo(32), looking(5.0, 60.0, 24), directed())
    write_head(tmp_path / "head.glb", scene)
    again = read_vertices(tmp_path / "head.glb", model, model.mean)
    drawn = np.unique(model.triangles)
    np.testing.assert_allclose(again[drawn], moved[drawn], rtol=1e-6, atol=1e-6)
    others = np.setdiff1d(np.arange(len(moved)), drawn)
    np.testing.assert_array_equal(again[others], model.mean[others])
    with pytest.raises(InputError, match="face model"):
        read_vertices(tmp_path / "head.glb", ball(), ball().mean)
    (tmp_path / "bad.glb").write_bytes(b"glTF")
    with pytest.raises(InputError, match=r"bad\.glb"):
        read_vertices(tmp_path / "bad.glb", model, model.mean)
