"""Statistics of paired comparisons: against SciPy, closed forms, published values, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from metrics import statistics
from metrics.statistics import (
    cohens_d,
    holm,
    mean_intervals,
    quartiles,
    rank_biserial,
    ranks_from_wins,
    sign_flip_test,
    signed_ranks,
    smallest_possible,
    wilcoxon_test,
)

Array = NDArray[np.float64]


def drawn(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).normal(0.2, 1.0, shape)


@pytest.mark.parametrize(
    ("distribution", "subjects"), [("normal", 60), ("normal", 20), ("exponential", 100), ("uniform", 40)]
)
def test_the_interval_covers_the_true_mean_as_often_as_it_says(distribution: str, subjects: int) -> None:
    """4,000 samples each. Chance moves the share by ± 0.7 %, so 93 to 97 % is not met by luck."""
    rng = np.random.default_rng(3)
    values = getattr(rng, distribution)(size=(4000, subjects))
    true = {"normal": 0.0, "exponential": 1.0, "uniform": 0.5}[distribution]
    found = mean_intervals(values)
    assert 0.93 <= np.mean((found.low <= true) & (true <= found.high)) <= 0.97


def test_several_values_of_a_subject_stay_together() -> None:
    """5 values of each of 30 subjects that differ by subject: an interval that took them for 150 would cover 60 %."""
    rng = np.random.default_rng(5)
    of_subject = rng.normal(size=(2000, 30, 1))
    values = (of_subject + 0.3 * rng.normal(size=(2000, 30, 5))).reshape(2000, 150)
    subjects = np.repeat(np.arange(30), 5)
    found = mean_intervals(values, subjects)
    assert (found.n == 30).all()
    assert 0.93 <= np.mean((found.low <= 0) & (found.high >= 0)) <= 0.97
    apart = mean_intervals(values)
    assert np.mean((apart.low <= 0) & (apart.high >= 0)) < 0.75


def test_repeating_all_values_of_all_subjects_changes_nothing() -> None:
    values = drawn(1, 4, 25)
    once, twice = mean_intervals(values), mean_intervals(np.repeat(values, 2, axis=1), np.repeat(np.arange(25), 2))
    np.testing.assert_allclose(twice.value, once.value)
    np.testing.assert_allclose(twice.low, once.low, atol=1e-6)
    np.testing.assert_allclose(twice.high, once.high, atol=1e-6)


def test_subjects_with_more_values_weigh_more() -> None:
    """The mean is over values; only what is drawn are subjects."""
    found = mean_intervals(np.array([[1.0, 1.0, 1.0, 5.0, 3.0, 7.0]]), np.array([0, 0, 0, 1, 2, 3]))
    assert found.value[0] == pytest.approx(3.0)
    assert found.n[0] == 4


def test_the_interval_is_scipys_where_few_subjects_are_no_matter(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """With the plain level it is SciPy's BCa, but for the draw: that of 20,000 moves an end by 1 % of the width."""
    monkeypatch.setattr(statistics, "expanded_edge", lambda _: 1.959964)
    monkeypatch.setattr(statistics, "RESAMPLES", 20_000)
    statistics._resampling_weights.cache_clear()
    request.addfinalizer(statistics._resampling_weights.cache_clear)
    values = np.random.default_rng(2).exponential(size=(3, 50))
    found = mean_intervals(values)
    for row, low, high in zip(values, found.low, found.high, strict=True):
        theirs = scipy.stats.bootstrap((row,), np.mean, n_resamples=20_000, method="BCa", rng=0).confidence_interval
        width = theirs.high - theirs.low
        assert low == pytest.approx(theirs.low, abs=0.04 * width)
        assert high == pytest.approx(theirs.high, abs=0.04 * width)


def test_few_subjects_get_a_wider_interval() -> None:
    """Hesterberg's level: of n = 10, t = 2.262 and √(10/9)."""
    assert statistics.expanded_edge(10) == pytest.approx(2.262157 * math.sqrt(10 / 9), abs=1e-5)
    assert statistics.expanded_edge(10_000) == pytest.approx(1.959964, abs=1e-3)


def test_an_interval_does_not_depend_on_what_else_is_computed() -> None:
    """Of 4 subjects 9 % of the resamples draw everybody once: their mean is the mean itself, not above or below it."""
    rows = 30 + drawn(7, 60, 4)
    together = mean_intervals(rows)
    alone = [mean_intervals(row[None]) for row in rows]
    scaled = mean_intervals(rows * 3)  # other roundings, the same interval
    for end in ("low", "high"):
        np.testing.assert_allclose([getattr(one, end)[0] for one in alone], getattr(together, end), atol=1e-5)
        np.testing.assert_allclose(getattr(scaled, end) / 3, getattr(together, end), atol=1e-5)


