"""``lightstage``: the captured albedo and geometry themselves, for subjects that have them.

A capture has a place and a size of its own, while camera and light were fitted together with the face model's guess
at the shape. The captured head therefore takes the place of the fitted one: camera and light are carried over by the
similarity that brings the captured face nearest to the fitted face (least squares over the face's vertices), and the
head itself stays as it was captured. A photograph says nothing of its exposure, which the fit puts into the albedo;
the captured albedo is absolute, so here the light takes the exposure, one factor a channel.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recon.capture.alignment import best_similarity
from recon.data.subject import GroundTruth, Photograph
from recon.errors import InputError
from recon.fitting.camera import Camera
from recon.fitting.lighting import SphericalHarmonicsLighting, sh_basis
from recon.methods.contract import Context, Reconstruction
from recon.methods.parameters import settings
from recon.methods.result import reconstruction
from recon.storage import read_json
from recon.texture.masked import extend

Float = NDArray[np.float32]

_LEAST_TEXELS = 100  # of skin, to tell the exposure from
_DARKEST = 0.005  # linear; quotients of darker texels are noise


class LightStage:
    """Returns the ground truth of the context; no parameter."""

    name = "lightstage"
    needs_database = False
    defaults: Mapping[str, Any] = {}

    def applies(self, context: Context) -> str | None:
        """Applies where the subject has captured albedo in the UV square of the run's face model."""
        if context.truth is None:
            return "the subject has no captured albedo"
        if context.truth.face_model != context.model.name:
            return f"the capture is in the UV square of '{context.truth.face_model}', not '{context.model.name}'"
        return None

    def reconstruct(self, photograph: Photograph, context: Context) -> Reconstruction:
        """See the module. A truth of another size than the run's is averaged or interpolated in linear light.

        Raises:
            InputError: the subject has no usable capture.
        """
        settings(self.name, self.defaults, context.parameters)
        started = time.perf_counter()
        reason = self.applies(context)
        truth = context.truth
        if truth is None or reason:
            raise InputError(f"{photograph.name}: {reason}; method 'lightstage' needs a capture.")
        albedo, known = _maps(truth)
        record: dict[str, Any] = {"source": truth.albedo.name, "texels": len(albedo)}
        albedo, known = resampled(albedo, known, context.observation.size)
        albedo = _completed(albedo, known)
        if truth.record is not None:
            kept = read_json(truth.record)
            record["capture"] = {name: kept[name] for name in ("registration", "photograph") if name in kept}
        result = reconstruction(context, albedo, record, {"texture": time.perf_counter() - started})
        result = _exposed(replace(result, mask=result.mask & known), context)
        if truth.vertices is None:
            return result
        return _in_its_place(result, np.load(truth.vertices).astype(np.float32), context)


def _maps(truth: GroundTruth) -> tuple[Float, NDArray[np.bool_]]:
    """Albedo ``(S, S, 3)`` and mask ``(S, S)``, read and checked."""
    albedo, known = np.load(truth.albedo).astype(np.float32), np.load(truth.mask).astype(bool)
    side = len(albedo)
    if albedo.shape != (side, side, 3) or known.shape != (side, side):
        raise InputError(
            f"'{truth.albedo}' is {albedo.shape} and '{truth.mask.name}' {known.shape}; an albedo map is (S, S, 3) and "
            "its mask (S, S): make both again."
        )
    return albedo, known


def resampled(values: Float, known: NDArray[np.bool_], size: int) -> tuple[Float, NDArray[np.bool_]]:
    """A linear map ``(S, S, C)`` and its mask at ``size`` texels: averaged over area, or bilinear where it grows.

    Texels outside ``known`` count for nothing; a new texel is known where at least half of it was.
    """
    if len(values) == size:
        return values, known
    way = Image.Resampling.BOX if len(values) > size else Image.Resampling.BILINEAR

    def scaled(plane: NDArray[np.floating]) -> Float:
        return np.asarray(Image.fromarray(plane.astype(np.float32)).resize((size, size), way), np.float32)

    weight = scaled(known.astype(np.float32))
    planes = [scaled(np.where(known, values[..., channel], 0)) for channel in range(values.shape[2])]
    mean = np.stack(planes, axis=-1) / np.maximum(weight, 1e-6)[..., None]
    return mean.astype(np.float32), weight >= 0.5


