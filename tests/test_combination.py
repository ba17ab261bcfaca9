"""Convex, linear and nearest combination against reference solvers and the conditions of optimality."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import minimize

from recon.texture.combination import (
    Term,
    convex,
    linear,
    make_term,
    nearest,
    project_to_simplex,
    simplex_kkt,
    simplex_least_squares,
)


def problem(
    seed: int, count: int = 8, layers: int = 3, noise: float = 0.3
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Database rows ``(N, D)`` and targets ``(D,)`` of several layers; the target is near a combination of three."""
    rng = np.random.default_rng(seed)
    weights = np.zeros(count)
    weights[:3] = rng.dirichlet(np.ones(3))
    rows = [rng.normal(size=(count, 30 + 10 * layer)) * (layer + 1) for layer in range(layers)]
    return rows, [weights @ row + noise * rng.normal(size=row.shape[1]) for row in rows]


def terms_of(rows: list[np.ndarray], targets: list[np.ndarray]) -> list[Term]:
    return [make_term(row, target) for row, target in zip(rows, targets, strict=True)]


def objective(weights: np.ndarray, rows: list[np.ndarray], targets: list[np.ndarray], power: int) -> float:
    return sum(float(np.linalg.norm(weights @ row - goal) ** power) for row, goal in zip(rows, targets, strict=True))


def reference(rows: list[np.ndarray], targets: list[np.ndarray], power: int) -> np.ndarray:
    """SLSQP of SciPy on the objective as it is written, from the middle of the simplex."""
    count = len(rows[0])

    def gradient(weights: np.ndarray) -> np.ndarray:
        total = np.zeros(count)
        for row, goal in zip(rows, targets, strict=True):
            off = weights @ row - goal
            total += 2 * row @ off if power == 2 else row @ off / np.linalg.norm(off)
        return total

    found = minimize(
        objective,
        np.full(count, 1 / count),
        args=(rows, targets, power),
        jac=lambda weights, *_: gradient(weights),
        method="SLSQP",
        bounds=[(0, None)] * count,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones(count)},
        options={"maxiter": 500, "ftol": 1e-15},
    )
    return np.asarray(found.x)


def test_a_term_is_the_squared_distance() -> None:
    rows, targets = problem(0)
    weights = np.random.default_rng(1).normal(size=8)
    term = make_term(rows[1], targets[1], 0.5)
    assert term.value(weights) == pytest.approx(0.25 * np.linalg.norm(weights @ rows[1] - targets[1]) ** 2)


@pytest.mark.parametrize("seed", range(6))
def test_the_quadratic_programme_agrees_with_slsqp(seed: int) -> None:
    rows, targets = problem(seed)
    found = convex(terms_of(rows, targets), power=2)
    expected = reference(rows, targets, 2)
    assert np.abs(found.weights - expected).max() < 1e-6
    assert objective(found.weights, rows, targets, 2) <= objective(expected, rows, targets, 2) * (1 + 1e-10)
    assert found.objective == pytest.approx(objective(found.weights, rows, targets, 2))
    assert found.kkt < 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_the_sum_of_norms_is_no_worse_than_slsqp(seed: int) -> None:
    rows, targets = problem(seed)
    found = convex(terms_of(rows, targets), power=1)
    expected = objective(reference(rows, targets, 1), rows, targets, 1)
    assert objective(found.weights, rows, targets, 1) <= expected * (1 + 1e-7)
    assert found.objective == pytest.approx(objective(found.weights, rows, targets, 1))
    assert found.kkt < 1e-9


def test_sum_of_norms_is_not_the_sum_of_squares() -> None:
    """A layer with a gross error pulls a sum of squares, not a sum of norms."""
    rows, targets = problem(3, noise=0.01)
    targets[2] = targets[2] + 20 * np.random.default_rng(0).normal(size=targets[2].shape)
    truth = np.linalg.lstsq(rows[0].T, problem(3, noise=0.01)[1][0], rcond=None)[0]
    errors = [np.abs(convex(terms_of(rows, targets), power).weights - truth).max() for power in (1, 2)]
    assert errors[0] < 0.1 < errors[1]


@pytest.mark.parametrize("power", [1, 2])
def test_an_exact_member_is_found(power: int) -> None:
    rows, _ = problem(4)
    found = convex(terms_of(rows, [row[5] for row in rows]), power)
    assert found.weights == pytest.approx(np.eye(8)[5], abs=1e-6)


