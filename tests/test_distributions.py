"""The normal distribution and Student's agree with SciPy's to rounding, wherever an interval or a test asks them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from metrics.distributions import normal_cdf, normal_quantile, student_edge


def test_normal_probabilities_are_precise_far_out() -> None:
    values = np.linspace(-30.0, 9.0, 3903).reshape(3, -1)
    found = normal_cdf(values)
    assert found.shape == values.shape
    np.testing.assert_allclose(found, special.ndtr(values), rtol=1e-12)
    np.testing.assert_array_equal(normal_cdf(np.array([-np.inf, 0.0, np.inf, np.nan])), [0.0, 0.5, 1.0, np.nan])


def test_normal_quantiles() -> None:
    probabilities = np.concatenate([np.geomspace(1e-9, 0.5, 999), 1.0 - np.geomspace(1e-9, 0.5, 999)])[None]
    found = normal_quantile(probabilities)
    assert found.shape == probabilities.shape
    np.testing.assert_allclose(found, special.ndtri(probabilities), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
def test_students_edge_of_few_and_of_many(level: float) -> None:
    degrees = [*range(1, 40), 101, 102, 1000, 4999]
    found = [student_edge(one, level) for one in degrees]
    np.testing.assert_allclose(found, special.stdtrit(degrees, 0.5 + level / 2), rtol=1e-11)
    # Closed forms of one and two degrees of freedom.
    assert found[0] == pytest.approx(np.tan(np.pi * level / 2), rel=1e-12)
    assert found[1] == pytest.approx(level * np.sqrt(2.0 / (1.0 - level**2)), rel=1e-12)


def test_no_numbers_give_none() -> None:
    assert normal_cdf(np.zeros((0, 2))).shape == normal_quantile(np.zeros((0, 2))).shape == (0, 2)
