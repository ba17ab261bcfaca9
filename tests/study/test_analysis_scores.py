"""Opinion scores: means, the P.910 subject model against a general optimiser, and Krippendorff's published example."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from recon.errors import InputError
from study.analysis.opinion_scores import Scores, condition_opinions, mean_opinion, scores_from_frame
from study.analysis.rater_agreement import krippendorff_alpha, ratings_from_frame
from study.analysis.subject_bias import PUBLISHED, RESTRICTED, subject_model

Array = NDArray[np.float64]

# Krippendorff 2011, Computing Krippendorff's alpha-reliability, section E: 4 observers, 12 units, values missing.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, np.nan, np.nan, np.nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, np.nan, 3],
        [np.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, np.nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, np.nan],
    ]
)


def scored(table: Array) -> Scores:
    """Of ``(S, R)`` scores."""
    stimuli, raters = table.shape
    names = tuple(f"s{i:03}" for i in range(stimuli)), tuple(f"r{i:03}" for i in range(raters))
    return Scores(*names, table, np.isfinite(table).astype(np.float64))


def drawn(seed: int, stimuli: int = 40, raters: int = 20, missing: float = 0.0) -> tuple[Array, Array, Array, Array]:
    """Scores by the model itself: ``(S, R)``, with quality, bias (of mean 0) and inconsistency."""
    rng = np.random.default_rng(seed)
    quality, bias = rng.uniform(1, 5, stimuli), rng.normal(0, 0.5, raters)
    bias -= bias.mean()
    inconsistency = rng.uniform(0.3, 1.5, raters)
    table = quality[:, None] + bias + inconsistency * rng.normal(size=(stimuli, raters))
    table[rng.random(table.shape) < missing] = np.nan
    return table, quality, bias, inconsistency


def test_mean_opinion_scores_have_students_interval() -> None:
    found = mean_opinion(scored(np.array([[1.0, 2, 3, 4, np.nan], [5, np.nan, np.nan, np.nan, np.nan]])))
    theirs = stats.ttest_1samp([1, 2, 3, 4], 0).confidence_interval(0.95)
    assert (found.mean[0], found.low[0], found.high[0]) == pytest.approx((2.5, theirs.low, theirs.high))
    assert found.deviation[0] == pytest.approx(np.std([1, 2, 3, 4], ddof=1))
    assert found.mean[1] == 5 and np.isnan([found.low[1], found.deviation[1]]).all()
    assert found.raters.tolist() == [4, 1]


def log_likelihood(table: Array, restricted: bool, parameters: Array) -> float:
    """Minus the (restricted) log-likelihood of ``log ν`` ``(R,)``, with the ψ and Δ that are best for these.

    The restricted one subtracts half the logarithm of the determinant of the information on ψ and Δ.
    """
    stimuli, raters = table.shape
    stimulus, rater = np.nonzero(np.isfinite(table))
    design = np.zeros((len(stimulus), stimuli + raters - 1))
    design[np.arange(len(stimulus)), stimulus] = 1
    for column in range(raters - 1):  # biases sum to 0
        design[:, stimuli + column] = (rater == column).astype(float) - (rater == raters - 1)
    scale = np.exp(-parameters)[rater]
    scaled = design * scale[:, None]
    score = table[stimulus, rater] * scale
    best = np.linalg.lstsq(scaled, score, rcond=None)[0]
    loss = parameters[rater].sum() + 0.5 * np.square(score - scaled @ best).sum()
    return float(loss + (0.5 * np.linalg.slogdet(scaled.T @ scaled)[1] if restricted else 0.0))


def test_the_published_estimator_is_its_authors() -> None:
    known = json.loads((Path(__file__).parent.parent / "data" / "subject_model.json").read_text(encoding="utf-8"))
    found = subject_model(scored(np.array(known["scores"], dtype=np.float64)), estimator=PUBLISHED)
    for ours, theirs in (
        (found.quality, "quality"),
        (found.error, "quality_error"),
        (found.bias, "bias"),
        (found.inconsistency, "inconsistency"),
    ):
        np.testing.assert_allclose(ours, known[theirs], atol=2e-7)


@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_the_published_estimator_is_where_the_likelihood_is_largest(missing: float) -> None:
    """The same log-likelihood, climbed by SciPy from where we stand: nothing better is near, and raters' ν stay."""
    table, *_ = drawn(2, 30, 16, missing)
    found = subject_model(scored(table), estimator=PUBLISHED)
    assert not found.bounded
    start = np.log(found.inconsistency)
    best = optimize.minimize(lambda p: log_likelihood(table, False, p), start, method="BFGS", options={"gtol": 1e-4})
    np.testing.assert_allclose(np.exp(best.x), found.inconsistency, rtol=5e-3)
    assert log_likelihood(table, False, start) <= best.fun + 1e-3


