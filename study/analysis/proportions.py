"""Shares: Wilson's score interval (1927).

For k of n the interval is ``(p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n)``. It treats answers as independent;
where raters answer many times, the bootstrap by rater is the honest interval, and Wilson's a lower bound of width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.statistics import LEVEL

Float = NDArray[np.float64]


def wilson_interval(successes: ArrayLike, trials: ArrayLike, level: float = LEVEL) -> tuple[Float, Float]:
    """Lower and upper ends of Wilson's interval, in the broadcast shape of the arguments; NaN where trials are 0."""
    from scipy.special import ndtri

    k, n = np.broadcast_arrays(np.asarray(successes, np.float64), np.asarray(trials, np.float64))
    z = float(ndtri(0.5 + level / 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = k / n
        centre = (share + z * z / (2 * n)) / (1 + z * z / n)
        half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # Rounding may leave the ends a hair outside of what a share can be.
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