def test_degenerate_rows_say_what_they_can() -> None:
    rows = np.full((5, 4), np.nan)
    rows[1, 2] = 3.0
    rows[2, :2] = [1.0, 2.0]
    rows[3] = 7.0
    rows[4, :3] = [1.0, 2.0, 6.0]
    found = mean_intervals(rows)
    assert found.n.tolist() == [0, 1, 2, 4, 3]
    np.testing.assert_array_equal(found.value, [np.nan, 3.0, 1.5, 7.0, 3.0])
    np.testing.assert_array_equal(np.isnan(found.low), [True, True, True, False, False])
    assert (found.low[3], found.high[3]) == (7.0, 7.0)
    assert found.low[4] < 3.0 < found.high[4]
    np.testing.assert_array_equal(sign_flip_test(rows - 3.0)[:2], [np.nan, 1.0])
    np.testing.assert_array_equal(wilcoxon_test(rows - 7.0)[[0, 3]], [np.nan, np.nan])
    assert rank_biserial(signed_ranks(rows - 7.0))[3] == 0
    np.testing.assert_array_equal(cohens_d(rows)[:4], [np.nan, np.nan, cohens_d(rows)[2], np.nan])


def test_what_is_missing_changes_nothing_else() -> None:
    """A row with gaps gives what its values alone give, wherever the gaps are and whatever the other rows hold."""
    values = drawn(4, 2, 20)
    gaps = np.full((3, 27), np.nan)
    gaps[0, [*range(3, 13), *range(15, 25)]] = values[0]
    gaps[1, :20] = values[1]
    gaps[2] = drawn(5, 27)
    for function in (sign_flip_test, wilcoxon_test, cohens_d):
        np.testing.assert_allclose(function(gaps)[:2], function(values))
    alone, among = mean_intervals(values), mean_intervals(gaps)
    np.testing.assert_allclose(among.low[:2], alone.low)
    np.testing.assert_allclose(among.high[:2], alone.high)
    np.testing.assert_allclose(quartiles(gaps)[:2], np.quantile(values, [0.25, 0.5, 0.75], axis=1).T)


@pytest.mark.parametrize("subjects", [1, 2, 5, 9, 13, 14, 30, 50, 51, 80])
@pytest.mark.parametrize("kind", ["plain", "tied", "missing"])
def test_wilcoxons_p_is_scipys(subjects: int, kind: str) -> None:
    # SciPy tries all patterns of ties one by one, which takes seconds a row.
    values = drawn(subjects, 1 if (kind, subjects) == ("tied", 13) else 4, subjects)
    if kind == "tied":
        values = np.round(values * 3) / 3  # zeros too
    if kind == "missing" and subjects > 3:
        values[:, :2] = np.nan
    finite = [row[np.isfinite(row)] for row in values]
    theirs = [scipy.stats.wilcoxon(row).pvalue if row.any() else np.nan for row in finite]
    np.testing.assert_allclose(wilcoxon_test(values), theirs, atol=1e-12)


def _scipys_sign_flips(row: Array, **options: float) -> float:
    def mean(x: Array, axis: int) -> Array:
        return np.asarray(np.mean(x, axis=axis))

    return float(
        scipy.stats.permutation_test((row,), mean, permutation_type="samples", vectorized=True, **options).pvalue
    )


@pytest.mark.parametrize("subjects", [2, 5, 8, 11])
def test_all_sign_patterns_give_scipys_p(subjects: int) -> None:
    values = drawn(subjects, 3, subjects)
    theirs = [_scipys_sign_flips(row, n_resamples=np.inf) for row in values]
    np.testing.assert_allclose(sign_flip_test(values), theirs)


def test_random_sign_patterns_give_scipys_p_but_for_chance() -> None:
    """9,999 patterns on either side: four standard errors of their difference."""
    values = drawn(7, 3, 30)
    ours = sign_flip_test(values)
    for row, p in zip(values, ours, strict=True):
        theirs = _scipys_sign_flips(row, rng=1)
        assert p == pytest.approx(theirs, abs=4 * math.sqrt(2 * max(theirs, 1e-3) / 9999))


