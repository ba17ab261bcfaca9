"""Distance of a head from the true one: motions that cost nothing, closed forms, and what is not read."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.shape import vertex_distance


@pytest.fixture(scope="module")
def head() -> np.ndarray:
    """300 points as far apart as those of a face, in millimetres."""
    return np.random.default_rng(0).normal(0, [50, 70, 30], (300, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def everywhere(head: np.ndarray) -> np.ndarray:
    return np.ones(len(head), bool)


def moved(points: np.ndarray) -> np.ndarray:
    """Turned by 40° about y, then by 25° about x, and shifted by a metre."""
    a, b = np.deg2rad([40.0, 25.0])
    about_y = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    return points @ (about_x @ about_y).T + np.array([300.0, -900.0, 200.0])


@pytest.mark.parametrize("with_scale", [True, False])
def test_a_rigid_motion_costs_nothing(head: np.ndarray, everywhere: np.ndarray, with_scale: bool) -> None:
    assert vertex_distance(moved(head), head, everywhere, with_scale) == pytest.approx(0.0, abs=1e-9)


def test_size_costs_nothing_under_a_similarity_and_in_full_under_a_rigid_motion(
    head: np.ndarray, everywhere: np.ndarray
) -> None:
    """Of a head k times too large, each vertex stays (k − 1) of its distance from the centre away."""
    larger = 1.1 * moved(head)
    assert vertex_distance(larger, head, everywhere, with_scale=True) == pytest.approx(0.0, abs=1e-9)
    wanted = 0.1 * np.linalg.norm(head.astype(np.float64) - head.mean(axis=0, dtype=np.float64), axis=1).mean()
    assert vertex_distance(larger, head, everywhere, with_scale=False) == pytest.approx(wanted, rel=1e-6)


def test_small_noise_keeps_its_mean_length(head: np.ndarray, everywhere: np.ndarray) -> None:
    """Lengths of isotropic normal noise of σ have the mean σ √(8/π); seven fitted numbers of 900 change it little."""
    noise = np.random.default_rng(1).normal(0, 0.5, head.shape)
    found = vertex_distance(moved(head + noise), head, everywhere, with_scale=True)
    assert found == pytest.approx(0.5 * np.sqrt(8 / np.pi), rel=0.05)


def test_a_mirrored_head_is_another_head(head: np.ndarray, everywhere: np.ndarray) -> None:
    mirrored = head * np.array([-1.0, 1.0, 1.0])
    assert vertex_distance(mirrored, head, everywhere, with_scale=True) > 5


def test_vertices_outside_the_mask_are_not_read(head: np.ndarray, everywhere: np.ndarray) -> None:
    mask = everywhere.copy()
    mask[::3] = False
    spoiled = np.where(mask[:, None], moved(head), np.nan)
    assert vertex_distance(spoiled, head, mask, with_scale=True) == pytest.approx(0.0, abs=1e-9)


def test_too_few_vertices_or_one_point_have_no_distance(head: np.ndarray, everywhere: np.ndarray) -> None:
    two = np.arange(len(head)) < 2
    assert np.isnan(vertex_distance(head, head, two, with_scale=True))
    assert np.isnan(vertex_distance(np.ones_like(head), head, everywhere, with_scale=True))
