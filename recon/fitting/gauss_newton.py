"""Levenberg–Marquardt with box constraints, on normal equations (Nocedal and Wright 2006, §10.3 and §16.7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
State = TypeVar("State")

_LARGEST_DAMPING = 1e6


@dataclass(frozen=True, eq=False)
class Linearisation:
    """A sum of squares about a state: ``energy + 2 gradientᵀ δ + δᵀ hessian δ``.

    Attributes:
        energy: value at the state.
        gradient: ``(P,)``, ``Jᵀ r``.
        hessian: ``(P, P)``, ``Jᵀ J``.
    """

    energy: float
    gradient: Array
    hessian: Array


@dataclass(frozen=True, eq=False)
class Minimum(Generic[State]):
    """Where the minimisation ended.

    Attributes:
        state: the best one.
        energies: energy before the first and after every accepted step.
        converged: whether it stopped because a step gained next to nothing.
        damping: the last one, to go on from.
    """

    state: State
    energies: tuple[float, ...]
    converged: bool
    damping: float


def bounded_step(hessian: Array, gradient: Array, lower: Array, upper: Array) -> Array:
    """The step ``δ`` that minimises ``δᵀ H δ + 2 gᵀ δ`` with ``lower ≤ δ ≤ upper``, by an active set.

    Unknowns that leave the box are put on its wall and the rest is solved again; a wall, once hit, is kept. That is the
    minimum itself for a diagonal Hessian, and near it otherwise; the damping in :func:`minimise` makes it descend.
    """
    step = np.zeros_like(gradient)
    free = np.ones(len(gradient), dtype=bool)
    while free.any():
        right = -(gradient[free] + hessian[np.ix_(free, ~free)] @ step[~free])
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], right)
        outside = free & ((step < lower) | (step > upper))
        if not outside.any():
            break
        step[outside] = np.clip(step[outside], lower[outside], upper[outside])
        free &= ~outside
    return step


def minimise(
    start: State,
    linearise: Callable[[State], Linearisation],
    energy: Callable[[State], float],
    move: Callable[[State, Array], State],
    walls: Callable[[State], tuple[Array, Array]],
    *,
    steps: int,
    tolerance: float = 1e-4,
    damping: float = 1e-3,
) -> Minimum[State]:
    """Minimise a sum of squares from ``start``.

    Args:
        linearise: energy, gradient and Gauss–Newton Hessian at a state.
        energy: the energy alone, of the same residuals.
        move: the state after a step ``(P,)``.
        walls: lowest and highest step ``(P,)`` allowed from a state.
        steps: largest number of accepted steps.
        tolerance: stop when a step lowers the energy by less than this fraction.
        damping: first value of Marquardt's factor on the Hessian's diagonal.
    """
    state = start
    energies: list[float] = []
    for _ in range(steps):
        local = linearise(state)
        if not energies:
            energies.append(local.energy)
        lower, upper = walls(state)
        diagonal = np.diag(local.hessian)
        while True:
            damped = local.hessian + np.diag(damping * diagonal + 1e-12)
            candidate = move(state, bounded_step(damped, local.gradient, lower, upper))
            value = energy(candidate)
            if value < local.energy:
                break
            damping *= 8.0
            if damping > _LARGEST_DAMPING:
                return Minimum(state, tuple(energies), True, damping)
        state = candidate
        energies.append(value)
        damping = max(damping / 4.0, 1e-7)
        if local.energy - value < tolerance * local.energy:
            return Minimum(state, tuple(energies), True, damping)
    return Minimum(state, tuple(energies), False, damping)
