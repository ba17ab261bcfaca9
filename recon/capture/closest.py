"""The nearest point of a surface: candidates from a k-d tree over points on its triangles, then exact distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Float = NDArray[np.float64]

_CANDIDATES = 6
_MOST_STEPS = 12


@dataclass(frozen=True, eq=False)
class Nearest:
    """Nearest surface points of N positions.

    Attributes:
        points: ``(N, 3)`` float64.
        triangle: ``(N,)`` int64.
        barycentric: ``(N, 3)`` float64.
        distance: ``(N,)`` float64.
    """

    points: Float
    triangle: NDArray[np.int64]
    barycentric: Float
    distance: Float


class NearestSurface:
    """A mesh ready for nearest-point queries.

    Every triangle is covered by points no farther apart than ``spacing``, so that large and thin ones are found too;
    among the triangles of the six nearest points the distance is exact (Ericson 2004, as in trimesh).

    Args:
        vertices: ``(V, 3)``; triangles: ``(T, 3)``.
        spacing: of the points; None takes the median edge.
    """

    def __init__(
        self, vertices: NDArray[np.floating], triangles: NDArray[np.integer], spacing: float | None = None
    ) -> None:
        self.corners = np.asarray(vertices, np.float64)[triangles]
        edges = np.linalg.norm(self.corners - np.roll(self.corners, 1, axis=1), axis=-1)
        spacing = spacing or float(np.median(edges))
        steps = np.clip(np.ceil(edges.max(axis=1) / max(spacing, 1e-12)).astype(int), 1, _MOST_STEPS)
        points, owner = [], []
        for count in np.unique(steps):
            mine = np.flatnonzero(steps == count)
            weights = _lattice(int(count))
            points.append(np.einsum("kc,tcx->tkx", weights, self.corners[mine], optimize=True).reshape(-1, 3))
            owner.append(np.repeat(mine, len(weights)))
        self._owner = np.concatenate(owner)
        self._tree = cKDTree(np.concatenate(points), balanced_tree=False, compact_nodes=False)

    def __call__(self, positions: NDArray[np.floating], within: float = np.inf) -> Nearest:
        """The nearest points of ``positions`` ``(N, 3)``; where none lies ``within``, the distance is infinite."""
        from trimesh.triangles import barycentric_to_points, closest_point, points_to_barycentric

        positions = np.asarray(positions, np.float64)
        _, found = self._tree.query(positions, k=_CANDIDATES)
        candidates = self._owner[found]
        corners = self.corners[candidates.ravel()]
        points = closest_point(corners, np.repeat(positions, _CANDIDATES, axis=0)).reshape(-1, _CANDIDATES, 3)
        distance = np.linalg.norm(points - positions[:, None], axis=-1)
        best = distance.argmin(axis=1)
        row = np.arange(len(positions))
        triangle, nearest = candidates[row, best], points[row, best]
        # On a sliver the weights are not determined; its middle is as good as any of its points.
        weights = np.nan_to_num(points_to_barycentric(self.corners[triangle], nearest), nan=1 / 3, posinf=1, neginf=0)
        weights = np.maximum(weights, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        shortest = distance[row, best]
        return Nearest(
            np.asarray(barycentric_to_points(self.corners[triangle], weights)),
            triangle,
            weights,
            np.where(shortest <= within, shortest, np.inf),
        )


def _lattice(count: int) -> Float:
    """``(K, 3)`` weights of the centres of the ``count``² equal parts of a triangle that point the same way."""
    first, second = np.meshgrid(np.arange(count), np.arange(count), indexing="ij")
    inside = first + second < count
    weights = np.stack([first[inside] + 1 / 3, second[inside] + 1 / 3], axis=1) / count
    return np.asarray(np.column_stack([weights, 1 - weights.sum(axis=1)]))