def test_the_restricted_estimator_is_near_where_the_restricted_likelihood_is_largest() -> None:
    """Its degrees of freedom leave out that biases are estimated with unequal weights: a percent or so."""
    table, *_ = drawn(2, 30, 12)
    found = subject_model(scored(table))
    start = np.log(found.inconsistency)
    best = optimize.minimize(lambda p: log_likelihood(table, True, p), start, method="BFGS", options={"gtol": 1e-3})
    np.testing.assert_allclose(found.inconsistency, np.exp(best.x), rtol=0.03)


def test_equal_raters_leave_the_mean_opinion_scores_as_they_are() -> None:
    """Everybody answers, residuals of equal size in all raters: every weight is equal and Σ Δ = 0, so ψ is the MOS."""
    pattern = np.array([[1.0, -1, 0, 0], [-1, 1, 0, 0], [0, 0, 1, -1], [0, 0, -1, 1]])
    table = np.array([[2.0], [3], [4], [5]]) + np.array([0.5, -0.5, 0.25, -0.25]) + 0.5 * pattern
    for estimator in (RESTRICTED, PUBLISHED):
        found = subject_model(scored(table), estimator=estimator)
        np.testing.assert_allclose(found.quality, [2, 3, 4, 5], atol=1e-8)
        np.testing.assert_allclose(found.bias, [0.5, -0.5, 0.25, -0.25], atol=1e-8)
    np.testing.assert_allclose(found.inconsistency, np.sqrt(0.5 / 4), rtol=1e-6)


@pytest.mark.parametrize(("stimuli", "raters", "missing"), [(40, 20, 0.0), (30, 10, 0.0), (100, 30, 0.5)])
def test_what_was_put_in_comes_out_better_than_from_plain_means(stimuli: int, raters: int, missing: float) -> None:
    """Means over 30 studies: ψ is nearer to the truth than MOS, ν is not underrated, intervals hold the truth about as
    often as they say (they take ν for known, so a little less often)."""
    model, plain, held, ratio = [], [], [], []
    for seed in range(30):
        table, quality, bias, inconsistency = drawn(seed, stimuli, raters, missing)
        found = subject_model(scored(table))
        model.append(np.square(found.quality - quality).mean())
        plain.append(np.square(found.mos - quality).mean())
        held.append(((found.low <= quality) & (quality <= found.high)).mean())
        ratio.append(np.log(found.inconsistency / inconsistency).mean())
        assert np.abs(found.bias - bias).max() < 5 * found.bias_error.max()
    assert np.mean(model) < 0.7 * np.mean(plain)
    assert 0.89 <= np.mean(held) <= 0.97
    assert abs(np.mean(ratio)) < 0.05


def test_few_raters_mislead_the_published_estimator_and_not_ours() -> None:
    """Ten raters, as the module says: maximum likelihood ends at the scores of one, farther from the truth than MOS."""
    errors = []
    for seed in range(30):
        table, quality, *_ = drawn(seed, 30, 10)
        published, ours = (subject_model(scored(table), estimator=one) for one in (PUBLISHED, RESTRICTED))
        errors.append([np.square(one - quality).mean() for one in (published.quality, published.mos, ours.quality)])
    published_error, mos_error, our_error = np.mean(errors, axis=0)
    assert our_error < 0.75 * mos_error < mos_error < published_error


def test_a_careless_rater_counts_for_little() -> None:
    table, quality, *_ = drawn(3, 30, 10)
    table[:, 0] = np.random.default_rng(9).uniform(1, 5, 30)
    found = subject_model(scored(table))
    assert found.inconsistency[0] == found.inconsistency.max() > 1.0
    assert np.square(found.quality - quality).mean() < np.square(found.mos - quality).mean()


