"""Formulas of gradient light against integrals of a Lambertian sphere and of a mirror."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recon.capture.gradient import (
    binary_component,
    complement_residual,
    diffuse_component,
    half_way,
    normalised,
    reflected_component,
    separate,
)
from recon.capture.recovery import angles

ALBEDO = 0.37


def directions(count: int, seed: int) -> NDArray[np.float64]:
    value = np.random.default_rng(seed).normal(size=(count, 3))
    return value / np.linalg.norm(value, axis=1, keepdims=True)


def quadrature(polar: int, azimuthal: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions over the hemisphere of +z and their solid angles: Gauss–Legendre in the cosine, even in azimuth."""
    nodes, weights = np.polynomial.legendre.leggauss(polar)
    cosine = 0.5 * (nodes + 1)
    azimuth = (np.arange(azimuthal) + 0.5) / azimuthal * 2 * np.pi
    z, phi = np.meshgrid(cosine, azimuth, indexing="ij")
    sine = np.sqrt(1 - z**2)
    solid = np.repeat(0.5 * weights[:, None] * 2 * np.pi / azimuthal, azimuthal, axis=1)
    return np.stack([sine * np.cos(phi), sine * np.sin(phi), z], axis=-1).reshape(-1, 3), solid.ravel()


def lambertian(normals: NDArray[np.float64], pattern, polar: int = 24, azimuthal: int = 48) -> NDArray[np.float64]:
    """``(N, …)`` light that a matt surface of ``ALBEDO`` reflects: (ρ/π) ∫ P(ω) (n·ω) dω over each hemisphere."""
    local, solid = quadrature(polar, azimuthal)
    reflected = []
    for normal in normals:
        helper = np.eye(3)[np.argmin(np.abs(normal))]
        tangent = np.cross(helper, normal)
        tangent /= np.linalg.norm(tangent)
        world = local @ np.stack([tangent, np.cross(normal, tangent), normal])
        reflected.append(ALBEDO / np.pi * (pattern(world) * (local[:, 2] * solid)[:, None]).sum(axis=0))
    return np.array(reflected)


def test_linear_gradients_of_a_lambertian_sphere() -> None:
    """The integrand is a polynomial in each hemisphere's own coordinates, so the quadrature is exact."""
    normals = directions(40, 1)
    full = lambertian(normals, lambda w: np.ones((len(w), 1)))[:, 0]
    lit = lambertian(normals, lambda w: (1 + w) / 2)
    dark = lambertian(normals, lambda w: (1 - w) / 2)
    # ∫ (n·ω)+ dω = π and ∫ ω (n·ω)+ dω = (2π/3) n, by Archimedes' projection of the hemisphere on its base.
    np.testing.assert_allclose(full, ALBEDO, rtol=1e-9)
    np.testing.assert_allclose(lit, ALBEDO * (0.5 + normals / 3), rtol=1e-9)
    for axis in range(3):
        np.testing.assert_allclose(diffuse_component(lit[:, axis], full), normals[:, axis], atol=1e-6)
        np.testing.assert_allclose(diffuse_component(lit[:, axis], full, dark[:, axis]), normals[:, axis], atol=1e-6)
    np.testing.assert_allclose(complement_residual(lit, dark, full[:, None]), 0, atol=1e-6)


def test_binary_hemispheres_of_a_lambertian_sphere() -> None:
    """A hemisphere of light covers the share (1 + cos θ)/2 of the cosine-weighted sky, as a tilted plane's sky does."""
    normals = directions(12, 2)
    lit = lambertian(normals, lambda w: (w > 0).astype(float), 400, 1440)
    dark = lambertian(normals, lambda w: (w < 0).astype(float), 400, 1440)
    np.testing.assert_allclose(lit, ALBEDO * (1 + normals) / 2, atol=1e-3)
    np.testing.assert_allclose(binary_component(lit, dark), normals, atol=4e-3)


def mirror(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Normals, views on their side, and reflected rays."""
    normals, views = directions(500, seed), directions(500, seed + 1)
    facing = (normals * views).sum(axis=1)
    views[facing < 0] *= -1
    keep = np.abs(facing) > 0.2
    normals, views = normals[keep], views[keep]
    return normals, views, 2 * (normals * views).sum(axis=1, keepdims=True) * normals - views


@pytest.mark.parametrize("with_complement", [False, True])
def test_a_mirror_shows_the_gradient_along_the_reflected_ray(with_complement: bool) -> None:
    normals, views, rays = mirror(3)
    strength = np.float32(0.04)
    lit, dark = strength * (rays + 1) / 2, strength * (1 - rays) / 2
    found = [
        reflected_component(lit[:, i], np.full(len(rays), strength), dark[:, i] if with_complement else None)
        for i in range(3)
    ]
    reflected = np.stack(found, axis=1)
    np.testing.assert_allclose(reflected, rays, atol=1e-5)
    assert angles(half_way(reflected, views.astype(np.float32)), normals).max() < 0.01


def test_a_glossy_lobe_shortens_the_ray_and_would_pull_the_printed_formula_to_the_viewer() -> None:
    """A symmetric lobe averages ω to a multiple of r; ``normalize(r + v)`` with that r is wrong, with unit r it is not.

    With |r| = k the sum k r + v has the angle atan2(k sin 2θ, 1 + k cos 2θ) to v instead of θ.
    """
    normals, views, rays = mirror(5)
    short = (0.8 * rays).astype(np.float32)
    assert angles(half_way(short, views.astype(np.float32)), normals).max() < 0.01
    printed = normalised((short + views).astype(np.float32))[0]
    theta = np.arccos(np.clip((normals * views).sum(axis=1), -1, 1))
    expected = np.degrees(theta - np.arctan2(0.8 * np.sin(2 * theta), 1 + 0.8 * np.cos(2 * theta)))
    np.testing.assert_allclose(angles(printed, normals), expected, atol=0.02)
    assert expected.max() > 5


def test_polarised_pairs_come_apart() -> None:
    """Crossed filters pass half of the diffuse light; parallel ones the other half and all that is mirrored."""
    rng = np.random.default_rng(7)
    diffuse, mirrored = rng.random((2, 30, 20, 3)).astype(np.float32)
    d, s, clamped = separate(diffuse / 2, diffuse / 2 + mirrored)
    np.testing.assert_allclose(d, diffuse, rtol=1e-6)
    np.testing.assert_allclose(s, mirrored, atol=1e-6)
    assert not clamped.any()
    _, s, clamped = separate(np.float32([0.5, 0.2]), np.float32([0.4, 0.3]))
    np.testing.assert_allclose(s, [0, 0.1], atol=1e-7)
    assert clamped.tolist() == [True, False]


def test_a_wrong_full_on_image_shows_in_the_residual() -> None:
    lit, dark = np.float32([0.30, 0.10]), np.float32([0.10, 0.30])
    np.testing.assert_allclose(complement_residual(lit, dark, np.float32([0.5, 0.32])), [-0.2, 0.25], rtol=1e-5)


def test_black_pixels_have_no_direction_and_no_warning() -> None:
    black = np.zeros((4, 3), np.float32)
    with np.errstate(all="raise"):
        assert (binary_component(black, black) == 0).all()
        assert np.isfinite(diffuse_component(black, black)).all()
        unit, length = normalised(black)
    assert (unit == 0).all() and (length == 0).all()


def test_angles_are_exact_where_the_arc_cosine_is_not() -> None:
    small = np.radians(1e-4)
    first, second = np.float32([[0, 0, 1]]), np.array([[np.sin(small), 0, np.cos(small)]])
    np.testing.assert_allclose(angles(first, second), 1e-4, rtol=1e-5)
