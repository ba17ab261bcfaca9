"""Ray-cast views against closed forms, independent rasterisers and scipy; scenes and eyes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates
from skimage.draw import polygon2mask

from recon.errors import InputError, UsageError
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.rendering import (
    Scene,
    face_region,
    shade_view,
)
from recon.rendering.eyes import eye_frame, eye_texcoord, eye_texture, fit_sphere, lash_opacity
from recon.rendering.gbuffer import sky_visibility
from recon.rendering.rays import RayScene
from recon.rendering.sampling import layout, low_pass, padded, sample_bilinear
from tests.rendering_scenes import (
    EYE_CENTRE,
    EYE_RADIUS,
    ball,
    directed,
    head,
    looking,
    model_of,
    scene_of,
    smooth_albedo,
    sphere_grid,
    square,
)

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
