"""The photometric energy: a morphable face of known albedo model under spherical-harmonics light, against the picture.

At a sample of skin, a triangle's centre ``X`` with the triangle's normal ``n``, all three channels::

    r = I(π(X)) − a · S(n),   a = mean + Σ c_k basis_k,   S(n) = Σ_j L_j B_j(n)

with analytic derivatives by pose (through the image gradient), identity and expression (through the position *and* the
normal), albedo coefficients and light. The residual is robustified per sample (Geman–McClure).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recon.face_model.model import MorphableModel
from recon.fitting.gauss_newton import Linearisation
from recon.fitting.landmark_fit import FaceParameters
from recon.fitting.lighting import irradiance_basis, irradiance_gradient
from recon.fitting.pose import POSE_SIZE
from recon.fitting.samples import Level

if TYPE_CHECKING:
    from recon.fitting.fit import AlbedoModel

Array = NDArray[np.float64]

LIGHT_SIZE = 27


@dataclass(frozen=True, eq=False)
class SceneParameters:
    """All unknowns of the photometric fit, in the order of the Jacobian's columns.

    Attributes:
        face: pose, identity and expression.
        albedo: ``(A,)`` coefficients of the albedo model.
        light: ``(9, 3)`` spherical-harmonics coefficients, model frame.
    """

    face: FaceParameters
    albedo: Array
    light: Array

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return self.face.size + len(self.albedo) + LIGHT_SIZE

    def moved(self, step: Array) -> SceneParameters:
        """The parameters after a step: face, albedo, light."""
        middle = self.face.size + len(self.albedo)
        return SceneParameters(
            self.face.moved(step[: self.face.size]),
            self.albedo + step[self.face.size : middle],
            self.light + step[middle:].reshape(9, 3),
        )


@dataclass(frozen=True, eq=False)
class SurfacePatch:
    """Triangles of the model with what is needed to place and shade them.

    Attributes:
        mean: ``(N, 9)`` corner positions of the mean face, corner by corner.
        basis: ``(N, 9, K + E)`` float32 displacement of the corners by identity and expression.
        albedo_mean: ``(N, 3)`` at the centres.
        albedo_basis: ``(N, 3, A)`` at the centres.
    """

    mean: Array
    basis: NDArray[np.float32]
    albedo_mean: Array
    albedo_basis: Array

    @staticmethod
    def of(model: MorphableModel, albedo_model: AlbedoModel, triangles: NDArray[np.int32]) -> SurfacePatch:
        """The patch of the model's ``triangles`` ``(N,)``."""
        corners = model.triangles[triangles]
        count = len(triangles)
        modes = len(model.identity_basis) + len(model.expression_basis)
        basis = np.empty((count, 9, modes), dtype=np.float32)
        start = 0
        for block in (model.identity_basis, model.expression_basis):
            gathered = block[:, corners.ravel()].reshape(len(block), count, 9)
            basis[:, :, start : start + len(block)] = gathered.transpose(1, 2, 0)
            start += len(block)
        colours = albedo_model.basis[:, corners].mean(axis=2)
        return SurfacePatch(
            model.mean[corners].reshape(count, 9).astype(np.float64),
            basis,
            albedo_model.mean[corners].mean(axis=1).astype(np.float64),
            colours.transpose(1, 2, 0).astype(np.float64),
        )

    def corners(self, face: FaceParameters) -> Array:
        """``(N, 3, 3)`` corner positions in the model frame."""
        moved = self.basis @ face.coefficients.astype(np.float32)
        return np.asarray((self.mean + moved).reshape(-1, 3, 3))

    def albedo(self, coefficients: Array) -> Array:
        """``(N, 3)`` albedo at the centres."""
        return np.asarray(self.albedo_mean + self.albedo_basis @ coefficients)

    def restricted(self, keep: NDArray[np.bool_]) -> SurfacePatch:
        """The patch of the samples ``keep`` ``(N,)`` alone."""
        return SurfacePatch(self.mean[keep], self.basis[keep], self.albedo_mean[keep], self.albedo_basis[keep])