def test_shifting_and_stretching_scores_does_so_to_quality() -> None:
    table, *_ = drawn(4, 20, 12, 0.2)
    found, other = subject_model(scored(table)), subject_model(scored(3 * table - 7))
    np.testing.assert_allclose(other.quality, 3 * found.quality - 7, atol=1e-6)
    np.testing.assert_allclose(other.bias, 3 * found.bias, atol=1e-6)
    np.testing.assert_allclose(other.inconsistency, 3 * found.inconsistency, rtol=1e-6)
    assert found.bias.sum() == pytest.approx(0, abs=1e-9)


def test_raters_with_few_or_perfect_scores_do_not_take_over() -> None:
    """One gave two scores, another says what the rest do on average: neither decides alone, and the first is named."""
    table, *_ = drawn(5, 30, 8)
    table[2:, 0] = np.nan
    table[:, 1] = np.nanmean(table[:, 2:], axis=1)
    found = subject_model(scored(table))
    assert "r000" in found.bounded
    typical = np.sqrt(np.mean(found.inconsistency[2:] ** 2))
    assert found.inconsistency.min() >= 0.09 * typical
    same = subject_model(scored(np.tile(np.array([[1.0], [3.0], [5.0]]), 4)))
    np.testing.assert_allclose(same.quality, [1, 3, 5])
    assert np.isfinite(same.error).all()


def test_groups_that_share_no_rater_are_refused() -> None:
    table = np.full((4, 4), np.nan)
    table[:2, :2] = table[2:, 2:] = [[1, 2], [2, 4]]
    with pytest.raises(InputError, match="fall into 2 groups"):
        subject_model(scored(table))


def test_conditions_are_compared_rater_by_rater() -> None:
    """Raters' biases of σ = 1 cancel: a difference of 0.6 at noise 0.5 is found by 30 raters."""
    rng = np.random.default_rng(3)
    rows = [
        (f"r{r:02}", condition, subject, 3 + bias + shift + 0.5 * rng.normal())
        for r, bias in enumerate(rng.normal(size=30))
        for condition, shift in (("meso", 0.6), ("mirror", 0.6), ("pca", 0.0))
        for subject in range(4)
    ]
    found = condition_opinions(pd.DataFrame(rows, columns=["rater", "condition", "subject", "score"]))
    assert found.names == ("meso", "mirror", "pca") and found.ranks.tolist() == [1, 1, 2]
    by_pair = {(one.first, one.second): one for one in found.contrasts}
    assert by_pair["meso", "pca"].low < 0.6 < by_pair["meso", "pca"].high
    assert by_pair["meso", "pca"].higher == "meso" and by_pair["meso", "mirror"].higher == ""
    np.testing.assert_allclose(found.shares.sum(axis=1), 1)


def test_shares_of_scores_and_repeats_are_counted() -> None:
    frame = pd.DataFrame(
        [("r", "a", 1), ("r", "a", 3), ("s", "a", 3), ("s", "b", 5)], columns=["rater", "condition", "score"]
    )
    found = condition_opinions(frame)
    assert found.values.tolist() == [1, 3, 5]
    np.testing.assert_allclose(found.shares, [[1 / 3, 2 / 3, 0], [0, 0, 1]])
    table = scores_from_frame(frame, by="condition")
    np.testing.assert_array_equal(table.score, [[2, 3], [np.nan, 5]])
    np.testing.assert_array_equal(table.repeats, [[2, 1], [0, 1]])


def test_bad_scores_are_refused() -> None:
    frame = pd.DataFrame({"rater": ["r"], "stimulus": ["s"], "score": ["good"]})
    with pytest.raises(InputError, match="'good' where score must be a number"):
        scores_from_frame(frame)
    with pytest.raises(InputError, match="at least 3 raters and 2 stimuli"):
        subject_model(scored(np.array([[1.0, 2.0]])))


@pytest.mark.parametrize(
    ("level", "alpha"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849), ("ratio", 0.797)]
)
def test_alpha_of_krippendorffs_own_example(level: str, alpha: float) -> None:
    found = krippendorff_alpha(OBSERVERS, level, resamples=200)  # type: ignore[arg-type]
    assert found.alpha == pytest.approx(alpha, abs=5e-4)
    assert found.units == 11 and found.ratings == 40
    assert found.low < found.alpha < found.high <= 1


