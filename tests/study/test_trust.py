"""What may be said of metrics that agree with people: on frames whose agreement is put in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metrics.comparison import Estimate
from study.analysis.metric_agreement import Agreements, MetricAgreement, MetricContrast, metric_agreement
from study.report.trust import trust, trust_in_words

SUBJECTS, CONDITIONS = 20, 4
_RNG = np.random.default_rng(3)
SCORE = _RNG.normal(size=SUBJECTS * CONDITIONS)


def _frame(name: str, values: NDArray[np.float64]) -> pd.DataFrame:
    places = [(f"m{index % CONDITIONS}", f"s{index // CONDITIONS}") for index in range(len(values))]
    return pd.DataFrame(places, columns=["condition", "subject"]).assign(**{name: values})


def _found(metrics: dict[str, NDArray[np.float64]], names: Sequence[str]) -> Agreements:
    values = pd.concat([_frame("value", metrics[name]).assign(metric=name, direction="higher") for name in names])
    return metric_agreement(_frame("score", SCORE), values, resamples=200)


def _deaf() -> NDArray[np.float64]:
    """Noise without even the correlation that chance would give it."""
    noise, score = _RNG.normal(size=SCORE.size), SCORE - SCORE.mean()
    return noise - score * (noise @ score) / (score @ score)


METRICS = {
    "faithful": SCORE + _RNG.normal(scale=0.1, size=SCORE.size),
    "rough": SCORE + _RNG.normal(scale=1.5, size=SCORE.size),
    "deaf": _deaf(),
    "contrary": -SCORE + _RNG.normal(scale=0.3, size=SCORE.size),
}


def test_the_metric_that_says_what_people_say_leads() -> None:
    said = trust(_found(METRICS, list(METRICS)))
    assert said.leader is not None and said.leader.metric == "faithful"
    assert (said.beyond_chance, said.compared) == (2, 4)
    assert "rough" in said.worse and said.alike == ()
    assert said.against == ("contrary",)
    words = trust_in_words("realism", _found(METRICS, list(METRICS)))
    assert "faithful agrees most" in words and "a little too good" in words and "contrary among them" in words


def test_of_noise_none_is_trusted() -> None:
    found = _found(METRICS, ["deaf", "contrary"])
    assert trust(found).leader is None
    assert "none of 2 metrics agrees with people beyond chance" in trust_in_words("realism", found)


def test_a_copy_of_the_leader_is_not_told_from_it() -> None:
    near = METRICS["faithful"] + np.random.default_rng(4).normal(scale=1e-3, size=SCORE.size)
    found = _found({**METRICS, "twin": near}, ["faithful", "twin", "rough"])
    assert len(trust(found).alike) == 1


def test_a_metric_of_higher_srcc_that_may_be_chance_makes_the_leader_no_worse() -> None:
    def agreement(name: str, srcc: float, low: float) -> MetricAgreement:
        seen = Estimate(srcc, low, 0.9, 20)
        return MetricAgreement(name, seen, seen, seen, items=80, missing=0)

    unsure, leader = agreement("unsure", 0.5, -0.1), agreement("leader", 0.4, 0.2)
    apart = MetricContrast("unsure", "leader", 80, Estimate(0.1, -0.4, 0.6, 20), 0.3, 3.0, 0.001, 0.001)
    said = trust(Agreements((unsure, leader), (apart,)))
    assert said.leader is leader and (said.worse, said.alike) == ((), ())
