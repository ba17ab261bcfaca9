"""What many paired comparisons over the same subjects allow one to conclude, all of them at once.

Rows of every array are places (one metric, one view, one pair of methods …), columns are observations; NaN is a value
that is missing, and every number says over how many subjects ``n`` it is. Let ``d_i`` be subject i's value, or its
difference between two methods.

- *Interval of a mean*: bias-corrected and accelerated bootstrap, BCa (Efron 1987; DiCiccio and Efron 1996). Subjects
  are drawn with replacement, and all values of a subject stay together: with the sums ``s_i`` and counts ``c_i`` of a
  subject's values the mean is ``Σ w_i s_i / Σ w_i c_i``, ``w`` multinomial. The acceleration comes from the jackknife,
  which is in closed form here, ``θ_(i) = (S − s_i) / (C − c_i)``. A bootstrap of few subjects is too narrow, by
  ``√((n−1)/n)`` and by as much as the normal distribution is narrower than Student's; its level is widened by just
  that, ``±√(n/(n−1)) t_{n−1}`` in place of ``±1.96`` (Hesterberg 2015, the expanded interval).
- *Sign-flip permutation test* of a mean of 0 (Fisher 1935), two-sided: ``P(|Σ ± d_i| ≥ |Σ d_i|)``; all sign patterns up
  to :data:`EXACT` subjects, else ``p = (b + 1) / (m + 1)`` over ``m`` random ones (Phipson and Smyth 2010).
- *Wilcoxon's signed-rank test* (1945), two-sided, zeros left out: exact up to 50 subjects, with ties up to
  :data:`EXACT`; else the normal approximation with the variance corrected for ties. It decides as SciPy does.
- *Holm's correction* (1979) over the tests of a row.
- *Effect*: the matched-pairs rank-biserial correlation (Kerby 2014), ``(W₊ − W₋) / (W₊ + W₋)``, and Cohen's ``d_z``.

Everything is seeded: equal values give equal numbers, whatever else is asked at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Single = NDArray[np.float32]

LEVEL = 0.95
Z_95 = 1.959964
"""Standard errors on either side of a normal estimate's interval of :data:`LEVEL`."""
SIGNIFICANT = 0.05
"""p-values up to this are beyond chance."""
RESAMPLES = 2000
FLIPS = 9999
EXACT = 13
"""Up to here all sign patterns are tried: 2¹³ are fewer than :data:`FLIPS`."""
LEAST_FOR_INTERVAL = 3
"""Two values span no interval that could be called one of 95 %."""
SEED = 20170721

# SciPy's bound: above it the exact distribution of the signed-rank statistic is not worth its time.
_EXACT_RANKS = 50
# Rows that are resampled together: a block of replicates stays below 16 MB.
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True, eq=False)
class Intervals:
    """Means ``(R,)`` float64 with their 95 % intervals, and the number of subjects ``(R,)`` int64 behind each.

    ``value`` is NaN where there is no value at all, ``low`` and ``high`` below :data:`LEAST_FOR_INTERVAL` subjects.
    """

    value: Float
    low: Float
    high: Float
    n: NDArray[np.int64]


def mean_intervals(
    values: NDArray[np.floating], subjects: NDArray[np.integer] | None = None, *, seed: int = SEED
) -> Intervals:
    """Mean of each row with its BCa interval; subjects are resampled, not values.

    Args:
        values: ``(R, N)``, NaN where missing.
        subjects: ``(N,)`` integers that say whose value a column is; every column a subject of its own if None.
    """
    sums, counts = _by_subject(np.asarray(values, np.float64), subjects)
    total, weight = sums.sum(axis=1), counts.sum(axis=1)
    with np.errstate(invalid="ignore"):
        mean = np.where(weight > 0, total / weight, np.nan)
    n = (counts > 0).sum(axis=1)
    low, high = np.full(len(mean), np.nan), np.full(len(mean), np.nan)
    # Centred, so that single precision loses nothing that an interval could show.
    centred = np.where(counts > 0, sums - np.nan_to_num(mean)[:, None] * counts, np.nan)
    for size, rows in _rows_by_size(n):
        if size < LEAST_FOR_INTERVAL:
            continue
        weights = _resampling_weights(size, seed)
        for block in _blocks(rows, len(weights)):
            deviations, columns = _present_first(centred[block], size)
            often = np.take_along_axis(counts[block], columns, axis=1)
            offsets = _bca(deviations, often, weights, expanded_edge(size))
            low[block], high[block] = mean[block, None].T + offsets
    return Intervals(mean, low, high, n)


