"""The synthetic stage against closed forms, quadrature and a path tracer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from recon.capture.gradient import normalised
from recon.capture.gradient_light import StageInterior, responses
from recon.capture.linear_images import read_stored
from recon.capture.recovery import angles
from recon.capture.sequence_file import FILE, read_sequence_file
from recon.capture.stage import Stage, specular_response
from recon.capture.stage_folder import Sensor, _record, write_sequence
from recon.errors import UsageError
from recon.fitting.camera import Camera
from recon.rendering.environment import map_directions
from recon.rendering.mitsuba_renderer import environment_emitter, load_mitsuba, mesh, trace
from recon.rendering.rays import RayScene
from recon.rendering.scene import Scene
from tests.rendering_scenes import UNIT, ball, directed, looking, smooth_albedo, sphere_grid


def stage_of(model, camera: Camera, binary: bool = False, **settings: object) -> Stage:
    return Stage(Scene(model, model.mean, smooth_albedo(), camera, directed()), binary, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("binary", [False, True])
def test_light_on_a_sphere_is_that_of_the_closed_form(binary: bool) -> None:
    """Without occlusion E(1) = 1, and E(g) = 2/3 n under linear gradients, n under hemispheres (tests of gradient)."""
    positions, triangles, _ = sphere_grid(1.0, (0, 0, 0), 60)
    interior = StageInterior(positions, triangles.astype(np.int32), np.float32([0.5, 0.4, 0.3]), UNIT, binary=binary)
    rng = np.random.default_rng(1)
    ids = rng.choice(np.flatnonzero(np.abs(positions[:, 1]) < 0.95), 300, replace=False)
    normals = positions[ids] / np.linalg.norm(positions[ids], axis=1, keepdims=True)
    light = interior.irradiance(positions[ids], normals)
    # The facets' edges rise by some hundredths of a degree over the horizon: a few rays of 256 are lost at most.
    np.testing.assert_allclose(light.openness, 1, atol=0.01)
    np.testing.assert_allclose(light.total[:, 0], 1, atol=0.01)
    error = light.total[:, 1:].mean(axis=-1) - normals * (1 if binary else 2 / 3)
    # A hemisphere's edge falls between the 256 rays, on about √256 of which it lies.
    assert np.abs(error).max() < (0.05 if binary else 0.02)
    assert np.abs(error).mean() < (0.01 if binary else 0.003)


def bowl(rings: int = 48) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """The lower half of a unit sphere, open at the top, its triangles facing the centre."""
    positions, triangles, _ = sphere_grid(1.0, (0, 0, 0), rings)
    kept = positions[triangles].mean(axis=1)[:, 1] < 0
    return positions, triangles[kept][:, ::-1].astype(np.int32)


def test_a_bowl_gathers_the_light_that_it_throws_at_itself() -> None:
    """From inside a sphere every part of it is seen with the share of its area (the integrating sphere): in half a
    sphere each point sees the opening with ½ and the bowl with ½, so that E = ½ + ½ ρ E = ½ / (1 − ρ/2)."""
    positions, triangles = bowl()
    albedo = np.float32([0.2, 0.5, 0.8])
    interior = StageInterior(positions, triangles, albedo, UNIT)
    ids = np.flatnonzero((positions[:, 1] < -0.1) & (positions[:, 1] > -0.98))[::7]
    light = interior.irradiance(positions[ids], -positions[ids])
    np.testing.assert_allclose(light.openness.mean(), 0.5, atol=0.005)
    np.testing.assert_allclose(light.openness, 0.5, atol=0.03)
    # Five bounces leave out (ρ/2)^5 of the sum, 1 % at the most.
    np.testing.assert_allclose(light.total[:, 0].mean(axis=0), 0.5 / (1 - albedo / 2), rtol=0.015)
    dark = StageInterior(positions, triangles, np.zeros(3, np.float32), UNIT).irradiance(
        positions[ids], -positions[ids]
    )
    np.testing.assert_allclose(dark.total[:, 0], np.repeat(dark.openness[:, None], 3, axis=1), atol=1e-6)


def test_a_path_tracer_sees_the_same_light() -> None:
    """Two balls that touch, albedo ½, under a gradient in y: Mitsuba's paths against shared rays."""
    camera = looking(4.0, 100.0, 72)
    balls = [sphere_grid(0.8, (-0.3, -0.3, 0), 60), sphere_grid(0.6, (0.6, 0.6, 0.3), 60)]
    places = np.concatenate([positions for positions, _, _ in balls])
    triangles = np.concatenate([balls[0][1], balls[1][1] + len(balls[0][0])]).astype(np.int32)
    interior = StageInterior(places, triangles, np.full(3, 0.5, np.float32), UNIT)
    x, y = np.meshgrid(np.arange(72) + 0.5, np.arange(72) + 0.5)
    hits = interior.rays.first_hit(camera.centre, camera.pixel_rays(x.ravel(), y.ravel()))
    seen = np.flatnonzero(hits.triangle >= 0)
    corners, weights = triangles[hits.triangle[seen]], hits.barycentric[seen]
    points = np.einsum("ncx,nc->nx", places[corners], weights)
    normals = normalised(np.einsum("ncx,nc->nx", interior.normals[corners], weights))[0]
    light = interior.irradiance(points, normals)
    ours = 0.5 * 0.5 * (light.total[:, 0, 0] + light.total[:, 2, 0])

    mi = load_mitsuba()
    around, _ = map_directions(64)
    gradient = np.repeat((0.5 + 0.5 * around[..., 1:2]), 3, axis=-1)
    matt = {"type": "twosided", "inner": {"type": "diffuse", "reflectance": {"type": "rgb", "value": 0.5}}}
    shape = mesh(mi, "both", matt, places, triangles, interior.normals)
    traced = trace(mi, {"both": shape}, camera, environment_emitter(mi, gradient), 128, 0)
    theirs = traced[..., 0].ravel()[seen]
    facing = (normals * -camera.pixel_rays(x.ravel(), y.ravel())[seen]).sum(axis=1)
    inner = (traced[..., 3].ravel()[seen] > 0.999) & (facing > 0.3)
    assert inner.sum() > 1000
    assert (light.openness[inner] < 0.9).sum() > 200  # many lie in the other's shadow
    difference = ours[inner] - theirs[inner]
    assert abs(difference.mean()) < 0.002  # of values about 0.25
    # 128 paths of a light between 0 and 1 scatter by 0.5 · 0.3 / √128 = 0.013 each.
    assert np.abs(difference).mean() < 0.012
    shadowed = light.openness[inner] < 0.9
    assert abs(difference[shadowed].mean()) < 0.006