@dataclass(frozen=True, eq=False)
class PhotometricTerm:
    """Robust photometric energy of a surface patch on one level of the pyramid.

    ``Σ_n w_n s² e_n² / (s² + e_n²)``, ``e_n`` the length of the residual divided by ``deviation``.

    Attributes:
        patch: the samples.
        level: the picture.
        deviation: standard deviation of a residual, linear RGB.
        weights: ``(N,)`` of the samples.
        scale: Geman–McClure scale in standard deviations.
    """

    patch: SurfacePatch
    level: Level
    deviation: float
    weights: Array
    scale: float = 3.0

    def at_known_samples(self, scene: SceneParameters) -> PhotometricTerm:
        """The term without the samples that the level does not know at ``scene``; the weights' sum is kept."""
        positions = scene.face.pose.project(self.patch.corners(scene.face).mean(axis=1))
        known = self.level.read(positions)[2]
        kept = self.weights[known]
        rescaled = kept * (self.weights.sum() / max(kept.sum(), 1e-12))
        return replace(self, patch=self.patch.restricted(known), weights=rescaled)

    def residual(self, scene: SceneParameters) -> Array:
        """``(N, 3)`` picture minus face, in standard deviations; zero where the picture is not known."""
        corners = self.patch.corners(scene.face)
        radiance, _, known = self.level.read(scene.face.pose.project(corners.mean(axis=1)))
        shading = irradiance_basis(_unit(_normal(corners))) @ scene.light
        return np.asarray(
            np.where(known[:, None], radiance - self.patch.albedo(scene.albedo) * shading, 0.0) / self.deviation
        )

    def energy(self, scene: SceneParameters) -> float:
        """The robust energy."""
        squares = np.sum(self.residual(scene) ** 2, axis=1)
        return float(self.weights @ (self.scale**2 * squares / (self.scale**2 + squares)))

    def jacobian(self, scene: SceneParameters) -> tuple[Array, NDArray[np.float32]]:
        """Residual ``(N, 3)`` and its derivative ``(N, 3, P)`` by all unknowns, both in standard deviations."""
        corners = self.patch.corners(scene.face)
        middle = corners.mean(axis=1)
        positions, by_pose, by_point = scene.face.pose.derivatives(middle)
        radiance, gradient, known = self.level.read(positions)
        raw = _normal(corners)
        normal = _unit(raw)
        basis = irradiance_basis(normal)
        shading, albedo = basis @ scene.light, self.patch.albedo(scene.albedo)

        face, shape = scene.face.size, POSE_SIZE
        result = np.empty((len(corners), 3, scene.size), dtype=np.float32)
        result[:, :, :POSE_SIZE] = gradient @ by_pose
        by_corner = self._by_corner(corners, raw, normal, scene.light, albedo)
        by_corner += ((gradient @ by_point) / 3.0)[:, :, None, :]
        result[:, :, shape:face] = by_corner.reshape(-1, 3, 9).astype(np.float32) @ self.patch.basis
        middle_column = face + len(scene.albedo)
        result[:, :, face:middle_column] = -shading[:, :, None] * self.patch.albedo_basis
        result[:, :, middle_column:] = 0.0
        for channel in range(3):
            result[:, channel, middle_column + channel :: 3] = -albedo[:, channel, None] * basis
        result /= np.float32(self.deviation)
        result[~known] = 0.0
        residual = np.where(known[:, None], radiance - albedo * shading, 0.0) / self.deviation
        return residual, result

    @staticmethod
    def _by_corner(corners: Array, raw: Array, normal: Array, light: Array, albedo: Array) -> Array:
        """``(N, 3, 3, 3)`` derivative of ``−a S(n)`` by channel, corner and axis, through the triangle's normal."""
        slope = np.einsum("njx,jc->ncx", irradiance_gradient(normal), light, optimize=True)
        slope -= np.einsum("ncx,nx->nc", slope, normal)[:, :, None] * normal[:, None, :]
        slope *= -albedo[:, :, None] / np.maximum(np.linalg.norm(raw, axis=1), 1e-12)[:, None, None]
        first, second = corners[:, None, 1] - corners[:, None, 0], corners[:, None, 2] - corners[:, None, 0]
        by_first, by_second = np.cross(second, slope), np.cross(slope, first)
        return np.stack([-by_first - by_second, by_first, by_second], axis=2)

    def linearise(self, scene: SceneParameters) -> Linearisation:
        """Energy, gradient and Gauss–Newton Hessian with the robust weights of this state."""
        residual, jacobian = self.jacobian(scene)
        squares = np.sum(residual**2, axis=1)
        square = self.scale**2
        root = np.sqrt(self.weights) * square / (square + squares)
        flat = (jacobian * root[:, None, None].astype(np.float32)).reshape(-1, scene.size)
        weighted = (residual * root[:, None]).astype(np.float32).ravel()
        energy = float(self.weights @ (square * squares / (square + squares)))
        return Linearisation(energy, (flat.T @ weighted).astype(np.float64), (flat.T @ flat).astype(np.float64))


def _normal(corners: Array) -> Array:
    """``(N, 3)`` normals of triangles ``(N, 3, 3)``, as long as twice their area."""
    return np.asarray(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))


def _unit(vectors: Array) -> Array:
    """``(N, 3)`` vectors of length one."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12))