def _by_subject(values: Float, subjects: NDArray[np.integer] | None) -> tuple[Float, Float]:
    """Sums and counts ``(R, S)`` of each subject's finite values."""
    present = np.isfinite(values)
    filled, there = np.where(present, values, 0.0), present.astype(np.float64)
    if subjects is None:
        return filled, there
    belongs = (np.asarray(subjects)[:, None] == np.unique(subjects)[None]).astype(np.float64)
    return filled @ belongs, there @ belongs


def _rows_by_size(n: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    for size in np.unique(n):
        yield int(size), np.flatnonzero(n == size)


def _blocks(rows: NDArray[np.int64], cells: int) -> Iterator[NDArray[np.int64]]:
    step = max(1, _BLOCK_CELLS // cells)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


def _present_first(values: Float, size: int) -> tuple[Float, NDArray[np.int64]]:
    """The ``size`` finite values of each row in their order, ``(R, size)``, and the columns that they came from."""
    if size == values.shape[1]:
        return values, np.broadcast_to(np.arange(size), values.shape)
    columns = np.argsort(~np.isfinite(values), axis=1, kind="stable")[:, :size]
    return np.take_along_axis(values, columns, axis=1), columns


@lru_cache(maxsize=8)
def _resampling_weights(size: int, seed: int) -> Single:
    """``(RESAMPLES, size)``: how often each resample draws each subject."""
    rng = np.random.default_rng([seed, size])
    return rng.multinomial(size, np.full(size, 1.0 / size), RESAMPLES).astype(np.float32)


def _bca(deviations: Float, counts: Float, weights: Single, edge: float) -> Float:
    """Lower and upper ends ``(2, R)`` relative to the mean.

    Args:
        deviations: ``(R, n)`` sum of a subject's values less the mean; a row's sum is 0.
        counts: ``(R, n)`` values of a subject.
        weights: ``(B, n)``.
        edge: in standard deviations, 1.96 for a plain interval of 95 %.
    """
    from scipy.special import ndtr, ndtri

    replicates = deviations.astype(np.float32) @ weights.T
    if (counts == counts[:, :1]).all():
        replicates /= (counts[:, :1] * deviations.shape[1]).astype(np.float32)
    else:
        replicates /= counts.astype(np.float32) @ weights.T
    # A resample that draws everybody once has the mean itself, but for rounding; how that falls depends on other rows.
    slack = 4 * np.finfo(np.float32).eps * np.abs(deviations / counts).max(axis=1, keepdims=True)
    share = np.where(np.abs(replicates) <= slack, 0.5, replicates < 0).mean(axis=1, keepdims=True)
    # At 0 and 1 the quantile is infinite: half a resample in.
    bias = ndtri(np.clip(share, 0.5 / replicates.shape[1], 1.0 - 0.5 / replicates.shape[1]))
    rest = counts.sum(axis=1, keepdims=True) - counts
    jackknife = -deviations / rest
    influence = jackknife.mean(axis=1, keepdims=True) - jackknife
    spread = np.square(influence).sum(axis=1, keepdims=True) ** 1.5
    with np.errstate(invalid="ignore", divide="ignore"):
        acceleration = np.where(spread > 0, (influence**3).sum(axis=1, keepdims=True) / (6.0 * spread), 0.0)
    shifted = bias + np.array([[-edge, edge]])
    return sorted_quantiles(np.sort(replicates, axis=1), ndtr(bias + shifted / (1.0 - acceleration * shifted))).T


def expanded_edge(subjects: int) -> float:
    """Standard deviations to either side of the mean at which the interval of ``subjects`` (at least 2) ends."""
    from scipy.special import stdtrit

    return float(np.sqrt(subjects / (subjects - 1)) * stdtrit(subjects - 1, 0.5 + LEVEL / 2))


def sorted_quantiles(
    rows: NDArray[np.floating], probabilities: NDArray[np.floating], n: NDArray[np.integer] | None = None
) -> Float:
    """Linearly interpolated quantiles (Hyndman and Fan's type 7) of rows that are sorted already.

    Args:
        rows: ``(R, N)``, rising, what is missing last.
        probabilities: ``(R, Q)`` or ``(Q,)``.
        n: ``(R,)`` values in each row; N if None.

    Returns:
        ``(R, Q)``; NaN where a row is empty.
    """
    count = np.full(len(rows), rows.shape[1]) if n is None else np.asarray(n)
    position = np.broadcast_to(probabilities, (len(rows), np.shape(probabilities)[-1])) * (count - 1)[:, None]
    below = np.clip(np.floor(position), 0, np.maximum(count - 1, 0)[:, None]).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count - 1, 0)[:, None])
    first = np.take_along_axis(rows, below, axis=1).astype(np.float64)
    second = np.take_along_axis(rows, above, axis=1).astype(np.float64)
    with np.errstate(invalid="ignore"):  # of what is missing, which may be infinite
        between = first + (second - first) * (position - below)
    return np.where(count[:, None] > 0, between, np.nan)


