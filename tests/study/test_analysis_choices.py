"""Scales from choices and rankings: published answers, closed forms, and recovery of what was put in."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from statistics import NormalDist
from typing import Any

import choix
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recon.errors import InputError, UsageError
from study.analysis.bradley_terry import bradley_terry
from study.analysis.choices import (
    Choices,
    DisconnectedError,
    choices_from_frame,
    choices_from_wins,
    preferences,
    separated_groups,
)
from study.analysis.plackett_luce import Rankings, plackett_luce, rankings_from_frame
from study.analysis.thurstone import thurstone

Array = NDArray[np.float64]
KNOWN: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "data" / "choice_models.json").read_text(encoding="utf-8")
)
MODELS = (bradley_terry, thurstone)


def of_pairs(names: str, pairs: list[list[int]]) -> Choices:
    wins = np.zeros((len(names), len(names)))
    np.add.at(wins, tuple(np.array(pairs).T), 1.0)
    return choices_from_wins(tuple(names), wins)


def simulated_choices(ability: Array, raters: int, each: int, seed: int, taste: float = 0.0) -> Choices:
    """Each rater judges every pair ``each`` times, by abilities that differ between raters by ``taste`` (σ)."""
    rng = np.random.default_rng(seed)
    own = ability + taste * rng.normal(size=(raters, len(ability)))
    share = 1 / (1 + np.exp(own[:, None, :] - own[:, :, None]))
    upper = np.triu(np.ones((len(ability), len(ability))), 1)
    won = rng.binomial(each, share) * upper
    wins = won + ((each - won) * upper).transpose(0, 2, 1)
    return Choices(tuple("abcdefgh"[: len(ability)]), tuple(f"{i:06}" for i in range(raters)), wins)


def ranked(names: Sequence[str], orders: list[list[int]], raters: Sequence[str] = ()) -> Rankings:
    """Of indices into ``names``, the most realistic first."""
    rows = [
        (raters[trial] if raters else "all", trial, names[index], rank)
        for trial, order in enumerate(orders)
        for rank, index in enumerate(order, start=1)
    ]
    return rankings_from_frame(pd.DataFrame(rows, columns=["rater", "trial", "condition", "rank"]))


def simulated_rankings(ability: Array, raters: int, each: int, seed: int) -> Rankings:
    """Plackett–Luce is the order of abilities with Gumbel noise (Yellott 1977)."""
    rng = np.random.default_rng(seed)
    noisy = ability + rng.gumbel(size=(raters * each, len(ability)))
    names = tuple("abcdefgh"[: len(ability)])
    orders = np.argsort(-noisy, axis=1).tolist()
    return ranked(names, orders, [str(i // each) for i in range(raters * each)])


def test_journals_are_where_the_literature_has_them() -> None:
    known = KNOWN["bradley_terry_citations"]
    found = bradley_terry(choices_from_wins(tuple(known["names"]), np.array(known["wins"])))
    journals = found.relative_to("Biometrika")
    np.testing.assert_allclose(journals.ability, known["ability"], atol=5e-6)
    np.testing.assert_allclose(journals.error, known["error"], atol=5e-6)
    assert found.ability.sum() == pytest.approx(0, abs=1e-12)


def test_choices_in_a_circle_are_where_choix_has_them() -> None:
    known = KNOWN["bradley_terry_cycle"]
    found = bradley_terry(of_pairs("abc", known["pairs"]))
    np.testing.assert_allclose(found.ability, known["ability"], atol=1e-9)


@pytest.mark.parametrize("case", ["plackett_luce_partial", "plackett_luce_cycle"])
def test_rankings_are_where_choix_has_them(case: str) -> None:
    known = KNOWN[case]
    names = tuple("abcd"[: len(known["ability"])])
    found = plackett_luce(ranked(names, known["orders"]))
    np.testing.assert_allclose(found.ability, known["ability"], atol=5e-5)


def test_other_choices_are_where_choix_puts_them() -> None:
    """choix' own optimiser on 400 simulated choices of five conditions, and on 60 rankings."""
    choices = simulated_choices(np.array([0.0, 0.4, -0.8, 1.2, 0.1]), 10, 4, seed=1)
    pairs = [(i, j) for i, j in np.argwhere(choices.total > 0).tolist() for _ in range(int(choices.total[i, j]))]
    np.testing.assert_allclose(bradley_terry(choices).ability, choix.opt_pairwise(5, pairs), atol=1e-4)
    rankings = simulated_rankings(np.array([0.0, 0.5, -0.5, 0.2]), 20, 3, seed=2)
    orders = np.argsort(rankings.place, axis=1).tolist()
    np.testing.assert_allclose(plackett_luce(rankings).ability, choix.opt_rankings(4, orders), atol=1e-4)


