"""Scan-to-mesh distance: closed forms on planes and spheres, motions that cost nothing, and what is not measured."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.contract import Judged, Surface
from metrics.scan_distance import (
    LEAST_POINTS,
    SCAN,
    refined,
    scale_of,
    scan_distance,
    scan_points,
    surface_distances,
)
from recon.capture.closest import NearestSurface
from recon.errors import InputError

RADIUS = 80.0
MEDIAN, MEAN, DEVIATION, LANDMARKS, LANDMARKS_RIGID, RIGID = range(6)


@pytest.fixture(scope="module")
def ball() -> tuple[np.ndarray, np.ndarray]:
    """Vertices and triangles of a sphere of radius 80; its facets lie up to 0.09 inside."""
    from trimesh.creation import icosphere

    made = icosphere(subdivisions=4, radius=RADIUS)
    return np.asarray(made.vertices, np.float32), np.asarray(made.faces, np.int64)


@pytest.fixture(scope="module")
def head(ball: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A lumpy ellipsoid, so that every motion shows; in millimetres."""
    vertices, triangles = ball
    lumps = 1 + 0.06 * np.sin(vertices @ np.array([[0.05, 0.02, 0.0], [0.0, 0.06, 0.03], [0.04, 0.0, 0.05]]).T).sum(1)
    return (vertices * lumps[:, None] * [0.8, 1.1, 0.9]).astype(np.float32), triangles


def landmarks_of(vertices: np.ndarray) -> np.ndarray:
    """68 vertices, spread over the front."""
    front = np.flatnonzero(vertices[:, 2] > 0)
    return front[np.linspace(0, len(front) - 1, 68).astype(int)]


def judged(result: np.ndarray, truth: np.ndarray, triangles: np.ndarray, scan: np.ndarray | None = None) -> Judged:
    region = truth[:, 2] > -20
    surface = Surface(triangles, landmarks_of(truth), (truth[region] if scan is None else scan).astype(np.float32))
    return Judged(result.astype(np.float32), truth, region, region, region, "anna", surface=surface)


def moved(points: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Turned by 40° about y, then by 25° about x, scaled, and shifted by a metre."""
    a, b = np.deg2rad([40.0, 25.0])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return scale * points.astype(np.float64) @ (about_x @ about_y).T + np.array([300.0, -900.0, 200.0])


def test_points_over_a_plane_are_as_far_as_they_are_high() -> None:
    """Also where the plane is moved and enlarged by a similarity: heights are then in the points' own unit."""
    corners = np.array([[-50.0, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]])
    plane = NearestSurface(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(-45, 45, (500, 2)), rng.uniform(-9, 9, 500)])
    assert surface_distances(plane, points, np.eye(4)) == pytest.approx(np.abs(points[:, 2]), abs=1e-9)
    lifted = np.diag([2.0, 2.0, 2.0, 1.0])
    lifted[2, 3] = 3.0
    assert surface_distances(plane, points, lifted) == pytest.approx(np.abs(points[:, 2] - 3), abs=1e-9)


def test_a_plane_comes_to_lie_in_its_points_and_does_not_slide() -> None:
    corners = np.array([[-50.0, -50, 0], [50, -50, 0], [50, 50, 0], [-50, 50, 0]])
    plane = NearestSurface(corners, np.array([[0, 1, 2], [0, 2, 3]]))
    points = np.column_stack([np.random.default_rng(0).uniform(-40, 40, (500, 2)), np.full(500, 4.0)])
    found = refined(plane, points, np.eye(4), with_scale=False).transform
    assert found[:3, 3] == pytest.approx([0, 0, 4], abs=1e-6)
    assert found[:3, :3] == pytest.approx(np.eye(3), abs=1e-9)