@pytest.mark.parametrize(("level", "alpha"), [("nominal", 0.691), ("interval", 0.811)])
def test_alpha_of_wikipedias_example(level: str, alpha: float) -> None:
    """Three coders, 15 units, of which 12 were coded twice or more (Wikipedia, Krippendorff's alpha)."""
    nan = np.nan
    coders = np.array(
        [
            [nan, nan, nan, nan, nan, 3, 4, 1, 2, 1, 1, 3, 3, nan, 3],
            [1, nan, 2, 1, 3, 3, 4, 3, nan, nan, nan, nan, nan, nan, nan],
            [nan, nan, 2, 1, 3, 4, 4, nan, 2, 1, 1, 3, 3, nan, 4],
        ]
    )
    found = krippendorff_alpha(coders, level, resamples=0)  # type: ignore[arg-type]
    assert found.alpha == pytest.approx(alpha, abs=5e-4) and found.units == 12


def test_the_interval_of_alpha_holds_what_many_units_give() -> None:
    """Alpha of 40,000 units is the truth; intervals of 100 samples of 60 units hold it in 95 % ± 3 σ."""
    rng = np.random.default_rng(10)

    def sample(units: int) -> Array:
        return np.clip(np.rint(rng.normal(3, 1, units) + 0.8 * rng.normal(size=(5, units))), 1, 5)

    truth = krippendorff_alpha(sample(40_000), "ordinal", resamples=0).alpha
    found = [krippendorff_alpha(sample(60), "ordinal", resamples=400) for _ in range(100)]
    assert sum(one.low <= truth <= one.high for one in found) >= 88


def test_alpha_of_units_by_hand() -> None:
    """Two raters, nominal: 6 of 8 units agree, values 10 : 6. D_o = 2/8, D_e = 2·10·6/(16·15) = ½, α = 1 − ¼/½."""
    ratings = np.array([[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1.0]])
    found = krippendorff_alpha(ratings, "nominal", resamples=0)
    assert found.alpha == pytest.approx(0.5)
    assert np.isnan(found.low)


def test_alpha_is_that_of_any_order_and_of_rescaled_scores() -> None:
    rng = np.random.default_rng(7)
    ratings = np.clip(np.rint(rng.normal(3, 1, 25) + 0.6 * rng.normal(size=(6, 25))), 1, 5)
    found = krippendorff_alpha(ratings, "interval", resamples=0).alpha
    assert krippendorff_alpha(ratings[::-1, ::-1], "interval", resamples=0).alpha == pytest.approx(found)
    assert krippendorff_alpha(10 * ratings - 3, "interval", resamples=0).alpha == pytest.approx(found)
    assert krippendorff_alpha(np.tile(ratings[:1], (4, 1)), "ordinal", resamples=0).alpha == pytest.approx(1)


def test_ratings_are_laid_out_by_rater_and_unit() -> None:
    frame = pd.DataFrame(
        [("r", "s1", "a", 1), ("r", "s2", "a", 2), ("s", "s1", "a", 3), ("s", "s1", "a", 5), ("s", "s2", "a", None)],
        columns=["rater", "subject", "condition", "rank"],
    )
    np.testing.assert_array_equal(ratings_from_frame(frame, ("subject", "condition"), "rank"), [[1, 2], [4, np.nan]])
    observers = pd.DataFrame(OBSERVERS.T, columns=list("abcd")).rename_axis("unit").reset_index()
    long = observers.melt("unit", var_name="rater", value_name="value")
    assert krippendorff_alpha(ratings_from_frame(long, ["unit"], "value")).alpha == pytest.approx(0.849, abs=5e-4)
    with pytest.raises(InputError, match="lacks the column score"):
        ratings_from_frame(frame, ("subject",), "score")


@pytest.mark.parametrize(
    ("ratings", "reason"),
    [
        (np.full((3, 4), 2.0), "all ratings are equal"),
        (np.array([[1.0, np.nan], [np.nan, 2.0]]), "no unit was rated twice"),
        (np.arange(200.0).reshape(2, 100), "200 different values"),
        (np.array([[-1.0, 2.0], [-1.0, 3.0]]), "cannot be negative"),
    ],
)
def test_where_alpha_is_not_defined_it_says_why(ratings: Array, reason: str) -> None:
    found = krippendorff_alpha(ratings, "ratio")
    assert np.isnan(found.alpha) and reason in found.reason