def test_two_conditions_have_closed_forms() -> None:
    """70 : 30 is Φ⁻¹(0.7) = 0.5244 z and log(7/3) logits; the errors are √(p(1−p)/n)/φ(z) and 1/√(n p (1−p))."""
    choices = choices_from_wins(("a", "b"), np.array([[0, 70], [30, 0]]))
    normal, logistic = thurstone(choices).relative_to("b"), bradley_terry(choices).relative_to("b")
    assert normal.ability[0] == pytest.approx(0.524400513, abs=1e-9)
    density = math.exp(-(0.524400513**2) / 2) / math.sqrt(2 * math.pi)
    assert normal.error[0] == pytest.approx(math.sqrt(0.7 * 0.3 / 100) / density, rel=1e-6)
    assert logistic.ability[0] == pytest.approx(math.log(7 / 3), abs=1e-9)
    assert logistic.error[0] == pytest.approx(1 / math.sqrt(100 * 0.7 * 0.3), rel=1e-9)
    assert normal.probability()[0, 1] == pytest.approx(0.7) == logistic.probability()[0, 1]


def test_rankings_of_two_are_choices() -> None:
    choices = simulated_choices(np.array([0.0, 0.5, 1.0]), 12, 3, seed=3)
    orders, raters = [], []
    for rater, first, second in np.argwhere(choices.wins > 0).tolist():
        orders += [[first, second]] * int(choices.wins[rater, first, second])
        raters += [choices.raters[rater]] * int(choices.wins[rater, first, second])
    by_choice = bradley_terry(choices)
    by_ranking = plackett_luce(ranked(choices.names, orders, raters))
    np.testing.assert_allclose(by_ranking.ability, by_choice.ability, atol=1e-9)
    np.testing.assert_allclose(by_ranking.covariance, by_choice.covariance, atol=1e-9)
    np.testing.assert_allclose(by_ranking.replicates.std(axis=0), by_choice.replicates.std(axis=0), rtol=1e-6)


def test_what_was_put_in_comes_out_within_its_errors() -> None:
    """Over 60 simulated studies the standardised errors have a root mean square of 1 (χ² of 180: ± 16 % is 3 σ)."""
    ability = np.array([0.0, 0.6, 1.2, -0.6]) - 0.3
    for model in ("choices", "rankings"):
        squares = []
        for seed in range(60):
            if model == "choices":
                found = bradley_terry(simulated_choices(ability, 30, 3, seed), resamples=0)
            else:
                found = plackett_luce(simulated_rankings(ability, 30, 3, seed), resamples=0)
            off = found.ability - ability
            squares.append(off @ np.linalg.pinv(found.covariance) @ off / 3)
        assert np.mean(squares) == pytest.approx(1.0, abs=0.33)


def test_intervals_hold_the_truth_where_raters_differ_in_taste() -> None:
    """Raters' own abilities differ by 0.8; over 120 studies × 3 differences 95 % ± 3 σ (of 120) of intervals hold the
    truth, while errors that take choices for independent would hold it in about 4 of 5."""
    ability, held, naive = np.array([0.0, 0.5, -0.5]), [], []
    # The mean over raters of a logistic of a normal is flatter than the logistic; what abilities tend to is the truth.
    many = bradley_terry(simulated_choices(ability, 40_000, 10, 0, taste=0.8), resamples=0)
    truth = many.ability - many.ability[0]
    for seed in range(120):
        found = bradley_terry(simulated_choices(ability, 25, 8, seed + 1, taste=0.8), resamples=300).relative_to("a")
        held += ((found.low <= truth) & (truth <= found.high))[1:].tolist()
        naive += (np.abs(found.ability - truth) <= 1.96 * found.error)[1:].tolist()
    assert 0.89 <= np.mean(held) <= 1.0
    assert np.mean(naive) < 0.88


@pytest.mark.parametrize("model", MODELS)
def test_more_of_the_same_sharpens_and_names_do_not_matter(model: Any) -> None:
    once = simulated_choices(np.array([0.0, 0.5, -0.2]), 10, 4, seed=4)
    often = Choices(once.names, once.raters, once.wins * 4)
    few, many = model(once, resamples=0), model(often, resamples=0)
    np.testing.assert_allclose(many.ability, few.ability, atol=1e-9)
    np.testing.assert_allclose(many.error, few.error / 2, rtol=1e-9)
    turned = Choices(once.names[::-1], once.raters, once.wins[:, ::-1, ::-1])
    np.testing.assert_allclose(model(turned, resamples=0).ability[::-1], few.ability, atol=1e-9)
    lost = Choices(once.names, once.raters, once.wins.transpose(0, 2, 1))
    np.testing.assert_allclose(model(lost, resamples=0).ability, -few.ability, atol=1e-9)


