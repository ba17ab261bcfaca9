"""Agreement of metrics with people: SciPy's coefficients, Williams' test as published, intervals that hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from metrics.rows import rows_as_frame
from recon.errors import InputError, PairingError
from study.analysis.correlation import COEFFICIENTS, Coefficient, correlation, correlations, williams_test
from study.analysis.metric_agreement import metric_agreement, oriented, values_of_run
from study.analysis.published import PUBLISHED, published_for

Array = NDArray[np.float64]
SCIPYS = {"srcc": stats.spearmanr, "plcc": stats.pearsonr, "krcc": stats.kendalltau}


def judged(scores: Array) -> pd.DataFrame:
    """People's scores ``(C, S)`` of conditions and subjects as a frame."""
    rows = [(f"c{c}", f"s{s:03}", value) for (c, s), value in np.ndenumerate(scores)]
    return pd.DataFrame(rows, columns=["condition", "subject", "score"])


def measured(**metrics: tuple[str, Array]) -> pd.DataFrame:
    rows = [
        (name, direction, f"c{c}", f"s{s:03}", value)
        for name, (direction, values) in metrics.items()
        for (c, s), value in np.ndenumerate(values)
    ]
    return pd.DataFrame(rows, columns=["metric", "direction", "condition", "subject", "value"])


@pytest.mark.parametrize("coefficient", COEFFICIENTS)
def test_coefficients_are_scipys_with_ties_and_with_weights(coefficient: Coefficient) -> None:
    """Weights are repetitions: what counts twice might as well stand there twice."""
    rng = np.random.default_rng(1)
    first = rng.integers(0, 9, 40).astype(float)
    second = np.round(first + 3 * rng.normal(size=40))
    assert correlation(first, second, coefficient) == pytest.approx(SCIPYS[coefficient](first, second)[0], abs=1e-12)
    weights = rng.multinomial(40, np.full(40, 1 / 40), 5)
    found = correlations(first, second, weights.astype(float), coefficient)
    theirs = [SCIPYS[coefficient](np.repeat(first, w), np.repeat(second, w))[0] for w in weights]
    np.testing.assert_allclose(found, theirs, atol=1e-12)


@given(st.lists(st.integers(-20, 20), min_size=4, max_size=12), st.integers(0, 2**31))
@settings(max_examples=60, deadline=None)
def test_ranks_know_no_unit_and_all_know_no_shift(values: list[int], seed: int) -> None:
    first = np.array(values, float)
    second = np.random.default_rng(seed).integers(-5, 5, len(values)).astype(float)
    for coefficient in COEFFICIENTS:
        found = correlation(first, second, coefficient)
        if np.ptp(first) == 0 or np.ptp(second) == 0:
            assert np.isnan(found)
            continue
        assert -1 <= found <= 1
        assert correlation(second, first, coefficient) == pytest.approx(found, abs=1e-9)
        assert correlation(-3 * first + 1e3, second, coefficient) == pytest.approx(-found, abs=1e-9)
        if coefficient != "plcc":
            assert correlation(np.exp(first / 5), second, coefficient) == pytest.approx(found, abs=1e-9)


def test_williams_test_is_steigers_example() -> None:
    """r₁₂ = 0.4, r₁₃ = 0.5, r₂₃ = 0.1, n = 103 (Steiger 1980; R's psych prints t = −0.89, probability < 0.37)."""
    t, p = williams_test(0.4, 0.5, 0.1, 103)
    assert t == pytest.approx(-0.89, abs=5e-3) and p == pytest.approx(0.375, abs=5e-3)
    assert williams_test(0.5, 0.4, 0.1, 103) == pytest.approx((-t, p))
    assert np.isnan(williams_test(0.4, 0.4, 1.0, 103)).all() and np.isnan(williams_test(0.4, 0.5, 0.1, 3)).all()


def test_williams_test_errs_as_often_as_it_says() -> None:
    """Two metrics that agree alike with people, 3,000 times: 5 % ± 4 standard errors of p are at most 0.05."""
    rng = np.random.default_rng(2)
    people = rng.normal(size=(3000, 40))
    shared = rng.normal(size=people.shape)
    one, two = (people + 0.7 * shared + rng.normal(size=people.shape) for _ in range(2))
    corr = [np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(x, y, strict=True)])
            for x, y in ((people, one), (people, two), (one, two))]  # fmt: skip
    p = [williams_test(*rs, 40)[1] for rs in zip(*corr, strict=True)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 3000))


