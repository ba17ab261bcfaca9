"""Blending a quilt in the gradient domain, so that no seam shows.

Pérez, Gangnet and Blake, *Poisson image editing*, SIGGRAPH 2003, with the screening of Bhat et al., ECCV 2008.
Within a patch the result has the patch's own gradients, across a seam the mean of both sides' gradients there; a weak
pull to the quilt itself keeps colours from drifting over the face::

    min_w Σ_edges |∇w − g|² + ‖w − q‖² / r²
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, eye_array
from scipy.sparse.linalg import cg

from recon.texture.quilting import Quilt

_TOLERANCE = 1e-5


def blend(
    quilt: Quilt,
    detail: NDArray[np.floating],
    valid: NDArray[np.bool_],
    skin: NDArray[np.bool_],
    radius: float,
) -> NDArray[np.float32]:
    """The blended detail ``(H, W, C)`` float32, 0 outside ``skin``.

    Args:
        quilt: whose texel is whose.
        detail: ``(N, H, W, C)`` of all people.
        valid: ``(N, H, W)`` bool: where a person's detail is known.
        skin: ``(H, W)`` bool.
        radius: how far a seam's correction reaches, in texels.
    """
    number = np.full(skin.shape, -1)
    number[skin] = np.arange(int(skin.sum()))
    start, end = _edges(skin)
    gradient = _gradients(quilt, detail, valid, start, end)
    edges, texels = len(gradient), int(skin.sum())
    rows = np.arange(edges)
    difference = csr_array(
        (
            np.concatenate([-np.ones(edges), np.ones(edges)]),
            (np.concatenate([rows, rows]), np.concatenate([number[start], number[end]])),
        ),
        shape=(edges, texels),
    )
    pull = 1.0 / max(radius, 1e-3) ** 2
    system = difference.T @ difference + pull * eye_array(texels)
    out = np.zeros_like(quilt.canvas)
    for channel in range(out.shape[-1]):
        given = quilt.canvas[skin, channel].astype(np.float64)
        right = pull * given + difference.T @ gradient[:, channel]
        out[skin, channel], _ = cg(system, right, x0=given, rtol=_TOLERANCE, maxiter=500)
    return out


Index = tuple[NDArray[np.intp], NDArray[np.intp]]


def _edges(skin: NDArray[np.bool_]) -> tuple[Index, Index]:
    """Rows and columns of both ends of every pair of neighbouring skin texels."""
    right = np.nonzero(skin[:, :-1] & skin[:, 1:])
    down = np.nonzero(skin[:-1] & skin[1:])
    start = (np.concatenate([right[0], down[0]]), np.concatenate([right[1], down[1]]))
    end = (np.concatenate([right[0], down[0] + 1]), np.concatenate([right[1] + 1, down[1]]))
    return start, end


def _gradients(
    quilt: Quilt, detail: NDArray[np.floating], valid: NDArray[np.bool_], start: Index, end: Index
) -> NDArray[np.float64]:
    """``(E, C)`` wanted differences: the owner's, across a seam the mean of the owners' who show both texels."""
    out = (quilt.canvas[end] - quilt.canvas[start]).astype(np.float64)
    seam = np.flatnonzero(quilt.owner[start] != quilt.owner[end])
    here, there = ((ends[0][seam], ends[1][seam]) for ends in (start, end))
    total, count = np.zeros((len(seam), out.shape[1])), np.zeros((len(seam), 1))
    for whose in (quilt.owner[here], quilt.owner[there]):
        shows = (whose >= 0) & valid[(whose, *here)] & valid[(whose, *there)]
        step = detail[(whose, *there)].astype(np.float64) - detail[(whose, *here)].astype(np.float64)
        total += np.where(shows[:, None], step, 0.0)
        count += shows[:, None]
    # Where neither owner shows both texels the seam stays level.
    out[seam] = total / np.maximum(count, 1.0)
    return out
