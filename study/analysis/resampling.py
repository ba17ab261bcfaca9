"""The bootstrap over raters (Efron 1979), vectorised: whoever is drawn is drawn with all of their answers.

A resample is a row of multinomial weights, how often each rater is drawn; statistics that are sums over raters become
one matrix product over all resamples. Intervals are percentile intervals, with the level widened for few raters as in
:mod:`metrics.statistics` (Hesterberg 2015).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.statistics import LEAST_FOR_INTERVAL, RESAMPLES, SEED, expanded_edge, sorted_quantiles

Float = NDArray[np.float64]

# Numbers that a block of resamples may hold, 80 MB of float64.
_BLOCK_NUMBERS = 10_000_000


def resampling_weights(clusters: int, resamples: int = RESAMPLES, seed: int = SEED) -> Float:
    """``(resamples, clusters)`` float64: how often each resample draws each cluster; rows sum to ``clusters``."""
    rng = np.random.default_rng([seed, clusters])
    return rng.multinomial(clusters, np.full(clusters, 1.0 / clusters), resamples).astype(np.float64)


def block_size(numbers_per_resample: int) -> int:
    """How many resamples may be worked on together so that memory stays bounded."""
    return max(1, _BLOCK_NUMBERS // max(1, numbers_per_resample))


def with_width(low: Float, high: Float) -> tuple[Float, Float]:
    """Intervals; NaN for those without width: raters who all say the same leave a bootstrap nothing to vary.

    That is no certainty, so no interval is given rather than one of a single point.
    """
    wide = high > low
    return np.where(wide, low, np.nan), np.where(wide, high, np.nan)


def percentile_interval(replicates: Float, clusters: int) -> tuple[Float, Float]:
    """The 95 % interval of each column of ``replicates`` ``(B, K)``, NaN where fewer than 3 clusters were resampled.

    Resamples without a value (NaN) are left out.
    """
    from scipy.special import ndtr

    columns = replicates.shape[1]
    if clusters < LEAST_FOR_INTERVAL or len(replicates) == 0:
        return np.full(columns, np.nan), np.full(columns, np.nan)
    edge = expanded_edge(clusters)
    present = np.isfinite(replicates)
    rows = np.sort(np.where(present, replicates, np.inf).T, axis=1)
    ends = sorted_quantiles(rows, ndtr(np.array([-edge, edge])), present.sum(axis=0))
    return ends[:, 0], ends[:, 1]
