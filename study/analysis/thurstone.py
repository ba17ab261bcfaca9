"""Thurstone's law of comparative judgement, case V (Thurstone 1927): equal, independent normal discriminal processes.

``P(i preferred to j) = Φ(q_i − q_j)``. The unit is the standard deviation of the difference of two processes, so that
70 : 30 is Φ⁻¹(0.7) = 0.5244 apart; one just-objectionable difference, 75 : 25, is 0.6745.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.statistics import RESAMPLES, SEED
from study.analysis.choice_model import Link, fit_choices
from study.analysis.choices import Choices
from study.analysis.scale import Scale

Float = NDArray[np.float64]


def _slope(difference: Float) -> Float:
    """``φ/Φ``, by logarithms so that far tails neither vanish nor divide by 0."""
    from scipy.special import log_ndtr

    found: Float = np.exp(-0.5 * np.square(difference) - 0.5 * np.log(2 * np.pi) - log_ndtr(difference))
    return found


def _curvature(difference: Float) -> Float:
    slope = _slope(difference)
    return slope * (slope + difference)


NORMAL = Link(_slope, _curvature)


def thurstone(choices: Choices, *, resamples: int = RESAMPLES, seed: int = SEED) -> Scale:
    """Maximum-likelihood scale values in z, errors from the inverse Hessian, intervals by bootstrap over raters.

    Args:
        resamples: of the raters; 0 for none.

    Raises:
        DisconnectedError: the conditions fall into groups that were never compared.
        InputError: there is only one condition.
    """
    return fit_choices("Thurstone case V", NORMAL, choices, resamples, seed)
