"""Combining database correlations: convex, linear and nearest (Saito et al. 2017, §3.3 and its ablations).

All three minimise ``f(w) = Σ_l s_l ‖Σ_k w_k G_k^l − G^l‖_F^p`` over the weights w; they differ in the set that w may
come from: the simplex (convex), all of R^N with a small ridge (linear), or the unit vectors (nearest). The problem is
reduced once to the N × N Gram matrices of the flattened correlations, so its cost no longer depends on the layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Term:
    """One layer of the problem as a quadratic: ``‖Σ_k w_k G_k − G‖² = wᵀ Q w − 2 bᵀ w + c``.

    Attributes:
        gram: Q, ``(N, N)`` float64.
        cross: b, ``(N,)`` float64.
        constant: c.
    """

    gram: Matrix
    cross: Vector
    constant: float

    def value(self, weights: Vector) -> float:
        """Squared distance at ``weights``."""
        return max(float(weights @ self.gram @ weights - 2.0 * self.cross @ weights + self.constant), 0.0)


def make_term(database: NDArray[np.floating], target: NDArray[np.floating], scale: float = 1.0) -> Term:
    """The term of one layer from ``(N, D)`` flattened database correlations and the ``(D,)`` target, both × scale."""
    rows = np.asarray(database, dtype=np.float64) * scale
    goal = np.asarray(target, dtype=np.float64) * scale
    return Term(rows @ rows.T, rows @ goal, float(goal @ goal))


@dataclass(frozen=True, eq=False)
class Combination:
    """Weights over the database and how good they are.

    Attributes:
        weights: ``(N,)`` float64.
        objective: the value that was minimised.
        kkt: largest violation of the optimality conditions, relative to the size of the gradient (0 for nearest).
        iterations: inner iterations used.
    """

    weights: Vector
    objective: float
    kkt: float
    iterations: int


def project_to_simplex(point: Vector) -> Vector:
    """Euclidean projection onto ``{w ≥ 0, Σ w = 1}`` (Held, Wolfe, Crowder 1974; Duchi et al. 2008)."""
    descending = np.sort(point)[::-1]
    cumulative = np.cumsum(descending) - 1.0
    steps = np.arange(1, len(point) + 1)
    last = np.flatnonzero(descending - cumulative / steps > 0)[-1]
    return np.maximum(point - cumulative[last] / steps[last], 0.0)


def simplex_kkt(gram: Matrix, cross: Vector, weights: Vector) -> float:
    """Largest KKT violation of ``min wᵀQw − 2bᵀw`` on the simplex, relative to the gradient's largest entry.

    At the optimum the gradient is constant on the support and nowhere smaller off it.
    """
    gradient = gram @ weights - cross
    multiplier = float(weights @ gradient)
    dual = max(float(multiplier - gradient.min()), 0.0)
    complementarity = float(np.abs(weights * (gradient - multiplier)).max())
    return max(dual, complementarity) / max(float(np.abs(gradient).max()), float(np.abs(cross).max()), 1e-30)


def simplex_least_squares(gram: Matrix, cross: Vector, start: Vector | None = None) -> tuple[Vector, int]:
    """``argmin wᵀQw − 2bᵀw`` on the simplex by an active-set method; exact up to rounding.

    The support grows by the coordinate of steepest descent and shrinks where the equality-constrained solution leaves
    the simplex (Lawson and Hanson's scheme for non-negative least squares, with the sum constraint).
    """
    count = len(cross)
    weights = project_to_simplex(start) if start is not None else np.zeros(count)
    if start is None:
        weights[np.argmin(np.diag(gram) - 2.0 * cross)] = 1.0
    scale = max(float(np.trace(gram)) / count, 1e-30)
    regular = gram + 1e-12 * scale * np.eye(count)
    support = weights > 0
    iterations = 0
    while iterations < 20 * count:
        iterations += 1
        for _ in range(count):
            active = np.flatnonzero(support)
            solved = _equality_constrained(regular[np.ix_(active, active)], cross[active])
            if solved.min() > 0:
                weights = np.zeros(count)
                weights[active] = solved
                break
            old = weights[active]
            shrinking = solved <= 0
            step = np.min(old[shrinking] / np.maximum(old[shrinking] - solved[shrinking], 1e-300))
            moved = old + step * (solved - old)
            moved[shrinking & (moved <= 1e-14)] = 0.0
            moved[np.argmin(np.where(shrinking, moved, np.inf))] = 0.0
            weights = np.zeros(count)
            weights[active] = np.maximum(moved, 0.0)
            weights /= weights.sum()
            support = weights > 0
        gradient = regular @ weights - cross
        reduced = gradient - weights @ gradient
        candidate = int(np.argmin(np.where(support, np.inf, reduced)))
        if support.all() or reduced[candidate] >= -1e-12 * scale:
            break
        support[candidate] = True
    return weights, iterations


def _equality_constrained(gram: Matrix, cross: Vector) -> Vector:
    """``argmin wᵀQw − 2bᵀw`` subject to ``Σ w = 1``."""
    count = len(cross)
    system = np.zeros((count + 1, count + 1))
    system[:count, :count] = gram
    system[:count, count] = system[count, :count] = 1.0
    right = np.append(cross, 1.0)
    return np.asarray(np.linalg.lstsq(system, right, rcond=1e-14)[0][:count])


def convex(terms: Sequence[Term], power: int = 1, rounds: int = 50) -> Combination:
    """Weights on the simplex that minimise ``Σ_l ‖Σ_k w_k G_k^l − G^l‖_F^power``.

    ``power = 1`` is the paper's sum of norms, solved by iteratively reweighted least squares: each round is an exact
    simplex quadratic programme with weights 1 / ‖·‖, a majorisation that never increases the objective.
    ``power = 2`` is a single quadratic programme.
    """
    multipliers = np.ones(len(terms))
    weights: Vector | None = None
    objective, iterations = np.inf, 0
    for _ in range(rounds if power == 1 else 1):
        gram = sum(m * t.gram for m, t in zip(multipliers, terms, strict=True))
        cross = sum(m * t.cross for m, t in zip(multipliers, terms, strict=True))
        weights, used = simplex_least_squares(np.asarray(gram), np.asarray(cross))
        iterations += used
        distances = np.array([np.sqrt(t.value(weights)) for t in terms])
        now = float((distances**power).sum())
        if objective - now <= 1e-10 * max(now, 1e-30):
            objective = min(objective, now)
            break
        objective = now
        if power == 1:
            multipliers = 1.0 / np.maximum(distances, 1e-9 * max(float(distances.max()), 1e-30))
    assert weights is not None
    # At the last multipliers the conditions of the reweighted problem are those of the sum of norms itself.
    gram = np.asarray(sum(m * t.gram for m, t in zip(multipliers, terms, strict=True)))
    cross = np.asarray(sum(m * t.cross for m, t in zip(multipliers, terms, strict=True)))
    return Combination(weights, objective, simplex_kkt(np.asarray(gram), np.asarray(cross), weights), iterations)


def linear(terms: Sequence[Term], ridge: float = 1e-6) -> Combination:
    """Unconstrained weights (the paper's "linear combination" ablation): ``min Σ_l ‖·‖²`` by a ridge solve.

    Without constraints the combined correlation need be no correlation of any image, which is the point of the
    ablation; ``ridge`` (relative to the mean diagonal) only keeps the system solvable.
    """
    gram = np.asarray(sum(t.gram for t in terms))
    cross = np.asarray(sum(t.cross for t in terms))
    system = gram + ridge * np.trace(gram) / len(cross) * np.eye(len(cross))
    weights = np.linalg.solve(system, cross)
    residual = float(np.abs(system @ weights - cross).max() / max(np.abs(cross).max(), 1e-30))
    return Combination(weights, float(sum(np.sqrt(t.value(weights)) for t in terms)), residual, 1)


def nearest(terms: Sequence[Term]) -> Combination:
    """All weight on the single closest database entry (the paper's "nearest neighbour" ablation)."""
    distance = sum(np.sqrt(np.maximum(np.diag(t.gram) - 2.0 * t.cross + t.constant, 0.0)) for t in terms)
    weights = np.zeros(len(terms[0].cross))
    weights[int(np.argmin(distance))] = 1.0
    return Combination(weights, float(np.min(distance)), 0.0, 1)
