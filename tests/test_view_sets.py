"""Standard views and their lights against closed forms; pictures of high dynamic range; wet lids and eyes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recon.colour import linear_to_srgb
from recon.errors import ImageError, UsageError
from recon.exr import read_exr, write_exr
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.render_commands import parse_size, parse_views
from recon.rendering import MitsubaRenderer, render_view
from recon.rendering.environment import RELIGHTS, StudioLighting, bake, map_directions, overcast, project, relights
from recon.rendering.eyes import IRIS_RADIUS, eye_texture
from recon.rendering.hdr import SHOULDER, read_radiance, tone_map, write_radiance
from recon.rendering.view_sets import SETS, VIEWS, chosen_views, studio_camera, view_named
from tests.rendering_scenes import UNIT, ball, head, looking, scene_of


def irradiance(environment: np.ndarray, normal: tuple[float, float, float]) -> np.ndarray:
    """Irradiance / π at a surface of that normal, by summing the map."""
    directions, solid = map_directions(environment.shape[0])
    towards = np.asarray(normal) / np.linalg.norm(normal)
    cosine = np.maximum(directions @ towards, 0) * solid
    return np.einsum("hw,hwc->c", cosine, environment) / np.pi


# --- sets -----------------------------------------------------------------------------------------------------


def test_sets_and_single_views_are_found_by_name() -> None:
    assert set(SETS) == {"fitted", "studio", "turntable", "closeup", "relight"}
    assert sorted(name for views in SETS.values() for name in views) == sorted(VIEWS)
    assert len(set(VIEWS)) == len(VIEWS)
    assert parse_views("fitted, relight-top,relight") == (
        "fitted",
        "relight-top",
        *(f"relight-{name}" for name in RELIGHTS if name != "top"),
    )
    with pytest.raises(UsageError, match="did you mean 'turntable'"):
        chosen_views(["turntabel"])
    with pytest.raises(UsageError, match="names nothing"):
        parse_views(" , ")


def test_sizes_are_read_and_nonsense_is_refused() -> None:
    assert parse_size("512x640") == (512, 640)
    assert parse_size("96×120") == (96, 120)
    for wrong in ("512", "512x", "axb", "-5x10"):
        with pytest.raises(UsageError, match="--size"):
            parse_size(wrong)


def test_a_turntable_goes_round_the_head_at_one_distance() -> None:
    model = ball()
    target = studio_camera(model, model.mean, 0.0, 96, 120)
    angles = []
    for name in SETS["turntable"]:
        camera = view_named(name).camera(model, model.mean, 96, 120)
        forward = camera.rotation[2]
        angles.append(np.degrees(np.arctan2(-forward[0], -forward[2])))
        assert camera.focal == pytest.approx(target.focal)
        # All look at one point: it lies 1.2 m ahead of each.
        np.testing.assert_allclose(
            camera.centre + 1.2 / UNIT * forward, target.centre + 1.2 / UNIT * target.rotation[2], atol=1e-9
        )
    np.testing.assert_allclose(angles, [-60, -40, -20, 0, 20, 40, 60], atol=1e-9)


@pytest.mark.parametrize("name", SETS["closeup"])
def test_a_closeup_is_a_longer_lens_at_the_same_place(name: str) -> None:
    model, view = head(), view_named(name)
    camera, whole = (
        v.camera(model, model.mean, 96, 120) for v in (view, view_named("front" if view.yaw == 0 else "three_quarter"))
    )
    if view.yaw == 0:
        np.testing.assert_allclose(camera.centre, whole.centre)
    middle = sum(w * model.landmarks(model.mean)[i].astype(float) for i, w in view.centre.items())
    np.testing.assert_allclose(camera.project(np.asarray(middle)), (48, 60), atol=1e-6)
    assert camera.focal == pytest.approx(view.zoom * whole.focal)


# --- lights ---------------------------------------------------------------------------------------------------


def test_relights_have_the_levels_that_they_are_said_to_have() -> None:
    """A white surface that faces a panel shows the panel's level plus the fill, which is even: closed form."""
    lights = relights()
    assert tuple(lights) == RELIGHTS
    for name in ("key-left", "key-right", "top"):
        light = lights[name]
        assert isinstance(light, StudioLighting)
        (box,) = light.softboxes
        facing = irradiance(light.environment(128), box.direction)
        np.testing.assert_allclose(facing, np.add(box.irradiance, light.fill), rtol=0.01)
    left, right = (lights[name].environment(64) for name in ("key-left", "key-right"))
    for normal in ((0.8, 0.1, 0.3), (0.0, 0.2, 1.0)):
        mirrored = (-normal[0], *normal[1:])
        np.testing.assert_allclose(irradiance(left, normal), irradiance(right, mirrored), rtol=1e-4)
    assert irradiance(left, (1, 0, 0.5)).mean() > 5 * irradiance(left, (-1, 0, 0.5)).mean()  # +x: the subject's left


