"""Registration of a face model to scans of another topology, against shapes that are known."""

from __future__ import annotations

import numpy as np
import pytest
from capture_scans import CylinderScan, cylinder_scan, deformed
from numpy.typing import NDArray

from recon.capture.alignment import ScanLandmarks, best_similarity, guessed_unit
from recon.capture.closest import NearestSurface
from recon.capture.registration import Registration, register
from recon.errors import FitError
from recon.face_model.anny import load_anny
from recon.face_model.model import MorphableModel
from recon.fitting.pose import rotation_of

# Waves of 1.2 mm that the model cannot make; scanner noise of 0.1 mm along the ray; 50,000 vertices.
AMPLITUDE, NOISE, COLUMNS = 0.12, 0.01, 225


@pytest.fixture(scope="module")
def model() -> MorphableModel:
    return load_anny()


@pytest.fixture(scope="module")
def shape(model: MorphableModel) -> NDArray[np.float32]:
    return deformed(model, 0, AMPLITUDE)


@pytest.fixture(scope="module")
def scanned(model: MorphableModel, shape: NDArray[np.float32]) -> CylinderScan:
    return cylinder_scan(model, shape, COLUMNS, NOISE)


def turned(scale: float) -> NDArray[np.float64]:
    """A similarity far from the identity."""
    transform = np.eye(4)
    transform[:3, :3] = scale * rotation_of(np.array([0.2, 0.6, -0.3]))
    transform[:3, 3] = [300.0, -50.0, 900.0]
    return transform


@pytest.fixture(scope="module")
def registered(model: MorphableModel, shape: NDArray[np.float32], scanned: CylinderScan) -> Registration:
    """In millimetres and turned; landmarks as exact as a person would click them, 0.5 mm."""
    moved = turned(10.0)
    marks = model.landmarks(shape).astype(np.float64) @ moved[:3, :3].T + moved[:3, 3]
    marks += np.random.default_rng(4).normal(0, 0.5, marks.shape)
    return register(scanned.scan.moved(moved), ScanLandmarks(marks), model, 1.0)


# --- closed forms ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_scale", [True, False])
def test_a_known_similarity_is_found_exactly(with_scale: bool) -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    known = turned(2.5 if with_scale else 1.0)
    found = best_similarity(points, points @ known[:3, :3].T + known[:3, 3], with_scale)
    assert found == pytest.approx(known, abs=1e-9)


def test_a_mirrored_shape_is_not_met_by_a_reflection() -> None:
    points = np.random.default_rng(0).normal(size=(20, 3))
    found = best_similarity(points, points * [-1, 1, 1], with_scale=False)
    assert np.linalg.det(found[:3, :3]) == pytest.approx(1.0)