def test_metrics_are_ordered_by_agreement_and_oriented_first() -> None:
    rng = np.random.default_rng(3)
    people = rng.normal(size=(5, 30))
    found = metric_agreement(
        judged(people),
        measured(
            psnr=("higher", people + rng.normal(size=people.shape)),
            lpips=("lower", -people + 0.3 * rng.normal(size=people.shape)),
            detail=("one", np.exp2(np.abs(people - 3) * rng.choice([-1, 1], people.shape))),
            random=("lower", rng.normal(size=people.shape)),
        ),
    )
    assert [one.metric for one in found.metrics] == ["detail", "lpips", "psnr", "random"]
    detail, lpips, psnr, chance = found.metrics
    # |log₂| of the ratio is 3 − people wherever people are below 3: full agreement.
    assert detail.srcc.value > 0.99 and lpips.srcc.value > 0.9
    assert 0.5 < psnr.plcc.low < psnr.plcc.value < psnr.plcc.high < 0.85
    assert chance.srcc.low < 0 < chance.srcc.high
    assert (lpips.items, lpips.missing, lpips.srcc.n) == (150, 0, 30)
    pair = {(one.first, one.second): one for one in found.contrasts}["lpips", "psnr"]
    assert pair.p_holm < 1e-3 and pair.t > 0 and pair.items == 150
    assert 0 < pair.srcc_difference.low < pair.srcc_difference.value < pair.srcc_difference.high


def test_intervals_resample_subjects_not_results() -> None:
    """Both sides differ by subject alone, 12 conditions each: 150 studies of 25 subjects, correlation 0.5. Intervals
    hold the truth in 95 % ± 3 σ; had the 300 results been resampled, in about half."""
    rng = np.random.default_rng(4)
    held = 0
    for _ in range(150):
        ability = rng.normal(size=25)
        metric = 0.5 * ability + np.sqrt(0.75) * rng.normal(size=25)
        people, values = (np.tile(one, (4, 1)) + 1e-6 * rng.normal(size=(4, 25)) for one in (ability, metric))
        found = metric_agreement(judged(people), measured(m=("higher", values)), resamples=300)
        held += found.metrics[0].plcc.low <= 0.5 <= found.metrics[0].plcc.high
    assert 0.88 <= held / 150 <= 1.0


def test_within_subjects_only_differences_within_subjects_count() -> None:
    """Offsets of subjects (σ = 10) drown everything at first, and change nothing within."""
    rng = np.random.default_rng(8)
    people = rng.normal(size=(5, 30))
    close, loose = (people + noise * rng.normal(size=people.shape) for noise in (0.2, 1.0))
    offset = 10 * rng.normal(size=(1, 30))
    values = measured(close=("higher", close + offset), loose=("lower", -loose - 3 * offset))
    whole = {one.metric: one for one in metric_agreement(judged(people), values).metrics}
    assert abs(whole["close"].srcc.value) < 0.4
    found = metric_agreement(judged(people), values, within=True)
    plain = metric_agreement(judged(people), measured(close=("higher", close), loose=("lower", -loose)), within=True)
    assert [one.metric for one in found.metrics] == ["close", "loose"]
    for one, other in zip(found.metrics, plain.metrics, strict=True):
        assert (one.srcc.value, one.plcc.value) == pytest.approx((other.srcc.value, other.plcc.value))
    assert found.metrics[0].plcc.value == pytest.approx(1 / np.sqrt(1 + 0.2**2), abs=0.02)
    (contrast,) = found.contrasts
    one, other = (np.corrcoef(*[(x - x.mean(axis=0)).ravel() for x in (people, mine)])[0, 1] for mine in (close, loose))
    between = np.corrcoef(*[(x - x.mean(axis=0)).ravel() for x in (close, loose)])[0, 1]
    assert (contrast.t, contrast.p) == pytest.approx(williams_test(one, other, between, 150 - 29))
    per_subject = np.tile(offset, (5, 1))
    flat = metric_agreement(judged(people), measured(m=("higher", per_subject)), within=True).metrics[0]
    assert "all its values of a subject are equal" in flat.reason


def test_metrics_that_agree_alike_are_not_told_apart() -> None:
    rng = np.random.default_rng(5)
    people = rng.normal(size=(4, 40))
    values = {name: ("higher", people + rng.normal(size=people.shape)) for name in ("one", "two")}
    values["copy"] = ("higher", 2 * values["one"][1] + 1)
    found = {(c.first, c.second): c for c in metric_agreement(judged(people), measured(**values)).contrasts}
    for (first, second), contrast in found.items():
        assert contrast.srcc_difference.low <= 0 <= contrast.srcc_difference.high
        if {first, second} == {"one", "copy"}:
            assert np.isnan(contrast.p) and np.isnan(contrast.p_holm)
        else:
            assert contrast.p_holm > 0.05


