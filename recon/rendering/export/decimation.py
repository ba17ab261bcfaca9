"""Fewer triangles for small devices, once a face model: the same coarse topology then serves every head of it.

Quadric edge collapses (Garland and Heckbert 1997, the library fast-simplification) decide which triangles remain on
the model's mean. Every vertex of the coarse mesh is then a vertex of the fine one, the nearest of those that were
merged into it, and keeps that vertex's position, normal and texture coordinate: texture cannot slide, and heads stay in
correspondence. Open edges (seams of the layout, and where one part meets the next) are left as they are, so that no
crack can open.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recon.errors import AssetError
from recon.face_model.model import MorphableModel
from recon.rendering.parts import Surface, part_topologies
from recon.rendering.scene import Part

# Share of a part's triangles to keep: most where people look, least inside the closed mouth.
_KEEP = {
    Surface.SKIN: 0.60,
    Surface.HEAD: 0.60,
    Surface.EYE: 0.60,
    Surface.TEETH: 0.25,
    Surface.GUMS: 0.20,
    Surface.CAVITY: 0.25,
}


@dataclass(frozen=True, eq=False)
class CoarsePart:
    """The vertices of a part that remain, and the triangles between them.

    Attributes:
        vertex_ids: ``(n,)`` int64 into the part's own vertices.
        triangles: ``(m, 3)`` int32 into ``vertex_ids``.
    """

    vertex_ids: NDArray[np.int64]
    triangles: NDArray[np.int32]


@lru_cache(maxsize=2)
def coarse_parts(model: MorphableModel) -> dict[str, CoarsePart]:
    """The coarse topology of every part of a model, by name. Parts that are strips of open edges (lashes) stay whole.

    Raises:
        AssetError: the package fast-simplification is missing.
    """
    found = {}
    for topology in part_topologies(model):
        share = _KEEP.get(topology.surface)
        if share is None:
            every = np.arange(len(topology.vertex_ids))
            found[topology.name] = CoarsePart(every, topology.triangles)
        else:
            found[topology.name] = collapse(model.mean[topology.vertex_ids], topology.triangles, share)
    return found


def collapse(points: NDArray[np.floating], triangles: NDArray[np.integer], share: float) -> CoarsePart:
    """About ``share`` of the ``triangles`` ``(M, 3)`` over ``points`` ``(N, 3)``, open edges untouched.

    Raises:
        AssetError: the package fast-simplification is missing.
    """
    try:
        import fast_simplification
    except ImportError as error:
        raise AssetError(
            "a mobile GLB needs the package fast-simplification: install it with 'pip install fast-simplification', "
            "or export without --mobile."
        ) from error
    target = max(4, round(share * len(triangles)))
    # Unit size: the library's thresholds are absolute.
    scaled = (points - points.mean(axis=0)) / max(float(np.ptp(points, axis=0).max()), 1e-12)
    scaled = scaled.astype(np.float64)
    fine = np.ascontiguousarray(triangles, np.int32)
    collapses = fast_simplification.simplify(
        scaled, fine, target_count=target, agg=5, preserve_border=True, return_collapses=True
    )[2]
    merged, faces, group = fast_simplification.replay_simplification(scaled, fine, collapses)
    # Among those that were merged into it, and nowhere else: on a seam two vertices lie at the same place.
    members = np.flatnonzero(group >= 0)  # −1: in no triangle
    distance = np.linalg.norm(scaled[members] - merged[group[members]], axis=1)
    order = members[np.lexsort((distance, group[members]))]
    present, first = np.unique(group[order], return_index=True)
    nearest = np.zeros(len(merged), np.int64)
    nearest[present] = order[first]
    corners = nearest[np.asarray(faces)]
    vertex_ids, local = np.unique(corners, return_inverse=True)
    return CoarsePart(vertex_ids, local.reshape(-1, 3).astype(np.int32))


def coarsened(model: MorphableModel, part: Part) -> Part:
    """The part with the vertices and triangles that :func:`coarse_parts` keeps; textures as they are."""
    coarse = coarse_parts(model)[part.name]
    chosen = coarse.vertex_ids
    topology = replace(
        part.topology,
        # Triangles of the coarse mesh are none of the model's.
        triangle_ids=np.full(len(coarse.triangles), -1, np.int32),
        vertex_ids=part.topology.vertex_ids[chosen],
        triangles=coarse.triangles,
        texcoord=None if part.topology.texcoord is None else part.topology.texcoord[chosen],
    )
    return replace(
        part,
        topology=topology,
        positions=part.positions[chosen],
        normals=part.normals[chosen],
        texcoord=None if part.texcoord is None else part.texcoord[chosen],
        colour=None if part.colour is None else part.colour[chosen],
    )