def test_nearest_points_of_a_sphere_lie_on_its_radii() -> None:
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=5)
    rng = np.random.default_rng(1)
    direction = rng.normal(size=(500, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    radius = rng.uniform(0.6, 1.4, 500)
    found = NearestSurface(ball.vertices, ball.faces)(radius[:, None] * direction)
    # The facets of this ball lie within 0.0006 of the sphere.
    assert found.distance == pytest.approx(np.abs(radius - 1), abs=1e-3)
    corners = ball.vertices[ball.faces[found.triangle]]
    assert np.einsum("ncx,nc->nx", corners, found.barycentric) == pytest.approx(found.points, abs=1e-9)
    assert found.points == pytest.approx(direction, abs=0.03)


def test_large_triangles_are_found_far_from_their_corners() -> None:
    # A floor of two triangles, ten units wide, beside a small dense patch that lies deeper.
    floor = np.array([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]], np.float64)
    grid = np.stack(np.meshgrid(np.linspace(4, 6, 15), np.linspace(4, 6, 15)), -1).reshape(-1, 2)
    patch = np.column_stack([grid, np.full(len(grid), -3.0)])
    i = np.arange(15 * 14).reshape(14, 15)[:, :-1].ravel() + 4
    faces = np.concatenate([[[0, 1, 2], [0, 2, 3]], np.stack([i, i + 1, i + 16], 1), np.stack([i, i + 16, i + 15], 1)])
    found = NearestSurface(np.concatenate([floor, patch]), faces)(np.array([[5.0, 5.2, 0.5], [2.0, 7.0, 0.5]]))
    assert (found.triangle < 2).all() and found.distance == pytest.approx([0.5, 0.5])


# --- a face --------------------------------------------------------------------------------------------------------


def test_the_registered_face_lies_on_the_scan(registered: Registration) -> None:
    residual = registered.residual
    assert residual.median_mm < 0.5 and residual.p95_mm < 0.5
    assert residual.within_half_mm > 0.99 and residual.covered > 0.75
    assert residual.within_half_mm <= residual.within_1_mm <= residual.within_2_mm
    assert registered.record["turned_triangles"] < 20


def test_vertices_come_to_the_places_that_they_had(
    registered: Registration, model: MorphableModel, shape: NDArray[np.float32]
) -> None:
    """Not only near the scan: to the very point of the skin; the waves displace points by 1.2 mm at most."""
    back = np.linalg.inv(registered.transform)
    places = registered.vertices @ back[:3, :3].T + back[:3, 3]
    moved = turned(10.0)
    error = np.linalg.norm(places - (shape @ moved[:3, :3].T + moved[:3, 3]), axis=1)
    seen = np.isfinite(registered.distance_mm) & model.regions["face"]
    assert np.median(error[seen]) < 1.0
    # The face model alone, brought as near as a rigid motion can, is several millimetres off.
    face = model.regions["face"]
    rigid = best_similarity(model.mean[face].astype(float), shape[face].astype(float), with_scale=False)
    plain = 10 * np.linalg.norm(model.mean @ rigid[:3, :3].T + rigid[:3, 3] - shape, axis=1)
    assert np.median(error[seen]) < 0.4 * np.median(plain[seen])


def test_the_rigid_motion_is_recovered(registered: Registration) -> None:
    """The model's frame is where the shape was made, so the transform undoes the one that moved the scan; what the
    waves and random coefficients shift is small."""
    product = registered.transform @ turned(10.0)
    assert np.cbrt(np.linalg.det(product[:3, :3])) == pytest.approx(1.0, abs=1e-6)
    angle = np.degrees(np.arccos(np.clip((np.trace(product[:3, :3]) - 1) / 2, -1, 1)))
    assert angle < 1.0 and np.linalg.norm(product[:3, 3]) < 0.3


def test_eyeballs_move_as_wholes(registered: Registration, model: MorphableModel) -> None:
    base = model.vertices(registered.identity, registered.expression)
    for name in ("sclera_left", "sclera_right"):
        ball = np.unique(model.triangles[model.triangles_of(name)])
        offset = registered.vertices[ball] - base[ball]
        assert np.ptp(offset, axis=0) == pytest.approx(0, abs=1e-4)


def test_without_a_unit_the_scale_is_fitted(
    model: MorphableModel, shape: NDArray[np.float32], scanned: CylinderScan
) -> None:
    moved = turned(137.0)
    marks = model.landmarks(shape).astype(np.float64) @ moved[:3, :3].T + moved[:3, 3]
    coarse = cylinder_scan(model, shape, 110).scan.moved(moved)
    assert guessed_unit(ScanLandmarks(marks), model, (1.0, 10.0, 1000.0, 25.4)) is None
    found = register(coarse, ScanLandmarks(marks), model, None)
    # Size and shape cannot be told apart entirely: heads of the model itself differ by some percent.
    assert found.record["millimetres_per_unit"] == pytest.approx(10 / 137.0, rel=0.05)
    assert found.residual.median_mm < 0.5 and "unit" in found.notes[0]


@pytest.mark.parametrize(("name", "size"), [("metre", 1000.0), ("centimetre", 10.0), ("millimetre", 1.0)])
def test_units_are_told_from_the_size_of_the_face(model: MorphableModel, name: str, size: float) -> None:
    marks = model.landmarks(model.mean).astype(np.float64) * model.metres_per_unit * 1000 / size
    marks[:30] = np.nan
    assert guessed_unit(ScanLandmarks(marks * 1.1), model, (1.0, 10.0, 1000.0, 25.4)) == size


# --- what cannot be registered -----------------------------------------------------------------------------------


def test_too_few_landmarks_are_said(model: MorphableModel, scanned: CylinderScan) -> None:
    marks = model.landmarks(model.mean).astype(np.float64)
    marks[28:] = np.nan
    with pytest.raises(FitError, match=r"only 11 landmarks.*subject\.toml"):
        register(scanned.scan, ScanLandmarks(marks), model, 10.0)


def test_landmarks_that_belong_elsewhere_are_said(model: MorphableModel, scanned: CylinderScan) -> None:
    marks = model.landmarks(model.mean).astype(np.float64) + np.array([0.0, 0.0, 60.0])
    with pytest.raises(FitError, match=r"do not meet|does not come to lie"):
        register(scanned.scan, ScanLandmarks(marks), model, 10.0)
