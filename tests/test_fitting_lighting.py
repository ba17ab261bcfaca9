"""Spherical-harmonics light against integration over the sphere, and its closed-form estimate."""

from __future__ import annotations

import numpy as np
import pytest

from recon.fitting.light_estimate import DARKEST, estimate_light, lifted
from recon.fitting.lighting import SphericalHarmonicsLighting, irradiance_basis, irradiance_gradient, sh_basis


def _directions(count: int, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _fibonacci(count: int) -> np.ndarray:
    """Evenly spread directions, each standing for 4π / count of the sphere."""
    index = np.arange(count) + 0.5
    z, turn = 1.0 - 2.0 * index / count, index * np.pi * (1.0 + np.sqrt(5.0))
    ring = np.sqrt(1.0 - z * z)
    return np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=1)


def test_harmonics_are_orthonormal() -> None:
    values = sh_basis(_fibonacci(20000))
    np.testing.assert_allclose(values.T @ values * (4 * np.pi / 20000), np.eye(9), atol=2e-3)


def test_shading_equals_monte_carlo_integration() -> None:
    coefficients = np.random.default_rng(4).normal(0, 1, (9, 3))
    sky = _directions(400_000, seed=1)
    environment = sh_basis(sky) @ coefficients
    normals = _directions(12, seed=2)
    cosines = np.maximum(normals @ sky.T, 0.0)
    expected = cosines @ environment * (4 * np.pi / len(sky)) / np.pi
    shading = SphericalHarmonicsLighting(coefficients).shading(normals)
    # 400,000 samples of values of order 1 have a standard error of about 0.005.
    np.testing.assert_allclose(shading, expected, atol=0.03)


def test_ambient_light_shades_evenly() -> None:
    np.testing.assert_allclose(SphericalHarmonicsLighting.ambient(0.7).shading(_directions(50)), 0.7, rtol=1e-6)


def test_gradient_equals_finite_differences() -> None:
    normals = _directions(30)
    gradient = irradiance_gradient(normals)
    for axis in range(3):
        delta = np.zeros(3)
        delta[axis] = 1e-6
        numeric = (irradiance_basis(normals + delta) - irradiance_basis(normals - delta)) / 2e-6
        np.testing.assert_allclose(gradient[:, :, axis], numeric, atol=1e-8)


def _visible_normals(count: int = 3000) -> np.ndarray:
    normals = _directions(count, seed=8)
    return normals[normals[:, 2] > 0.25]


def test_side_light_is_found_and_skin_colour_kept() -> None:
    normals = _visible_normals()
    coefficients = SphericalHarmonicsLighting.ambient(1.0).coefficients.copy()
    coefficients[3] += 1.2
    truth = SphericalHarmonicsLighting(coefficients).shading(normals)
    truth /= truth.mean(axis=0)
    skin = np.array([0.45, 0.30, 0.22])
    found = estimate_light(skin * truth, normals)
    shading = found.lighting.shading(normals)
    assert np.abs(shading - truth).max() < 0.12
    np.testing.assert_allclose(found.skin, skin, rtol=0.03)


def test_the_gauge_is_a_mean_shading_of_one() -> None:
    normals = _visible_normals()
    radiance = np.random.default_rng(0).uniform(0.1, 0.5, (len(normals), 3))
    found = estimate_light(radiance, normals)
    mean = np.average(found.lighting.shading(normals), axis=0, weights=found.weights)
    np.testing.assert_allclose(mean, 1.0, atol=0.02)


def test_a_beard_is_not_taken_for_light() -> None:
    normals = _visible_normals()
    skin = np.tile([0.45, 0.30, 0.22], (len(normals), 1))
    bearded = normals[:, 1] < -0.5
    skin[bearded] *= 0.25
    trust = np.where(bearded, 0.25, 1.0)
    shading = estimate_light(skin, normals, trust=trust).lighting.shading(normals)
    # Taken at face value, the lower part would get a quarter of the light.
    assert shading[bearded].mean() / shading[~bearded].mean() > 0.7


@pytest.mark.parametrize("strength", [0.5, 3.0])
def test_estimated_light_is_positive_wherever_a_face_shows(strength: float) -> None:
    normals = _visible_normals()
    shade = np.maximum(normals[:, [0]], 0.02) * strength  # a hard light from one side: not spherical harmonics at all
    light = estimate_light(shade * [0.4, 0.3, 0.2], normals).lighting
    anywhere = _directions(5000, seed=3)
    assert light.shading(anywhere[anywhere[:, 2] > -0.05]).min() > 0
    assert light.shading(normals).min() >= DARKEST * 0.99 * light.shading(normals).mean()


def test_known_albedo_is_divided_out() -> None:
    normals = _visible_normals()
    truth = SphericalHarmonicsLighting.ambient(1.0)
    albedo = np.where(normals[:, [0]] > 0, 0.5, 0.2) * np.array([1.0, 0.8, 0.6])
    shading = estimate_light(albedo * truth.shading(normals), normals, albedo).lighting.shading(normals)
    np.testing.assert_allclose(shading, 1.0, atol=1e-3)


@pytest.mark.parametrize("strength", [2.0, 8.0, 40.0])
def test_lifted_light_is_bright_enough_everywhere(strength: float) -> None:
    normals = _visible_normals()
    coefficients = SphericalHarmonicsLighting.ambient(1.0).coefficients.copy()
    coefficients[3] += strength
    before = irradiance_basis(normals) @ coefficients
    after = lifted(SphericalHarmonicsLighting(coefficients), normals, DARKEST).shading(normals)
    assert after.min() >= DARKEST * before.mean() - 1e-5
    np.testing.assert_allclose(after.mean(axis=0), before.mean(axis=0), rtol=1e-5)


def test_a_fall_off_on_half_a_face_is_not_taken_for_side_light() -> None:
    normals = _visible_normals()
    coefficients = SphericalHarmonicsLighting.ambient(1.0).coefficients.copy()
    coefficients[2] += 1.5  # from the front: symmetric, falling off to both sides
    truth = SphericalHarmonicsLighting(coefficients).shading(normals)
    half = normals[:, 0] < 0.0
    found = estimate_light(np.array([0.4, 0.3, 0.2]) * truth[half], normals[half]).lighting
    mirrored = normals * (-1, 1, 1)
    unlike = np.log(found.shading(normals[half]) / found.shading(mirrored[half]))
    assert np.abs(unlike.mean()) < 0.1
    ratio = found.shading(normals) / truth
    assert ratio[~half].mean() / ratio[half].mean() == pytest.approx(1.0, abs=0.1)
