"""Composites, standard views and crops, baked light, path tracing, files, and the real models."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import AssetError, InputError, StorageError, UsageError
from recon.fitting.lighting import SphericalHarmonicsLighting, sh_basis
from recon.rendering import (
    RENDERERS,
    GBufferRenderer,
    MitsubaRenderer,
    Scene,
    View,
    composite,
    face_alpha,
    over_background,
    region_crop,
    render_view,
    shade_view,
    standard_studio,
    standard_view,
    studio_camera,
    write_glb,
)
from recon.rendering.denoise import denoise
from recon.rendering.environment import bake, map_directions, project
from recon.rendering.gbuffer import geometry_of, lash_layer
from recon.rendering.view_sets import SETS, VIEWS, view_named
from tests.rendering_scenes import (
    UNIT,
    ball,
    directed,
    head,
    looking,
    scene_of,
    smooth_albedo,
    sphere_grid,
    square,
)

# --- compositing ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def ball_view() -> View:
    return shade_view(scene_of(ball(), looking(5.0, 400.0, 240)))


def test_a_composite_leaves_the_rest_of_the_photograph_alone() -> None:
    photograph = np.random.default_rng(6).random((240, 240, 3)).astype(np.float32)
    size = 256
    u = (np.arange(size) + 0.5) / size
    mask = np.broadcast_to(u > 0.5, (size, size)).copy()  # the half with x > 0: the right half of the picture
    view = ball_view()
    result = composite(photograph, view, 6.0, mask)
    alpha = face_alpha(view, mask, 6.0)
    np.testing.assert_array_equal(result[alpha == 0], photograph[alpha == 0])
    np.testing.assert_array_equal(alpha[:, :120], 0)
    assert alpha[120, 160] == 1
    np.testing.assert_allclose(result[alpha == 1], linear_to_srgb(view.radiance[alpha == 1]), atol=1e-6)
    half = np.argwhere((alpha > 0.4) & (alpha < 0.6))[0]
    share = alpha[tuple(half)]
    expected = share * view.radiance[tuple(half)] + (1 - share) * srgb_to_linear(photograph[tuple(half)])
    np.testing.assert_allclose(srgb_to_linear(result[tuple(half)]), np.minimum(expected, 1), atol=1e-5)


def test_the_soft_edge_rises_over_its_width_inside_the_region() -> None:
    mask = np.ones((256, 256), bool)
    hard, soft = face_alpha(ball_view(), mask), face_alpha(ball_view(), mask, 10.0)
    assert set(np.unique(hard)) == {0.0, 1.0}
    assert (soft <= hard).all()
    row, edge = soft[120], int(np.flatnonzero(hard[120])[0])
    assert (np.diff(row[edge : edge + 12]) >= 0).all()
    assert row[edge + 2] < 0.2
    assert row[edge + 5] == pytest.approx(0.5, abs=0.1)
    assert row[edge + 11] == 1


def test_composites_and_masks_of_the_wrong_shape_are_refused() -> None:
    with pytest.raises(InputError, match="photograph is 20×10"):
        composite(np.zeros((10, 20, 3), np.float32), ball_view())
    with pytest.raises(InputError, match="square"):
        face_alpha(ball_view(), np.ones((10, 20), bool))


# --- views ----------------------------------------------------------------------------------------------------


def test_standard_views_are_framed_alike() -> None:
    scene = scene_of(ball(), looking(5.0, 300.0, 100))
    small = scene_of(replace(ball(), mean=ball().mean * np.float32(0.5)), looking(5.0, 300.0, 100))
    for name in SETS["studio"]:
        picture = standard_view(scene, name, 96, 120, GBufferRenderer(1))
        assert picture.shape == (120, 96, 3)
        assert picture.dtype == np.float32
        np.testing.assert_allclose(picture[0, 0], 0.5, atol=0.01)
    chins = [
        studio_camera(s.model, s.vertices, 0.0, 96, 120).project(s.model.landmarks(s.vertices)[8])
        for s in (scene, small)
    ]
    np.testing.assert_allclose(chins[0], chins[1], atol=2.0)
    assert {"fitted", "front", "three_quarter"} <= set(VIEWS)


def test_three_quarter_views_turn_the_camera_to_the_named_side() -> None:
    left = studio_camera(ball(), ball().mean, view_named("three_quarter").yaw, 96, 120)
    assert left.centre[0] > 0  # +x is the subject's left
    assert np.linalg.det(left.rotation) == pytest.approx(1)
    angle = np.degrees(np.arctan2(-left.rotation[2, 0], -left.rotation[2, 2]))
    assert angle == pytest.approx(35)


def test_the_fitted_view_needs_its_photograph_and_unknown_views_say_so() -> None:
    scene = scene_of(ball(), looking(5.0, 300.0, 60))
    photograph = np.full((60, 60, 3), 0.5, np.float32)
    fitted = standard_view(scene, "fitted", photograph_srgb=photograph, feather_px=2)
    assert fitted.shape == photograph.shape
    assert np.abs(fitted[30, 30] - 0.5).max() > 0.01
    with pytest.raises(UsageError, match="photograph"):
        standard_view(scene, "fitted")
    with pytest.raises(UsageError, match="three_quarter"):
        render_view(scene, "profile")


def test_crops_are_cut_at_one_to_one_around_the_same_skin() -> None:
    view = ball_view()
    picture = over_background(view)
    for region in ("cheek", "forehead", "jaw"):
        for side in ("left", "right"):
            crop = region_crop(view, region, 24, side=side)
            assert crop.shape == (24, 24, 3)
            found = np.lib.stride_tricks.sliding_window_view(picture[..., 0], (24, 24))
            assert (found == crop[..., 0]).all(axis=(2, 3)).any()
    left = region_crop(view, "cheek", 24, view.uv[..., :1].repeat(3, -1), "left")
    right = region_crop(view, "cheek", 24, view.uv[..., :1].repeat(3, -1), "right")
    assert left.mean() > 0.5 > right.mean()
    with pytest.raises(InputError, match="does not fit"):
        region_crop(view, "cheek", 999)
    with pytest.raises(UsageError, match="Regions"):
        region_crop(view, "ear", 24)


# --- light ----------------------------------------------------------------------------------------------------


def test_environment_map_directions_cover_the_sphere_once() -> None:
    directions, solid = map_directions(32)
    assert solid.sum() == pytest.approx(4 * np.pi)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=-1), 1)
    basis = sh_basis(directions.reshape(-1, 3))
    gram = basis.T @ (basis * solid.reshape(-1, 1))
    np.testing.assert_allclose(gram, np.eye(9), atol=0.01)


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_a_baked_map_lights_a_lambertian_surface_as_the_harmonics_do(strength: float) -> None:
    """Irradiance / π by summing the map, at normals all around, against the closed form; no radiance is negative."""
    light = directed(0.5, strength)
    environment = bake(light)
    assert environment.min() >= 0
    directions, solid = map_directions(environment.shape[0])
    normals = np.random.default_rng(7).normal(size=(200, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    cosine = np.maximum(normals @ directions.reshape(-1, 3).T, 0) * solid.reshape(1, -1)
    irradiance = cosine @ environment.reshape(-1, 3) / np.pi
    # Bands above the second, which clipping adds, reach irradiance by less than 1 % of it (their factor is under 5 %).
    np.testing.assert_allclose(irradiance, light.shading(normals), atol=0.02)


def test_the_studio_is_even_handed_between_renderers() -> None:
    studio = standard_studio()
    np.testing.assert_allclose(project(studio.environment(128)), studio.coefficients, atol=1e-4)
    front = studio.shading(np.array([[0.0, 0.0, 1.0]]))[0]
    assert 0.5 < front.mean() < 1.0
    normals = np.random.default_rng(8).normal(size=(500, 3))
    assert studio.shading(normals / np.linalg.norm(normals, axis=1, keepdims=True)).min() > 0.1


# --- mitsuba --------------------------------------------------------------------------------------------------


def test_mitsuba_agrees_with_the_harmonics_on_a_lambertian_sphere() -> None:
    from recon.rendering.mitsuba_renderer import environment_emitter, load_mitsuba, mesh, trace

    mi = load_mitsuba()
    positions, triangles, _ = sphere_grid(1.0, (0, 0, 0), 40)
    camera = replace(looking(5.0, 90.0, 48), principal=(27.0, 20.0))
    light = directed(0.6, 0.3)
    white = {"type": "diffuse", "reflectance": {"type": "rgb", "value": [1.0, 1.0, 1.0]}}
    shape = mesh(mi, "ball", white, positions, triangles, positions)
    pixels = trace(mi, {"ball": shape}, camera, environment_emitter(mi, bake(light)), 256, 0)
    view = shade_view(Scene(ball(), ball().mean, np.ones((64, 64, 3), np.float32), camera, light), supersample=4)
    inside = (view.alpha == 1) & (pixels[..., 3] == 1)
    assert inside.sum() > 700
    assert np.abs(pixels[..., 3] - view.alpha).mean() < 0.01  # the two cameras see the same disc
    ratio = pixels[inside][:, :3] / view.radiance[inside]
    np.testing.assert_allclose(ratio.mean(axis=0), 1, atol=0.01)
    assert np.abs(ratio - 1).mean() < 0.06


def test_mitsuba_puts_the_texture_where_the_gbuffer_does() -> None:
    camera = looking(5.0, 200.0, 72)
    scene = scene_of(ball(), camera, light=SphericalHarmonicsLighting.ambient())
    traced = MitsubaRenderer(64).render(scene)
    fast = shade_view(scene, supersample=3)
    inside = (traced.alpha == 1) & (fast.alpha == 1) & fast.skin & (fast.normal[..., 2] > 0.5)
    # Gloss adds its own gradient, so not 1; an albedo map turned over gives less than 0.5 in green and blue.
    for channel in range(3):
        assert np.corrcoef(traced.radiance[inside][:, channel], fast.radiance[inside][:, channel])[0, 1] > 0.88
    np.testing.assert_array_equal(traced.uv, shade_view(scene).uv)
    again = MitsubaRenderer(64).render(scene)
    np.testing.assert_array_equal(traced.radiance, again.radiance)


def test_a_missing_mitsuba_is_an_asset_error_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(AssetError, match="pip install mitsuba"):
        MitsubaRenderer(4).render(scene_of(ball(), looking(5.0, 100.0, 32)))
    with pytest.raises(UsageError, match="samples"):
        MitsubaRenderer(0)


def test_denoising_removes_grain_and_keeps_texture() -> None:
    view = shade_view(scene_of(ball(), looking(5.0, 400.0, 160)), lighting=SphericalHarmonicsLighting.ambient())
    texture = 0.4 + 0.2 * np.random.default_rng(9).random((160, 160, 1)).astype(np.float32).repeat(3, -1)
    light = directed().shading(view.normal.reshape(-1, 3)).reshape(160, 160, 3)
    clean = texture * light
    noisy = clean * (1 + 0.2 * np.random.default_rng(10).normal(size=(160, 160, 1))).astype(np.float32)
    inside = view.alpha == 1
    trusted = inside & (view.normal[..., 2] > 0.3)
    shown = denoise(noisy, texture, view.normal, view.normal, inside, trusted)  # a unit sphere's normals are positions
    before, after = (np.sqrt(np.mean((x - clean)[trusted] ** 2)) for x in (noisy, shown))
    assert after < 0.35 * before
    np.testing.assert_array_equal(shown[~inside], noisy[~inside])


# --- registry and files ---------------------------------------------------------------------------------------


def test_renderers_are_found_by_name() -> None:
    assert RENDERERS.get("gbuffer") is GBufferRenderer
    assert RENDERERS.get("mitsuba") is MitsubaRenderer
    with pytest.raises(UsageError, match="did you mean 'mitsuba'"):
        RENDERERS.get("mitsubah")
    view = RENDERERS.get("gbuffer")().render(scene_of(ball(), looking(5.0, 100.0, 40)))
    assert 0 < view.alpha.mean() < 1


def test_a_glb_holds_every_part_with_its_texture(tmp_path: Path) -> None:
    import trimesh

    scene = scene_of(head(), looking(5.0, 100.0, 40), smooth_albedo(128))
    path = tmp_path / "head.glb"
    write_glb(path, scene)
    loaded = trimesh.load(path)
    assert set(loaded.geometry) == {part.name for part in scene.parts} == {"skin", "head", "eye_left"}
    for part in scene.parts:
        mesh = loaded.geometry[part.name]
        assert len(mesh.vertices) == len(part.positions)
        assert len(mesh.faces) == len(part.triangles)
        np.testing.assert_allclose(mesh.vertices, part.positions * UNIT, atol=1e-6)  # metres
    skin = loaded.geometry["skin"]
    np.testing.assert_allclose(skin.visual.uv, scene.parts[0].texcoord, atol=1e-6)
    image = np.asarray(skin.visual.material.baseColorTexture.convert("RGB")) / 255
    assert image.shape == (128, 128, 3)
    np.testing.assert_allclose(image, linear_to_srgb(scene.parts[0].texture), atol=0.5 / 255 + 1e-6)
    assert [p.name for p in tmp_path.iterdir()] == ["head.glb"]


def test_texture_coordinates_in_a_glb_start_at_the_upper_left(tmp_path: Path) -> None:
    """Read from the bytes, as the format lays them out (glTF 2.0, sections 3.6 and 4.4), without a library."""
    import json
    import struct

    scene = scene_of(square(), looking(5.0, 100.0, 40), smooth_albedo(16))
    write_glb(tmp_path / "square.glb", scene)
    data = (tmp_path / "square.glb").read_bytes()
    magic, version, length = struct.unpack_from("<4sII", data)
    assert (magic, version, length) == (b"glTF", 2, len(data))
    (size,) = struct.unpack_from("<I", data, 12)
    tree = json.loads(data[20 : 20 + size])
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_0"]]
    place = tree["bufferViews"][accessor["bufferView"]]["byteOffset"] + accessor.get("byteOffset", 0)
    uv = np.frombuffer(data, "<f4", accessor["count"] * 2, 20 + size + 8 + place).reshape(-1, 2)
    part = scene.parts[0]
    assert part.texcoord is not None
    np.testing.assert_allclose(uv, np.stack([part.texcoord[:, 0], 1 - part.texcoord[:, 1]], axis=-1), atol=1e-6)


def test_a_glb_that_cannot_be_written_leaves_the_earlier_one(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("kept")
    with pytest.raises(StorageError):
        write_glb(blocked / "head.glb", scene_of(square(), looking(5.0, 100.0, 40), smooth_albedo(16)))
    assert blocked.read_text() == "kept"


# --- the real models ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def anny_scene() -> Scene:
    from recon.face_model import load_face_model

    try:
        model = load_face_model("anny")
    except AssetError as error:
        pytest.skip(f"the face model anny is not here: {error}")
    camera = studio_camera(model, model.mean, 0.0, 240, 300)
    return Scene(model, model.mean, smooth_albedo(), camera, directed())


def test_a_whole_head_shows_skin_two_eyes_and_lashes(anny_scene: Scene) -> None:
    view = render_view(anny_scene, "front", 240, 300)
    names = np.array(anny_scene.model.material_names)
    shown = np.where(view.triangle >= 0, names[anny_scene.model.triangle_material[view.triangle]], "")
    assert view.skin.mean() > 0.15
    for side in ("left", "right"):
        assert (np.char.find(shown, "sclera_" + side) >= 0).sum() + (np.char.find(shown, "eye_" + side) == 0).sum() > 40
    # The subject's left eye is on the right of the picture.
    columns = [np.nonzero(np.char.find(shown, side) >= 0)[1].mean() for side in ("_left", "_right")]
    assert columns[0] > 120 > columns[1]
    cover, colour = lash_layer(anny_scene, view.camera, standard_studio())
    assert 0 < cover.max() <= 1
    assert colour.max() < 0.05


def test_geometry_is_built_once_per_scene(anny_scene: Scene) -> None:
    assert geometry_of(anny_scene) is geometry_of(anny_scene)
    assert geometry_of(replace(anny_scene)) is not geometry_of(anny_scene)


def test_crops_show_skin_alone(anny_scene: Scene) -> None:
    view = render_view(anny_scene, "front", 480, 600)
    skin = np.repeat(view.skin[..., None], 3, axis=-1).astype(np.float32)
    for region in ("cheek", "forehead", "jaw"):
        for side in ("left", "right"):
            assert region_crop(view, region, 48, skin, side).mean() > 0.9