def test_more_people_than_numbers_and_twins_are_no_trouble() -> None:
    """The Gram matrix is singular: weights are not unique, the optimum is."""
    rng = np.random.default_rng(7)
    rows = [np.concatenate([base := rng.normal(size=(10, 6)), base])]
    targets = [rng.normal(size=6) * 0.5]
    found = convex(terms_of(rows, targets), power=2)
    assert found.weights.sum() == pytest.approx(1) and found.weights.min() >= 0
    assert found.kkt < 1e-9
    expected = objective(reference(rows, targets, 2), rows, targets, 2)
    assert objective(found.weights, rows, targets, 2) <= expected * (1 + 1e-6) + 1e-12


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 25), st.integers(1, 30))
def test_the_active_set_is_optimal_on_any_problem(seed: int, count: int, numbers: int) -> None:
    rng = np.random.default_rng(seed)
    rows, goal = rng.normal(size=(count, numbers)), rng.normal(size=numbers)
    gram, cross = rows @ rows.T, rows @ goal
    weights, _ = simplex_least_squares(gram, cross)
    assert weights.min() >= 0 and weights.sum() == pytest.approx(1, abs=1e-9)
    assert simplex_kkt(gram, cross, weights) < 1e-8
    start = rng.normal(size=count)
    other, _ = simplex_least_squares(gram, cross, start)
    assert np.linalg.norm(other @ rows - goal) == pytest.approx(np.linalg.norm(weights @ rows - goal), abs=1e-6)


def test_kkt_sees_what_is_not_optimal() -> None:
    rows, targets = problem(0)
    term = make_term(rows[0], targets[0])
    assert simplex_kkt(term.gram, term.cross, np.full(8, 1 / 8)) > 0.01


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.integers(1, 12), elements=st.floats(-50, 50, width=32)), st.integers(0, 2**32 - 1))
def test_projection_is_the_nearest_point_of_the_simplex(point: np.ndarray, seed: int) -> None:
    """Characterised by ``⟨x − Px, y − Px⟩ ≤ 0`` for every y of the simplex; its corners suffice."""
    found = project_to_simplex(point)
    assert found.min() >= 0 and found.sum() == pytest.approx(1, abs=1e-9)
    corners = np.eye(len(point))
    assert ((corners - found) @ (point - found)).max() < 1e-8 * max(1.0, np.abs(point).max())
    assert project_to_simplex(found) == pytest.approx(found, abs=1e-12)
    assert project_to_simplex(point + 3.0) == pytest.approx(found, abs=1e-9)
    inside = np.random.default_rng(seed).dirichlet(np.ones(len(point)))
    assert project_to_simplex(inside) == pytest.approx(inside, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_projection_keeps_the_order(seed: int) -> None:
    point = np.random.default_rng(seed).normal(size=7)
    assume(len(set(point)) == 7)
    assert (np.diff(project_to_simplex(point)[np.argsort(point)]) >= 0).all()


def test_linear_weights_are_those_of_least_squares() -> None:
    rows, targets = problem(2)
    found = linear(terms_of(rows, targets), ridge=0.0)
    expected = np.linalg.lstsq(np.concatenate(rows, axis=1).T, np.concatenate(targets), rcond=None)[0]
    assert found.weights == pytest.approx(expected, abs=1e-10)
    assert found.kkt < 1e-9
    small = linear(terms_of(rows, targets))
    assert small.weights == pytest.approx(expected, abs=1e-4)
    # It is free to leave the simplex, and does for a target that lies outside it.
    outside = linear(terms_of(rows, [2.0 * row[0] - 0.7 * row[1] for row in rows]))
    assert outside.weights == pytest.approx([2.0, -0.7, 0, 0, 0, 0, 0, 0], abs=1e-4)


def test_nearest_takes_the_smallest_distance() -> None:
    rows, targets = problem(5)
    distances = [objective(np.eye(8)[k], rows, targets, 1) for k in range(8)]
    found = nearest(terms_of(rows, targets))
    assert found.weights.tolist() == np.eye(8)[np.argmin(distances)].tolist()
    assert found.objective == pytest.approx(min(distances))


def test_the_three_are_ordered_by_their_freedom() -> None:
    """A larger set of weights never fits worse: linear ≤ convex ≤ nearest, in squares."""
    for seed in range(4):
        rows, targets = problem(seed)
        terms = terms_of(rows, targets)
        squares = [
            objective(found.weights, rows, targets, 2)
            for found in (linear(terms, ridge=0.0), convex(terms, power=2), nearest(terms))
        ]
        assert squares == sorted(squares)
