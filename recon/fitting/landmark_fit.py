"""Fit pose, focal length, identity and expression of a morphable model to 68 landmarks.

Maximum a posteriori: landmark residuals divided by their standard deviation, robustified (Geman–McClure), plus
coefficient priors. Landmarks of the jaw lie on the *visible* contour, not on fixed points of the face; they slide: the
model vertex is chosen anew in each round, outermost in the image among the model's candidates for that landmark, and
a residual along the contour counts less than one across it.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recon.errors import FitError
from recon.face_model.model import MorphableModel
from recon.fitting.gauss_newton import Linearisation, Minimum, minimise
from recon.fitting.pose import LOG_DISTANCE, POSE_SIZE, Pose, pose_from_points

Array = NDArray[np.float64]

JAW = 17
# Standard deviation of a detected landmark as a fraction of the distance between the outer eye corners (seen from the
# front): about the median residual of each group over the London set (brows and jaw are placed more loosely than eyes
# and mouth).
DEVIATION = np.concatenate([np.full(17, 0.020), np.full(10, 0.020), np.full(41, 0.010)])
# Along the contour a jaw landmark is this many times less certain than across it.
JAW_SLACK = 3.0
# dlib answers in whole pixels of the picture that it saw; small faces are not placed better than this.
PIXEL_DEVIATION = 0.5
# Geman–McClure scale, in standard deviations: residuals much larger than this count little. It shrinks from round to
# round (graduated non-convexity), or a broad smile would be outvoted before the expression has had time to form.
ROBUST_SCALE = 4.0
ROBUST_SCALES = (32.0, 16.0, 8.0, ROBUST_SCALE)

# A photograph hardly tells how far the camera was, and cropping it changes the apparent field of view but not the
# distance. So the prior is on the distance: log-normal, 68 % between 0.84 m (an arm's length and a little) and 1.5 m
# (a studio portrait), 99 % between 0.5 and 2.5 m. It stands in for a prior on the focal length, which follows as size
# in the image × distance.
TYPICAL_DISTANCE_METRES = 1.13
DISTANCE_LOG_DEVIATION = 0.3

# Expressions are held back harder than identity: coefficient 1 is a full facial action, and a resting face must be
# explained by who it is.
EXPRESSION_DEVIATION = 0.2
# Gaze does not show in the 68 landmarks; these actions stay at zero.
GAZE = "eyeLook"


@dataclass(frozen=True, eq=False)
class FaceParameters:
    """The unknowns of a fit.

    Attributes:
        pose: rigid pose and projection.
        identity: ``(K,)`` float64, N(0, 1).
        expression: ``(E,)`` float64 in [0, 1].
    """

    pose: Pose
    identity: Array
    expression: Array

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return POSE_SIZE + len(self.identity) + len(self.expression)

    @property
    def coefficients(self) -> Array:
        """``(K + E,)`` identity and expression, in this order."""
        return np.concatenate([self.identity, self.expression])

    def moved(self, step: Array) -> FaceParameters:
        """The parameters after a step ``(7 + K + E,)``: pose, identity, expression (kept within [0, 1])."""
        shape = step[POSE_SIZE : self.size]
        return FaceParameters(
            self.pose.moved(step[:POSE_SIZE]),
            self.identity + shape[: len(self.identity)],
            np.clip(self.expression + shape[len(self.identity) :], 0.0, 1.0),
        )


@dataclass(frozen=True, eq=False)
class CoefficientPrior:
    """Gaussian prior of the unknowns and their bounds.

    Attributes:
        typical_log_distance: of the camera, model units.
        precision: ``(7 + K + E,)`` one over the variance; zero where there is no prior.
        free: ``(7 + K + E,)`` bool: which unknowns may move.
    """

    typical_log_distance: float
    precision: Array
    free: NDArray[np.bool_]

    @staticmethod
    def of(model: MorphableModel, *, expression_deviation: float = EXPRESSION_DEVIATION) -> CoefficientPrior:
        """The prior for a model."""
        precision = np.concatenate(
            [
                np.zeros(POSE_SIZE),
                np.ones(len(model.identity_basis)),
                np.full(len(model.expression_basis), expression_deviation**-2),
            ]
        )
        precision[LOG_DISTANCE] = DISTANCE_LOG_DEVIATION**-2
        gaze = np.array([name.startswith(GAZE) for name in model.expression_names], dtype=bool)
        free = np.concatenate([np.ones(POSE_SIZE + len(model.identity_basis), dtype=bool), ~gaze])
        return CoefficientPrior(float(np.log(TYPICAL_DISTANCE_METRES / model.metres_per_unit)), precision, free)

    def only_pose(self) -> CoefficientPrior:
        """The same with identity and expression held."""
        free = self.free.copy()
        free[POSE_SIZE:] = False
        return replace(self, free=free)

    def residual(self, parameters: FaceParameters) -> Array:
        """``(7 + K + E,)`` distance of the unknowns from their prior means."""
        pose = np.zeros(POSE_SIZE)
        pose[LOG_DISTANCE] = parameters.pose.log_distance - self.typical_log_distance
        return np.concatenate([pose, parameters.coefficients])

    def energy(self, parameters: FaceParameters) -> float:
        """Negative log prior, times two, without its constant."""
        return float(np.sum(self.precision * self.residual(parameters) ** 2))

    def walls(self, parameters: FaceParameters) -> tuple[Array, Array]:
        """Lowest and highest step allowed: expressions within [0, 1], held unknowns not at all."""
        lower, upper = np.full(parameters.size, -np.inf), np.full(parameters.size, np.inf)
        start = POSE_SIZE + len(parameters.identity)
        lower[start:], upper[start:] = -parameters.expression, 1.0 - parameters.expression
        lower[~self.free] = upper[~self.free] = 0.0
        return lower, upper


@dataclass(frozen=True, eq=False)
class LandmarkRig:
    """The model reduced to its landmarks: 68 points, then all points to which jaw landmarks may slide.

    Attributes:
        mean: ``(M, 3)`` float64.
        basis: ``(K + E, M, 3)`` float64.
        candidates: for each of the 17 jaw landmarks the rows it may use; its own row is among them.
    """

    mean: Array
    basis: Array
    candidates: tuple[NDArray[np.intp], ...]

    def points(self, parameters: FaceParameters) -> Array:
        """``(M, 3)`` positions in the model frame."""
        return self.mean + np.tensordot(parameters.coefficients, self.basis, axes=1)

    def eye_distance(self, pose: Pose) -> float:
        """Distance in pixels between the outer eye corners of the mean face, if it looked straight at the camera.

        A measure of the face's size in the picture that does not shrink when the head is turned.
        """
        return float(np.linalg.norm(self.mean[36] - self.mean[45]) * np.exp(pose.log_scale))


@functools.lru_cache(maxsize=4)
def landmark_rig(model: MorphableModel) -> LandmarkRig:
    """The landmark rig of ``model``."""
    slides = [np.asarray(slide, dtype=np.intp) for slide in model.jaw_slides]
    ends = 68 + np.cumsum([len(slide) for slide in slides])
    candidates = tuple(
        np.concatenate([[row], np.arange(end - len(slide), end)])
        for row, (end, slide) in enumerate(zip(ends, slides, strict=True))
    )
    vertices = np.concatenate(slides) if slides else np.zeros(0, dtype=np.intp)

    def reduced(field: NDArray[np.float32]) -> Array:
        return np.concatenate([model.landmarks(field), field[vertices]]).astype(np.float64)

    basis = np.stack([reduced(mode) for mode in (*model.identity_basis, *model.expression_basis)])
    return LandmarkRig(reduced(model.mean), basis, candidates)


def contour_rows(rig: LandmarkRig, projected: Array) -> NDArray[np.intp]:
    """``(68,)`` rows of the rig that stand for the landmarks, jaw landmarks slid to the outside of the contour.

    ``projected`` ``(M, 2)``: the rig's points in the image.
    """
    rows = np.arange(68)
    outward = _outward(projected[:68])
    for landmark, candidates in enumerate(rig.candidates):
        rows[landmark] = candidates[np.argmax(projected[candidates] @ outward[landmark])]
    return rows


def _outward(points: Array) -> Array:
    """``(17, 2)`` unit normals of the jaw line through ``points`` ``(68, 2)``, pointing away from the nose."""
    jaw = points[:JAW]
    tangent = np.gradient(jaw, axis=0)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    inward = np.sum(normal * (jaw - points[30]), axis=1) < 0
    normal[inward] *= -1.0
    return np.asarray(normal)


@dataclass(frozen=True, eq=False)
class LandmarkTerm:
    """Robust landmark energy at a fixed choice of contour vertices.

    Attributes:
        rig: the model's landmarks.
        rows: ``(68,)`` rows of the rig that stand for the landmarks.
        detected: ``(68, 2)`` pixels.
        whitening: ``(68, 2, 2)``: maps a residual in pixels to standard deviations.
        weight: factor on the energy.
        scale: Geman–McClure scale in standard deviations.
    """

    rig: LandmarkRig
    rows: NDArray[np.intp]
    detected: Array
    whitening: Array
    weight: float = 1.0
    scale: float = ROBUST_SCALE

    @staticmethod
    def at(
        rig: LandmarkRig,
        detected: Array,
        parameters: FaceParameters,
        weight: float = 1.0,
        scale: float = ROBUST_SCALE,
    ) -> LandmarkTerm:
        """The term with the contour chosen for ``parameters``."""
        rows = contour_rows(rig, parameters.pose.project(rig.points(parameters)))
        deviation = np.hypot(DEVIATION * rig.eye_distance(parameters.pose), PIXEL_DEVIATION)
        whitening = np.eye(2) / deviation[:, None, None]
        outward = _outward(detected)
        along = np.stack([-outward[:, 1], outward[:, 0]], axis=-1)
        # Across the contour as certain as DEVIATION says, along it JAW_SLACK times less.
        axes = np.stack([outward, along / JAW_SLACK], axis=1)
        whitening[:JAW] = axes / deviation[:JAW, None, None]
        return LandmarkTerm(rig, rows, detected, whitening, weight, scale)

    def points(self, parameters: FaceParameters) -> Array:
        """``(68, 3)`` landmark positions in the model frame."""
        basis = self.rig.basis[:, self.rows]
        return np.asarray(self.rig.mean[self.rows] + np.tensordot(parameters.coefficients, basis, axes=1))

    def residual(self, parameters: FaceParameters) -> Array:
        """``(68, 2)`` pixels, projected minus detected."""
        return parameters.pose.project(self.points(parameters)) - self.detected

    def energy(self, parameters: FaceParameters) -> float:
        """Geman–McClure energy ``Σ s² e² / (s² + e²)`` of the residuals ``e`` in standard deviations."""
        squares = np.sum(np.einsum("lij,lj->li", self.whitening, self.residual(parameters)) ** 2, axis=1)
        scale = self.scale**2
        return self.weight * float(np.sum(scale * squares / (scale + squares)))

    def linearise(self, parameters: FaceParameters) -> Linearisation:
        """Energy, gradient and Gauss–Newton Hessian with the robust weights of this state."""
        positions, by_pose, by_point = parameters.pose.derivatives(self.points(parameters))
        jacobian = np.empty((68, 2, parameters.size))
        jacobian[:, :, :POSE_SIZE] = by_pose
        jacobian[:, :, POSE_SIZE:] = np.einsum("lix,klx->lik", by_point, self.rig.basis[:, self.rows], optimize=True)
        residual = np.einsum("lij,lj->li", self.whitening, positions - self.detected)
        jacobian = np.einsum("lij,ljp->lip", self.whitening, jacobian, optimize=True)
        scale = self.scale**2
        squares = np.sum(residual**2, axis=1)
        root = np.sqrt(self.weight) * scale / (scale + squares)
        jacobian = (jacobian * root[:, None, None]).reshape(136, -1)
        energy = self.weight * float(np.sum(scale * squares / (scale + squares)))
        return Linearisation(energy, jacobian.T @ (residual * root[:, None]).ravel(), jacobian.T @ jacobian)


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """Result of :func:`fit_landmarks`.

    Attributes:
        parameters: pose, identity and expression.
        term: the landmark energy at the final contour.
        iterations: accepted steps.
    """

    parameters: FaceParameters
    term: LandmarkTerm
    iterations: int

    @property
    def distances(self) -> Array:
        """``(68,)`` between projected and detected landmarks, pixels."""
        return np.asarray(np.linalg.norm(self.term.residual(self.parameters), axis=1))

    @property
    def root_mean_square(self) -> float:
        """Of the distances, pixels."""
        return float(np.sqrt(np.mean(self.distances**2)))

    @property
    def inner_root_mean_square(self) -> float:
        """The same without the jaw, whose landmarks slide, pixels."""
        return float(np.sqrt(np.mean(self.distances[JAW:] ** 2)))


def fit_landmarks(
    model: MorphableModel,
    detected: NDArray[np.floating],
    width: int,
    height: int,
    *,
    name: str = "the photograph",
    rounds: int = 10,
) -> LandmarkFit:
    """Fit ``model`` to 68 ``detected`` landmarks ``(68, 2)`` in pixels of a ``width`` × ``height`` photograph.

    Weak perspective by linear least squares first, then pose alone, then everything.

    Raises:
        FitError: the landmarks are not finite or do not span an area.
    """
    target = np.asarray(detected, dtype=np.float64)
    if target.shape != (68, 2) or not np.isfinite(target).all():
        raise FitError(f"the landmarks of '{name}' are not 68 finite positions: check the file that supplies them.")
    if np.linalg.svd(target - target.mean(axis=0), compute_uv=False)[1] < 1.0:
        raise FitError(f"the landmarks of '{name}' lie on a line: check that they belong to this photograph.")
    rig = landmark_rig(model)
    prior = CoefficientPrior.of(model)
    inner = slice(JAW, 68)
    pose = pose_from_points(
        rig.mean[inner], target[inner], np.array([width / 2, height / 2]), float(np.exp(prior.typical_log_distance))
    )
    parameters = FaceParameters(pose, np.zeros(len(model.identity_basis)), np.zeros(len(model.expression_basis)))
    result = descend(rig, target, parameters, prior.only_pose(), ROBUST_SCALES[0], steps=5)
    steps = len(result.energies) - 1
    for index in range(rounds):
        scale = ROBUST_SCALES[min(index, len(ROBUST_SCALES) - 1)]
        before = contour_rows(rig, result.state.pose.project(rig.points(result.state)))
        result = descend(rig, target, result.state, prior, scale, steps=3)
        steps += len(result.energies) - 1
        after = contour_rows(rig, result.state.pose.project(rig.points(result.state)))
        if scale == ROBUST_SCALE and result.converged and np.array_equal(before, after):
            break
    return LandmarkFit(result.state, LandmarkTerm.at(rig, target, result.state), steps)


def descend(
    rig: LandmarkRig,
    detected: Array,
    start: FaceParameters,
    prior: CoefficientPrior,
    scale: float,
    *,
    steps: int,
) -> Minimum[FaceParameters]:
    """A few Levenberg–Marquardt steps with the contour chosen at ``start`` and Geman–McClure scale ``scale``."""
    term = LandmarkTerm.at(rig, detected, start, scale=scale)

    def linearise(parameters: FaceParameters) -> Linearisation:
        data = term.linearise(parameters)
        return Linearisation(
            data.energy + prior.energy(parameters),
            data.gradient + prior.precision * prior.residual(parameters),
            data.hessian + np.diag(prior.precision),
        )

    def energy(parameters: FaceParameters) -> float:
        return term.energy(parameters) + prior.energy(parameters)

    return minimise(start, linearise, energy, FaceParameters.moved, prior.walls, steps=steps, tolerance=1e-3)
