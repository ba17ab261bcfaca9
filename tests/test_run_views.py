"""The pictures of a result: crops keep pixels and geometry, and a real portrait goes all the way through a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recon.data.protocols import parse_protocols
from recon.fitting.camera import Camera
from recon.images import read_png
from recon.runs import ResultKey, RunConfig, execute
from recon.runs.views import at_texels, cropped, cropped_camera

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


@pytest.mark.slow
def test_a_real_portrait_goes_all_the_way(asset: Callable[[str], Path], tmp_path: Path) -> None:
    """NASA's portrait of Eileen Collins, half of the face withheld, with the one method that needs no database."""
    from recon.data.demo import astronaut
    from recon.sheet import draw_sheet

    asset("dlib-landmarks")
    people = tmp_path / "people"
    people.mkdir()
    astronaut(people)
    config = RunConfig(
        out=tmp_path / "run",
        data=f"folder={people}",
        methods=("mirror",),
        protocols=parse_protocols("occlude:right"),
        size=256,
        face_model="anny",
        device="cpu",
        jobs=1,
    )
    summary = execute(config, lambda stage, done, total: None)
    assert not summary.failed
    key = ResultKey("mirror", "occlude:right", "astronaut")
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