def quartiles(values: NDArray[np.floating]) -> Float:
    """``(R, 3)``: lower quartile, median and upper quartile of the finite values of each row ``(R, N)``."""
    present = np.isfinite(values)
    rows = np.sort(np.where(present, values, np.inf), axis=1)
    return sorted_quantiles(rows, np.array([0.25, 0.5, 0.75]), present.sum(axis=1))


def sign_flip_test(differences: NDArray[np.floating], *, seed: int = SEED) -> Float:
    """Two-sided p-values ``(R,)`` of the sign-flip permutation test of each row ``(R, N)``; NaN where it is empty."""
    values = np.asarray(differences, np.float64)
    p = np.full(len(values), np.nan)
    for size, rows in _rows_by_size(np.isfinite(values).sum(axis=1)):
        if size == 0:
            continue
        if size <= EXACT:
            signs, added = _all_signs(size), 0
        else:
            signs, added = _random_signs(size, seed), 1
        for block in _blocks(rows, len(signs)):
            found, _ = _present_first(values[block], size)
            p[block] = (_as_far_out(found, signs) + added) / (len(signs) + added)
    return p


@lru_cache(maxsize=16)
def _all_signs(size: int) -> NDArray[np.floating]:
    """``(2^(size−1), size)`` float64: half of all patterns; the other half, with signs reversed, is as far out."""
    patterns = np.arange(2 ** (size - 1))[:, None] >> np.arange(size)[None]
    return 1.0 - 2.0 * (patterns & 1)


@lru_cache(maxsize=8)
def _random_signs(size: int, seed: int) -> NDArray[np.floating]:
    """``(FLIPS, size)`` float32 of ±1."""
    rng = np.random.default_rng([seed, size, 1])
    return (1 - 2 * rng.integers(0, 2, (FLIPS, size), np.int8)).astype(np.float32)


def _as_far_out(values: Float, signs: NDArray[np.floating]) -> NDArray[np.int64]:
    """How many sign patterns give a sum as far from 0 as the one that was seen."""
    size = np.abs(values).sum(axis=1)
    scaled = (values / np.where(size > 0, size, 1.0)[:, None]).astype(signs.dtype)
    sums = scaled @ signs.T
    np.abs(sums, out=sums)
    # A sum that is equal but for rounding is as far out, so the bound gives way by what rounding can do.
    slack = 16 * np.finfo(signs.dtype).eps
    return np.asarray((sums >= np.abs(scaled.sum(axis=1, keepdims=True)) - slack).sum(axis=1))


@dataclass(frozen=True, eq=False)
class SignedRanks:
    """Ranks of the absolute values of each row ``(R, N)``, with their signs; 0 where a value is 0 or missing.

    Attributes:
        ranks: ``(R, N)`` float64; equal values share their mean rank.
        n: ``(R,)`` values that are not 0.
        ties: ``(R,)`` float64 ``Σ (t³ − t)`` over groups of ``t`` equal values.
    """

    ranks: Float
    n: NDArray[np.int64]
    ties: Float


def signed_ranks(differences: NDArray[np.floating]) -> SignedRanks:
    """Ranks for Wilcoxon's test and its effect size."""
    values = np.asarray(differences, np.float64)
    counts = np.isfinite(values) & (values != 0)
    size = np.where(counts, np.abs(values), np.inf)
    order = np.argsort(size, axis=1, kind="stable")
    ordered = np.take_along_axis(size, order, axis=1)
    position = np.broadcast_to(np.arange(values.shape[1]), values.shape)
    changes = ordered[:, 1:] != ordered[:, :-1]
    edge = np.ones((len(values), 1), bool)
    first = np.maximum.accumulate(np.where(np.hstack([edge, changes]), position, 0), axis=1)
    ends = np.where(np.hstack([changes, edge]), position, values.shape[1])
    last = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
    present = np.isfinite(ordered)
    ranks = np.zeros_like(values)
    np.put_along_axis(ranks, order, np.where(present, (first + last) / 2.0 + 1.0, 0.0), axis=1)
    together = (last - first + 1).astype(np.float64)
    ties = np.where(present, np.square(together) - 1.0, 0.0).sum(axis=1)
    return SignedRanks(np.where(counts, np.sign(np.nan_to_num(values)) * ranks, 0.0), counts.sum(axis=1), ties)


