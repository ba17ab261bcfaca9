"""Fit a morphable face model to one photograph: landmarks, then light, then the picture itself (DESIGN §3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.data.subject import Photograph
from recon.errors import FitError, ImageError
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting.camera import Camera
from recon.fitting.landmark_fit import JAW, FaceParameters, LandmarkFit, fit_landmarks
from recon.fitting.landmarks import Landmarks, detect_landmarks
from recon.fitting.light_estimate import LightEstimate, estimate_light
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.fitting.samples import Level, beard_bearing, face_box, pyramid, skin_triangles, visible_triangles
from recon.fitting.verdict import Verdict, judge

# Distance between the outer eye corners, in blocks of pixels, at the finest level that the light is read from.
_LIGHT_INTEROCULAR = 90.0
_LIGHT_SAMPLES = 4000
# Weight of samples where a beard or stubble may darken the skin.
_BEARD_TRUST = 0.25
# Fewer usable samples than this say nothing about light.
_FEWEST_SAMPLES = 60


@dataclass(frozen=True, eq=False)
class AlbedoModel:
    """A PCA model of vertex albedo: ``albedo = mean + Σ c_k basis_k``, linear RGB, coefficients N(0, 1).

    Attributes:
        mean: ``(V, 3)`` float32.
        basis: ``(K, V, 3)`` float32, scaled by the standard deviations.
    """

    mean: NDArray[np.float32]
    basis: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fit:
    """A face model fitted to a photograph.

    Attributes:
        identity: ``(K,)`` float32, N(0, 1) coefficients.
        expression: ``(E,)`` float32 in [0, 1].
        vertices: ``(V, 3)`` float32 in the model frame and unit (identity and expression applied, pose not).
        camera: pose and projection; the image size is the photograph's.
        lighting: second-order spherical harmonics in the model frame.
        landmarks: ``(68, 2)`` float32 detected landmarks, pixels.
        landmark_error: root mean square distance of projected to detected landmarks, pixels.
        interocular: distance between the outer eye corners (landmarks 36 and 45), pixels.
        verdict: ``pass``, ``doubt`` or ``fail``; ``reasons`` says why in words.
        record: residuals per stage, iterations, timings in seconds, number of faces found.
    """

    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    vertices: NDArray[np.float32]
    camera: Camera
    lighting: SphericalHarmonicsLighting
    landmarks: NDArray[np.float32]
    landmark_error: float
    interocular: float
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


def fit_face(
    photograph: Photograph,
    model: MorphableModel,
    *,
    albedo_model: AlbedoModel | None = None,
    landmarks: Landmarks | NDArray[np.floating] | None = None,
    ignore: NDArray[np.bool_] | None = None,
) -> Fit:
    """Fit ``model`` to the largest face of ``photograph``.

    Args:
        albedo_model: PCA of vertex albedo; None: skin of one colour.
        landmarks: 68 known landmarks, as :class:`Landmarks` or ``(68, 2)`` pixels; None: they are detected.
        ignore: ``(H, W)`` bool, pixels whose colour must not be read (landmarks are geometry and may lie there).

    Returns:
        The fit; a poor one is returned too, with the verdict ``doubt`` or ``fail`` and its reasons.

    Raises:
        FaceNotFoundError: no face was detected.
        FitError: the landmarks cannot be fitted.
        ImageError: ``ignore`` has another shape than the photograph.
    """
    height, width = photograph.srgb.shape[:2]
    if ignore is not None and ignore.shape != (height, width):
        raise ImageError(
            f"the mask for '{photograph.name}' is {ignore.shape[1]}×{ignore.shape[0]} pixels, the photograph "
            f"{width}×{height}: give a mask of the photograph's size."
        )
    clock = _Clock()
    found = _landmarks(photograph, landmarks)
    clock.lap("landmarks")
    geometry = fit_landmarks(model, found.points, width, height, name=photograph.name)
    clock.lap("landmark_fit")
    light = _light(photograph, model, geometry.parameters, ignore)
    clock.lap("light")
    return _assemble(photograph, model, found, geometry, light, clock.seconds)


class _Clock:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = perf_counter()

    def lap(self, stage: str) -> None:
        now = perf_counter()
        self.seconds[stage] = now - self._last
        self._last = now


def _landmarks(photograph: Photograph, given: Landmarks | NDArray[np.floating] | None) -> Landmarks:
    """The landmarks to fit to: detected, or the given ones, wrapped."""
    if given is None:
        return detect_landmarks(photograph)
    if isinstance(given, Landmarks):
        return given
    points = np.asarray(given, dtype=np.float32)
    if points.shape != (68, 2) or not np.isfinite(points).all():
        raise FitError(f"the landmarks of '{photograph.name}' are not 68 finite positions: check their file.")
    low, high = points.min(axis=0), points.max(axis=0)
    return Landmarks(points, (float(low[0]), float(low[1]), float(high[0]), float(high[1])))


@dataclass(frozen=True, eq=False)
class _SkinLight:
    """Light read from the photograph; ``estimate`` is None where too little skin could be read."""

    estimate: LightEstimate | None
    missing: float


def _light(
    photograph: Photograph, model: MorphableModel, parameters: FaceParameters, ignore: NDArray[np.bool_] | None
) -> _SkinLight:
    """The light on the visible skin at the given geometry."""
    height, width = photograph.srgb.shape[:2]
    pose = parameters.pose
    vertices = model.vertices(parameters.identity.astype(np.float32), parameters.expression.astype(np.float32))
    candidates = skin_triangles(model)
    chosen = visible_triangles(model, vertices, pose.camera(width, height), candidates, _LIGHT_SAMPLES)
    if len(chosen) < _FEWEST_SAMPLES:
        return _SkinLight(None, 1.0)
    normals = vertex_normals(vertices, model.triangles)[model.triangles[chosen]].mean(axis=1)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    positions = pose.project(vertices[model.triangles[chosen]].mean(axis=1))
    level = _light_level(photograph, pose.project(vertices[model.triangles[candidates].ravel()]), ignore)
    if level is None:
        return _SkinLight(None, 1.0)
    radiance, _, known = level.read(positions)
    if known.sum() < _FEWEST_SAMPLES:
        return _SkinLight(None, float(1.0 - known.mean()))
    trust = np.where(beard_bearing(model)[model.triangles[chosen[known]]].any(axis=1), _BEARD_TRUST, 1.0)
    estimate = estimate_light(radiance[known], normals[known].astype(np.float64), trust=trust)
    return _SkinLight(estimate, float(1.0 - known.mean()))


def _light_level(photograph: Photograph, skin: NDArray[np.float64], ignore: NDArray[np.bool_] | None) -> Level | None:
    """The photograph around the ``skin`` positions ``(N, 2)``, coarse enough that pores and noise average out."""
    box = face_box(skin)
    block = max(1, round((box[2] - box[0]) / (1.8 * _LIGHT_INTEROCULAR)))
    levels = pyramid(photograph.srgb, ignore, box, (block,))
    return levels[0] if levels else None


def _assemble(
    photograph: Photograph,
    model: MorphableModel,
    found: Landmarks,
    geometry: LandmarkFit,
    light: _SkinLight,
    seconds: dict[str, float],
) -> Fit:
    """Put the result together and judge it."""
    height, width = photograph.srgb.shape[:2]
    parameters, pose = geometry.parameters, geometry.parameters.pose
    identity, expression = parameters.identity.astype(np.float32), parameters.expression.astype(np.float32)
    distances = np.linalg.norm(geometry.term.residual(parameters), axis=1)
    interocular = found.interocular
    camera = pose.camera(width, height)
    measured = {
        "interocular": interocular,
        "landmark_error_relative": geometry.root_mean_square / interocular,
        "inner_error_relative": float(np.sqrt(np.mean(distances[JAW:] ** 2))) / interocular,
        "landmark_spread": found.spread,
        "identity_rms": float(np.sqrt(np.mean(identity**2))),
        "identity_largest": float(np.abs(identity).max()),
        "yaw": abs(pose.yaw),
        "pitch": abs(pose.pitch),
        "missing_skin": light.missing,
    }
    if light.estimate is not None:
        measured["light_residual"] = light.estimate.residual
    verdict, reasons = judge(measured)
    record: dict[str, Any] = {
        "seconds": {stage: round(value, 4) for stage, value in seconds.items()},
        "measured": measured,
        "landmark_error_mean": float(distances.mean()),
        "landmark_iterations": geometry.iterations,
        "faces_found": found.faces_found,
        "detector_score": found.score,
        "notes": list(found.notes),
        "yaw": pose.yaw,
        "pitch": pose.pitch,
        "roll": pose.roll,
        "distance_metres": float(np.exp(pose.log_distance)) * model.metres_per_unit,
        "focal_35mm": camera.focal / max(width, height) * 36.0,
        "skin": None if light.estimate is None else [float(value) for value in light.estimate.skin],
    }
    return Fit(
        identity=identity,
        expression=expression,
        vertices=model.vertices(identity, expression),
        camera=camera,
        lighting=light.estimate.lighting if light.estimate else SphericalHarmonicsLighting.ambient(),
        landmarks=found.points,
        landmark_error=geometry.root_mean_square,
        interocular=interocular,
        verdict=verdict,
        reasons=reasons,
        record=record,
    )
