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
from recon.face_model.model import MorphableModel
from recon.fitting.camera import Camera
from recon.fitting.landmark_fit import LandmarkFit, fit_landmarks
from recon.fitting.landmarks import Landmarks, detect_landmarks
from recon.fitting.lighting import SphericalHarmonicsLighting
from recon.fitting.photometric_fit import fit_photometric
from recon.fitting.samples import Level
from recon.fitting.skin_light import SkinLight, face_pyramid, model_albedo, read_light
from recon.fitting.verdict import Verdict, judge

_NO_LIGHT = SkinLight(None, 1.0)
# The photometric stage may move eyes, nose and mouth off their landmarks by this factor (and a pixel), not more.
_WORST_LANDMARK_GROWTH = 1.5


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
        lighting: second-order spherical harmonics in the model frame; level and colour are such that the shading has
            mean 1 in every channel over the visible skin, so photograph / shading keeps the photograph's colours.
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
        albedo_model: PCA of vertex albedo, made of other people's textures; None: geometry comes from landmarks alone
            and light from skin of one colour (see :mod:`recon.fitting.photometric_fit` for why).
        landmarks: 68 known landmarks, as :class:`Landmarks` or ``(68, 2)`` pixels; None: they are detected.
        ignore: ``(H, W)`` bool, pixels whose colour must not be read (landmarks are geometry and may lie there).

    Returns:
        The fit; a poor one is returned too, with the verdict ``doubt`` or ``fail`` and its reasons.

    Raises:
        FaceNotFoundError: no face was detected.
        FitError: the landmarks cannot be fitted, or the albedo model belongs to another face model.
        ImageError: ``ignore`` has another shape than the photograph.
    """
    height, width = photograph.srgb.shape[:2]
    if ignore is not None and ignore.shape != (height, width):
        raise ImageError(
            f"the mask for '{photograph.name}' is {ignore.shape[1]}×{ignore.shape[0]} pixels, the photograph "
            f"{width}×{height}: give a mask of the photograph's size."
        )
    if albedo_model is not None and len(albedo_model.mean) != len(model.mean):
        raise FitError(
            f"the albedo model has {len(albedo_model.mean)} vertices, the face model '{model.name}' {len(model.mean)}: "
            "build the texture database with the same face model."
        )
    clock = _Clock()
    found = _landmarks(photograph, landmarks)
    clock.lap("landmarks")
    geometry = fit_landmarks(model, found.points, width, height, name=photograph.name)
    clock.lap("landmark_fit")
    levels = face_pyramid(photograph, model, geometry.parameters, found.interocular, ignore)
    clock.lap("pyramid")
    light = _NO_LIGHT if not levels else read_light(model, geometry.parameters, levels[-1], (width, height))
    clock.lap("light")
    refined = _Refinement(geometry, light, {"used": False, "because": "no albedo model"})
    if albedo_model is not None:
        refined = _refine(model, albedo_model, geometry, light, levels, (width, height))
        clock.lap("photometric")
    return _assemble(photograph, model, found, refined, clock.seconds)


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
class _Refinement:
    """Geometry and light after the photometric stage, and what it did."""

    geometry: LandmarkFit
    light: SkinLight
    record: dict[str, Any]


def _refine(
    model: MorphableModel,
    albedo_model: AlbedoModel,
    geometry: LandmarkFit,
    light: SkinLight,
    levels: tuple[Level, ...],
    size: tuple[int, int],
) -> _Refinement:
    """The photometric stage; a result that leaves the landmarks is turned down: it is worse than none."""
    if light.estimate is None:
        return _Refinement(geometry, light, {"used": False, "because": "too little skin can be read"})
    result = fit_photometric(model, albedo_model, geometry, light.estimate, levels, size)
    if result is None:
        return _Refinement(geometry, light, {"used": False, "because": "too little skin can be read"})
    found = LandmarkFit(result.scene.face, result.term, geometry.iterations)
    record = {
        "steps": list(result.steps),
        "energies": [list(pair) for pair in result.energies],
        "residual": result.residual,
        "landmark_error_before": geometry.root_mean_square,
        "landmark_error_after": found.root_mean_square,
    }
    limit = _WORST_LANDMARK_GROWTH * geometry.inner_root_mean_square + 1.0
    if not found.inner_root_mean_square <= limit:
        return _Refinement(geometry, light, {"used": False, "because": "it left the landmarks", **record})
    albedo = model_albedo(albedo_model, result.scene.albedo)
    lit = read_light(model, found.parameters, levels[-1], size, albedo)
    return _Refinement(found, lit, {"used": True, **record})


def _assemble(
    photograph: Photograph,
    model: MorphableModel,
    found: Landmarks,
    refined: _Refinement,
    seconds: dict[str, float],
) -> Fit:
    """Put the result together and judge it."""
    geometry, light = refined.geometry, refined.light
    height, width = photograph.srgb.shape[:2]
    parameters, pose = geometry.parameters, geometry.parameters.pose
    identity, expression = parameters.identity.astype(np.float32), parameters.expression.astype(np.float32)
    interocular, size = found.interocular, geometry.term.rig.eye_distance(pose)
    camera = pose.camera(width, height)
    measured = {
        "interocular": interocular,
        "landmark_error_relative": geometry.root_mean_square / size,
        "inner_error_relative": geometry.inner_root_mean_square / size,
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
        "landmark_error_mean": float(geometry.distances.mean()),
        "landmark_iterations": geometry.iterations,
        "photometric": refined.record,
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
