"""Cycles beside the other renderers: same camera, same light, same energy; and a Blender that dies says so.

What needs Blender's package ``bpy`` is skipped where there is none (``pip install 'mesoface[cycles]'``, or an
interpreter that has it named by ``MESOFACE_BPY_PYTHON``).
"""

from __future__ import annotations

import importlib.util
import json
import os
import stat
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion

from recon.errors import AssetError, RenderError, UsageError
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering import RENDERERS, CyclesRenderer, MitsubaRenderer, Scene, View, shade_view
from recon.rendering.cycles_renderer import INTERPRETER, blender_version, draw, interpreter, write_scene
from tests.rendering_scenes import UNIT, ball, directed, head, looking, scene_of

SIZE = 72


@pytest.fixture(scope="module")
def blender() -> str:
    """Blender's version; skips where there is none."""
    try:
        return blender_version()
    except AssetError as error:
        pytest.skip(f"needs Blender: {error}")


def sideways() -> Camera:
    """A camera off the axes, turned and rolled, whose principal point is not the picture's middle."""
    forward = -np.array([0.45, 0.25, 0.86])
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.15, 1.0, 0.0])
    right /= np.linalg.norm(right)
    rotation = np.stack([right, np.cross(forward, right), forward])
    return Camera(rotation, -rotation @ (-5.0 * forward), 120.0, (42.0, 31.0), SIZE, SIZE + 8)


def within_a_pixel(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether two outlines (coverage one half) are nowhere further apart than a pixel."""
    a, b = first > 0.5, second > 0.5
    square = np.ones((3, 3), bool)
    return bool((a <= binary_dilation(b, square)).all() and (binary_erosion(b, square, border_value=1) <= a).all())


@pytest.fixture(scope="module")
def drawn(blender: str) -> tuple[View, Scene]:
    scene = scene_of(head(), sideways(), light=directed(0.5, 0.4))
    return CyclesRenderer(24, denoised=False, scattering=None).render(scene, lashes=False), scene


def test_all_renderers_see_the_same_outline(drawn: tuple[View, Scene]) -> None:
    view, scene = drawn
    fast = shade_view(scene, supersample=6, lashes=False)
    traced = MitsubaRenderer(16, denoised=False).render(scene, lashes=False)
    for other in (fast, traced):
        assert within_a_pixel(view.alpha, other.alpha)
        assert np.abs(view.alpha - other.alpha).mean() < 0.01
        assert view.alpha.sum() == pytest.approx(other.alpha.sum(), rel=0.01)
    # Moved by two pixels either way, the outlines would not agree.
    for axis in (0, 1):
        assert not within_a_pixel(np.roll(view.alpha, 2, axis), fast.alpha)


def test_texture_and_light_lie_where_the_gbuffer_has_them(drawn: tuple[View, Scene]) -> None:
    """A texture turned over, or a light from another side, gives correlations under one half."""
    view, scene = drawn
    fast = shade_view(scene, supersample=4, lashes=False)
    inside = (view.alpha == 1) & (fast.alpha == 1) & fast.skin
    assert inside.sum() > 300
    for channel in range(3):
        assert np.corrcoef(view.radiance[inside][:, channel], fast.radiance[inside][:, channel])[0, 1] > 0.9
    ratio = view.radiance[inside].mean() / fast.radiance[inside].mean()
    assert 0.9 < ratio < 1.25  # the same light; gloss adds a little


@pytest.mark.parametrize(("scattering", "albedo", "low", "high"), [(None, 1.0, 0.97, 1.02), (True, 0.8, 0.76, 0.86)])
def test_a_furnace_neither_makes_nor_loses_light(
    blender: str, scattering: bool | None, albedo: float, low: float, high: float
) -> None:
    """Under even light of radiance 1 an opaque white ball shows 1 everywhere (energy is conserved).

    Light that walks at random under a surface comes back as the albedo says (Chiang, Kutz, Burley 2016 invert the
    albedo of a half space for it); the gloss on top adds no more than its reflectance.
    """
    grey = np.full((32, 32, 3), albedo, np.float32)
    scene = scene_of(ball(), looking(5.0, 110.0, 48), grey, SphericalHarmonicsLighting.ambient())
    renderer = CyclesRenderer(48, denoised=False) if scattering else CyclesRenderer(32, denoised=False, scattering=None)
    view = renderer.render(scene)
    inside = view.alpha == 1
    assert low < view.radiance[inside].mean() < high
    middle = inside & (view.normal[..., 2] > 0.6)
    np.testing.assert_allclose(view.radiance[middle].mean(axis=0), view.radiance[middle].mean(), rtol=0.03)


def test_pictures_repeat_to_the_bit(blender: str) -> None:
    scene = scene_of(ball(), looking(5.0, 60.0, 32))
    first, second = (CyclesRenderer(4).render(scene) for _ in range(2))
    np.testing.assert_array_equal(first.radiance, second.radiance)
    np.testing.assert_array_equal(first.alpha, second.alpha)


# --- without Blender ------------------------------------------------------------------------------------------


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """An interpreter that is a shell script."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv(INTERPRETER, str(path))
    return path


def test_cycles_is_found_by_name_and_checks_its_samples() -> None:
    assert RENDERERS.get("cycles") is CyclesRenderer
    with pytest.raises(UsageError, match="samples"):
        CyclesRenderer(0)


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for a Blender that dies is a shell script")
@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -9 $$", "SIGKILL.*memory"),
        ("kill -SEGV $$", "crashed .SIGSEGV"),
        ("echo out of luck; exit 3", "code 3.*out of luck"),
        ("exit 0", "no picture"),
        ("echo \"ModuleNotFoundError: No module named 'bpy'\"; exit 1", "has no package bpy"),
    ],
)
def test_a_blender_that_dies_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    stand_in(tmp_path, monkeypatch, script)
    with pytest.raises(RenderError, match=said):
        CyclesRenderer(4).render(scene_of(ball(), looking(5.0, 60.0, 24)))


