"""Analytic derivatives of the fit's energies against finite differences, and the bounded Gauss–Newton step."""

from __future__ import annotations

import numpy as np
import pytest
from fitting_toy import toy_albedo, toy_light, toy_model
from scipy.optimize import lsq_linear

from recon.fitting.gauss_newton import Linearisation, bounded_step, minimise
from recon.fitting.landmark_fit import CoefficientPrior, FaceParameters, LandmarkTerm, landmark_rig
from recon.fitting.photometric_fit import ScenePrior, light_precision
from recon.fitting.photometric_term import PhotometricTerm, SceneParameters, SurfacePatch
from recon.fitting.pose import Pose, rotation_of
from recon.fitting.samples import Level, skin_triangles

WIDTH, HEIGHT = 300, 360


@pytest.fixture(scope="module")
def scene() -> SceneParameters:
    model = toy_model()
    rng = np.random.default_rng(3)
    pose = Pose(
        rotation=rotation_of(np.array([0.1, 0.25, -0.05])) @ np.diag([1.0, -1.0, -1.0]),
        shift=np.array([0.2, 0.1]),
        log_scale=np.log(12.0),
        log_distance=np.log(70.0),
        pivot=np.array([0.0, 0.0, 8.0]),
        principal=np.array([WIDTH / 2, HEIGHT / 2]),
    )
    face = FaceParameters(pose, rng.normal(0, 0.8, len(model.identity_basis)), np.array([0.3, 0.2, 0.0]))
    return SceneParameters(face, rng.normal(0, 1, 4), toy_light().coefficients + rng.normal(0, 0.1, (9, 3)))