def test_a_sphere_of_the_wrong_size(ball: tuple[np.ndarray, np.ndarray]) -> None:
    """Concentric with the true one of radius r, that of 1.1 r lies 0.1 r away everywhere; scale takes all of it. Its
    points are those of a whole sphere, so that no shift can make up for size."""
    vertices, triangles = ball
    scan = np.random.default_rng(0).normal(size=(800, 3))
    scan *= RADIUS / np.linalg.norm(scan, axis=1, keepdims=True)
    region = np.ones(len(vertices), bool)
    surface = Surface(triangles, np.random.default_rng(1).permutation(len(vertices))[:68], scan.astype(np.float32))
    larger = (1.1 * vertices).astype(np.float32)
    found = scan_distance(Judged(larger, vertices, region, region, region, surface=surface))
    assert [found[k] for k in (MEDIAN, MEAN, DEVIATION, LANDMARKS)] == pytest.approx([0] * 4, abs=0.1)
    assert [found[k] for k in (LANDMARKS_RIGID, RIGID)] == pytest.approx([0.1 * RADIUS] * 2, abs=0.3)


def test_noise_of_a_scan_has_the_statistics_of_the_half_normal_distribution(
    head: tuple[np.ndarray, np.ndarray],
) -> None:
    """|N(0, σ)|: median 0.6745 σ, mean √(2/π) σ, standard deviation √(1 − 2/π) σ; seven numbers are fitted to 4000."""
    vertices, triangles = head
    from trimesh import Trimesh
    from trimesh.sample import sample_surface

    points, face = sample_surface(Trimesh(vertices, triangles, process=False), 9000, seed=0)
    normals = Trimesh(vertices, triangles, process=False).face_normals[face]
    noisy = points + normals * np.random.default_rng(0).normal(0, 1.0, (len(points), 1))
    found = scan_distance(judged(vertices, vertices, triangles, noisy[points[:, 2] > 0]))
    wanted = [0.6745, np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi)]
    assert [found[k] for k in (MEDIAN, MEAN, DEVIATION)] == pytest.approx(wanted, rel=0.05)


def test_place_turn_and_size_cost_nothing(head: tuple[np.ndarray, np.ndarray]) -> None:
    """float32 positions a metre away keep some 1e-4 mm."""
    vertices, triangles = head
    assert scan_distance(judged(moved(vertices), vertices, triangles)) == pytest.approx([0] * 6, abs=2e-3)
    found = scan_distance(judged(moved(vertices, 1.2), vertices, triangles))
    assert [found[k] for k in (MEDIAN, MEAN, DEVIATION, LANDMARKS)] == pytest.approx([0] * 4, abs=2e-3)
    assert min(found[LANDMARKS_RIGID], found[RIGID]) > 3


