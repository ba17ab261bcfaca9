"""The subject model of ITU-T P.910 (Li, Bampis, Krasula, Janowski, Katsavounidis 2020, arXiv 2004.02067).

Rater i's score of stimulus j is ``u_ij = ψ_j + Δ_i + ν_i X``, X standard normal: the true quality ψ_j, the rater's bias
Δ_i (``Σ Δ_i = 0``) and inconsistency ν_i. Maximum likelihood by alternating projection, from ψ = MOS, until ψ stands:

    Δ_i = mean_j(u_ij − ψ_j),   ν_i² = mean_j((u_ij − ψ_j − Δ_i)²),   ψ_j = Σ_i ν_i⁻² (u_ij − Δ_i) / Σ_i ν_i⁻²,

means and sums over the scores that were given. Standard errors are ``(Σ_i ν_i⁻²)^{−1/2}`` of ψ_j and ``ν_i / √n_i`` of
Δ_i. Careless raters get a small weight and nobody has to be thrown out.

The likelihood has no bound where a rater's residuals vanish, and a rater with few scores comes near that. So no
inconsistency is below :data:`LEAST_INCONSISTENCY` times the root mean square over all scores, and raters with fewer
than :data:`LEAST_SCORES` scores get that root mean square itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from metrics.statistics import LEVEL
from study.analysis.frames import Names
from study.analysis.opinion_scores import Scores, check_scores

Float = NDArray[np.float64]

LEAST_INCONSISTENCY = 0.1
LEAST_SCORES = 4
MOST_STEPS = 5000
TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class SubjectModel:
    """What was said, apart from who said it.

    Attributes:
        names: of the S stimuli; ``quality``, ``error``, ``low``, ``high`` ``(S,)``: ψ with its standard error and 95 %
            interval.
        raters: of the R raters; ``bias``, ``bias_error``, ``inconsistency`` ``(R,)``.
        mos: ``(S,)`` the plain mean opinion scores.
        bounded: raters whose inconsistency is at its bound, or was not estimated because they gave few scores.
        steps: projections until ψ stood.
    """

    names: Names
    raters: Names
    quality: Float
    error: Float
    low: Float
    high: Float
    bias: Float
    bias_error: Float
    inconsistency: Float
    mos: Float
    bounded: Names
    steps: int


def subject_model(scores: Scores) -> SubjectModel:
    """Quality of every stimulus, bias and inconsistency of every rater.

    Repeated scores of a rater weigh as one, their mean.

    Raises:
        InputError: there are fewer than 2 raters or 2 stimuli.
    """
    from scipy.special import ndtri

    check_scores(scores, 2, 2, "the model of P.910")
    present = np.isfinite(scores.score)
    filled = np.where(present, scores.score, 0.0)
    given = present.sum(axis=0)
    mos = filled.sum(axis=1) / present.sum(axis=1)
    quality, bias, weight = mos, np.zeros(len(given)), np.ones(len(given))
    deviation = weight
    for steps in range(1, MOST_STEPS + 1):  # noqa: B007
        bias = np.where(present, scores.score - quality[:, None], 0.0).sum(axis=0) / given
        # With scores missing the constant that ψ and Δ share would drift.
        bias = bias - bias.mean()
        residual = np.where(present, scores.score - quality[:, None] - bias, 0.0)
        deviation, bounded = _inconsistency(residual, given)
        weight = present / np.square(deviation)
        before, quality = quality, (weight * (filled - bias)).sum(axis=1) / weight.sum(axis=1)
        if np.abs(quality - before).max() <= TOLERANCE * max(1.0, float(np.abs(mos).max())):
            break
    error = 1.0 / np.sqrt(weight.sum(axis=1))
    half = float(ndtri(0.5 + LEVEL / 2)) * error
    names = tuple(name for name, at in zip(scores.raters, bounded.tolist(), strict=True) if at)
    return SubjectModel(scores.names, scores.raters, quality, error, quality - half, quality + half, bias,
                        deviation / np.sqrt(given), deviation, mos, names, steps)  # fmt: skip


def _inconsistency(residual: Float, given: NDArray[np.int64]) -> tuple[Float, NDArray[np.bool_]]:
    """``(R,)`` root mean squares of the residuals ``(S, R)``, within their bounds, and who is at one."""
    squares = np.square(residual).sum(axis=0)
    # Where everybody agrees entirely all weights are alike.
    typical = max(float(np.sqrt(squares.sum() / given.sum())), 1e-9)
    found = np.sqrt(squares / given)
    few = given < LEAST_SCORES
    found = np.where(few, typical, found)
    bounded = few | (found < LEAST_INCONSISTENCY * typical)
    return np.maximum(found, LEAST_INCONSISTENCY * typical), bounded
