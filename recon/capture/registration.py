"""Registration of the morphable model to a scan: the scan's person in the model's topology.

Three steps, each with the result of the one before:

1. the similarity or rigid motion that takes the scan's landmarks to the model's (Umeyama 1991, closed form);
2. rigid motion, identity and expression together: regularised least squares of point-to-plane distances to the
   nearest points of the scan, ``Σ w (n·(x − c))² / σ² + |a|² + |e/s|²`` with coefficients of N(0, 1), repeated as the
   nearest points change (Blanz and Vetter 1999; Chen and Medioni 1991);
3. a smooth offset of every vertex, ``Σ w_i |d_i − t_i|² + α Σ_edges |d_i − d_j|²`` for ever smaller stiffness α, each a
   sparse linear system (the optimal step non-rigid ICP of Amberg, Romdhani and Vetter 2007, with translations in place
   of affine maps). The target ``t_i`` moves a vertex onto the tangent plane of its nearest point and not along the
   surface, so that the model's own parametrisation stays.

Nearest points count where their normals agree, where they are near, and not at the rim of the scan. Everything is in
the model's unit; what is reported is in millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import lsq_linear
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu
from scipy.spatial import cKDTree

from recon.capture.alignment import LEAST_LANDMARKS, ScanLandmarks, best_similarity
from recon.capture.closest import Nearest, NearestSurface
from recon.capture.scan import Scan, edges_of
from recon.errors import FitError
from recon.face_model.model import MorphableModel, vertex_normals

Float = NDArray[np.float64]

_AGREE = 0.6  # cosine between normals
# Reach in millimetres and standard deviation in millimetres of each round of step 2.
_SHAPE_ROUNDS = ((20.0, 4.0), (15.0, 3.0), (10.0, 2.0), (8.0, 1.5), (6.0, 1.0), (5.0, 0.8), (5.0, 0.6), (5.0, 0.6))
# Neighbouring residuals are alike: so many points of the face count as independent.
_INDEPENDENT = 400.0
_EXPRESSION_SPREAD = 0.25
# Stiffness (weight of an edge against that of a vertex) and reach in millimetres of each round of step 3.
_OFFSET_ROUNDS = ((100.0, 8.0), (30.0, 6.0), (10.0, 5.0), (3.0, 4.0), (1.0, 3.0), (0.3, 3.0), (0.1, 3.0), (0.1, 3.0))
_LANDMARK_DOUBT = {"given": 0.7, "detected": 2.5}  # standard deviation, mm
# Inside of the mouth, nostrils and eyes: no scanner sees them, or sees them elsewhere.
_UNSEEN = ("mouth_interior", "nostrils")
_POOR_MM = 3.0


@dataclass(frozen=True)
class Residual:
    """Distances from the registered face to the scan, over the vertices of the model's face region that the scan has.

    Attributes:
        median_mm, p95_mm: of the distances, millimetres.
        within_half_mm, within_1_mm, within_2_mm: shares of the covered vertices.
        covered: share of the face region's vertices that have a partner on the scan.
    """

    median_mm: float
    p95_mm: float
    within_half_mm: float
    within_1_mm: float
    within_2_mm: float
    covered: float

    def record(self) -> dict[str, float]:
        """As JSON keeps it, rounded to micrometres."""
        return {name: round(float(value), 4) for name, value in self.__dict__.items()}


@dataclass(frozen=True, eq=False)
class Registration:
    """A scan in the topology of a face model.

    Attributes:
        vertices: ``(V, 3)`` float32, model frame and unit.
        transform: ``(4, 4)`` float64 similarity from the scan's frame to the model's.
        identity, expression: coefficients of step 2.
        distance_mm: ``(V,)`` float32 distance of every vertex to the scan; infinite where it has no partner.
        residual: summary.
        notes: what the user should know.
        record: everything that JSON can keep.
    """

    vertices: NDArray[np.float32]
    transform: Float
    identity: NDArray[np.float32]
    expression: NDArray[np.float32]
    distance_mm: NDArray[np.float32]
    residual: Residual
    notes: tuple[str, ...] = ()
    record: dict[str, Any] = field(default_factory=dict)


def register(
    scan: Scan, landmarks: ScanLandmarks, model: MorphableModel, millimetres_per_unit: float | None
) -> Registration:
    """Brings ``model`` onto ``scan``.

    Args:
        landmarks: in the scan's frame.
        millimetres_per_unit: of the scan; None where nobody knows: the scale is then fitted with the shape, and the
            millimetres of the residual are those of a head of the model's size.

    Raises:
        FitError: too few landmarks, or the shapes do not meet.
    """
    known = landmarks.known
    if int(known.sum()) < LEAST_LANDMARKS:
        raise FitError(
            f"{scan.name}: only {int(known.sum())} landmarks between brows and mouth are known on the scan, "
            f"{LEAST_LANDMARKS} are the least; give them in subject.toml."
        )
    unit = 0.001 / model.metres_per_unit  # model units in a millimetre
    free_scale = millimetres_per_unit is None
    size = 1.0 if millimetres_per_unit is None else millimetres_per_unit * unit
    scale = np.diag(np.array([size, size, size, 1.0]))
    scaled = landmarks.points @ scale[:3, :3]
    start = best_similarity(scaled[known], model.landmarks(model.mean).astype(np.float64)[known], free_scale) @ scale
    work = _Work.of(scan, landmarks, known, model, unit)
    placed, identity, expression = _fit_shape(work, _Placed.of(work, start), free_scale)
    shape = model.vertices(identity, expression).astype(np.float64)
    vertices = shape + _fit_offset(work, placed, shape)
    return _result(work, placed, shape, vertices, (identity, expression), free_scale)


@dataclass(frozen=True, eq=False)
class _Work:
    """What all steps share.

    ``used``: vertices of the UV material that can have a partner; ``face``: those of them in the face region.
    """

    scan: Scan
    landmarks: ScanLandmarks
    known: NDArray[np.bool_]
    model: MorphableModel
    unit: float
    used: NDArray[np.intp]
    face: NDArray[np.bool_]

    @staticmethod
    def of(scan: Scan, landmarks: ScanLandmarks, known: NDArray[np.bool_], model: MorphableModel, unit: float) -> _Work:
        owner = np.zeros(len(model.mean), bool)
        owner[np.unique(model.triangles[model.uv_triangle_ids])] = True
        for name in _UNSEEN:
            if name in model.regions:
                owner &= ~model.regions[name]
        return _Work(scan, landmarks, known, model, unit, np.flatnonzero(owner), owner & model.regions["face"])

    @property
    def doubt(self) -> float:
        """Standard deviation of a landmark, model unit."""
        return _LANDMARK_DOUBT[self.landmarks.origin] * self.unit


@dataclass(frozen=True, eq=False)
class _Placed:
    """The scan in the model's frame. Queries are carried into the scan's own frame, where they are prepared once."""

    surface: NearestSurface
    normals: Float
    border: NDArray[np.bool_]
    triangles: NDArray[np.int32]
    own_landmarks: Float
    transform: Float

    @staticmethod
    def of(work: _Work, transform: Float) -> _Placed:
        scan = work.scan
        skin = scan.triangles[scan.skin]
        spacing = 1.5 * work.unit / np.cbrt(np.linalg.det(transform[:3, :3]))
        surface = NearestSurface(scan.vertices, skin, float(spacing))
        return _Placed(surface, scan.normals, scan.border, skin, work.landmarks.points, transform)

    @property
    def landmarks(self) -> Float:
        """``(68, 3)`` in the model's frame."""
        return np.asarray(self.own_landmarks @ self.transform[:3, :3].T + self.transform[:3, 3])

    def partners(self, points: Float, normals: Float, reach: float) -> tuple[Nearest, Float, NDArray[np.bool_]]:
        """Nearest points of ``points`` ``(N, 3)``, the scan's normals there, and which of them count."""
        linear, shift = self.transform[:3, :3], self.transform[:3, 3]
        scale = float(np.cbrt(np.linalg.det(linear)))
        own = self.surface((points - shift) @ np.linalg.inv(linear).T)
        nearest = replace(own, points=own.points @ linear.T + shift, distance=own.distance * scale)
        corners = self.triangles[nearest.triangle]
        normal = np.einsum("ncx,nc->nx", self.normals[corners], nearest.barycentric, optimize=True) @ linear.T
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        # At the rim the nearest point of everything beyond it is the rim itself.
        touched = nearest.barycentric > 1e-6
        rim = (self.border[corners] | ~touched).all(axis=1)
        agree = np.einsum("nx,nx->n", normal, normals) > _AGREE
        return nearest, normal, agree & ~rim & (nearest.distance < reach)


