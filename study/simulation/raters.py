"""Model raters: what they see of a trial, and what they answer, drawn from a population and a seed alone.

A model rater is told what a person sees: which stimuli stand on the page, and the question in words. An answer follows
from the seed, the rater's number and the trial's index, so a rehearsal that was stopped goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from recon.errors import InputError
from study.contract import PHOTOGRAPH, Page, Stimulus
from study.simulation.population import Population, mean_threshold, rounded_score

_NAMES = UUID("6f0a6c1e-6b0f-4f57-9f0b-4f7c3f1d2a55")
# How far a spoilt copy lies from the rest: nobody who looks misses it.
_SPOILT_EVIDENCE, _SPOILT_POSITION, _SPOILT_SCORE = 6.0, -6.0, 1.0
_STREAM_TRAITS, _STREAM_ANSWERS = 0, 1


@dataclass(frozen=True)
class Seen:
    """A trial as it stands on the page.

    Attributes:
        index: of the trial.
        question: identifier of the text that is read.
        stimuli: left to right.
    """

    index: int
    question: str
    stimuli: tuple[Stimulus, ...]


@dataclass(frozen=True)
class ModelRater:
    """One rater.

    Attributes:
        careless: answers all trials by lot, and fast.
        threshold: evidence above which the rater says *fake*.
        bias: added to every score; ``inconsistency``: deviation of the noise on it.
    """

    study: str
    seed: int
    number: int
    page: Page
    scales: Mapping[str, int]
    population: Population
    careless: bool
    threshold: float
    bias: float
    inconsistency: float

    @property
    def visitor(self) -> UUID:
        """What the rater's browser calls itself, the same in every visit."""
        return uuid5(_NAMES, f"{self.study} {self.seed} {self.number}")

    def answer_uuid(self, index: int) -> UUID:
        """Of the answer to one trial, the same however often it is sent."""
        return uuid5(self.visitor, str(index))

    def answer(self, seen: Seen) -> tuple[dict[str, Any], int]:
        """The answer as the page sends it, and the reaction time in ms."""
        random = np.random.default_rng([self.seed, self.number, _STREAM_ANSWERS, seen.index])
        slowly = float(random.lognormal(np.log(2500), 0.35))
        if self.careless:
            return self._by_lot(seen, random), int(random.integers(150, 450))
        if seen.question.startswith("attention-"):
            return self._as_told(seen), int(slowly)
        if random.uniform() < self.population.lapses:
            return self._by_lot(seen, random), int(slowly)
        return self._judged(seen, random), int(slowly)

    def _judged(self, seen: Seen, random: np.random.Generator) -> dict[str, Any]:
        if self.page == "real-or-fake":
            evidence = self._evidence(seen.stimuli[0]) + random.normal()
            return {"choice": "fake" if evidence > self.threshold else "real"}
        if self.page == "scales":
            at = _SPOILT_SCORE if seen.stimuli[0].degraded else self._ability(seen.stimuli[0])
            scores = {}
            for name, steps in self.scales.items():
                noise = 0.0 if seen.stimuli[0].degraded else self.bias + self.inconsistency * random.normal()
                scores[name] = int(rounded_score(at + noise, steps))
            return {"scores": scores}
        looks = [_SPOILT_POSITION if one.degraded else self._ability(one) for one in seen.stimuli]
        order = np.argsort(-(np.array(looks) + random.normal(size=len(looks)) * np.sqrt(0.5)), kind="stable").tolist()
        return {"order": order} if self.page == "ranking" else {"choice": order[0]}

    def _evidence(self, stimulus: Stimulus) -> float:
        if stimulus.degraded:
            return _SPOILT_EVIDENCE
        return 0.0 if stimulus.condition == PHOTOGRAPH else self._ability(stimulus)

    def _ability(self, stimulus: Stimulus) -> float:
        abilities = self.population.abilities
        if stimulus.condition == PHOTOGRAPH and PHOTOGRAPH not in abilities:
            # It does not compete, and stands beside its spoilt copy in gold trials: no rendering looks more real.
            return max(abilities.values())
        if stimulus.condition not in abilities:
            raise InputError(f"a trial shows '{stimulus.condition}', whose ability is not known: give it one.")
        return abilities[stimulus.condition]

    def _by_lot(self, seen: Seen, random: np.random.Generator) -> dict[str, Any]:
        if self.page == "real-or-fake":
            return {"choice": ("real", "fake")[int(random.integers(2))]}
        if self.page == "choice":
            return {"choice": int(random.integers(len(seen.stimuli)))}
        if self.page == "ranking":
            return {"order": random.permutation(len(seen.stimuli)).tolist()}
        return {"scores": {name: int(random.integers(1, steps + 1)) for name, steps in self.scales.items()}}

    def _as_told(self, seen: Seen) -> dict[str, Any]:
        """What the question of an attention trial says to answer."""
        told = seen.question.removeprefix("attention-")
        if told in ("real", "fake"):
            return {"choice": told}
        if told in ("left", "right"):
            return {"choice": ("left", "right").index(told)}
        if told == "last":
            return {"order": [*range(1, len(seen.stimuli)), 0]}
        if told.isdigit():
            return {"scores": {name: int(told) for name in self.scales}}
        raise InputError(f"model raters do not know how to answer the question '{seen.question}'.")


def model_raters(
    study: str, page: Page, scales: Mapping[str, int], population: Population, count: int, seed: int
) -> Sequence[ModelRater]:
    """``count`` raters of ``population``; the first of them are the same however many there are."""
    made = []
    for number in range(count):
        random = np.random.default_rng([seed, number, _STREAM_TRAITS])
        careless = bool(random.uniform() < population.careless)
        normal = random.normal(size=3)
        made.append(
            ModelRater(
                study, seed, number, page, scales, population, careless,
                threshold=mean_threshold(population) + population.criterion_deviation * float(normal[0]),
                bias=population.bias_deviation * float(normal[1]),
                inconsistency=population.inconsistency * float(np.exp(population.inconsistency_spread * normal[2])),
            )
        )  # fmt: skip
    return made
