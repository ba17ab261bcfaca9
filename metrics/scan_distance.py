"""Scan-to-mesh distance: how far the points of a true face lie from the surface of the result, after alignment.

As in the NoW benchmark (Sanyal, Bolkart, Feng and Black 2019, arXiv 1905.06817): the result is brought to the scan by
the similarity that fits seven landmarks best (corners of eyes and mouth, base of the nose; Umeyama 1991), then by the
rotation, translation and scale that minimise

    Σ_i d_i²,    d_i = min_{x on the surface} ‖s R x + t − y_i‖

over the scan's points ``y_i`` on the region; *median*, *mean* and *standard deviation* are those of ``d_i`` in
millimetres. Minimised by Gauss-Newton on the distances along the line to each nearest point (Chen and Medioni 1992),
from the landmarks on.

Alignment is part of the metric: a single photograph fixes neither place nor size, and what an alignment may correct is
not counted as error. The medians under weaker ones therefore stand beside it: *landmarks alone*, with and without
scale, where an error of seven points is one of the whole face; and *no scale*, refined, where a face of the wrong size
is wrong (NoW's metrical variant). Only squares are minimised, so a median may rise where a mean falls.

The surface is that of the region alone: NoW offers the whole head, and takes for the nearest point of a lip whatever a
model has behind it. Points beside the region's border pay for that with the way back to it, in faces of the face models
here some tenth of the mean. The pairing of vertices by index is in ``metrics.shape``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Judged, Metric, Surface, one_by_one
from metrics.regions import region_key
from recon.capture.alignment import best_similarity
from recon.errors import InputError

if TYPE_CHECKING:
    from recon.capture.closest import NearestSurface

Float = NDArray[np.float64]

NOW_LANDMARKS = (36, 39, 42, 45, 33, 48, 54)
"""iBUG places that align first: outer and inner corners of the eyes, base of the nose, corners of the mouth."""

LEAST_POINTS, LEAST_LANDMARKS = 100, 3
"""Points of the scan and landmarks on the region: fewer do not hold a face in its place."""

ON_REGION = 3.0
"""Millimetres from the region of the true head within which a point of the scan belongs to it: scans are cut from more
than a face, and registered to about a millimetre."""

MOST_FITTED = 4000
"""Points that the refinement uses, evenly out of the scan's order; the distances are of all."""

MOST_STEPS, LEAST_MOTION = 60, 1e-4
"""The refinement ends after so many steps, or when one moves the points by less than this, root mean square in mm."""


@dataclass(frozen=True)
class Refinement:
    """Where a refinement ended.

    Attributes:
        transform: ``(4, 4)`` float64 from the result's frame to the scan's.
        steps: taken.
    """

    transform: Float
    steps: int


def scale_of(transform: Float) -> float:
    """The factor by which a similarity ``(4, 4)`` changes lengths."""
    return float(np.cbrt(np.linalg.det(transform[:3, :3])))


def surface_distances(surface: NearestSurface, points: NDArray[np.floating], transform: Float) -> Float:
    """``(N,)`` float64 distance of each point ``(N, 3)`` from the surface moved by the similarity ``transform``."""
    return _nearest(surface, np.asarray(points, np.float64), transform)[1]


def _nearest(surface: NearestSurface, points: Float, transform: Float) -> tuple[Float, Float, NDArray[np.int64]]:
    """Nearest surface points in the frame of ``points``, the distances from them, and their triangles."""
    turn, shift = transform[:3, :3], transform[:3, 3]
    # Asked in the surface's own frame, so that its tree is built once.
    found = surface(np.linalg.solve(turn, (points - shift).T).T)
    places = found.points @ turn.T + shift
    return places, np.asarray(np.linalg.norm(points - places, axis=1)), found.triangle


def refined(surface: NearestSurface, points: NDArray[np.floating], start: Float, with_scale: bool) -> Refinement:
    """The motion near ``start`` that brings the surface nearest to ``points``, least squares; see the module.

    Args:
        surface: of the result.
        points: ``(N, 3)`` of the scan.
        start: ``(4, 4)`` similarity to begin from; its scale is kept unless ``with_scale``.
        with_scale: whether the size is free.
    """
    aim = np.asarray(points, np.float64)
    transform, step = start.copy(), 0
    places, distances, triangle = _nearest(surface, aim, transform)
    normals = _unit(np.cross(*np.moveaxis(surface.corners[:, 1:] - surface.corners[:, :1], 1, 0)))
    for step in range(1, MOST_STEPS + 1):
        # On the surface itself the line to the nearest point has no direction: that of the triangle stands for it.
        turned = _unit(normals[triangle] @ transform[:3, :3].T)
        along = np.where(distances[:, None] > 1e-9, _unit(aim - places), turned)
        motion, size = _step(places, along, distances, with_scale)
        for _ in range(8):
            tried = _moved(motion, places.mean(axis=0)) @ transform
            new_places, new_distances, new_triangle = _nearest(surface, aim, tried)
            if np.square(new_distances).sum() <= np.square(distances).sum():
                break
            motion, size = motion / 2, size / 2
        else:
            return Refinement(transform, step)
        transform, places, distances, triangle = tried, new_places, new_distances, new_triangle
        if size < LEAST_MOTION:
            break
    return Refinement(transform, step)


