"""From a photograph to its :class:`~recon.texture.observation.Observation`: fit, unwrap, remove shading, find skin."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recon.colour import srgb_to_linear
from recon.data.protocols import Protocol
from recon.data.subject import Photograph
from recon.errors import NoVisibleSkinError
from recon.face_model.model import MorphableModel
from recon.fitting.fit import AlbedoModel, Fit
from recon.fitting.landmarks import Landmarks
from recon.texture.observation import Observation
from recon.texture.skin import find_skin
from recon.texture.unwrap import Surface, sample_photograph, surface
from recon.texture.uv_map import UVMap, uv_map

# Below this share of the face's texels nothing can be said of the skin.
_LEAST_SKIN = 0.02
# A shading below this share of its median would blow noise up instead of removing shade.
_LEAST_SHADING = 0.15
# Half-width of the strip along the midline that counts as withheld too, in parts of the face's width: what lies
# there could leak the hidden half through blur, interpolation or a small error of the pose.
_MIDLINE_STRIP = 0.01


def observe(
    photograph: Photograph,
    protocol: Protocol,
    model: MorphableModel,
    size: int,
    *,
    albedo_model: AlbedoModel | None = None,
    fit: Fit | None = None,
    landmarks: Landmarks | None = None,
) -> Observation:
    """Everything that a method may read of the photograph.

    Args:
        photograph: as the protocol gives it (already degraded).
        protocol: says which half of the face is withheld, if any.
        model: the face model.
        size: side of the UV maps in texels.
        albedo_model: vertex albedo of a texture database, for the photometric fit; may be None.
        fit: a fit of this same photograph made under the same ``protocol``; made here if None.
        landmarks: landmarks that were already detected, to save the detector's time.

    Raises:
        FaceNotFoundError, FitError: from fitting.
        NoVisibleSkinError: too little skin is left.
    """
    started = time.perf_counter()
    side = protocol.withheld_side
    if fit is None:
        from recon.fitting import detect_landmarks, fit_face

        points = landmarks or detect_landmarks(photograph)
        hidden = withheld_pixels(points.points, photograph.srgb.shape[:2], side) if side else None
        fit = fit_face(photograph, model, albedo_model=albedo_model, landmarks=points, ignore=hidden)
    fitted = time.perf_counter()

    layout = uv_map(model, size)
    seen = surface(model, layout, fit.vertices, fit.camera)
    withheld = withheld_texels(model, layout, fit, seen, side)
    if side:
        seen = replace(seen, visible=seen.visible & ~withheld)
    observation = _observe_surface(photograph, model, layout, fit, seen, withheld)
    timings = {"fit": fitted - started, "unwrap": time.perf_counter() - fitted}
    return replace(observation, record={**observation.record, "timings": timings})


def unwrap_reference(photograph: Photograph, observation: Observation, model: MorphableModel) -> Observation:
    """The undegraded ``photograph`` unwrapped with the fit and light that the methods had, nothing withheld.

    Alignment and light are then equal on both sides of every comparison. ``withheld`` is kept, so that metrics can
    tell the halves apart.
    """
    layout = uv_map(model, observation.size)
    seen = surface(model, layout, observation.fit.vertices, observation.fit.camera)
    return _observe_surface(photograph, model, layout, observation.fit, seen, observation.withheld)


def _observe_surface(
    photograph: Photograph,
    model: MorphableModel,
    layout: UVMap,
    fit: Fit,
    seen: Surface,
    withheld: NDArray[np.bool_],
) -> Observation:
    radiance = sample_photograph(srgb_to_linear(photograph.srgb), seen)
    albedo = remove_shading(radiance, seen, fit)
    skin, notes = find_skin(radiance, albedo, seen, model, layout)
    share = float(skin.sum()) / float(layout.covered.sum())
    if share < _LEAST_SKIN:
        raise NoVisibleSkinError(
            f"{photograph.name}: only {share:.1%} of the face's surface shows usable skin; use a photograph with an "
            "uncovered, evenly lit face."
        )
    confidence = np.where(seen.visible, np.clip((seen.facing - 0.15) / 0.5, 0.0, 1.0), 0.0).astype(np.float32)
    return Observation(
        fit=fit,
        albedo=albedo,
        visible=seen.visible,
        skin=skin,
        confidence=confidence,
        withheld=withheld,
        record={"skin_share": share, **notes},
    )


def remove_shading(radiance: NDArray[np.float32], seen: Surface, fit: Fit) -> NDArray[np.float32]:
    """``(S, S, 3)`` float32 linear albedo: radiance divided by the fitted shading; 0 where unseen (DESIGN §3.3)."""
    albedo = np.zeros_like(radiance)
    shading = fit.lighting.shading(seen.normals[seen.visible])
    floor = _LEAST_SHADING * np.median(shading, axis=0) if len(shading) else 0.0
    albedo[seen.visible] = radiance[seen.visible] / np.maximum(shading, np.maximum(floor, 1e-3))
    return np.clip(albedo, 0.0, 1.0)


def withheld_pixels(landmarks: NDArray[np.float32], shape: tuple[int, ...], side: str) -> NDArray[np.bool_]:
    """``(H, W)`` bool: pixels on the subject's own ``side`` of the line from the nose bridge to the chin.

    Found from the landmarks alone, so that it exists before anything reads the photograph's colours.
    """
    top, bottom = landmarks[27].astype(np.float64), landmarks[8].astype(np.float64)
    down = (bottom - top) / np.linalg.norm(bottom - top)
    # The subject's right eye corner (landmark 36) tells on which side of the line "right" lies in the picture.
    right_of_line = np.sign(down[0] * (landmarks[36, 1] - top[1]) - down[1] * (landmarks[36, 0] - top[0]))
    y, x = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    signed = right_of_line * (down[0] * (y - top[1]) - down[1] * (x - top[0]))
    width = float(np.linalg.norm(landmarks[16] - landmarks[0]))
    if side == "left":
        signed = -signed
    return np.asarray(signed > -_MIDLINE_STRIP * width)


def withheld_texels(
    model: MorphableModel, layout: UVMap, fit: Fit, seen: Surface, side: str | None
) -> NDArray[np.bool_]:
    """``(S, S)`` bool: texels of the withheld half, by the model's own symmetry plane and by what the fit ignored."""
    if side is None:
        return np.zeros(layout.triangle.shape, bool)
    across = layout.interpolate(model.mean[:, :1])[..., 0] * (1.0 if side == "right" else -1.0)
    width = float(np.ptp(model.mean[model.regions["face"], 0]))
    half = layout.covered & (across < _MIDLINE_STRIP * width)
    size = (fit.camera.height, fit.camera.width)
    ignored = withheld_pixels(fit.landmarks, size, side)
    column = np.clip(seen.pixels[..., 0].astype(int), 0, size[1] - 1)
    row = np.clip(seen.pixels[..., 1].astype(int), 0, size[0] - 1)
    # Samples spread over a texel and blend neighbouring pixels: whoever touches an ignored pixel is withheld as well.
    touched = sample_photograph(np.repeat(ignored[..., None], 3, axis=2).astype(np.float32), seen)[..., 0] > 0
    return half | (layout.covered & (ignored[row, column] | touched))