def _ramp() -> Level:
    """A picture that is linear in x and y, so that central differences and interpolation are exact."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    radiance = np.stack([0.2 + columns / 900, 0.5 - rows / 1100, 0.1 + (columns + rows) / 2000], -1).astype(np.float32)
    gradient = np.stack(np.gradient(radiance, axis=(1, 0)), axis=-1).astype(np.float32)
    return Level(radiance, gradient, np.ones((HEIGHT, WIDTH), dtype=bool), (0, 0), 1)


@pytest.fixture(scope="module")
def term() -> PhotometricTerm:
    model = toy_model()
    triangles = skin_triangles(model)[::17]
    patch = SurfacePatch.of(model, toy_albedo(model), triangles)
    # Double precision throughout, so that small differences are not rounding.
    patch = SurfacePatch(patch.mean, patch.basis.astype(np.float64), patch.albedo_mean, patch.albedo_basis)
    return PhotometricTerm(patch, _ramp(), 0.05, np.full(len(triangles), 0.5))


def test_photometric_jacobian_equals_finite_differences(term: PhotometricTerm, scene: SceneParameters) -> None:
    residual, jacobian = term.jacobian(scene)
    np.testing.assert_allclose(residual, term.residual(scene), atol=1e-5)
    for unknown in range(scene.size):
        delta = np.zeros(scene.size)
        delta[unknown] = 3e-3
        numeric = (term.residual(scene.moved(delta)) - term.residual(scene.moved(-delta))) / 6e-3
        if unknown == scene.face.size - 1:  # this expression is at its lower bound: only one side exists
            numeric *= 2.0
        error = np.abs(jacobian[:, :, unknown] - numeric).max()
        assert error < 4e-3 * max(np.abs(numeric).max(), 0.05), f"unknown {unknown}"


def test_photometric_gradient_is_half_the_slope_of_the_energy(term: PhotometricTerm, scene: SceneParameters) -> None:
    gradient = term.linearise(scene).gradient
    rng = np.random.default_rng(0)
    for _ in range(5):
        direction = rng.normal(0, 1e-3, scene.size)
        direction[scene.face.size - 1] = 0.0
        numeric = (term.energy(scene.moved(direction)) - term.energy(scene.moved(-direction))) / 2.0
        assert 2.0 * gradient @ direction == pytest.approx(numeric, rel=0.02, abs=1e-3)


def test_landmark_gradient_is_half_the_slope_of_the_energy(scene: SceneParameters) -> None:
    rig = landmark_rig(toy_model())
    noise = np.random.default_rng(1).normal(0, 4.0, (68, 2))
    detected = scene.face.pose.project(rig.points(scene.face))[:68] + noise
    landmarks = LandmarkTerm.at(rig, detected, scene.face, weight=2.0)
    local = landmarks.linearise(scene.face)
    assert local.energy == pytest.approx(landmarks.energy(scene.face))
    for unknown in range(scene.face.size - 1):
        delta = np.zeros(scene.face.size)
        delta[unknown] = 1e-5
        numeric = (landmarks.energy(scene.face.moved(delta)) - landmarks.energy(scene.face.moved(-delta))) / 2e-5
        assert 2.0 * local.gradient[unknown] == pytest.approx(numeric, rel=1e-3, abs=1e-2)


def test_prior_energies_and_pulls_agree(scene: SceneParameters) -> None:
    model = toy_model()
    prior = ScenePrior.of(model, 4)
    deviation = prior.deviation(scene)
    np.testing.assert_allclose(prior.pull(deviation), prior.precision() @ deviation, rtol=1e-10, atol=1e-12)
    face = CoefficientPrior.of(model)
    size = scene.face.size
    assert face.energy(scene.face) == pytest.approx(float(deviation[:size] @ prior.pull(deviation)[:size]))


def test_the_light_prior_prefers_white_light() -> None:
    precision = light_precision()
    grey, tinted = np.zeros((9, 3)), np.zeros((9, 3))
    grey[1], tinted[1] = 1.0, (1.0, 0.0, 0.0)
    assert tinted.ravel() @ precision @ tinted.ravel() > 10 * (grey.ravel() @ precision @ grey.ravel())
    np.linalg.cholesky(precision)


def _problem(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    jacobian = np.random.default_rng(seed).normal(size=(3 * size, size))
    return jacobian, np.random.default_rng(seed + 1).normal(size=3 * size)


def test_step_without_walls_is_the_newton_step() -> None:
    jacobian, residual = _problem(6, 0)
    free = np.full(6, np.inf)
    step = bounded_step(jacobian.T @ jacobian, jacobian.T @ residual, -free, free)
    np.testing.assert_allclose(step, -np.linalg.lstsq(jacobian, residual, rcond=None)[0], atol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_step_with_walls_is_near_the_reference_solution(seed: int) -> None:
    jacobian, residual = _problem(8, 10 * seed)
    wall = np.full(8, 0.1)
    step = bounded_step(jacobian.T @ jacobian, jacobian.T @ residual, -wall, wall)
    assert (np.abs(step) <= wall + 1e-12).all()
    reference = lsq_linear(jacobian, -residual, bounds=(-wall, wall)).cost

    def cost(candidate: np.ndarray) -> float:
        return 0.5 * float(np.sum((jacobian @ candidate + residual) ** 2))

    gained, possible = cost(np.zeros(8)) - cost(step), cost(np.zeros(8)) - reference
    assert gained > 0.9 * possible


def test_minimise_finds_the_minimum_of_rosenbrocks_valley() -> None:
    def residual(x: np.ndarray) -> np.ndarray:
        return np.array([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)])

    def linearise(x: np.ndarray) -> Linearisation:
        jacobian = np.array([[-1.0, 0.0], [-20.0 * x[0], 10.0]])
        r = residual(x)
        return Linearisation(float(r @ r), jacobian.T @ r, jacobian.T @ jacobian)

    found = minimise(
        np.array([-1.2, 1.0]),
        linearise,
        lambda x: float(residual(x) @ residual(x)),
        lambda x, step: x + step,
        lambda x: (np.full(2, -np.inf), np.full(2, np.inf)),
        steps=100,
        tolerance=1e-14,
    )
    np.testing.assert_allclose(found.state, [1.0, 1.0], atol=1e-6)
    assert all(later < earlier for earlier, later in zip(found.energies, found.energies[1:], strict=False))
