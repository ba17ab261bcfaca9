"""Rank and product-moment correlation under resampling weights, all resamples at once, and Williams' test.

With ``w_i`` the number of times that item i was drawn: PLCC is the weighted correlation of values; SRCC (Spearman
1904) that of the mid-ranks ``Σ_j w_j ([x_j < x_i] + ½[x_j = x_i]) + ½``; KRCC is Kendall's τ_b (1945),
``Σ w_i w_j s_ij t_ij / √(Σ w_i w_j s_ij² Σ w_i w_j t_ij²)`` with the signs ``s`` and ``t`` of the differences of both
sides. With all weights 1 they are the plain coefficients.

Williams' test (1959; Steiger 1980) is of the difference between two correlations with the same third variable:

    t = (r₁₂ − r₁₃) √( (n−1)(1 + r₂₃) / ( 2 (n−1)/(n−3) |R| + ¼ (r₁₂ + r₁₃)² (1 − r₂₃)³ ) ),   n − 3 degrees of freedom,

with ``|R| = 1 − r₁₂² − r₁₃² − r₂₃² + 2 r₁₂ r₁₃ r₂₃``. It takes items for independent.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from study.analysis.resampling import block_size

Float = NDArray[np.float64]
Coefficient = Literal["srcc", "plcc", "krcc"]

COEFFICIENTS: tuple[Coefficient, ...] = ("srcc", "plcc", "krcc")
LEAST_ITEMS = 3


def correlations(first: Float, second: Float, weights: Float, coefficient: Coefficient) -> Float:
    """``(B,)`` correlations of ``first`` and ``second`` ``(N,)`` under ``weights`` ``(B, N)``.

    NaN where fewer than :data:`LEAST_ITEMS` different items were drawn, or one side does not vary.
    """
    step = block_size(8 * len(first))
    blocks = [weights[start : start + step] for start in range(0, len(weights), step)]
    if coefficient == "krcc":
        found = np.concatenate([_kendall(_signs(first), _signs(second), block) for block in blocks])
    elif coefficient == "plcc":
        found = np.concatenate([_pearson(_standard(first)[None], _standard(second)[None], block) for block in blocks])
    else:
        one, two = _below(first), _below(second)
        found = np.concatenate([_pearson(block @ one, block @ two, block) for block in blocks])
    return np.where((weights > 0).sum(axis=1) >= LEAST_ITEMS, found, np.nan)


def correlation(first: Float, second: Float, coefficient: Coefficient) -> float:
    """The plain coefficient of ``first`` and ``second`` ``(N,)``; NaN as in :func:`correlations`."""
    return float(correlations(first, second, np.ones((1, len(first))), coefficient)[0])


def _standard(values: Float) -> Float:
    """Centred and scaled, which changes no correlation and keeps sums of squares well conditioned."""
    centred = values - values.mean()
    largest = np.abs(centred).max(initial=0.0)
    return np.asarray(centred / largest if largest > 0 else centred)


def _below(values: Float) -> Float:
    """``(N, N)``: 1 where the row's value is below the column's, ½ where equal."""
    return (values[:, None] < values[None]) + 0.5 * (values[:, None] == values[None])


def _signs(values: Float) -> Float:
    return np.sign(values[:, None] - values[None])


def _pearson(first: Float, second: Float, weights: Float) -> Float:
    """Of values ``(B, N)`` or ``(1, N)``."""
    count = weights.sum(axis=1, keepdims=True)
    one = first - (weights * first).sum(axis=1, keepdims=True) / count
    two = second - (weights * second).sum(axis=1, keepdims=True) / count
    across = (weights * one * two).sum(axis=1)
    squares = (weights * one * one).sum(axis=1), (weights * two * two).sum(axis=1)
    # What rounding leaves of values that do not vary is no variance.
    least = [1e-20 * (weights * np.square(side)).sum(axis=1) for side in (first, second)]
    varies = (squares[0] > least[0]) & (squares[1] > least[1])
    product = np.where(varies, squares[0] * squares[1], 1.0)
    return np.where(varies, np.clip(across / np.sqrt(product), -1.0, 1.0), np.nan)


def _kendall(first: Float, second: Float, weights: Float) -> Float:
    def total(pairs: Float) -> Float:
        return np.asarray(((weights @ pairs) * weights).sum(axis=1))

    untied = total(np.abs(first)) * total(np.abs(second))
    return np.where(untied > 0, total(first * second) / np.sqrt(np.where(untied > 0, untied, 1.0)), np.nan)


def williams_test(r12: float, r13: float, r23: float, n: int) -> tuple[float, float]:
    """``t`` and the two-sided p-value that variable 1 correlates alike with 2 and 3, over ``n`` items.

    NaN below 4 items, or where 2 and 3 are the same but for a factor, so that there is nothing to tell apart.
    """
    from scipy.special import stdtr

    determinant = 1 - r12**2 - r13**2 - r23**2 + 2 * r12 * r13 * r23
    if n < 4 or not all(map(math.isfinite, (r12, r13, r23))) or 1 - r23 < 1e-12:
        return float("nan"), float("nan")
    mean = (r12 + r13) / 2
    spread = 2 * (n - 1) / (n - 3) * max(determinant, 0.0) + mean**2 * (1 - r23) ** 3
    if spread <= 0:
        return float("nan"), float("nan")
    t = (r12 - r13) * math.sqrt((n - 1) * (1 + r23) / spread)
    return t, float(2 * stdtr(n - 3, -abs(t)))
