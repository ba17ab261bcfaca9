"""The UV square as texels on the surface: which triangle covers each texel, and where in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recon.face_model.model import MorphableModel
from recon.rendering.rays import RayScene


@dataclass(frozen=True, eq=False)
class UVMap:
    """A raster of the UV square; row 0 lies at v = 1, texel centres at half pixels.

    Attributes:
        triangle: ``(S, S)`` int32 id into the model's triangles, −1 outside the face material.
        barycentric: ``(S, S, 3)`` float32, zero outside.
        corners: ``(T, 3)`` int32, the model's vertex indices a triangle.
    """

    triangle: NDArray[np.int32]
    barycentric: NDArray[np.float32]
    corners: NDArray[np.int32]

    @property
    def size(self) -> int:
        """Side of the square in texels."""
        return int(self.triangle.shape[0])

    @cached_property
    def covered(self) -> NDArray[np.bool_]:
        """``(S, S)`` bool: texels on the face material."""
        return self.triangle >= 0

    def interpolate(self, values: NDArray[np.floating]) -> NDArray[np.float32]:
        """``(S, S, C)`` float32 of vertex values ``(V, C)``; zero outside the face material."""
        flat = self.covered
        out = np.zeros((*self.triangle.shape, values.shape[1]), dtype=np.float32)
        corners = self.corners[self.triangle[flat]]
        out[flat] = np.einsum("ncx,nc->nx", values[corners], self.barycentric[flat], optimize=True)
        return out


def uv_map(model: MorphableModel, size: int) -> UVMap:
    """Rasterises the model's UV layout at ``size`` × ``size`` texels.

    The layout is a flat mesh, so a parallel ray through each texel centre finds its triangle exactly; where the
    layout overlaps itself the triangle is the one that Embree meets first, the same at every call.
    """
    owners = model.uv_triangle_ids
    flat = np.concatenate([model.uv, np.zeros((len(model.uv), 1), np.float32)], axis=1)
    scene = RayScene(flat, model.uv_triangles[owners])
    centres = (np.arange(size, dtype=np.float32) + 0.5) / size
    u, v = np.meshgrid(centres, centres[::-1])
    origins = np.stack([u.ravel(), v.ravel(), np.ones(size * size, np.float32)], axis=-1)
    hits = scene.first_hit(origins, np.broadcast_to(np.array([0, 0, -1], np.float32), origins.shape))
    triangle = np.where(hits.triangle >= 0, owners[hits.triangle], -1).astype(np.int32)
    return UVMap(triangle.reshape(size, size), hits.barycentric.reshape(size, size, 3), model.triangles)