def _fit_shape(
    work: _Work, placed: _Placed, free_scale: bool
) -> tuple[_Placed, NDArray[np.float32], NDArray[np.float32]]:
    """Step 2: the scan in its place in the model's frame, identity and expression."""
    model, unit = work.model, work.unit
    identity = np.zeros(len(model.identity_basis))
    expression = np.zeros(len(model.expression_basis))
    # Landmarks alone first: they bring mouth and eyes near enough for nearest points to be the right ones.
    for reach, spread in ((0.0, 4.0), (0.0, 4.0), *_SHAPE_ROUNDS):
        shape = model.vertices(identity.astype(np.float32), expression.astype(np.float32)).astype(np.float64)
        rows = _landmark_rows(work, placed, shape)
        if reach:
            rows = [*rows, *_surface_rows(work, placed, shape, reach * unit, spread * unit)]
        step, identity, expression = _solve(work, rows, identity, expression, free_scale)
        # The motion was solved for the model: the scan moves the other way.
        placed = replace(placed, transform=np.linalg.inv(_motion(step)) @ placed.transform)
    return placed, identity.astype(np.float32), expression.astype(np.float32)


def _basis_at(work: _Work, index: NDArray[np.intp]) -> Float:
    """``(K + E, N, 3)`` displacements of vertices by unit coefficients."""
    model = work.model
    return np.concatenate([model.identity_basis[:, index], model.expression_basis[:, index]]).astype(np.float64)


