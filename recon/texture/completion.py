"""The complete low-detail texture of a photograph: what is seen, its mirror image, and the PCA texture for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.face_model.model import MorphableModel
from recon.texture.database import TextureDatabase, complete_symmetric
from recon.texture.deblur import restored
from recon.texture.masked import extend, masked_gaussian
from recon.texture.observation import Observation
from recon.texture.skin import face_mask, feature_mask
from recon.texture.symmetry import mirror_coordinates
from recon.texture.uv_map import uv_map


@dataclass(frozen=True, eq=False)
class FaceMasks:
    """Fixed masks of a face model at one size, ``(S, S)`` bool: the face, and its features (eyes, brows, lips …)."""

    face: NDArray[np.bool_]
    features: NDArray[np.bool_]


@lru_cache(maxsize=4)
def face_masks(model: MorphableModel, size: int) -> FaceMasks:
    """The fixed masks, computed once per model and size."""
    layout = uv_map(model, size)
    return FaceMasks(face_mask(model, layout), feature_mask(model, layout))


def trusted(observation: Observation, model: MorphableModel) -> NDArray[np.bool_]:
    """``(S, S)`` bool: texels whose colour is the face's own: skin, and features where the camera sees them."""
    return observation.skin | (observation.visible & face_masks(model, observation.size).features)


def pca_texture(observation: Observation, database: TextureDatabase) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``A_low``: the ``(S, S, 3)`` sRGB-encoded PCA texture fitted to the trusted texels, and its coefficients."""
    known = trusted(observation, database.model)
    coefficients = database.pca.coefficients(linear_to_srgb(observation.albedo), known)
    return database.pca.texture(coefficients), coefficients


def sharpened(observation: Observation, fill: NDArray[np.float32], blur: float) -> NDArray[np.float32]:
    """The observed texture, sRGB-encoded, with the relative detail of ``fill`` that a ``blur`` has taken away.

    What the blur only weakened comes back from the photograph itself. Brows, lashes and lips lie at the same texels in
    all faces, so the PCA texture knows roughly what else the blur hides.
    """
    if blur <= 0:
        return linear_to_srgb(observation.albedo)
    width = blur * observation.size / 512.0
    everywhere = np.ones(fill.shape[:2], bool)
    texture = linear_to_srgb(np.clip(restored(observation.albedo, observation.visible, width), 0.0, 1.0))
    shown = restored(masked_gaussian(fill, everywhere, width), everywhere, width)
    relative = np.clip(fill / np.maximum(shown, 0.02), 0.3, 3.0)
    return np.clip(texture * relative, 0.0, 1.0).astype(np.float32)


def completed(
    observation: Observation, model: MorphableModel, fill: NDArray[np.float32] | None, blur: float = 0.0
) -> NDArray[np.float32]:
    """``(S, S, 3)`` sRGB-encoded complete texture: seen, else mirrored, else ``fill`` carried over in colour.

    Args:
        fill: a complete texture, or None: then what neither side shows is extended smoothly.
        blur: of the photograph, in texels at 512²; what it hides is taken from ``fill``.
    """
    known = trusted(observation, model)
    if fill is None:
        texture = linear_to_srgb(observation.albedo)
        fill = extend(texture, known)
    else:
        texture = sharpened(observation, fill, blur)
    return complete_symmetric(texture, known, fill, mirror_coordinates(model, observation.size))
