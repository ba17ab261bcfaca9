"""Maximum likelihood of pairwise choices under a link F: ``P(i preferred to j) = F(β_i − β_j)``.

With w_ij wins of i over j the log-likelihood is ``Σ w_ij log F(β_i − β_j)``, concave for logistic and normal F.
Newton's method solves it for many tables of wins at once: all resamples of the raters together. The Hessian is the
Laplacian of the comparison graph, singular along the constant vector, since only differences count; adding ``11ᵀ/M``
fixes the mean of abilities at 0, and the covariance is its pseudo-inverse.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from study.analysis.choices import Choices, are_separated, check_connected, half_wins, separated_groups
from study.analysis.scale import Model, Scale, build_scale

Float = NDArray[np.float64]

# Newton converges in about six steps; steps are no longer than this, lest the first one overshoot.
LONGEST_STEP = 1.0
MOST_STEPS = 200
TOLERANCE = 1e-11


@dataclass(frozen=True)
class Link:
    """The logarithm of F, as far as Newton's method needs it.

    Attributes:
        slope: ``(log F)′(d)``, of an array of differences.
        curvature: ``−(log F)″(d)``, positive.
    """

    slope: Callable[[Float], Float]
    curvature: Callable[[Float], Float]


def newton(derivatives: Callable[[Float], tuple[Float, Float]], start: Float) -> Float:
    """Abilities ``(B, M)`` of mean 0 at which many concave log-likelihoods are largest.

    Args:
        derivatives: of abilities ``(B, M)``: gradient ``(B, M)`` and negative Hessian ``(B, M, M)``.
        start: ``(B, M)``.

    Raises:
        ArithmeticError: no convergence, which finite estimates rule out.
    """
    ability = start
    for _ in range(MOST_STEPS):
        gradient, information = derivatives(ability)
        step = np.linalg.solve(information + mean_fixed(information), gradient[..., None])[..., 0]
        longest = np.abs(step).max(axis=1, keepdims=True)
        ability = ability + step * np.minimum(1.0, LONGEST_STEP / np.maximum(longest, LONGEST_STEP))
        if longest.max() < TOLERANCE:
            return ability - ability.mean(axis=1, keepdims=True)
    raise ArithmeticError("Newton's method did not converge")


def mean_fixed(information: Float) -> Float:
    """What makes a Laplacian ``(…, M, M)`` regular: ``11ᵀ/M``, scaled as it is."""
    size = information.shape[-1]
    scale = np.trace(information, axis1=-2, axis2=-1)[..., None, None] / size
    return np.broadcast_to(np.maximum(scale, np.finfo(float).tiny) / size, information.shape)


def covariance(information: Float) -> Float:
    """The pseudo-inverse of a Laplacian ``(M, M)``: covariance of abilities whose mean is 0."""
    size = len(information)
    fixed = mean_fixed(information)
    # Along the constant vector the inverse has 1/scale, which is taken out again.
    found: Float = np.linalg.inv(information + fixed) - 1.0 / (size * size * fixed[0, 0])
    return found


def pair_derivatives(link: Link, wins: Float, ability: Float) -> tuple[Float, Float]:
    """Gradient ``(B, M)`` and negative Hessian ``(B, M, M)`` for ``wins`` ``(B, M, M)`` at ``ability`` ``(B, M)``."""
    difference = ability[:, :, None] - ability[:, None, :]
    pull = wins * link.slope(difference)
    weight = wins * link.curvature(difference)
    weight = weight + weight.transpose(0, 2, 1)
    information = -weight
    diagonal = np.arange(wins.shape[1])
    information[:, diagonal, diagonal] += weight.sum(axis=2)
    return pull.sum(axis=2) - pull.sum(axis=1), information


def fit_choices(model: Model, link: Link, choices: Choices, resamples: int, seed: int) -> Scale:
    """The scale of ``choices`` under ``link``, its errors, and its bootstrap over raters.

    Raises:
        DisconnectedError: the conditions cannot be put on one scale.
        InputError: there is only one condition.
    """
    total = choices.total
    check_connected(choices.names, total)
    groups = separated_groups(choices.names, total)
    size, half = len(choices.names), half_wins(total)
    flat = choices.wins.reshape(len(choices.raters), size * size)

    def solve(weights: Float) -> tuple[Float, NDArray[np.bool_]]:
        wins = (weights @ flat).reshape(-1, size, size)
        needy = are_separated(wins)
        wins = wins + needy[:, None, None] * half
        start = np.zeros((len(wins), size))
        return newton(lambda ability: pair_derivatives(link, wins, ability), start), needy

    table = total + half if groups else total

    def spread(ability: Float) -> Float:
        return covariance(pair_derivatives(link, table[None], ability[None])[1][0])

    return build_scale(model, choices.names, solve, spread, raters=len(choices.raters), answers=int(total.sum()),
                       separated=groups, numbers=8 * size * size, resamples=resamples, seed=seed)  # fmt: skip
