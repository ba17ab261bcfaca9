"""Real or fake: one picture at a time, half of them real; the rater says which.

Slots go in pairs. Both raters of a pair are given the same faces in the same order, and each face is real for one of
them and fake for the other. So at every place of a session, and for every face, real and fake come equally often. Which
rendering a fake shows follows from ``balance.cells``, where it stands from a Williams square.

With more trials than faces a face comes twice, once real and once fake, because nobody sees a picture twice. Who
remembers what the first one was could tell the second; with no more trials than faces there is nothing to remember.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from study.contract import PHOTOGRAPH, Composition, DesignSettings, Stimulus, Trial
from study.designs.answers import FAKE, REAL, is_expected, read_verdict
from study.designs.balance import block_order, cells, opposite_halves, shuffled
from study.designs.material import (
    Material,
    objections_to_conditions,
    objections_to_material,
    objections_to_options,
    read_material,
)
from study.designs.session import Page, draft, session

QUESTION = "real-or-fake"


def methods_of(settings: DesignSettings) -> tuple[str, ...]:
    """The conditions that are no photographs."""
    return tuple(name for name in settings.conditions if name != PHOTOGRAPH)


class RealOrFake:
    """A design of verdicts; see the module. Attributes as in ``study.contract.Design``."""

    name: str
    title: str
    composition: Composition
    page: Page = "real-or-fake"

    def check(self, settings: DesignSettings, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """What stands against running this design with these stimuli."""
        material = read_material(self.composition, settings, stimuli)
        said = objections_to_options(settings, ())
        said += objections_to_conditions(methods_of(settings), 1)
        if PHOTOGRAPH not in settings.conditions:
            said.append(f"half of the trials show photographs: add '{PHOTOGRAPH}' to the conditions.")
        needed = (PHOTOGRAPH, *methods_of(settings))
        said += objections_to_material(material, self.composition, settings, stimuli, needed)
        most = 2 * len(material.subjects)
        if material.subjects and settings.trials_per_rater > most:
            said.append(
                f"{settings.trials_per_rater} trials a rater need {-(-settings.trials_per_rater // 2)} subjects, "
                f"because nobody sees a photograph twice; there are {len(material.subjects)}: show at most {most} "
                "trials."
            )
        return tuple(said)

    def plan(self, settings: DesignSettings, stimuli: Sequence[Stimulus], slot: int) -> tuple[Trial, ...]:
        """The trials of the rater in ``slot``; see ``study.contract.Design``.

        Raises:
            InputError: a picture is missing.
        """
        material = read_material(self.composition, settings, stimuli)
        pair, odd = divmod(slot, 2)
        methods, key = methods_of(settings), (settings.seed, self.name)
        table = cells(len(material.subjects), len(methods), settings.trials_per_rater, pair, *key)
        order = block_order([row for row, _ in table], [column for _, column in table], len(methods), pair, *key)
        table = [table[index] for index in order]
        halves = opposite_halves([row for row, _ in table], [column for _, column in table], *key, pair)
        main = []
        for (row, column), half in zip(table, halves, strict=True):
            condition = PHOTOGRAPH if half != bool(odd) else methods[column]
            main.append(draft("main", QUESTION, [material.sha256(material.subjects[row], condition)]))
        return session(settings, slot, _training(settings, material, slot), main, _extra(settings, material, slot))

    def read_answer(self, settings: DesignSettings, trial: Trial, payload: Mapping[str, Any]) -> dict[str, Any]:
        """``{"choice": "real" | "fake"}``.

        Raises:
            InputError: a payload that does not answer this trial.
        """
        return read_verdict(payload)

    def correct(self, trial: Trial, answer: Mapping[str, Any]) -> bool | None:
        """Whether a stored answer is what ``trial.expected`` says; None where nothing is expected."""
        return is_expected(trial.expected, answer)


def _training(settings: DesignSettings, material: Material, slot: int) -> list[Trial]:
    """Photographs and fakes of subjects kept for training, as many of each, by lot; one fake leaves no doubt."""
    methods, trials = methods_of(settings), []
    for number, subject in enumerate(material.trained(settings.training, settings.seed, slot)):
        copies = material.degraded.get(subject, ())
        if number % 2:
            shown, answer = material.sha256(subject, PHOTOGRAPH), REAL
        elif number == 0 and copies:
            shown, answer = copies[0].sha256, FAKE
        else:
            shown, answer = material.sha256(subject, methods[(slot + number // 2) % len(methods)]), FAKE
        trials.append(draft("training", QUESTION, [shown], expected={"choice": answer}))
    return shuffled(trials, settings.seed, "training order", slot)


def _extra(settings: DesignSettings, material: Material, slot: int) -> list[Trial]:
    trials = []
    spoilt = shuffled(material.spoilt, settings.seed, "gold", slot)
    for number in range(settings.gold if spoilt else 0):
        _, copy = spoilt[number % len(spoilt)]
        trials.append(draft("gold", QUESTION, [copy.sha256], expected={"choice": FAKE}))
    subjects = shuffled(material.subjects, settings.seed, "attention", slot)
    wanted = shuffled((REAL, FAKE), settings.seed, "attention answer", slot)
    for number in range(settings.attention):
        shown = material.sha256(subjects[number % len(subjects)], PHOTOGRAPH)
        answer = wanted[number % 2]
        trials.append(draft("attention", f"attention-{answer}", [shown], expected={"choice": answer}))
    return trials
