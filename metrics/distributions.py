"""The normal distribution and Student's, for the few numbers that an interval or a test needs.

SciPy has them too, and takes longer to load than a whole comparison to be worked out.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_NORMAL = NormalDist()
_HALVINGS = 60


def normal_cdf(values: NDArray[np.floating]) -> Float:
    """``Φ(x) = erfc(−x/√2)/2`` of each value; precise relatively, far out on the left as well."""
    scaled = np.asarray(values, np.float64) / -math.sqrt(2.0)
    return 0.5 * np.fromiter(map(math.erfc, scaled.flat), np.float64, scaled.size).reshape(scaled.shape)


def normal_quantile(probabilities: NDArray[np.floating]) -> Float:
    """``Φ⁻¹(p)`` of each probability, which lies between 0 and 1, neither of them (Wichura 1988, AS 241)."""
    given = np.asarray(probabilities, np.float64)
    return np.fromiter(map(_NORMAL.inv_cdf, given.flat), np.float64, given.size).reshape(given.shape)


def student_edge(degrees: int, level: float) -> float:
    """The ``t`` with ``P(|T| ≤ t) = level`` for Student's distribution of ``degrees`` (at least 1) of freedom."""
    low, high = 0.0, math.pi / 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _student_within(middle, degrees) < level else (low, middle)
    return math.sqrt(degrees) * math.tan((low + high) / 2)


def _student_within(angle: float, degrees: int) -> float:
    """``P(|T| ≤ √ν tan θ)``: a finite sum for whole ``ν`` (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    odd = degrees % 2
    # cos, 2/3 cos³, 2·4/(3·5) cos⁵ … for odd ν; 1, 1/2 cos², 1·3/(2·4) cos⁴ … for even: up to the power ν − 2.
    powers = np.arange(2 + odd, degrees - 1, 2, dtype=np.float64)
    factors = np.concatenate([[1.0], (powers - 1.0) / powers * math.cos(angle) ** 2])
    total = math.sin(angle) * float(np.cumprod(factors).sum())
    if not odd:
        return total
    return 2.0 / math.pi * (angle + (total * math.cos(angle) if degrees > 1 else 0.0))
