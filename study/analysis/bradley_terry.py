"""The Bradley–Terry model of pairwise choices (Zermelo 1929; Bradley and Terry 1952).

``P(i preferred to j) = 1 / (1 + exp(−(β_i − β_j)))``: a difference of abilities is the logarithm of the odds.
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
    from scipy.special import expit

    found: Float = expit(-difference)
    return found


def _curvature(difference: Float) -> Float:
    from scipy.special import expit

    found: Float = expit(difference) * expit(-difference)
    return found


LOGISTIC = Link(_slope, _curvature)


def bradley_terry(choices: Choices, *, resamples: int = RESAMPLES, seed: int = SEED) -> Scale:
    """Maximum-likelihood abilities in logits, errors from the inverse Hessian, intervals by bootstrap over raters.

    Args:
        resamples: of the raters; 0 for none.

    Raises:
        DisconnectedError: the conditions fall into groups that were never compared.
        InputError: there is only one condition.
    """
    return fit_choices("Bradley–Terry", LOGISTIC, choices, resamples, seed)
