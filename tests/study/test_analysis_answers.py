"""Whole studies without a server: the designs' own trials, model raters, stored answers, and what analysis makes of it.

Model raters have known abilities and biases, so every number here has its truth.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from design_pictures import picture, pictures, settings
from scipy.special import ndtr

from recon.errors import InputError
from study.analysis.answers import Answer, choices_frame, rankings_frame, scores_frame, verdicts_frame
from study.analysis.bradley_terry import bradley_terry
from study.analysis.choices import choices_from_frame, preferences
from study.analysis.fooling import fooling_rates, verdicts_from_frame
from study.analysis.opinion_scores import condition_opinions, scores_from_frame
from study.analysis.plackett_luce import plackett_luce, rankings_from_frame
from study.analysis.power import plan_from_trials, power_of
from study.analysis.signal_detection import detections
from study.analysis.subject_bias import subject_model
from study.contract import PHOTOGRAPH, Design, DesignSettings, Stimulus, Trial
from study.designs import DESIGNS

METHODS = ("lightstage", "meso", "pca")


class ModelRater:
    """Sees each picture's realism with normal or Gumbel noise, and answers by it."""

    def __init__(self, realism: dict[str, float], seed: int, bias: float = 0.0) -> None:
        self.realism, self.bias, self.rng = realism, bias, np.random.default_rng(seed)

    def answer(self, page: str, conditions: list[str]) -> dict[str, Any]:
        worth = np.array([self.realism[name] for name in conditions])
        if page == "real-or-fake":
            return {"choice": "real" if worth[0] + self.rng.normal() + self.bias > 0 else "fake"}
        if page == "choice":
            return {"choice": int(np.argmax(worth + self.rng.gumbel(size=2)))}
        if page == "ranking":
            return {"order": np.argsort(-(worth + self.rng.gumbel(size=len(worth)))).tolist()}
        return {"scores": {"realism": int(np.clip(np.rint(worth[0] + self.bias + 0.7 * self.rng.normal()), 1, 5))}}


def study(
    design: Design, choice: DesignSettings, stimuli: tuple[Stimulus, ...], realism: dict[str, float], spread: float
) -> list[Answer]:
    condition = {one.sha256: one.condition for one in stimuli}
    biases = spread * np.random.default_rng(0).normal(size=choice.raters)
    assert design.check(choice, stimuli) == ()
    answers = []
    for slot in range(choice.raters):
        rater = ModelRater(realism, slot + 1, biases[slot])
        for trial in design.plan(choice, stimuli, slot):
            payload = rater.answer(design.page, [condition[name] for name in trial.shown])
            answers.append(Answer(f"rater {slot:03}", trial, design.read_answer(choice, trial, payload)))
    return answers


def test_the_published_split_face_study() -> None:
    """150 raters, 11 faces, five methods. Realism is on the scale of z: photographs 0.5, so a method's d′ is 0.5 less
    its realism. Means over raters of different criteria (σ 0.6) lie at Φ(realism / √(1 + 0.36))."""
    realism = {"deep": 0.3, "deep-linear": -0.2, "deep-nearest": -0.3, "visio": -0.8, "pca": -1.5, PHOTOGRAPH: 0.5}
    methods = tuple(name for name in realism if name != PHOTOGRAPH)
    design = DESIGNS.get("split-face")
    stimuli = pictures(11, methods, "split")
    choice = settings((*methods, PHOTOGRAPH), 11, 150)
    verdicts = verdicts_from_frame(verdicts_frame(study(design, choice, stimuli, realism, 0.6), stimuli))
    found = fooling_rates(verdicts)
    assert found.rates[-1].condition == PHOTOGRAPH
    for rate in found.rates:
        expected = ndtr(realism[rate.condition] / np.sqrt(1.36))
        # Four standard errors of the interval, for six intervals at once.
        assert abs(rate.mean - expected) < 1.05 * (rate.high - rate.low)
    order = sorted(found.rates[:-1], key=lambda rate: -rate.mean)
    assert (order[0].condition, order[-1].condition) == ("deep", "pca")
    assert {rate.condition: rate.rank for rate in found.rates}["deep"] == 1
    by_pair = {(one.first, one.second): one for one in found.contrasts}
    assert by_pair["deep", "pca"].higher == "deep"
    for one in detections(verdicts):
        truth = (0.5 - realism[one.condition]) / np.sqrt(1.36)
        assert abs(one.d_prime - truth) < 1.05 * (one.d_prime_high - one.d_prime_low)