def _landmark_rows(work: _Work, placed: _Placed, shape: Float) -> list[tuple[Float, Float, Float, Float]]:
    model = work.model
    spread = max(work.doubt, 1.0 * work.unit)
    corners, weights = model.landmark_triangles[work.known], model.landmark_barycentric[work.known]
    points = np.einsum("lcx,lc->lx", shape[corners], weights)
    at_corners = _basis_at(work, corners.ravel().astype(np.intp)).reshape(-1, len(corners), 3, 3)
    basis = np.asarray(np.einsum("klcx,lc->klx", at_corners, weights.astype(np.float64)), np.float64)
    rows = []
    for axis in range(3):
        direction = np.zeros_like(points)
        direction[:, axis] = 1 / spread
        gap = placed.landmarks[work.known, axis] - points[:, axis]
        rows.append((points, direction, basis, gap / spread))
    return rows


def _surface_rows(
    work: _Work, placed: _Placed, shape: Float, reach: float, spread: float
) -> list[tuple[Float, Float, Float, Float]]:
    normals = vertex_normals(shape, work.model.triangles).astype(np.float64)  # type: ignore[arg-type]
    index = np.flatnonzero(work.face)
    index = index[:: max(1, len(index) // 4000)]
    nearest, normal, good = placed.partners(shape[index], normals[index], reach)
    if int(good.sum()) < 50:
        raise FitError(
            f"{work.scan.name}: the face model and the scan do not meet ({int(good.sum())} points of the face have a "
            "partner): check the landmarks, the units and the head's orientation in subject.toml."
        )
    index, target, normal = index[good], nearest.points[good], normal[good]
    weight = np.sqrt(min(1.0, _INDEPENDENT / len(index))) / spread
    gap = np.einsum("nx,nx->n", target - shape[index], normal)
    # Geman–McClure weights: what is farther off than three spreads hardly counts.
    weight = weight / (1 + (gap / (3 * spread)) ** 2)
    return [(shape[index], normal * weight[:, None], _basis_at(work, index), gap * weight)]


def _solve(
    work: _Work,
    rows: list[tuple[Float, Float, Float, Float]],
    identity: Float,
    expression: Float,
    free_scale: bool,
) -> tuple[Float, Float, Float]:
    """The step of motion ``(7,)`` (rotation, shift, log scale) and the new coefficients.

    The normal equations are solved under ``0 ≤ e ≤ 1`` through their Cholesky factor.
    """
    count, coefficients = 7, len(identity) + len(expression)
    normal = np.zeros((count + coefficients, count + coefficients))
    right = np.zeros(count + coefficients)
    current = np.concatenate([np.zeros(count), identity, expression])
    for points, direction, basis, residual in rows:
        jacobian = np.concatenate(
            [
                np.cross(points, direction),
                direction,
                np.einsum("nx,nx->n", points, direction)[:, None],
                np.einsum("knx,nx->nk", basis, direction, optimize=True),
            ],
            axis=1,
        )
        normal += jacobian.T @ jacobian
        right += jacobian.T @ (residual + jacobian[:, count:] @ current[count:])
    prior = np.concatenate(
        [
            np.full(6, 1e-9),
            [1e-9 if free_scale else 1e12],
            np.ones(len(identity)),
            np.full(len(expression), _EXPRESSION_SPREAD**-2),
        ]
    )
    factor = np.linalg.cholesky(normal + np.diag(prior)).T
    low = np.concatenate([np.full(count, -np.inf), np.full(len(identity), -4.0), np.zeros(len(expression))])
    high = np.concatenate([np.full(count, np.inf), np.full(len(identity), 4.0), np.ones(len(expression))])
    found = lsq_linear(factor, np.linalg.solve(factor.T, right), (low, high), method="bvls", max_iter=400).x
    return found[:count], found[count : count + len(identity)], found[count + len(identity) :]


def _motion(step: Float) -> Float:
    """``(4, 4)`` similarity of a step: rotation vector, shift, log scale."""
    from recon.fitting.pose import rotation_of

    transform = np.eye(4)
    transform[:3, :3] = np.exp(step[6]) * rotation_of(step[:3])
    transform[:3, 3] = step[3:6]
    return transform


def _fit_offset(work: _Work, placed: _Placed, shape: Float) -> Float:
    """Step 3: ``(V, 3)`` offsets."""
    model = work.model
    laplacian = _laplacian(model)
    marks, aims = _landmark_operator(work, placed)
    offset = np.zeros_like(shape)
    for stiffness, reach in _OFFSET_ROUNDS:
        vertices = shape + offset
        normals = vertex_normals(vertices, model.triangles).astype(np.float64)  # type: ignore[arg-type]
        nearest, normal, good = placed.partners(vertices[work.used], normals[work.used], reach * work.unit)
        weight = np.zeros(len(shape))
        weight[work.used] = good
        target = offset.copy()
        gap = np.einsum("nx,nx->n", nearest.points - vertices[work.used], normal)
        target[work.used] += np.where(good, gap, 0)[:, None] * normal
        # Landmarks lead while the surface is stiff; in the end the scan's surface alone decides.
        lead = stiffness / (1 + stiffness) * (work.unit / work.doubt) ** 2 * 5.0
        system = diags(weight + 1e-6) + stiffness * laplacian + lead * (marks.T @ marks)
        right = weight[:, None] * target + lead * (marks.T @ (aims - marks @ shape))
        offset = splu(system.tocsc()).solve(right)
    return _carry_loose_parts(work, shape, offset)


def _laplacian(model: MorphableModel) -> csr_matrix:
    """``(V, V)`` graph Laplacian: ``dᵀ L d = Σ_edges |d_i − d_j|²``."""
    edges, _ = edges_of(model.triangles)
    count = len(model.mean)
    difference = coo_matrix(
        (
            np.tile([1.0, -1.0], len(edges)),
            (np.repeat(np.arange(len(edges)), 2), edges.ravel()),
        ),
        (len(edges), count),
    ).tocsr()
    return (difference.T @ difference).tocsr()


def _landmark_operator(work: _Work, placed: _Placed) -> tuple[csr_matrix, Float]:
    """``(L, V)`` matrix that takes vertices to the known landmarks, and where these are, ``(L, 3)``."""
    corners, weights = work.model.landmark_triangles[work.known], work.model.landmark_barycentric[work.known]
    row = np.repeat(np.arange(len(corners)), 3)
    matrix = coo_matrix((weights.ravel(), (row, corners.ravel())), (len(corners), len(work.model.mean))).tocsr()
    return matrix, placed.landmarks[work.known]


def _carry_loose_parts(work: _Work, shape: Float, offset: Float) -> Float:
    """Eyeballs, teeth, lashes hang on no skin: each moves as a whole, by the mean offset of the skin around it."""
    triangles = work.model.triangles
    links = coo_matrix(
        (np.ones(3 * len(triangles)), (triangles.ravel(), triangles[:, [1, 2, 0]].ravel())), (len(shape), len(shape))
    )
    _, component = connected_components(links, directed=False)
    anchored = np.unique(component[work.used])
    loose = np.flatnonzero(~np.isin(component, anchored))
    if not len(loose):
        return offset
    _, near = cKDTree(shape[work.used]).query(shape[loose], k=8)
    carried = offset[work.used][near].mean(axis=1)
    _, part = np.unique(component[loose], return_inverse=True)
    share = np.bincount(part)
    mean = np.stack([np.bincount(part, carried[:, axis]) / share for axis in range(3)], axis=1)
    offset = offset.copy()
    offset[loose] = mean[part]
    return offset


def _result(
    work: _Work,
    placed: _Placed,
    shape: Float,
    vertices: Float,
    coefficients: tuple[NDArray[np.float32], NDArray[np.float32]],
    free_scale: bool,
) -> Registration:
    """Measures what came out.

    Raises:
        FitError: the registered face is far from the scan.
    """
    triangles, transform = work.model.triangles, placed.transform
    normals = vertex_normals(vertices, triangles).astype(np.float64)  # type: ignore[arg-type]
    nearest, _, good = placed.partners(vertices[work.used], normals[work.used], 10.0 * work.unit)
    distance = np.full(len(vertices), np.inf)
    distance[work.used] = np.where(good, nearest.distance, np.inf) / work.unit
    of_face = distance[work.face]
    found = of_face[np.isfinite(of_face)]
    if len(found) < 0.1 * len(of_face) or np.median(found) > _POOR_MM:
        median = f"{np.median(found):.1f} mm" if len(found) else "nothing"
        raise FitError(
            f"{work.scan.name}: the face model does not come to lie on the scan (median distance {median}, "
            f"{len(found) / len(of_face):.0%} of the face covered): check landmarks, units and orientation in "
            "subject.toml."
        )
    residual = Residual(
        median_mm=float(np.median(found)),
        p95_mm=float(np.percentile(found, 95)),
        within_half_mm=float((found <= 0.5).mean()),
        within_1_mm=float((found <= 1.0).mean()),
        within_2_mm=float((found <= 2.0).mean()),
        covered=len(found) / len(of_face),
    )
    mine = triangles[work.model.uv_triangle_ids]
    turned = np.einsum("tx,tx->t", _face_normals(shape, mine), _face_normals(vertices, mine)) <= 0
    marks = np.linalg.norm(
        work.model.landmarks(vertices.astype(np.float32))[work.known] - placed.landmarks[work.known], axis=1
    )
    offset = np.linalg.norm(vertices - shape, axis=1)[work.face] / work.unit
    scale = float(np.cbrt(np.linalg.det(transform[:3, :3])))
    record = {
        "residual": residual.record(),
        "landmarks": {
            "origin": work.landmarks.origin,
            "used": int(work.known.sum()),
            "median_mm": round(float(np.median(marks)) / work.unit, 3),
        },
        "offset_median_mm": round(float(np.median(offset)), 3),
        "turned_triangles": int(turned.sum()),
        "scale": "fitted with the shape, because the scan's unit is unknown" if free_scale else "of the scan",
        "millimetres_per_unit": scale / work.unit,
        "transform": transform.round(9).tolist(),
    }
    notes = [] if not free_scale else [f"the unit of {work.scan.name} is unknown: its millimetres are the model's"]
    return Registration(
        vertices.astype(np.float32),
        transform,
        coefficients[0],
        coefficients[1],
        distance.astype(np.float32),
        residual,
        tuple(notes),
        record,
    )


def _face_normals(vertices: Float, triangles: NDArray[np.int32]) -> Float:
    corners = vertices[triangles]
    return np.asarray(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