def test_a_wrong_head_stays_as_wrong_wherever_it_is(head: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, triangles = head
    wrong = vertices * [1.0, 1.0, 0.8] + 2 * np.sin(vertices / 9)
    here, there = (scan_distance(judged(side, vertices, triangles)) for side in (wrong, moved(wrong)))
    assert here[MEDIAN] > 0.5
    assert there == pytest.approx(here, rel=2e-3)
    grown = scan_distance(judged(moved(wrong, 1.3), vertices, triangles))
    similarity = [MEDIAN, MEAN, DEVIATION, LANDMARKS]
    assert [grown[k] for k in similarity] == pytest.approx([here[k] for k in similarity], rel=2e-3)


@pytest.mark.parametrize("with_scale", [True, False])
def test_the_refinement_finds_a_known_motion(head: tuple[np.ndarray, np.ndarray], with_scale: bool) -> None:
    from scipy.spatial.transform import Rotation

    vertices, triangles = head
    start = np.eye(4)
    start[:3, :3] = (1.04 if with_scale else 1.0) * Rotation.from_euler("xyz", [4, -3, 5], degrees=True).as_matrix()
    start[:3, 3] = [3, -4, 2]
    end = refined(NearestSurface(vertices, triangles), vertices[::2], start, with_scale)
    assert end.transform == pytest.approx(np.eye(4), abs=2e-3)
    assert scale_of(end.transform) == pytest.approx(1, abs=1e-5)
    assert end.steps < 40


def test_refining_never_leaves_the_points_farther_than_landmarks_alone(head: tuple[np.ndarray, np.ndarray]) -> None:
    """Root mean squares, which are what is minimised; the landmarks of the result are wrong by some millimetres."""
    vertices, triangles = head
    for seed in range(2):
        rough = vertices + np.random.default_rng(seed).normal(0, 3, vertices.shape)
        surface = NearestSurface(rough, triangles)
        end = refined(surface, vertices, np.eye(4), with_scale=True).transform
        before, after = (np.square(surface_distances(surface, vertices, at)).mean() for at in (np.eye(4), end))
        assert after <= before


def test_another_mesh_of_the_same_surface_has_no_error(ball: tuple[np.ndarray, np.ndarray]) -> None:
    """Its vertices lie elsewhere on the sphere, which costs pairs by index millimetres, and here the facets alone."""
    from metrics.shape import vertex_distance

    vertices, triangles = ball
    slid = vertices + np.random.default_rng(0).normal(0, 1.5, vertices.shape)
    slid *= RADIUS / np.linalg.norm(slid, axis=1, keepdims=True)
    assert scan_distance(judged(slid, vertices, triangles))[MEAN] < 0.1
    assert vertex_distance(slid, vertices, np.ones(len(vertices), bool), with_scale=True) > 1


def test_points_beside_the_region_are_not_measured(head: tuple[np.ndarray, np.ndarray]) -> None:
    """A scan with shoulders, which lie far from the face."""
    vertices, triangles = head
    front = vertices[vertices[:, 2] > -20]
    shoulders = np.random.default_rng(0).normal([0, -60, -300], 20, (2000, 3))
    both = judged(vertices, vertices, triangles, np.concatenate([front, shoulders]))
    assert both.surface is not None
    assert scan_points(both.surface, both.reference, both.region) == pytest.approx(front.astype(np.float64))
    assert scan_distance(both) == pytest.approx([0] * 6, abs=1e-3)


@pytest.mark.parametrize("poison", [np.nan, 1e6])
def test_vertices_outside_the_region_are_not_read(head: tuple[np.ndarray, np.ndarray], poison: float) -> None:
    vertices, triangles = head
    plain = judged(vertices * [1.0, 1.0, 0.8], vertices, triangles)
    outside = ~plain.region[:, None]
    spoiled = [np.where(outside, np.float32(poison), side) for side in (plain.result, plain.reference)]
    mask = plain.region
    found = scan_distance(Judged(*spoiled, mask, mask, mask, surface=plain.surface))
    assert found == scan_distance(plain)
    assert found[MEDIAN] > 0.5


def test_too_few_points_or_a_single_one_have_no_distance(head: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, triangles = head
    few = judged(vertices, vertices, triangles, vertices[vertices[:, 2] > 0][: LEAST_POINTS - 1])
    assert np.isnan(scan_distance(few)).all()
    assert np.isnan(scan_distance(judged(np.ones_like(vertices), vertices, triangles))).all()
    nowhere = np.zeros(len(vertices), bool)
    assert np.isnan(scan_distance(Judged(vertices, vertices, nowhere, nowhere, nowhere, surface=few.surface))).all()


def test_without_a_surface_it_says_whose_is_missing(head: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, _ = head
    everywhere = np.ones(len(vertices), bool)
    with pytest.raises(InputError, match="anna"):
        scan_distance(Judged(vertices, vertices, everywhere, everywhere, everywhere, "anna"))


def test_every_component_has_a_number(head: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, triangles = head
    ((*numbers,),) = SCAN.measure([judged(vertices, vertices, triangles)], "cpu")
    assert len(numbers) == len(SCAN.components) == len({component.name for component in SCAN.components})
    assert {component.unit for component in SCAN.components} == {"mm"}