def brdf_integral(view_cosine: float, alpha: float, reflectance: float) -> NDArray[np.float64]:
    """Mirrored radiance under 1 and under ω by quadrature of the GGX reflectance, normal +z, view in the plane x–z."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    cosine = 0.5 * (nodes + 1)
    azimuth = (np.arange(800) + 0.5) / 800 * 2 * np.pi
    z, phi = np.meshgrid(cosine, azimuth, indexing="ij")
    light = np.stack([np.sqrt(1 - z**2) * np.cos(phi), np.sqrt(1 - z**2) * np.sin(phi), z], axis=-1)
    view = np.array([np.sqrt(1 - view_cosine**2), 0, view_cosine])
    half = light + view
    half /= np.linalg.norm(half, axis=-1, keepdims=True)
    facets = alpha**2 / (np.pi * ((half[..., 2] ** 2) * (alpha**2 - 1) + 1) ** 2)

    def smith(c):
        return 0.5 * (np.sqrt(1 + alpha**2 * (1 - c**2) / c**2) - 1)

    masking = 1 / (1 + smith(view_cosine) + smith(z))
    fresnel = reflectance + (1 - reflectance) * (1 - half @ view) ** 5
    reflected = facets * masking * fresnel / (4 * view_cosine)  # the light's cosine cancels
    solid = 0.5 * weights[:, None] * 2 * np.pi / 800
    patterns = np.concatenate([np.ones_like(z)[..., None], light], axis=-1)
    return ((reflected * solid)[..., None] * patterns).sum(axis=(0, 1))


@pytest.mark.parametrize(("cosine", "roughness"), [(0.95, 0.45), (0.5, 0.45), (0.3, 0.6)])
def test_the_mirror_lobe_is_that_of_ggx(cosine: float, roughness: float) -> None:
    """Sampling the visible normals must give the integral of the reflectance itself (Walter 2007, eq. 20)."""
    far = RayScene(np.float32([[0, 0, -9], [1, 0, -9], [0, 1, -9]]), np.array([[0, 1, 2]]))
    view = np.float32([[np.sqrt(1 - cosine**2), 0, cosine]])
    got = specular_response(
        far, np.zeros((1, 3), np.float32), np.float32([[0, 0, 1]]), view, np.float32([roughness]),
        np.float32([0.028]), False, 4096,
    )[0]  # fmt: skip
    # The frame's tangent is arbitrary; here x of the world must come out as x.
    expected = brdf_integral(cosine, roughness**2, 0.028)
    np.testing.assert_allclose(got, expected, atol=0.01 * expected[0])


def test_a_smooth_ball_mirrors_the_gradient_along_the_reflected_ray() -> None:
    positions, triangles, _ = sphere_grid(1.0, (0, 0, 0), 90)
    rays = RayScene(positions, triangles)
    rng = np.random.default_rng(4)
    normals = rng.normal(size=(200, 3))
    normals[:, 2] = np.abs(normals[:, 2]) + 0.5
    normals = (normals / np.linalg.norm(normals, axis=1, keepdims=True)).astype(np.float32)
    view = np.tile(np.float32([0, 0, 1]), (200, 1))
    few = np.full(200, 0.04, np.float32)
    found = specular_response(rays, 1.01 * normals, normals, view, 0.5 * few, few, False, 16)
    facing = normals[:, 2:]
    mirrored = 2 * facing * normals - view
    fresnel = 0.04 + 0.96 * (1 - facing[:, 0]) ** 5
    np.testing.assert_allclose(found[:, 0], fresnel, rtol=0.01)
    np.testing.assert_allclose(found[:, 1:] / found[:, :1], mirrored, atol=0.01)


def test_the_sensor_has_shot_noise() -> None:
    """Electrons are Poisson: the variance is (N + read²) / frames in electrons², N the mean (EMVA 1288)."""
    sensor = Sensor(full_well=10_000, read_noise=20, frames=4)
    recorded = _record(np.full((300, 300), 0.25, np.float32), sensor, np.random.default_rng(5)) * 10_000
    assert recorded.mean() == pytest.approx(2500, rel=1e-3)
    assert recorded.std() == pytest.approx(np.sqrt((2500 + 400) / 4), rel=0.02)
    assert _record(np.full((8, 8), 3.0, np.float32), sensor, np.random.default_rng(5)).max() == 1


def test_the_picture_and_its_truth_belong_together() -> None:
    camera = looking(4.0, 120.0, 64)
    view = stage_of(ball(), camera, diffuse_rays=64, specular_rays=16).photograph(camera)
    inner = view.head & (view.normals[..., 2] > 0.3)
    gradient = view.diffuse[..., 1:, :] / np.maximum(view.diffuse[..., :1, :], 1e-6)
    assert angles(gradient[inner].mean(axis=-1) / (2 / 3), view.normals[inner]).max() < 1
    np.testing.assert_allclose(view.diffuse[inner][:, 0], view.albedo[inner], rtol=0.02)
    assert not view.diffuse[~view.head].any() and not view.specular[~view.head].any()


def test_a_folder_is_written_once_the_same_and_its_description_last(tmp_path: Path, monkeypatch) -> None:
    camera = looking(4.0, 120.0, 48)
    stage = stage_of(ball(), camera, diffuse_rays=16, specular_rays=8)
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        write_sequence(folder, stage, {"front": camera}, Sensor(), "ball", seed=3)
    for file in (path.relative_to(first) for path in first.rglob("*") if path.is_file()):
        assert (first / file).read_bytes() == (second / file).read_bytes(), file
    described = read_sequence_file(first)
    assert described.id == "ball" and described.cameras[0].polarised and described.synthetic
    np.testing.assert_allclose(described.cameras[0].camera.rotation, camera.rotation)  # type: ignore[union-attr]
    with pytest.raises(UsageError, match="holds a capture already"):
        write_sequence(first, stage, {"front": camera}, Sensor(), "ball")

    def stopped(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("recon.capture.stage_folder._write_mesh", stopped)
    with pytest.raises(KeyboardInterrupt):
        write_sequence(tmp_path / "c", stage, {"front": camera}, Sensor(), "ball")
    assert not (tmp_path / "c" / FILE).exists()


def test_patterns_are_the_stages(tmp_path: Path) -> None:
    """Noise aside, full = x + x_complement, and the crossed image is half of the unpolarised one without the gloss."""
    camera = looking(4.0, 120.0, 40)
    stage = stage_of(ball(), camera, diffuse_rays=16, specular_rays=8)
    quiet = Sensor(full_well=1e12, read_noise=0, ambient=0, suffix=".exr", axes=("-z", "+x", "+y"))
    write_sequence(tmp_path / "a", stage, {"front": camera}, quiet, "ball")
    image = {
        name: read_stored(tmp_path / "a" / "front" / f"cross_{name}.exr").values
        for name in ("full", "x", "x_complement", "y", "ambient")
    }
    np.testing.assert_allclose(image["full"], image["x"] + image["x_complement"], atol=1e-5)
    assert image["ambient"].max() < 1e-5
    # Images x grow towards −z here, so what faces the camera is darker in x than in its complement.
    assert image["x"][20, 20, 1] < 0.3 * image["x_complement"][20, 20, 1]
    assert image["y"][20, 30, 1] > image["y"][20, 10, 1]


def test_responses_are_functions_of_the_direction() -> None:
    directions = np.float32([[0.6, -0.8, 0], [0, 0, 1]])
    np.testing.assert_array_equal(responses(directions, False), np.float32([[1, 0.6, -0.8, 0], [1, 0, 0, 1]]))
    np.testing.assert_array_equal(responses(directions, True), [[1, 1, -1, 0], [1, 0, 0, 1]])