def test_what_a_metric_lacks_is_counted_and_what_it_cannot_say_has_a_reason() -> None:
    rng = np.random.default_rng(6)
    people = rng.normal(size=(3, 10))
    holes = people.copy()
    holes[0, :4] = np.nan
    absent, flat = np.full(people.shape, np.nan), np.ones(people.shape)
    values = measured(holes=("higher", holes), absent=("higher", absent), flat=("lower", flat))
    found = {one.metric: one for one in metric_agreement(judged(people), values).metrics}
    assert (found["holes"].items, found["holes"].missing, found["holes"].srcc.value) == (26, 4, pytest.approx(1))
    assert "values of 0 of the 30" in found["absent"].reason and np.isnan(found["absent"].srcc.value)
    assert "all its values are equal" in found["flat"].reason
    alike = metric_agreement(judged(np.ones((3, 10))), measured(m=("higher", people)))
    assert "people scored all results alike" in alike.metrics[0].reason and alike.contrasts == ()


def test_results_are_paired_by_name() -> None:
    rng = np.random.default_rng(7)
    people = rng.normal(size=(3, 8))
    values = measured(m=("higher", people))
    shuffled = values.sample(frac=1, random_state=1)
    extra = pd.concat([shuffled, pd.DataFrame([("m", "higher", "c9", "s999", 4.0)], columns=values.columns)])
    assert metric_agreement(judged(people), extra).metrics[0].srcc.value == pytest.approx(1)
    with pytest.raises(PairingError, match="'c0' of subject 's003', which no metric has a row of"):
        metric_agreement(judged(people), values[(values["condition"] != "c0") | (values["subject"] != "s003")])
    with pytest.raises(InputError, match="two things of 'c0' of subject 's000'"):
        metric_agreement(pd.concat([judged(people)] * 2), values)
    with pytest.raises(InputError, match="two directions"):
        metric_agreement(judged(people), pd.concat([values, extra.iloc[-1:].assign(direction="lower")]))


def test_values_of_a_run_are_named_after_their_place() -> None:
    fixed: dict[str, Any] = {
        "protocol": "blur:8", "region": "skin/all", "space": "image", "direction": "higher", "metric": "PSNR",
        "method": "meso", "subject": "s1", "view": "fitted", "reference": "photograph", "width": 8, "height": 8,
        "reason": "",
    }  # fmt: skip
    absent = {"metric": "DISTS", "value": np.nan, "reason": "not computed: no weights"}
    lost = {"subject": "s2", "view": "", "value": np.nan, "reason": "the photograph is lost"}
    changed = ({"value": 30.0}, {"value": 20.0, "reference": "truth"}, {"value": 0.1, "subject": "*"}, absent, lost)
    rows = rows_as_frame([{**fixed, **one} for one in changed])
    found = values_of_run(rows, "blur:8").set_index("metric")
    assert found["value"].dropna().to_dict() == {"PSNR, fitted, skin/all": 30, "PSNR, fitted, skin/all, truth": 20}
    assert found["reason"]["DISTS, fitted, skin/all"] == "not computed: no weights"
    assert set(found["condition"]) == {"meso"} and set(found["subject"]) == {"s1"}
    people = pd.DataFrame([("meso", "s1", 4.0)], columns=["condition", "subject", "score"])
    said = {one.metric: one.reason for one in metric_agreement(people, found.reset_index()).metrics}
    assert said["DISTS, fitted, skin/all"] == "not computed: no weights"
    with pytest.raises(InputError, match="measured under blur:8"):
        values_of_run(rows, "identity")


@pytest.mark.parametrize(
    ("direction", "expected"), [("higher", [0.5, 2]), ("none", [0.5, 2]), ("lower", [-0.5, -2]), ("one", [-1, -1])]
)
def test_directions_turn_values_so_that_higher_is_better(direction: str, expected: list[float]) -> None:
    np.testing.assert_allclose(oriented(np.array([0.5, 2.0]), direction), expected)
    with pytest.raises(InputError, match="no direction"):
        oriented(np.array([1.0]), "up")


def test_published_results_are_those_of_the_paper() -> None:
    """Saito et al., CVPR 2017, user studies: 56 % (smoother skins), 74 % and 73 %; 150 and 100 raters."""
    (ranking,) = published_for("ranking")
    shares: dict[tuple[str, str], Any] = {(one.preferred, one.other): one.share for one in ranking.shares}
    assert shares == {("deep", "lightstage"): 0.56, ("lightstage", "pca"): 0.74, ("deep", "pca"): 0.73}
    (split,) = published_for("split-face")
    assert (split.raters, ranking.raters) == (150, 100)
    assert all(one.source and (one.shares or one.reason) for one in PUBLISHED)
    assert published_for("acr") == ()
