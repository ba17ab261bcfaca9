"""The subject model of ITU-T P.910 (Li, Bampis, Krasula, Janowski, Katsavounidis 2020, arXiv 2004.02067).

Rater i's score of stimulus j is ``u_ij = ψ_j + Δ_i + ν_i X``, X standard normal: the true quality ψ_j, the rater's bias
Δ_i (``Σ Δ_i = 0``) and inconsistency ν_i. Alternating projection from ψ = MOS until ψ stands:

    Δ_i = mean_j(u_ij − ψ_j),   ν_i² = Σ_j (u_ij − ψ_j − Δ_i)² / f_i,   ψ_j = Σ_i ν_i⁻² (u_ij − Δ_i) / Σ_i ν_i⁻²,

sums and means over the scores that were given. Standard errors are ``(Σ_i ν_i⁻²)^{−1/2}`` of ψ_j and ``ν_i / √n_i`` of
Δ_i, the inverse information. (P.910 itself prints, for ψ_j, the deviation of j's own residuals over ``√n_j``.) Careless
raters get a small weight and nobody has to be thrown out.

P.910 maximises the likelihood: ``f_i = n_i``, the number of scores (:data:`PUBLISHED`). That underrates every ν_i, most
of all those of raters whom ψ follows already, and the likelihood has no bound where one rater's residuals vanish: with
ten raters ψ often ends at the scores of one of them, farther from the truth than plain means. Restricted maximum
likelihood (Patterson and Thompson 1971) counts what ψ and Δ take from the residuals: ``f_i = (n_i − 1)(1 − h̄_i)``, h̄_i
the mean over i's stimuli of its share ``ν_i⁻² / Σ_k ν_k⁻²`` of the weight. It is the default here (:data:`RESTRICTED`);
with many raters the two agree.

No inconsistency is below :data:`LEAST_INCONSISTENCY` times the typical one, and raters with fewer than
:data:`LEAST_SCORES` scores get the typical one itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.statistics import LEVEL
from recon.errors import InputError
from study.analysis.frames import Names
from study.analysis.opinion_scores import Scores, check_scores

Float = NDArray[np.float64]
Estimator = Literal["restricted", "published"]

RESTRICTED: Estimator = "restricted"
PUBLISHED: Estimator = "published"

LEAST_INCONSISTENCY = 0.1
LEAST_SCORES = 4
MOST_STEPS = 20_000
TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class SubjectModel:
    """What was said, apart from who said it.

    Attributes:
        estimator: of inconsistencies, see the module.
        names: of the S stimuli; ``quality``, ``error``, ``low``, ``high`` ``(S,)``: ψ with its standard error and 95 %
            interval.
        raters: of the R raters; ``bias``, ``bias_error``, ``inconsistency`` ``(R,)``.
        mos: ``(S,)`` the plain mean opinion scores.
        bounded: raters whose inconsistency is at its bound, or was not estimated because they gave few scores.
    """

    estimator: Estimator
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


def subject_model(scores: Scores, *, estimator: Estimator = RESTRICTED) -> SubjectModel:
    """Quality of every stimulus, bias and inconsistency of every rater.

    Repeated scores of a rater weigh as one, their mean.

    Raises:
        InputError: there are fewer than 3 raters or 2 stimuli, or they fall into groups that share no rater, whose
            biases cannot be told from quality.
    """
    from scipy.special import ndtri

    check_scores(scores, 3, 2, "the model of P.910")
    present = np.isfinite(scores.score)
    _check_connected(present)
    filled = np.where(present, scores.score, 0.0)
    given = present.sum(axis=0)
    mos = filled.sum(axis=1) / present.sum(axis=1)
    quality, weight = mos, present.astype(np.float64)
    for _ in range(MOST_STEPS):
        bias = np.where(present, scores.score - quality[:, None], 0.0).sum(axis=0) / given
        # With scores missing the constant that ψ and Δ share would drift.
        bias = bias - bias.mean()
        residual = np.where(present, scores.score - quality[:, None] - bias, 0.0)
        deviation, bounded = _inconsistency(residual, given, weight, estimator)
        weight = present / np.square(deviation)
        before, quality = quality, (weight * (filled - bias)).sum(axis=1) / weight.sum(axis=1)
        if np.abs(quality - before).max() <= TOLERANCE * max(1.0, float(np.abs(mos).max())):
            break
    else:
        raise InputError("the model of P.910 does not settle: too few scores hold stimuli and raters together.")
    error = 1.0 / np.sqrt(weight.sum(axis=1))
    half = float(ndtri(0.5 + LEVEL / 2)) * error
    names = tuple(name for name, at in zip(scores.raters, bounded.tolist(), strict=True) if at)
    return SubjectModel(estimator, scores.names, scores.raters, quality, error, quality - half, quality + half, bias,
                        deviation / np.sqrt(given), deviation, mos, names)  # fmt: skip


def _inconsistency(
    residual: Float, given: NDArray[np.int64], weight: Float, estimator: Estimator
) -> tuple[Float, NDArray[np.bool_]]:
    """``(R,)`` ν from the residuals ``(S, R)``, within their bounds, and who is at one.

    Args:
        weight: ``(S, R)`` with which ψ was made.
    """
    squares = np.square(residual).sum(axis=0)
    freedom = given.astype(np.float64)
    if estimator == RESTRICTED:
        share = (weight / weight.sum(axis=1, keepdims=True)).sum(axis=0) / given
        freedom = (given - 1) * (1.0 - share)
    # Where everybody agrees entirely all weights are alike.
    typical = max(float(np.sqrt(squares.sum() / max(freedom.sum(), 1.0))), 1e-9)
    few = given < LEAST_SCORES
    found = np.sqrt(squares / np.maximum(freedom, 0.5))
    found = np.where(few, typical, found)
    least = LEAST_INCONSISTENCY * typical
    return np.maximum(found, least), few | (found < least)


def _check_connected(present: NDArray[np.bool_]) -> None:
    from scipy.sparse import bmat, csr_array
    from scipy.sparse.csgraph import connected_components

    given = csr_array(present.astype(np.int8))
    count, _ = connected_components(bmat([[None, given], [given.T, None]]), directed=False)
    if count > 1:
        raise InputError(
            f"raters and stimuli fall into {count} groups that share nothing, so biases cannot be told from quality: "
            "let some raters score stimuli of several groups, or analyse each group by itself."
        )