def test_a_missing_blender_is_an_asset_error_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(INTERPRETER, "/nowhere/python")
    with pytest.raises(AssetError, match="no file"):
        interpreter()
    monkeypatch.delenv(INTERPRETER)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match=r"pip install 'mesoface\[cycles\]'"):
        CyclesRenderer(4).render(scene_of(ball(), looking(5.0, 60.0, 24)))


@pytest.mark.skipif(os.name != "posix", reason="the stand-in for Blender is a shell script")
def test_a_picture_comes_back_from_the_other_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hand-over by files, with a stand-in that paints even grey of the size asked for."""
    painter = tmp_path / "paint.py"
    painter.write_text(
        "import json, sys, numpy as np\nfrom pathlib import Path\nf = Path(sys.argv[2])\n"
        "c = json.loads((f / 'scene.json').read_text())['camera']\n"
        "np.save(f / 'picture.npy', np.full((c['height'], c['width'], 4), 0.25, np.float32))\n"
    )
    stand_in(tmp_path, monkeypatch, f'exec "{sys.executable}" "{painter}" "$@"')
    folder = tmp_path / "scene"
    folder.mkdir()
    camera = replace(looking(5.0, 60.0, 24), height=30)
    scene = scene_of(head(), camera)
    light = np.ones((16, 32, 3), np.float32)
    settings = {"samples": 1, "seed": 0, "denoised": False, "bounces": 2, "threads": 1, "scattering": [1e-3] * 3}
    write_scene(folder, scene.parts, UNIT, camera, light, settings)
    assert draw(folder).shape == (30, 24, 4)
    order = json.loads((folder / "scene.json").read_text())
    assert order["bodies"] == [["skin", "head"], ["eye_left"]]  # skin and head are one body, or a line would show
    assert order["parts"]["skin"]["scattering"]
    assert order["parts"]["eye_left"]["scattering"] is None
    np.testing.assert_allclose(order["camera"]["centre"], [0, 0, 5 * UNIT])  # metres
    with np.load(folder / "scene.npz") as arrays:
        np.testing.assert_allclose(arrays["skin.positions"], scene.parts[0].positions * UNIT, rtol=1e-6)
