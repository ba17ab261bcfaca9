"""Ray casting against a triangle mesh (Intel Embree through the package ``embreex``)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Hits:
    """First intersections of N rays.

    Attributes:
        triangle: ``(N,)`` int32 id of the triangle that was hit, −1 for none.
        distance: ``(N,)`` float32 along the (unit) direction; infinite for none.
        barycentric: ``(N, 3)`` float32 weights of the triangle's corners; zero for none.
    """

    triangle: NDArray[np.int32]
    distance: NDArray[np.float32]
    barycentric: NDArray[np.float32]


class RayScene:
    """A mesh ready for ray queries; building it takes milliseconds for a head of 50,000 triangles.

    Args:
        vertices: ``(V, 3)`` positions.
        triangles: ``(T, 3)`` vertex indices.
    """

    def __init__(self, vertices: NDArray[np.floating], triangles: NDArray[np.integer]) -> None:
        self._scene = rtcore_scene.EmbreeScene()
        self._mesh = TriangleMesh(
            self._scene, np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(triangles, np.int32)
        )

    def first_hit(self, origins: NDArray[np.floating], directions: NDArray[np.floating]) -> Hits:
        """The nearest hit of each ray; ``origins`` and unit ``directions`` are ``(N, 3)`` (origins may be ``(3,)``)."""
        direction = np.ascontiguousarray(directions, np.float32)
        origin = np.ascontiguousarray(np.broadcast_to(np.asarray(origins, np.float32), direction.shape))
        found = self._scene.run(origin, direction, output=1)
        triangle = found["primID"].astype(np.int32)
        hit = triangle >= 0
        u = np.where(hit, found["u"], 0.0).astype(np.float32)
        v = np.where(hit, found["v"], 0.0).astype(np.float32)
        barycentric = np.stack([np.where(hit, 1.0 - u - v, 0.0).astype(np.float32), u, v], axis=-1)
        distance = np.where(hit, found["tfar"], np.inf).astype(np.float32)
        return Hits(triangle, distance, barycentric)