@given(st.lists(st.integers(0, 9), min_size=12, max_size=12))
@settings(max_examples=60, deadline=None)
def test_any_counts_give_finite_abilities_or_the_groups_that_stand_apart(counts: list[int]) -> None:
    wins = np.zeros((4, 4))
    wins[~np.eye(4, dtype=bool)] = counts
    choices = choices_from_wins(tuple("abcd"), wins)
    for model in MODELS:
        try:
            found = model(choices, resamples=0)
        except DisconnectedError as error:
            apart = error.components
        else:
            apart = ()
        if apart:
            assert sorted(name for group in apart for name in group) == list("abcd")
            for first, second in permutations(apart, 2):
                i, j = [["abcd".index(name) for name in group] for group in (first, second)]
                assert not wins[np.ix_(i, j)].any()
            continue
        assert np.isfinite(found.ability).all() and np.isfinite(found.error).all()
        # Won and expected wins are equal for every condition: where the likelihood is largest (Ford 1957).
        if model is bradley_terry:
            table = wins + (0.5 * ((wins + wins.T) > 0) if found.separated else 0)
            expected = (table + table.T) * found.probability()
            np.testing.assert_allclose(expected.sum(axis=1), table.sum(axis=1), atol=1e-6)


def test_groups_without_a_comparison_are_named() -> None:
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = wins[2, 3] = 3
    with pytest.raises(DisconnectedError, match=r"2 groups .*a, b \| c, d") as caught:
        bradley_terry(choices_from_wins(tuple("abcd"), wins))
    assert caught.value.components == (("a", "b"), ("c", "d"))
    with pytest.raises(DisconnectedError):
        plackett_luce(ranked(tuple("abcd"), [[0, 1], [1, 0], [2, 3]]))


@pytest.mark.parametrize("model", MODELS)
def test_who_always_wins_is_kept_finite_and_said(model: Any) -> None:
    """Half a win either way: 10.5 to 0.5. The interval comes from the Hessian, as raters who agree leave no spread."""
    wins = np.zeros((10, 2, 2))
    wins[:, 0, 1] = 1
    choices = Choices(("ours", "pca"), tuple(map(str, range(10))), wins)
    found = model(choices)
    expected = math.log(21) if model is bradley_terry else NormalDist().inv_cdf(21 / 22)
    assert found.ability[0] - found.ability[1] == pytest.approx(expected, abs=1e-6)
    assert found.separated == (("ours",), ("pca",)) and found.separated_replicates == 1.0
    assert "ours over pca" in found.notes[0]
    (difference,) = found.differences()
    assert difference.low < difference.estimate < difference.high
    assert 0.001 < difference.p < 0.1


def test_groups_are_ordered_by_who_won() -> None:
    wins = np.zeros((4, 4))
    wins[3, 0] = wins[0, 1] = wins[0, 2] = wins[1, 2] = wins[2, 1] = 2
    assert separated_groups(tuple("abcd"), wins) == (("d",), ("a",), ("b", "c"))
    assert separated_groups(tuple("ab"), np.array([[0, 1], [1, 0]])) == ()


def test_a_rare_win_makes_some_resamples_separated_which_is_said() -> None:
    """One of 20 raters preferred b once: she is absent from (1 − 1/20)²⁰ = 36 % of resamples."""
    wins = np.zeros((20, 2, 2))
    wins[:, 0, 1] = 2
    wins[0] = [[0, 1], [1, 0]]
    found = bradley_terry(Choices(("a", "b"), tuple(map(str, range(20))), wins))
    assert not found.separated and found.separated_replicates == pytest.approx(0.358, abs=0.045)
    assert "36%" in found.notes[0] or "35%" in found.notes[0] or "37%" in found.notes[0]


def test_differences_are_tested_over_raters_and_corrected() -> None:
    found = bradley_terry(simulated_choices(np.array([0.0, 0.05, 1.5]), 40, 4, seed=5, taste=0.3))
    by_pair = {(one.first, one.second): one for one in found.differences()}
    assert list(by_pair) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert by_pair["a", "c"].p_holm < 1e-6 < 0.05 < by_pair["a", "b"].p_holm
    assert all(one.p_holm >= one.p for one in by_pair.values())
    assert found.ranks().tolist() == [2, 2, 1]
    one = by_pair["a", "c"]
    assert one.low < one.estimate < one.high < 0
    assert one.probability == pytest.approx(1 / (1 + math.exp(-one.estimate)))