def wilcoxon_test(differences: NDArray[np.floating], ranked: SignedRanks | None = None) -> Float:
    """Two-sided p-values ``(R,)`` of the signed-rank test of each row ``(R, N)``; NaN where no value differs from 0.

    Args:
        ranked: of the same differences, if they are there already.
    """
    from scipy.special import ndtr

    values = np.asarray(differences, np.float64)
    found = signed_ranks(values) if ranked is None else ranked
    seen = np.isfinite(values).sum(axis=1)
    plain = (found.ties == 0) & (found.n == seen)
    by_patterns = (seen <= EXACT) & (found.n > 0)
    by_counting = ~by_patterns & (seen <= _EXACT_RANKS) & plain & (found.n > 0)
    p = np.full(len(values), np.nan)
    if by_patterns.any():
        ranks = found.ranks[by_patterns]
        p[by_patterns] = sign_flip_test(np.where(ranks == 0, np.nan, ranks))
    positive = np.maximum(found.ranks, 0.0).sum(axis=1)
    total = found.n * (found.n + 1) / 2.0
    for size, rows in _rows_by_size(np.where(by_counting, found.n, 0)):
        if size:
            smaller = np.minimum(positive[rows], total[rows] - positive[rows]).astype(np.int64)
            p[rows] = np.minimum(1.0, 2.0 * _rank_sum_distribution(size)[smaller])
    normal = ~by_patterns & ~by_counting & (found.n > 0)
    if normal.any():
        n = found.n[normal].astype(np.float64)
        deviation = np.sqrt((n * (n + 1) * (2 * n + 1) - found.ties[normal] / 2) / 24)
        p[normal] = 2.0 * ndtr(-np.abs(positive[normal] - n * (n + 1) / 4) / deviation)
    return p


@lru_cache(maxsize=64)
def _rank_sum_distribution(size: int) -> Float:
    """``P(W ≤ k)``, ``W`` the sum of the positive ranks of ``size`` values without ties when signs are fair."""
    ways = np.zeros(size * (size + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, size + 1):
        ways[rank:] = ways[rank:] + ways[:-rank].copy()
    return np.cumsum(ways) / 2.0**size


def rank_biserial(ranked: SignedRanks) -> Float:
    """``(R,)`` in [−1, 1]; 0 where all values are 0, NaN where there is none to speak of."""
    total = np.abs(ranked.ranks).sum(axis=1)
    return np.where(total > 0, ranked.ranks.sum(axis=1) / np.where(total > 0, total, 1.0), 0.0)


def cohens_d(differences: NDArray[np.floating]) -> Float:
    """Cohen's ``d_z`` of each row: mean over standard deviation of the differences; NaN where they do not vary."""
    values = np.asarray(differences, np.float64)
    present = np.isfinite(values)
    n = present.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(present, values, 0.0).sum(axis=1) / n
        squares = np.where(present, np.square(values - mean[:, None]), 0.0).sum(axis=1) / (n - 1)
        varies = (n > 1) & (squares > np.square(mean) * 1e-24)
        return np.where(varies, mean / np.sqrt(squares), np.nan)


def holm(p: NDArray[np.floating]) -> Float:
    """p-values ``(R, K)`` after Holm's correction over each row; NaN is no test and counts for nothing."""
    values = np.asarray(p, np.float64)
    if values.shape[1] == 0:
        return values.copy()
    tests = np.isfinite(values).sum(axis=1, keepdims=True)
    order = np.argsort(values, axis=1, kind="stable")  # NaN comes last
    steps = np.maximum(tests - np.arange(values.shape[1])[None], 1)
    ordered = np.take_along_axis(values, order, axis=1)
    rising = np.minimum(np.maximum.accumulate(np.where(np.isfinite(ordered), ordered * steps, -np.inf), axis=1), 1.0)
    adjusted = np.empty_like(values)
    np.put_along_axis(adjusted, order, np.where(np.isfinite(ordered), rising, np.nan), axis=1)
    return adjusted


def smallest_possible(subjects: int) -> float:
    """The smallest p-value that the sign-flip test can give for that many subjects."""
    return 2.0 ** (1 - subjects) if subjects <= EXACT else 1.0 / (FLIPS + 1)


def ranks_from_wins(better: NDArray[np.bool_], ranked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Ranks of methods from who is better than whom beyond chance; ties share a rank.

    Rank 1 have those whom no other is better than; without them, rank 2 have those whom none of the rest is better
    than, and so on. So a better method always has the better rank, and equal ranks mean no more than that nothing
    tells them apart or that a third stands between. Where wins run in a circle (possible when subjects are missing),
    all that are left share the rank.

    Args:
        better: ``(R, M, M)``, ``[r, i, j]``: i is better than j.
        ranked: ``(R, M)``: methods that take part.

    Returns:
        ``(R, M)`` int64; 0 for those that do not take part.
    """
    left = ranked.copy()
    ranks = np.zeros(ranked.shape, np.int64)
    for rank in range(1, ranked.shape[1] + 1):
        beaten = (better & left[:, :, None]).any(axis=1)
        chosen = left & ~beaten
        chosen = np.where(chosen.any(axis=1, keepdims=True), chosen, left)
        ranks[chosen] = rank
        left &= ~chosen
        if not left.any():
            break
    return ranks