def test_an_overcast_sky_lights_the_ground_as_moon_and_spencer_have_it() -> None:
    """The CIE's sky of zenith radiance L gives a horizontal surface the irradiance 7π/9 · L (closed form)."""
    sky = overcast((0.9, 1.0, 1.1), (0.25, 0.25, 0.25))
    up = irradiance(sky.environment(256), (0, 1, 0))
    np.testing.assert_allclose(up, np.array([0.9, 1.0, 1.1]) * 7 / 9, rtol=1e-3)
    down = irradiance(sky.environment(256), (0, -1, 0))
    np.testing.assert_allclose(down, 0.25 * np.array([0.9, 1.0, 1.1]) * 7 / 9, rtol=1e-3)


@pytest.mark.parametrize("name", RELIGHTS)
def test_a_baked_light_carries_the_energy_of_its_harmonics(name: str) -> None:
    """What path tracers see (the map) and what the g-buffer shades with (nine coefficients) are one light.

    The mean radiance is the first coefficient times Y00 exactly. Irradiance differs by the bands above the second: of
    the clamped cosine, 1/4 + cos θ/2 + 5(3 cos² θ − 1)/32 misses at most 3/32, where θ is a right angle (closed form;
    Ramamoorthi and Hanrahan 2001), for each panel.
    """
    light = relights()[name]
    environment = bake(light)
    assert environment.min() >= 0
    np.testing.assert_allclose(project(environment), light.coefficients, atol=2e-3)
    solid = map_directions(environment.shape[0])[1]
    mean = np.einsum("hw,hwc->c", solid, environment) / (4 * np.pi)
    np.testing.assert_allclose(mean, light.coefficients[0] * 0.28209479177387814, rtol=1e-3)
    level = sum(box.irradiance[0] for box in light.softboxes) if isinstance(light, StudioLighting) else 0.1
    for normal in np.random.default_rng(3).normal(size=(20, 3)):
        unit = normal / np.linalg.norm(normal)
        difference = irradiance(environment, tuple(unit)) - light.shading(unit[None])[0]
        assert np.abs(difference).max() < 3 / 32 * level + 0.005


def test_every_renderer_is_given_the_same_light() -> None:
    first, second = view_named("relight-rim").light(), view_named("relight-rim").light()
    assert first is second
    np.testing.assert_array_equal(bake(first), bake(relights()["rim"]))


# --- high dynamic range ---------------------------------------------------------------------------------------


