"""Read the light off a face of given geometry in a photograph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recon.data.subject import Photograph
from recon.face_model.model import MorphableModel, vertex_normals
from recon.fitting.landmark_fit import FaceParameters
from recon.fitting.light_estimate import LightEstimate, estimate_light
from recon.fitting.samples import Level, beard_bearing, face_box, pyramid, skin_triangles, visible_triangles

if TYPE_CHECKING:
    from recon.fitting.fit import AlbedoModel

# Distance between the outer eye corners, in blocks of pixels, on the levels of the pyramid, coarse to fine: at the
# finest pores and sensor noise average out, at the coarsest a landmark error is a step of about one block.
INTEROCULAR_BLOCKS = (25.0, 50.0, 100.0)
# A level on which the eyes are nearer than this shows no face any more.
_FEWEST_BLOCKS = 12.0
_SAMPLES = 4000
# Fewer usable samples than this say nothing about light.
_FEWEST_SAMPLES = 60
# Linear radiance below this (about 3 of 255 in sRGB) is noise.
_BLACK = 0.001
# Weight of samples where a beard or stubble may darken the skin.
_BEARD_TRUST = 0.25


@dataclass(frozen=True, eq=False)
class SkinLight:
    """Light read from a photograph.

    Attributes:
        estimate: the light; None where too little skin could be read.
        missing: share of the visible skin that could not be read (ignored, clipped, black, outside the photograph).
    """

    estimate: LightEstimate | None
    missing: float


def face_pyramid(
    photograph: Photograph,
    model: MorphableModel,
    face: FaceParameters,
    interocular: float,
    ignore: NDArray[np.bool_] | None,
) -> tuple[Level, ...]:
    """One to three levels of the photograph around the face, coarse to fine; none where the face lies outside.

    ``interocular``: distance between the outer eye corners in pixels.
    """
    corners = np.unique(model.triangles[skin_triangles(model)])
    box = face_box(face.pose.project(_vertices(model, face)[corners]))
    finest = max(1, round(interocular / INTEROCULAR_BLOCKS[-1]))
    factors = [round(INTEROCULAR_BLOCKS[-1] / blocks) for blocks in reversed(INTEROCULAR_BLOCKS)]
    blocks = [finest * f for f in factors if f == 1 or interocular / (finest * f) >= _FEWEST_BLOCKS]
    return pyramid(photograph.srgb, ignore, box, tuple(blocks))[::-1]


def read_light(
    model: MorphableModel,
    face: FaceParameters,
    level: Level,
    size: tuple[int, int],
    albedo: NDArray[np.floating] | None = None,
) -> SkinLight:
    """The light on the visible skin of ``face``.

    Args:
        level: the photograph around the face.
        size: (width, height) of the photograph.
        albedo: ``(V, 3)`` linear RGB of the vertices, up to a factor a channel; None: the same everywhere.
    """
    vertices = _vertices(model, face)
    chosen = visible_triangles(model, vertices, face.pose.camera(*size), skin_triangles(model), _SAMPLES)
    if len(chosen) < _FEWEST_SAMPLES:
        return SkinLight(None, 1.0)
    radiance, _, known = level.read(face.pose.project(vertices[model.triangles[chosen]].mean(axis=1)))
    known &= radiance.max(axis=1) > _BLACK
    missing = float(1.0 - known.mean())
    if known.sum() < _FEWEST_SAMPLES:
        return SkinLight(None, missing)
    corners = model.triangles[chosen[known]]
    normals = vertex_normals(vertices, model.triangles)[corners].mean(axis=1).astype(np.float64)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    trust = np.where(beard_bearing(model)[corners].any(axis=1), _BEARD_TRUST, 1.0)
    colours = None if albedo is None else np.asarray(albedo, dtype=np.float64)[corners].mean(axis=1)
    return SkinLight(estimate_light(radiance[known], normals, colours, trust), missing)


def model_albedo(albedo_model: AlbedoModel, coefficients: NDArray[np.floating]) -> NDArray[np.float32]:
    """``(V, 3)`` float32 vertex albedo of an albedo model."""
    moved = np.tensordot(np.asarray(coefficients, dtype=np.float32), albedo_model.basis, axes=1)
    return np.asarray(albedo_model.mean + moved, dtype=np.float32)


def _vertices(model: MorphableModel, face: FaceParameters) -> NDArray[np.float32]:
    return model.vertices(face.identity.astype(np.float32), face.expression.astype(np.float32))
