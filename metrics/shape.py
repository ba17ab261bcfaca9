"""How far a head lies from the true one, vertex by vertex, where both have the face model's topology.

A photograph fixes neither where a head is nor, without the camera, how large it is. As in the NoW benchmark (Sanyal,
Bolkart, Feng and Black 2019) the result is therefore aligned with the truth before distances are taken, by least
squares over the face's vertices in closed form (Umeyama 1991), never by a reflection:

    distance = 1/N Σ_i ‖s R x_i + t − y_i‖,    (s, R, t) = argmin Σ_i ‖s R x_i + t − y_i‖²

with ``x_i`` the result's and ``y_i`` the true vertices of the face, in millimetres. *similarity* is this, as NoW does
it; *rigid* holds ``s`` = 1, so that a face of the wrong size is wrong. Unlike NoW, which measures from points of a scan
to the nearest point of the surface, vertices pair by index: sliding along the surface counts as error, and vertices
count alike however densely they lie.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Metric, one_by_one

LEAST_VERTICES = 3
"""Fewer do not fix a rotation."""


def vertex_distance(
    result: NDArray[np.floating], truth: NDArray[np.floating], mask: NDArray[np.bool_], with_scale: bool
) -> float:
    """Mean distance between paired vertices after alignment.

    Args:
        result, truth: ``(V, 3)`` in one unit.
        mask: ``(V,)`` bool: the vertices that are aligned and measured.
        with_scale: align by a similarity instead of a rigid motion.

    Returns:
        In the unit of the vertices; NaN where the mask holds fewer than three vertices or they lie in one point.
    """
    from recon.capture.alignment import best_similarity

    own, aim = result[mask].astype(np.float64), truth[mask].astype(np.float64)
    if len(own) < LEAST_VERTICES or not np.ptp(own, axis=0).any():
        return float("nan")
    aligned = best_similarity(own, aim, with_scale)
    return float(np.linalg.norm(own @ aligned[:3, :3].T + aligned[:3, 3] - aim, axis=1).mean())


SHAPE = Metric(
    components=(
        Component("vertex distance (truth, similarity)", "mm"),
        Component("vertex distance (truth, rigid)", "mm"),
    ),
    library="mesoface",
    version="1",
    parameters={"alignment": "Umeyama 1991, least squares over the face's vertices", "pairing": "by index"},
    spaces=frozenset({"shape"}),
    measure=one_by_one(
        lambda judged: [
            vertex_distance(judged.result, judged.reference, judged.region, with_scale) for with_scale in (True, False)
        ]
    ),
    reference="truth",
)