def test_the_published_ranking_study() -> None:
    """100 raters, 3 sets. Abilities are put in from two of the published shares: log(0.56/0.44), log(0.74/0.26)."""
    realism = {"lightstage": np.log(0.74 / 0.26), "pca": 0.0}
    realism["meso"] = realism["lightstage"] + np.log(0.56 / 0.44)
    design, stimuli = DESIGNS.get("ranking"), pictures(3, METHODS)
    answers = study(design, settings(METHODS, 3, 100), stimuli, realism, 0.0)
    rankings = rankings_from_frame(rankings_frame(answers, stimuli))
    scale = plackett_luce(rankings).relative_to("pca")
    truth = np.array([realism[name] for name in METHODS])
    assert scale.names == METHODS and (scale.raters, scale.answers) == (100, 300)
    assert (np.abs(scale.ability - truth)[:2] < 3.5 * scale.error[:2]).all()
    shares = preferences(rankings.as_choices())
    assert shares.count[0, 1] == 300
    assert shares.share[0, 2] == pytest.approx(0.74, abs=4 * np.sqrt(0.74 * 0.26 / 300))
    assert shares.low[0, 2] < shares.share[0, 2] < shares.high[0, 2]


def test_a_pairwise_study() -> None:
    realism = {"lightstage": 0.6, "meso": 0.8, "pca": -0.7}
    design, stimuli = DESIGNS.get("pairwise"), pictures(12, METHODS)
    frame = choices_frame(study(design, settings(METHODS, 12, 40), stimuli, realism, 0.0), stimuli)
    scale = bradley_terry(choices_from_frame(frame))
    truth = np.array([realism[name] for name in METHODS])
    assert (np.abs(scale.ability - (truth - truth.mean())) < 3.5 * scale.error).all()
    assert frame["side"].mean() == pytest.approx(0.5, abs=0.1)
    assert len(frame) == 480 and set(frame["subject"]) == {f"s{i:02}" for i in range(12)}


def test_a_study_of_opinion_scores() -> None:
    """Biases of σ = 0.6 cancel between conditions, and the subject model finds them."""
    realism = {"lightstage": 3.6, "meso": 3.5, "pca": 2.2}
    design, stimuli = DESIGNS.get("acr"), pictures(10, METHODS)
    choice = settings(METHODS, 15, 40, options={"scales": {"realism": 5}})
    frame = scores_frame(study(design, choice, stimuli, realism, 0.6), stimuli)
    found = condition_opinions(frame)
    for name, mean, low, high in zip(found.names, found.mean, found.low, found.high, strict=True):
        assert abs(mean - realism[name]) < 1.05 * (high - low)
    assert found.ranks[2] == 2 or found.ranks[2] == 3
    model = subject_model(scores_from_frame(frame))
    biases = 0.6 * np.random.default_rng(0).normal(size=40)
    assert np.corrcoef(model.bias, biases)[0, 1] > 0.9
    assert len(model.names) == 30 and set(frame["scale"]) == {"realism"}


def test_the_power_of_a_study_is_that_of_its_own_trials() -> None:
    """5.5 of 11 trials show one of five methods: 1.1 of each."""
    methods = ("a", "b", "c", "d", "e")
    design, stimuli = DESIGNS.get("split-face"), pictures(11, methods, "split")
    choice = settings((*methods, PHOTOGRAPH), 11, 150)
    plan = plan_from_trials(design.page, [design.plan(choice, stimuli, slot) for slot in range(150)], stimuli)
    assert plan.judgements == pytest.approx(1.1, abs=0.01) and (plan.raters, plan.comparisons) == (150, 10)
    assert 0.2 < power_of(plan, 0.2).power < 1.0


def test_only_main_trials_are_analysed_and_partial_orders_kept() -> None:
    stimuli = pictures(1, METHODS)
    shown = tuple(one.sha256 for one in stimuli[:3])
    main = Trial(4, "main", "ranking", shown)
    gold = Trial(5, "gold", "ranking", shown)
    frame = rankings_frame([Answer("r", main, {"order": [2, 0]}), Answer("r", gold, {"order": [0, 1, 2]})], stimuli)
    assert frame["rank"].fillna(0).tolist() == [2, 0, 1]
    assert frame["trial"].tolist() == [4, 4, 4]
    rankings_from_frame(frame)
    assert verdicts_frame([], stimuli).empty


@pytest.mark.parametrize(
    ("read", "shown", "answer"),
    [
        (verdicts_frame, 1, {"choice": "perhaps"}),
        (verdicts_frame, 2, {"choice": "real"}),
        (choices_frame, 2, {"choice": 2}),
        (choices_frame, 2, {"order": [0, 1]}),
        (rankings_frame, 3, {"order": [0, 0, 1]}),
        (rankings_frame, 3, {"order": [0, 3]}),
        (rankings_frame, 3, {"order": None}),
        (scores_frame, 1, {"scores": 4}),
    ],
)
def test_answers_of_another_form_are_refused(read: Any, shown: int, answer: dict[str, Any]) -> None:
    stimuli = pictures(1, METHODS)
    trial = Trial(0, "main", "q", tuple(one.sha256 for one in stimuli[:shown]))
    with pytest.raises(InputError, match="trial 0 of rater r is not"):
        read([Answer("r", trial, answer)], stimuli)
    with pytest.raises(InputError, match="none of the study's stimuli"):
        read([Answer("r", trial, answer)], [picture("other", "meso")])