def _completed(albedo: Float, known: NDArray[np.bool_]) -> Float:
    """The map with places that nobody measured (unknown and black) filled smoothly from around them, so that a head
    has no black holes; they stay outside of the mask."""
    missing = ~known & (albedo <= 0).all(axis=2)
    return extend(albedo, ~missing) if missing.any() and not missing.all() else albedo


def _exposed(result: Reconstruction, context: Context) -> Reconstruction:
    """The result under a light in which the captured albedo is as bright as the photograph's skin (median ratio)."""
    seen = context.observation.skin & result.mask & (result.albedo > _DARKEST).all(axis=2)
    if int(seen.sum()) < _LEAST_TEXELS:
        return result
    exposure = np.median(context.observation.albedo[seen] / result.albedo[seen], axis=0).astype(np.float64)
    lighting = replace(result.lighting, coefficients=result.lighting.coefficients * exposure)
    return replace(result, lighting=lighting, record={**result.record, "exposure": exposure.tolist()})


def _in_its_place(result: Reconstruction, captured: Float, context: Context) -> Reconstruction:
    """The result with the captured head, seen and lit as the fitted head was."""
    if captured.shape != result.vertices.shape:
        raise InputError(
            f"the captured head has {len(captured)} vertices, the face model '{context.model.name}' "
            f"{len(result.vertices)}: register the capture again."
        )
    face = context.model.regions["face"]
    fitted, own = result.vertices[face].astype(np.float64), captured[face].astype(np.float64)
    similarity = best_similarity(own, fitted, with_scale=True)
    scale = float(np.cbrt(np.linalg.det(similarity[:3, :3])))
    rotation = similarity[:3, :3] / scale
    gap = np.linalg.norm(own @ similarity[:3, :3].T + similarity[:3, 3] - fitted, axis=1)
    millimetres = 1000.0 * context.model.metres_per_unit
    record = {
        **result.record,
        "placed_by": {
            "scale": scale,
            "turned_degrees": float(np.degrees(np.arccos(np.clip((np.trace(rotation) - 1) / 2, -1, 1)))),
            "median_mm_to_fit": float(np.median(gap)) * millimetres,
        },
    }
    return replace(
        result,
        vertices=captured,
        camera=_carried(result.camera, rotation, scale, similarity[:3, 3]),
        lighting=_turned(result.lighting, rotation),
        record=record,
    )


def _carried(camera: Camera, rotation: NDArray[np.float64], scale: float, shift: NDArray[np.float64]) -> Camera:
    """The camera that sees ``x`` where ``camera`` sees ``scale · rotation · x + shift``.

    Dividing camera coordinates by ``scale`` changes no projection.
    """
    return replace(
        camera,
        rotation=camera.rotation @ rotation,
        translation=(camera.rotation @ shift + camera.translation) / scale,
    )


def _turned(lighting: SphericalHarmonicsLighting, rotation: NDArray[np.float64]) -> SphericalHarmonicsLighting:
    """The light that shines from ``d`` as ``lighting`` shines from ``rotation · d``: bands turn within themselves, so
    nine values determine the new coefficients."""
    index = np.arange(64) + 0.5
    height, azimuth = 1 - index / 32, np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - height**2)
    directions = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), height], axis=1)
    shone = sh_basis(directions @ rotation.T) @ lighting.coefficients
    turned = np.linalg.lstsq(sh_basis(directions), shone, rcond=None)[0]
    return replace(lighting, coefficients=np.asarray(turned, np.float64))