def _step(places: Float, along: Float, distances: Float, with_scale: bool) -> tuple[Float, float]:
    """Turn (3), shift (3) and growth (1) that shorten the distances most, and how far they move the places, rms.

    Of what the distances do not fix (a plane may slide), least is moved.
    """
    arm = places - places.mean(axis=0)
    reach = max(float(np.sqrt(np.square(arm).sum(axis=1).mean())), 1e-12)
    # Divided by the reach, a unit of each unknown moves the places about equally far.
    columns = [np.cross(arm, along) / reach, along]
    if with_scale:
        columns.append((arm * along).sum(axis=1, keepdims=True) / reach)
    solution = np.linalg.lstsq(np.hstack(columns), distances, rcond=1e-6)[0]
    motion = np.zeros(7)
    motion[: len(solution)] = solution
    motion[[0, 1, 2, 6]] /= reach
    moved = np.cross(motion[:3], arm) + motion[3:6] + motion[6] * arm
    return motion, float(np.sqrt(np.square(moved).sum(axis=1).mean()))


def _moved(motion: Float, centre: Float) -> Float:
    """``(4, 4)`` similarity of a motion about ``centre``."""
    from scipy.spatial.transform import Rotation

    transform = np.eye(4)
    transform[:3, :3] = np.exp(motion[6]) * Rotation.from_rotvec(motion[:3]).as_matrix()
    transform[:3, 3] = centre + motion[3:6] - transform[:3, :3] @ centre
    return transform


def _unit(vectors: Float) -> Float:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-300))


def region_surface(
    vertices: NDArray[np.floating], triangles: NDArray[np.int64], region: NDArray[np.bool_]
) -> NearestSurface | None:
    """The triangles ``(T, 3)`` all of whose vertices lie in ``region`` ``(V,)``; None where there is none."""
    from recon.capture.closest import NearestSurface

    inside = triangles[region[triangles].all(axis=1)]
    return NearestSurface(vertices, inside) if len(inside) else None


def scan_points(surface: Surface, reference: NDArray[np.floating], region: NDArray[np.bool_]) -> Float:
    """``(N, 3)`` float64: points of the scan on the ``region`` ``(V,)`` of the true head; none on an empty one."""
    truth = region_surface(reference, surface.triangles, region)
    if truth is None:
        return np.zeros((0, 3))
    return surface.scan[truth(surface.scan).distance <= ON_REGION].astype(np.float64)


def scan_distance(judged: Judged) -> list[float]:
    """Median, mean and standard deviation after NoW's alignment, then the medians after the three weaker ones.

    In millimetres; NaN where the region holds too little of the scan or its landmarks, or the result is one point.

    Raises:
        InputError: the surface that is measured is not there.
    """
    surface = judged.surface
    if surface is None:
        raise InputError(
            f"the head of '{judged.subject}' comes without a surface to measure on: run again into another folder "
            "with --out."
        )
    points = judged.of_reference.get(
        ("points of the scan", region_key(judged.region[None])),
        lambda: scan_points(surface, judged.reference, judged.region),
    )
    landmarks = surface.landmarks[list(NOW_LANDMARKS)]
    landmarks = landmarks[judged.region[landmarks]]
    own, aim = (side[landmarks].astype(np.float64) for side in (judged.result, judged.reference))
    mesh = region_surface(judged.result, surface.triangles, judged.region)
    held = len(points) >= LEAST_POINTS and len(own) >= LEAST_LANDMARKS
    if mesh is None or not held or not np.ptp(own, axis=0).any():
        return [float("nan")] * 6
    fitted = points[:: -(-len(points) // MOST_FITTED)]
    starts = {with_scale: best_similarity(own, aim, with_scale) for with_scale in (True, False)}
    ends = {free: refined(mesh, fitted, starts[free], free).transform for free in (True, False)}
    best, coarse, rigid_coarse, rigid = (
        surface_distances(mesh, points, transform)
        for transform in (ends[True], starts[True], starts[False], ends[False])
    )
    return [
        float(np.median(best)),
        float(best.mean()),
        float(best.std()),
        *(float(np.median(distances)) for distances in (coarse, rigid_coarse, rigid)),
    ]


PARAMETERS: Mapping[str, object] = {
    "alignment": "similarity of 7 landmarks (Umeyama 1991), then least squares of the distances",
    "landmarks": list(NOW_LANDMARKS),
    "steps": MOST_STEPS,
    "least motion": LEAST_MOTION,
    "fitted points": MOST_FITTED,
    "distance": "point to triangle, triangles of the region",
    "on region": ON_REGION,
}

SCAN = Metric(
    components=(
        Component("scan-to-mesh distance (truth, median)", "mm"),
        Component("scan-to-mesh distance (truth, mean)", "mm"),
        Component("scan-to-mesh distance (truth, standard deviation)", "mm"),
        Component("scan-to-mesh distance (truth, median, landmarks alone)", "mm"),
        Component("scan-to-mesh distance (truth, median, landmarks alone, no scale)", "mm"),
        Component("scan-to-mesh distance (truth, median, no scale)", "mm"),
    ),
    library="mesoface",
    version="1",
    parameters=PARAMETERS,
    spaces=frozenset({"shape"}),
    measure=one_by_one(scan_distance),
    reference="truth",
)
