"""Textures at the vertices of the face model: the albedo that the photometric fit compares the photograph with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from recon.colour import srgb_to_linear
from recon.face_model.model import MorphableModel
from recon.fitting.fit import AlbedoModel

# Components of vertex albedo that a fit estimates; more would explain light by skin.
_COMPONENTS = 12


def sample_at_vertices(model: MorphableModel, texture: NDArray[np.floating]) -> NDArray[np.float32]:
    """``(V, C)`` bilinear samples of an ``(S, S, C)`` texture; vertices without a place in the UV square are 0."""
    owners = model.uv_triangle_ids
    uv = np.full((len(model.mean), 2), np.nan, np.float32)
    uv[model.triangles[owners].ravel()] = model.uv[model.uv_triangles[owners].ravel()]
    used = np.isfinite(uv[:, 0])
    size = texture.shape[0]
    at = ((1.0 - uv[used, 1]) * size - 0.5, uv[used, 0] * size - 0.5)
    out = np.zeros((len(uv), texture.shape[-1]), np.float32)
    for channel in range(texture.shape[-1]):
        out[used, channel] = map_coordinates(texture[..., channel].astype(np.float32), at, order=1, mode="nearest")
    return out


def vertex_albedo_model(model: MorphableModel, textures: NDArray[np.floating]) -> AlbedoModel:
    """PCA of the linear albedo at the vertices over ``(N, S, S, 3)`` sRGB-encoded complete textures."""
    samples = np.stack([srgb_to_linear(sample_at_vertices(model, texture)) for texture in textures])
    count = len(samples)
    mean = samples.mean(axis=0)
    flat = (samples - mean).reshape(count, -1)
    values, vectors = np.linalg.eigh((flat @ flat.T).astype(np.float64) / max(count - 1, 1))
    order = np.argsort(values)[::-1][: min(_COMPONENTS, count - 1)]
    basis = (vectors[:, order].T.astype(np.float32) @ flat) / np.sqrt(max(count - 1, 1))
    return AlbedoModel(mean.astype(np.float32), basis.reshape(-1, *mean.shape).astype(np.float32))
