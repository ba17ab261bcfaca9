"""Shares: Wilson's score interval (1927), and how many answers the exact binomial test of a share needs.

For k of n the interval is ``(p̂ + z²/2n ± z √(p̂(1−p̂)/n + z²/4n²)) / (1 + z²/n)``. It treats answers as independent;
where raters answer many times, the bootstrap by rater is the honest interval, and Wilson's a lower bound of width.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.statistics import LEVEL, SIGNIFICANT
from recon.errors import UsageError

Float = NDArray[np.float64]

MOST_ANSWERS = 1_000_000
"""Above this a sample size is not worth stating."""


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


@dataclass(frozen=True)
class SampleSize:
    """``answers`` that give at least ``power`` (what they reach) to tell ``share`` from ``expected``."""

    answers: int
    power: float
    share: float
    expected: float


def binomial_power(answers: int, share: float, expected: float = 0.5, significance: float = SIGNIFICANT) -> float:
    """Probability that the exact two-sided test over independent ``answers`` tells ``share`` from ``expected``."""
    from scipy.stats import binom

    counts = np.arange(answers + 1)
    tails = np.minimum(binom.cdf(counts, answers, expected), binom.sf(counts - 1, answers, expected))
    return float(binom.pmf(counts, answers, share)[2.0 * tails <= significance].sum())


def answers_needed(
    share: float, expected: float = 0.5, power: float = 0.8, significance: float = SIGNIFICANT
) -> SampleSize:
    """The smallest number of independent answers whose exact two-sided test has at least ``power``.

    The exact test's power saws with the number of answers, and the normal approximation
    ``((z_{1−α/2} √(p₀q₀) + z_{power} √(p₁q₁)) / (p₁ − p₀))²`` lies a little below; the search begins under it.

    Raises:
        UsageError: the shares are equal or not between 0 and 1, or so near that no study could tell them apart.
    """
    from scipy.special import ndtri

    if not (0 < share < 1 and 0 < expected < 1 and 0 < power < 1 and 0 < significance < 1) or share == expected:
        raise UsageError("a sample size needs two different shares, a power and a significance, all between 0 and 1.")
    spread = ndtri(1 - significance / 2) * np.sqrt(expected * (1 - expected))
    spread += ndtri(power) * np.sqrt(share * (1 - share))
    approximate = float((spread / (share - expected)) ** 2)
    if approximate > MOST_ANSWERS:
        raise UsageError(f"telling {share:.4g} from {expected:.4g} needs about {approximate:.3g} answers: too many.")
    answers = max(1, int(approximate * 0.8) - 5)
    reached = binomial_power(answers, share, expected, significance)
    while reached < power:
        answers += 1
        reached = binomial_power(answers, share, expected, significance)
    return SampleSize(answers, reached, share, expected)
