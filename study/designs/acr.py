"""Absolute category rating (ITU-T P.910, ACR): one picture at a time, an opinion score on one or several scales.

The scales are the study file's. With ``reference: true`` the person's photograph is shown apart, which a scale of
resemblance needs. Photographs among the conditions make it ACR with hidden reference. Each picture is seen at most once
by a rater, and over the slots equally often; conditions come in the order of Williams squares.

A spoilt copy is expected in the lower half of the first scale, which therefore must be one on which more is better.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from study.contract import PHOTOGRAPH, Composition, Design, DesignSettings, Stimulus, Trial
from study.designs.answers import is_expected, read_scores
from study.designs.balance import block_order, cells, drawn, shuffled
from study.designs.material import (
    Material,
    objections_to_conditions,
    objections_to_material,
    objections_to_options,
    read_material,
    yes_or_no,
)
from study.designs.session import Page, draft, session

QUESTION = "scores"
STEPS = (2, 11)


def scales_of(settings: DesignSettings) -> dict[str, int]:
    """Name of each scale and the number of its steps, in the order in which they stand on the page."""
    return {str(name): int(steps) for name, steps in dict(settings.options.get("scales", {})).items()}


class OpinionScores:
    """A design of opinion scores. Attributes as in ``study.contract.Design``.

    Attributes:
        referenced: the photograph is always shown as the reference (DSIS).
    """

    name: str
    title: str
    referenced: bool = False
    page: Page = "scales"
    composition: Composition = "single"

    def check(self, settings: DesignSettings, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """What stands against running this design with these stimuli."""
        material = read_material(self.composition, settings, stimuli)
        said = objections_to_options(settings, ("scales",) if self.referenced else ("scales", "reference"))
        said += objections_to_conditions(settings.conditions, 1)
        needed = list(dict.fromkeys([*settings.conditions, *([PHOTOGRAPH] if self._reference(settings) else [])]))
        said += objections_to_material(material, self.composition, settings, stimuli, needed)
        scales = scales_of(settings)
        if not scales:
            said.append("there is no scale to score on: give at least one under 'scales'.")
        for name, steps in scales.items():
            if not STEPS[0] <= steps <= STEPS[1]:
                said.append(f"the scale '{name}' has {steps} steps: give it from {STEPS[0]} to {STEPS[1]} labels.")
        most = len(material.subjects) * len(settings.conditions)
        if material.subjects and settings.trials_per_rater > most:
            said.append(
                f"{settings.trials_per_rater} trials a rater need as many pictures, because nobody sees one twice; "
                f"there are {most}."
            )
        return tuple(said)

    def plan(self, settings: DesignSettings, stimuli: Sequence[Stimulus], slot: int) -> tuple[Trial, ...]:
        """The trials of the rater in ``slot``; see ``study.contract.Design``.

        Raises:
            InputError: a picture is missing.
        """
        material = read_material(self.composition, settings, stimuli)
        key, count = (settings.seed, self.name), len(settings.conditions)
        table = cells(len(material.subjects), count, settings.trials_per_rater, slot, *key)
        order = block_order([row for row, _ in table], [column for _, column in table], count, slot, *key)
        main = []
        for row, column in (table[index] for index in order):
            subject = material.subjects[row]
            shown = material.sha256(subject, settings.conditions[column])
            main.append(self._draft(settings, material, "main", subject, shown))
        extra = [*self._gold(settings, material, slot), *self._attention(settings, material, slot)]
        return session(settings, slot, self._training(settings, material, slot), main, extra)

    def read_answer(self, settings: DesignSettings, trial: Trial, payload: Mapping[str, Any]) -> dict[str, Any]:
        """``{"scores": {scale: 1 … steps}}``, on every scale.

        Raises:
            InputError: a payload that does not answer this trial.
        """
        return read_scores(scales_of(settings), payload)

    def correct(self, trial: Trial, answer: Mapping[str, Any]) -> bool | None:
        """Whether a stored answer is what ``trial.expected`` says; None where nothing is expected."""
        return is_expected(trial.expected, answer)

    def _reference(self, settings: DesignSettings) -> bool:
        return self.referenced or yes_or_no(settings, "reference")

    def _draft(
        self,
        settings: DesignSettings,
        material: Material,
        part: Literal["training", "main", "gold", "attention"],
        subject: str,
        shown: str,
        expected: Mapping[str, Any] | None = None,
        question: str = QUESTION,
    ) -> Trial:
        reference = material.sha256(subject, PHOTOGRAPH) if self._reference(settings) else ""
        return draft(part, question, [shown], reference, expected)

    def _low(self, settings: DesignSettings) -> dict[str, Any]:
        scale, steps = next(iter(scales_of(settings).items()))
        return {"at_most": {scale: steps // 2}}

    def _high(self, settings: DesignSettings) -> dict[str, Any]:
        scale, steps = next(iter(scales_of(settings).items()))
        return {"at_least": {scale: steps - steps // 2 + 1}}

    def _gold(self, settings: DesignSettings, material: Material, slot: int) -> list[Trial]:
        """Spoilt copies; against a reference also, in turn, the photograph itself."""
        trials = []
        spoilt = shuffled(material.spoilt, settings.seed, "gold", slot)
        for number in range(settings.gold if spoilt else 0):
            subject, copy = spoilt[number % len(spoilt)]
            if self.referenced and number % 2:
                shown, expected = material.sha256(subject, PHOTOGRAPH), self._high(settings)
            else:
                shown, expected = copy.sha256, self._low(settings)
            trials.append(self._draft(settings, material, "gold", subject, shown, expected))
        return trials

    def _attention(self, settings: DesignSettings, material: Material, slot: int) -> list[Trial]:
        """On all scales the step that the question names."""
        scales = scales_of(settings)
        subjects = shuffled(material.subjects, settings.seed, "attention", slot)
        trials = []
        for number in range(settings.attention):
            subject = subjects[number % len(subjects)]
            place = drawn(len(settings.conditions), settings.seed, "attention picture", slot, number)
            step = 1 + drawn(min(scales.values()), settings.seed, "attention step", slot, number)
            shown = material.sha256(subject, settings.conditions[place])
            expected = {"scores": dict.fromkeys(scales, step)}
            trials.append(self._draft(settings, material, "attention", subject, shown, expected, f"attention-{step}"))
        return trials

    def _training(self, settings: DesignSettings, material: Material, slot: int) -> list[Trial]:
        """The range of the scale: spoilt copies and pictures as they are, in turn; only the spoilt have an answer."""
        trials = []
        for number, subject in enumerate(material.trained(settings.training, settings.seed, slot)):
            copies = material.degraded.get(subject, ())
            if copies and number % 2 == 0:
                trials.append(
                    self._draft(settings, material, "training", subject, copies[0].sha256, self._low(settings))
                )
            else:
                condition = settings.conditions[(slot + number) % len(settings.conditions)]
                shown = material.sha256(subject, condition)
                trials.append(self._draft(settings, material, "training", subject, shown))
        return trials


class AbsoluteCategoryRating(OpinionScores):
    """See the module."""

    name = "acr"
    title = "One picture at a time, scored on one or several scales"


ACR: Design = AbsoluteCategoryRating()
