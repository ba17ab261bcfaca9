"""Catmull–Clark subdivision (1978) as a sparse matrix, so that it applies to shape and basis alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix, diags, vstack

Quads = NDArray[np.int64]


def catmull_clark(quads: Quads, vertex_count: int) -> tuple[csr_matrix, Quads]:
    """One level of subdivision of a quad mesh, open edges included.

    Args:
        quads: ``(Q, 4)`` vertex indices.
        vertex_count: V; every vertex must belong to a quad.

    Returns:
        ``(V + E + Q, V)`` matrix from old positions to new ones (old vertices first, then edges, then faces), and the
        ``(4 Q, 4)`` new quads; quad ``q`` becomes rows ``4 q … 4 q + 3``, each beginning at one of its corners.
    """
    edges, edge_of, count = _edges(quads)
    corner = np.arange(len(quads))
    to_face = coo_matrix(
        (np.full(quads.size, 0.25), (np.repeat(corner, 4), quads.ravel())), (len(quads), vertex_count)
    ).tocsr()
    to_middle = coo_matrix(
        (np.full(edges.size, 0.5), (np.repeat(np.arange(len(edges)), 2), edges.ravel())), (len(edges), vertex_count)
    ).tocsr()
    border = count == 1
    # An inner edge point is the mean of the edge's ends and of the two face points beside it; a border one the middle.
    beside = coo_matrix((np.full(edge_of.size, 0.5), (edge_of.ravel(), np.repeat(corner, 4))), (len(edges), len(quads)))
    inner = diags((~border).astype(float))
    to_edge = diags(np.where(border, 1.0, 0.5)) @ to_middle + 0.5 * inner @ beside.tocsr() @ to_face
    return (
        vstack([_vertex_rule(quads, edges, border, to_face, to_middle, vertex_count), to_edge, to_face]).tocsr(),
        _new_quads(quads, edge_of, vertex_count, len(edges)),
    )


def split_uv(uv: NDArray[np.float64], quads: Quads) -> tuple[NDArray[np.float64], Quads]:
    """Texture coordinates of the mesh that :func:`catmull_clark` makes: corners stay, edges and faces are halved.

    Args:
        uv: ``(U, 2)`` coordinates; quads: ``(Q, 4)`` indices into them.

    Returns:
        ``(U + E + Q, 2)`` coordinates and ``(4 Q, 4)`` indices, parallel to the new quads of the positions.
    """
    edges, edge_of, _ = _edges(quads)
    points = np.concatenate([uv, uv[edges].mean(axis=1), uv[quads].mean(axis=1)])
    return points, _new_quads(quads, edge_of, len(uv), len(edges))


def _edges(quads: Quads) -> tuple[Quads, Quads, NDArray[np.int64]]:
    """``(E, 2)`` edges, ``(Q, 4)`` edge after each corner, ``(E,)`` number of quads at each edge."""
    pairs = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1)
    edges, index, count = np.unique(
        np.sort(pairs.reshape(-1, 2), axis=1), axis=0, return_inverse=True, return_counts=True
    )
    return edges, index.reshape(quads.shape), count


def _new_quads(quads: Quads, edge_of: Quads, vertex_count: int, edge_count: int) -> Quads:
    face = np.broadcast_to(np.arange(len(quads))[:, None] + vertex_count + edge_count, quads.shape)
    after = edge_of + vertex_count
    before = np.roll(after, 1, axis=1)
    return np.stack([quads, after, face, before], axis=-1).reshape(-1, 4)


def _vertex_rule(
    quads: Quads,
    edges: Quads,
    border: NDArray[np.bool_],
    to_face: csr_matrix,
    to_middle: csr_matrix,
    vertex_count: int,
) -> csr_matrix:
    """``(V, V)`` rule of the old vertices.

    Inner vertex of valence n: (F + 2 R + (n − 3) P) / n. Border vertex: ¾ P + ¼ of the mean of its border neighbours.
    A vertex where borders meet in any other number than two stays.
    """
    valence = np.bincount(edges.ravel(), minlength=vertex_count).astype(float)
    faces_at = np.bincount(quads.ravel(), minlength=vertex_count).astype(float)
    borders_at = np.bincount(edges[border].ravel(), minlength=vertex_count)
    is_inner, on_border = borders_at == 0, borders_at == 2
    stays = ~is_inner & ~on_border
    safe = np.maximum(valence, 1.0)
    face_sum = coo_matrix(
        (np.ones(quads.size), (quads.ravel(), np.repeat(np.arange(len(quads)), 4))), (vertex_count, len(quads))
    ).tocsr()
    rows, columns = edges.T.ravel(), np.tile(np.arange(len(edges)), 2)
    edge_sum = coo_matrix((np.ones(len(rows)), (rows, columns)), (vertex_count, len(edges))).tocsr()
    border_sum = edge_sum @ diags(border.astype(float))
    face_part = diags(is_inner / (safe * np.maximum(faces_at, 1.0))) @ face_sum @ to_face
    edge_part = diags(2.0 * is_inner / safe**2) @ edge_sum @ to_middle
    border_part = diags(0.25 * on_border) @ border_sum @ to_middle
    # The border neighbours' mean is 2 · (mean of middles) − P, hence ½ P + ¼ Σ middles.
    own = np.where(is_inner, (valence - 3.0) / safe, np.where(on_border, 0.5, 0.0)) + stays
    return face_part + edge_part + border_part + diags(own)