def test_where_conditions_are_equal_they_are_seldom_told_apart() -> None:
    """200 studies of 20 raters with tastes of their own: 5 % ± 3 σ of p are at most 0.05."""
    p = [
        bradley_terry(simulated_choices(np.zeros(2), 20, 5, seed, taste=0.7), resamples=200).differences()[0].p
        for seed in range(200)
    ]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 200)
    assert np.mean(np.array(p) <= 0.5) == pytest.approx(0.5, abs=0.11)


def test_the_preference_matrix_has_shares_and_both_intervals() -> None:
    """Wilson's 60 of 100: 0.5020 to 0.6906 (a closed form); raters who differ make the bootstrap's wider."""
    wins = np.zeros((20, 3, 3))
    wins[:12, 0, 1] = wins[12:, 1, 0] = 5
    wins[:, 0, 2] = 1
    found = preferences(Choices(tuple("abc"), tuple(map(str, range(20))), wins))
    assert found.share[0, 1] == pytest.approx(0.6) and found.share[1, 0] == pytest.approx(0.4)
    assert (found.wilson_low[0, 1], found.wilson_high[0, 1]) == pytest.approx((0.5020, 0.6906), abs=5e-5)
    assert found.low[0, 1] < 0.45 and found.high[0, 1] > 0.75
    assert found.low[1, 0] == pytest.approx(1 - found.high[0, 1])
    assert found.count[0, 1] == 100
    assert np.isnan(found.share[1, 2]) and np.isnan(found.low[1, 2]) and np.isnan(found.share[0, 0])


def test_frames_are_read_and_their_order_does_not_matter() -> None:
    frame = pd.DataFrame({"rater": ["r2", "r1", "r2"], "winner": ["b", "a", "a"], "loser": ["a", "b", "c"]})
    found = choices_from_frame(frame)
    assert (found.names, found.raters) == (("a", "b", "c"), ("r1", "r2"))
    np.testing.assert_array_equal(found.total, [[0, 1, 1], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(found.wins, choices_from_frame(frame[::-1]).wins)


def test_partial_rankings_are_read() -> None:
    frame = pd.DataFrame(
        {
            "rater": ["r"] * 5,
            "trial": [0, 0, 0, 1, 1],
            "condition": ["a", "b", "c", "c", "a"],
            "rank": [1, np.nan, np.nan, 1, 2],
        }
    )
    found = rankings_from_frame(frame)
    np.testing.assert_array_equal(found.place, [[1, np.inf, np.inf], [2, np.nan, 1]])
    np.testing.assert_array_equal(found.as_choices().total, [[0, 1, 1], [0, 0, 0], [1, 0, 0]])


def test_top_choices_of_three_have_a_closed_form() -> None:
    """Only the best of three is named: worths are shares, here 5, 3 and 2 of 10."""
    place = np.full((10, 3), np.inf)
    place[np.arange(10), [0] * 5 + [1] * 3 + [2] * 2] = 1
    found = plackett_luce(Rankings(tuple("abc"), ("r",), np.zeros(10, np.int64), place))
    worth = np.exp(found.ability)
    np.testing.assert_allclose(worth / worth.sum(), [0.5, 0.3, 0.2], atol=1e-9)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ({"rater": ["r"], "winner": ["a"]}, "lacks the column loser"),
        ({"rater": [], "winner": [], "loser": []}, "there are no choices"),
        ({"rater": ["r"], "winner": ["a"], "loser": ["a"]}, "compared with itself"),
        ({"rater": [None], "winner": ["a"], "loser": ["b"]}, "rows without rater"),
    ],
)
def test_bad_choices_are_refused(frame: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choices_from_frame(pd.DataFrame(frame))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("r", 0, "a", 1), ("r", 0, "a", 2)], "names a condition twice"),
        ([("r", 0, "a", 1), ("r", 0, "b", 1)], "the same rank"),
        ([("r", 0, "a", "first"), ("r", 0, "b", 2)], "says 'first' where rank must be a number"),
    ],
)
def test_bad_rankings_are_refused(rows: list[tuple[Any, ...]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        rankings_from_frame(pd.DataFrame(rows, columns=["rater", "trial", "condition", "rank"]))


def test_a_scale_needs_two_conditions_and_knows_its_names() -> None:
    with pytest.raises(InputError, match="at least two"):
        bradley_terry(choices_from_wins(("a",), np.zeros((1, 1))))
    with pytest.raises(InputError, match="finite, not negative"):
        choices_from_wins(("a", "b"), np.array([[0, -1], [1, 0]]))
    found = bradley_terry(choices_from_wins(("a", "b"), np.array([[0, 2], [1, 0]])))
    with pytest.raises(UsageError, match="'z' is not on the scale"):
        found.relative_to("z")
    assert np.isnan(found.low).all() and "fewer than 3 raters" in found.notes[0]
