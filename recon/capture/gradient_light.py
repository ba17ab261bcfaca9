r"""Light that reaches the points of a head inside a stage, with what the head itself covers and throws back.

Every pattern of the stage is a sum of four: even light ``1`` and the three functions ``g_x, g_y, g_z`` of the
direction, ``g_i = ω_i`` for linear gradients and ``g_i = sign(ω_i)`` for binary hemispheres::

    P_c = 1        P_i = (1 + g_i) / 2        P̄_i = (1 − g_i) / 2

so one set of visibility rays gives the response to all of them. The irradiance of a point under pattern P, divided by
π, is ``E(P) = (1/π) ∫ L(ω) max(n·ω, 0) dω``, where L is P in the directions that are free, and elsewhere the light
that the surface in the way reflects: ``L = ρ' E'(P)``, a Lambertian radiosity solved by iteration over the mesh
(Goral et al. 1984). A point of a convex head has ``E(1) = 1`` and, under linear gradients, ``E(g) = 2/3 n``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from recon.face_model.model import vertex_normals
from recon.progress import Progress, no_progress
from recon.rendering.gbuffer import cosine_directions
from recon.rendering.rays import RayScene

Float = NDArray[np.float32]
Index = NDArray[np.int32]

# Rays cast at once: 1 million take about 100 MB.
_BATCH = 1_000_000
# Each bounce keeps at most the reflectance times the covered share of the light, together some 15 % on a face.
_BOUNCES = 4
_RADIOSITY_RAYS = 96
# Rays start this far above the surface, in metres: smooth normals see a little below the facets of the mesh.
_LIFT = 1.5e-4


def responses(directions: Float, binary: bool) -> Float:
    """``(..., 4)`` values of the patterns ``1, g_x, g_y, g_z`` in directions ``(..., 3)``."""
    gradient = np.sign(directions) if binary else directions
    return np.concatenate([np.ones((*directions.shape[:-1], 1), np.float32), gradient], axis=-1).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Irradiance:
    """Light at N points.

    Attributes:
        total: ``(N, 4, 3)`` float32: irradiance over π under ``1, g_x, g_y, g_z``, per colour channel.
        openness: ``(N,)`` float32: cosine-weighted share of the stage that the point sees.
    """

    total: Float
    openness: Float


class StageInterior:
    """A head inside the stage.

    Args:
        positions: ``(V, 3)`` vertices.
        triangles: ``(T, 3)`` counter-clockwise seen from outside.
        normals: ``(V, 3)`` unit smooth normals; None computes them.
        albedo: ``(V, 3)`` linear reflectance of the vertices, or one ``(3,)`` for all; zero takes no account of light
            from surface to surface.
        metres_per_unit: of the positions.
        binary: whether the gradients are hemispheres.
    """

    def __init__(
        self,
        positions: Float,
        triangles: Index,
        albedo: Float,
        metres_per_unit: float,
        normals: Float | None = None,
        binary: bool = False,
    ) -> None:
        self.positions = np.asarray(positions, np.float32)
        self.triangles = np.asarray(triangles, np.int32)
        self.normals = vertex_normals(self.positions, self.triangles) if normals is None else normals
        self.albedo = np.broadcast_to(np.asarray(albedo, np.float32), self.positions.shape)
        self.binary = binary
        self.rays = RayScene(self.positions, self.triangles)
        self._lift = np.float32(_LIFT / metres_per_unit)

    @cached_property
    def radiance(self) -> Float:
        """``(T, 4, 3)`` light that each triangle sends out under the four patterns."""
        used = np.unique(self.triangles)
        used = used[np.linalg.norm(self.normals[used], axis=1) > 0.5]
        direct = np.zeros((len(self.positions), 4), np.float32)
        parts = []
        step = max(1, _BATCH // _RADIOSITY_RAYS)
        for start in range(0, len(used), step):
            ids = used[start : start + step]
            direct[ids], covered = self._cast(self.positions[ids], self.normals[ids], _RADIOSITY_RAYS)
            parts.append(covered)
        between = vstack(parts).tocsr()
        irradiance = np.repeat(direct[:, :, None], 3, axis=2)
        for _ in range(_BOUNCES):
            sent = self._sent(irradiance)
            irradiance[used] = direct[used, :, None] + self._gathered(between, sent)
        return self._sent(irradiance)

    def _sent(self, irradiance: Float) -> Float:
        """``(T, 4, 3)`` radiance of the triangles from the irradiance ``(V, 4, 3)`` of their corners."""
        reflected = irradiance * self.albedo[:, None, :]
        return np.asarray(reflected[self.triangles].mean(axis=1), np.float32)

    @staticmethod
    def _gathered(between: csr_matrix, sent: Float) -> Float:
        return np.asarray((between @ sent.reshape(len(sent), 12)).reshape(-1, 4, 3), np.float32)

    def _cast(self, points: Float, normals: Float, count: int) -> tuple[Float, csr_matrix]:
        """Direct light ``(N, 4)`` under the patterns, and ``(N, T)``: the weight with which each sees a triangle."""
        directions = cosine_directions(normals, count)
        origins = np.repeat(points + self._lift * normals, count, axis=0)
        hits = self.rays.first_hit(origins, directions.reshape(-1, 3)).triangle.reshape(-1, count)
        free = hits < 0
        direct = np.einsum("nk,nkp->np", free.astype(np.float32), responses(directions, self.binary)) / count
        rows, rank = np.nonzero(~free)
        weights = np.full(len(rows), 1 / count, np.float32)
        covered = csr_matrix((weights, (rows, hits[rows, rank])), shape=(len(points), len(self.triangles)))
        return direct.astype(np.float32), covered

    def irradiance(
        self, points: Float, normals: Float, count: int = 256, progress: Progress = no_progress
    ) -> Irradiance:
        """The light at ``points`` ``(N, 3)`` with unit ``normals`` ``(N, 3)`` of the surface, from ``count`` rays each.

        About 2 million rays a second on one core; ``progress`` counts points.
        """
        sent = self.radiance
        total = np.zeros((len(points), 4, 3), np.float32)
        openness = np.zeros(len(points), np.float32)
        step = max(1, _BATCH // count)
        for start in range(0, len(points), step):
            part = slice(start, start + step)
            direct, covered = self._cast(points[part], normals[part], count)
            openness[part] = direct[:, 0]
            total[part] = direct[:, :, None] + self._gathered(covered, sent)
            progress(min(start + step, len(points)), len(points))
        return Irradiance(total, openness)