def test_no_p_is_smaller_than_the_number_of_patterns_allows() -> None:
    all_positive = np.abs(drawn(8, 1, 40)) + 1
    assert sign_flip_test(all_positive)[0] == pytest.approx(1 / 10_000) == smallest_possible(40)
    assert sign_flip_test(all_positive[:, :6])[0] == 2 / 2**6 == smallest_possible(6)
    assert wilcoxon_test(all_positive[:, :6])[0] == 2 / 2**6


def test_where_nothing_differs_p_is_uniform() -> None:
    """Share of p ≤ 0.05 over 4,000 rows without an effect: 5 % ± 4 standard errors."""
    rows = np.random.default_rng(9).normal(size=(4000, 24))
    for test in (sign_flip_test, wilcoxon_test):
        assert np.mean(test(rows) <= 0.05) == pytest.approx(0.05, abs=0.014)


@given(st.lists(st.floats(-5, 5, allow_subnormal=False), min_size=1, max_size=40), st.floats(0.01, 100))
@settings(max_examples=40, deadline=None)
def test_p_knows_neither_unit_nor_direction(values: list[float], unit: float) -> None:
    row = np.round(np.array([values]), 3)
    for test in (sign_flip_test, wilcoxon_test):
        p = test(row)
        assert np.isnan(p[0]) or 0 < p[0] <= 1
        np.testing.assert_allclose(test(-row), p)
        np.testing.assert_allclose(test(np.ldexp(row, round(math.log2(unit)))), p)


def test_holm_is_the_published_procedure() -> None:
    """The example of R's ``p.adjust`` (first row); tests that could not be made count for nothing (second)."""
    p = np.array([[0.01, 0.02, 0.03, 0.04, 0.05], [0.04, np.nan, 0.01, np.nan, 0.9]])
    expected = [[0.05, 0.08, 0.09, 0.09, 0.09], [0.08, np.nan, 0.03, np.nan, 0.9]]
    np.testing.assert_allclose(holm(p), expected)
    assert holm(np.empty((3, 0))).shape == (3, 0)


def test_effects_have_their_closed_forms() -> None:
    """Ranks of 1, 2, −3, 4 sum to 7 above and 3 below: (7 − 3) / 10; mean over deviation of 1, 2, 3 is 2."""
    assert rank_biserial(signed_ranks(np.array([[1.0, 2.0, -3.0, 4.0]])))[0] == pytest.approx(0.4)
    assert cohens_d(np.array([[1.0, 2.0, 3.0]]))[0] == pytest.approx(2.0)
    assert rank_biserial(signed_ranks(np.array([[0.5, 2.0, 0.0]])))[0] == 1.0


def test_equal_values_share_a_rank() -> None:
    found = signed_ranks(np.array([[2.0, -1.0, 1.0, 0.0, 1.0, np.nan]]))
    np.testing.assert_array_equal(found.ranks, [[4.0, -2.0, 2.0, 0.0, 2.0, 0.0]])
    assert (found.n[0], found.ties[0]) == (4, 3**3 - 3)


def wins(*pairs: tuple[int, int], methods: int = 4) -> NDArray[np.bool_]:
    table = np.zeros((1, methods, methods), bool)
    for first, second in pairs:
        table[0, first, second] = True
    return table


@pytest.mark.parametrize(
    ("better", "expected"),
    [
        ((), [1, 1, 1, 1]),
        (((0, 1), (0, 2), (0, 3)), [1, 2, 2, 2]),
        (((0, 1), (1, 2), (0, 2), (0, 3)), [1, 2, 3, 2]),
        (((0, 2),), [1, 1, 2, 1]),
        (((0, 1), (1, 2), (2, 0)), [2, 2, 2, 1]),
    ],
    ids=["all tied", "one best", "a chain", "in between", "a circle"],
)
def test_ranks_follow_from_wins(better: tuple[tuple[int, int], ...], expected: list[int]) -> None:
    everyone = np.ones((1, 4), bool)
    assert ranks_from_wins(wins(*better), everyone)[0].tolist() == expected
    assert ranks_from_wins(wins(*better), ~everyone)[0].tolist() == [0, 0, 0, 0]


@given(st.integers(0, 2**12 - 1))
@settings(max_examples=60, deadline=None)
def test_who_is_better_has_the_better_rank(bits: int) -> None:
    """Of methods that could be put in a row, so without circles."""
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    table = wins(*(pair for number, pair in enumerate(pairs) if bits >> number & 1))
    ranks = ranks_from_wins(table, np.ones((1, 4), bool))[0]
    assert all(ranks[i] < ranks[j] for i, j in pairs if table[0, i, j])
    assert set(ranks.tolist()) == set(range(1, max(ranks) + 1))