def test_an_exr_holds_what_was_drawn_to_eleven_bits(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    alpha = generator.choice([0.0, 0.5, 1.0], (17, 23)).astype(np.float32)
    radiance = (np.exp(generator.normal(0, 2.5, (17, 23, 3))) * (alpha[..., None] > 0)).astype(np.float32)
    assert radiance.max() > 100
    path = tmp_path / "a" / "picture.exr"
    write_radiance(path, radiance, alpha)
    again, cover = read_radiance(path)
    np.testing.assert_array_equal(cover, alpha)
    np.testing.assert_allclose(again, radiance, rtol=2**-11 * 1.01, atol=2**-24)
    assert [p.name for p in path.parent.iterdir()] == ["picture.exr"]
    stored = read_exr(path)  # linear, premultiplied, half float
    assert stored.dtype == np.float16
    np.testing.assert_allclose(
        stored[..., :3].astype(np.float32), radiance * alpha[..., None], rtol=2**-11, atol=2**-25
    )


def test_pictures_without_coverage_are_not_radiance(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="not finite"):
        write_radiance(tmp_path / "x.exr", np.full((4, 4, 3), np.nan, np.float32), np.ones((4, 4), np.float32))
    assert not list(tmp_path.iterdir())
    write_exr(tmp_path / "y.exr", np.ones((4, 4, 3)))
    with pytest.raises(ImageError, match=r"y\.exr' has the channels RGB, not RGBA"):
        read_radiance(tmp_path / "y.exr")


def test_tone_mapping_shows_skin_as_it_is_and_rolls_highlights_off() -> None:
    below = np.linspace(0, SHOULDER, 50, dtype=np.float32)
    np.testing.assert_allclose(tone_map(below), linear_to_srgb(below), atol=1e-6)
    x = np.linspace(0, 20, 4001, dtype=np.float32)
    shown = tone_map(x)
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] <= 1
    assert shown[(x > 0.9) & (x < 1.1)].max() < 0.99, "radiance 1 is not clipped yet"
    step = np.diff(tone_map(np.array([SHOULDER - 1e-3, SHOULDER, SHOULDER + 1e-3], np.float32)))
    assert step[1] == pytest.approx(step[0], rel=0.02)


# --- eyes and lids --------------------------------------------------------------------------------------------


def test_lids_are_wet_where_they_touch_the_eye_and_nowhere_else() -> None:
    scene = scene_of(head(), looking(5.0, 100.0, 40))
    skin = scene.parts[0]
    assert skin.vertex_roughness is not None
    eye = scene.eye_frames["eye_left"]
    gap = (np.linalg.norm(skin.positions - eye.centre, axis=1) - eye.radius) * UNIT
    assert skin.vertex_roughness[gap > 1.5e-3] == pytest.approx(skin.roughness)
    assert (gap < 0).any()
    assert (skin.vertex_roughness[gap < 0] < 0.2).all()
    assert scene_of(ball(), looking(5.0, 100.0, 40)).parts[0].vertex_roughness is None  # no eyes


def test_the_fitted_view_adds_no_gloss_to_that_of_the_photograph() -> None:
    """A white ball without gloss under light from all around has one radiance up to its rim, its albedo (closed form);

    with gloss it is brighter, the more so towards the rim, where light is reflected at grazing angles.
    """
    grey = np.full((64, 64, 3), 0.3, np.float32)
    scene = scene_of(ball(), looking(5.0, 90.0, 48), grey, SphericalHarmonicsLighting.ambient())
    renderer = MitsubaRenderer(32, denoised=False)
    fitted = render_view(scene, "fitted", renderer=renderer)
    glossy = renderer.render(scene)
    inside = fitted.alpha == 1
    rim = inside & (fitted.normal[..., 2] < 0.5)
    assert fitted.radiance[inside].mean() == pytest.approx(0.3, abs=0.015)
    assert glossy.radiance[rim].mean() > fitted.radiance[rim].mean() + 0.02


def test_an_iris_has_fibres_and_a_dark_rim() -> None:
    texture = eye_texture(0.012).mean(axis=-1)
    size = texture.shape[0]
    azimuth = np.linspace(0, 2 * np.pi, 720, endpoint=False)

    def ring(share: float) -> np.ndarray:
        radius = share * IRIS_RADIUS / (2 * np.pi * 0.012) * size
        rows = (size / 2 - radius * np.sin(azimuth)).astype(int)
        return np.asarray(texture[rows, (size / 2 + radius * np.cos(azimuth)).astype(int)])

    middle = ring(0.65)
    assert middle.std() > 0.1 * middle.mean(), "streaks around the pupil"
    assert ring(0.87).mean() < 0.6 * middle.mean(), "limbal ring"
    assert ring(1.4).mean() > 5 * middle.mean(), "white"
