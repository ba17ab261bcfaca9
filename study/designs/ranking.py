"""Ranking: several renderings of one person, sorted from realistic to unrealistic.

The design of the published study (Saito et al., CVPR 2017: 100 raters, 3 sets). A rater sees each person once. Where
fewer pictures are shown at a time than there are conditions (``set_size``), all subsets come equally often. On the page
the pictures of a set stand in the order of a row of a Williams square, and over the slots each person is shown with
each row equally often, so that no condition gains from where it stood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Literal

from study.contract import Composition, Design, DesignSettings, Stimulus, Trial
from study.designs.answers import is_expected, read_order
from study.designs.balance import cells, drawn, shuffled, williams
from study.designs.material import (
    Material,
    objections_to_conditions,
    objections_to_material,
    objections_to_options,
    read_material,
    whole_number,
)
from study.designs.session import Page, draft, session

QUESTION = "ranking"
# A ranking of more is no longer done with care on one page.
MOST_IN_A_SET = 12


class Ranking:
    """See the module. Attributes as in ``study.contract.Design``."""

    name = "ranking"
    title = "Several pictures of one person, sorted from realistic to unrealistic"
    page: Page = "ranking"
    composition: Composition = "single"

    def check(self, settings: DesignSettings, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """What stands against running this design with these stimuli."""
        material = read_material(self.composition, settings, stimuli)
        said = objections_to_options(settings, ("set_size",))
        said += objections_to_conditions(settings.conditions, 2)
        said += objections_to_material(material, self.composition, settings, stimuli, settings.conditions)
        size, most = _set_size(settings), min(MOST_IN_A_SET, len(settings.conditions))
        if not 2 <= size <= most:
            said.append(f"set_size is {size}: a set has from 2 to {most} pictures.")
        if material.subjects and settings.trials_per_rater > len(material.subjects):
            said.append(
                f"{settings.trials_per_rater} sets a rater need as many people, because nobody ranks a person twice; "
                f"there are {len(material.subjects)}."
            )
        return tuple(said)

    def plan(self, settings: DesignSettings, stimuli: Sequence[Stimulus], slot: int) -> tuple[Trial, ...]:
        """The trials of the rater in ``slot``; see ``study.contract.Design``.

        Raises:
            InputError: a picture is missing.
        """
        material = read_material(self.composition, settings, stimuli)
        size, seed = _set_size(settings), settings.seed
        sets, rows = tuple(combinations(settings.conditions, size)), williams(size)
        table = cells(len(material.subjects), len(sets) * len(rows), settings.trials_per_rater, slot, seed, self.name)
        main = []
        for person, column in shuffled(table, seed, self.name, "order", slot):
            chosen, row = sets[column // len(rows)], rows[column % len(rows)]
            subject = material.subjects[person]
            main.append(draft("main", QUESTION, [material.sha256(subject, chosen[place]) for place in row]))
        spoilt = shuffled(material.spoilt, seed, "gold", slot)
        gold = [
            _with_spoilt(settings, material, spoilt[n % len(spoilt)], "gold", slot, n)
            for n in range(settings.gold if spoilt else 0)
        ]
        return session(
            settings, slot, _training(settings, material, slot), main, [*gold, *_attention(settings, material, slot)]
        )

    def read_answer(self, settings: DesignSettings, trial: Trial, payload: Mapping[str, Any]) -> dict[str, Any]:
        """``{"order": [2, 0, 1]}``: positions on the page, the most realistic first.

        Raises:
            InputError: a payload that does not answer this trial.
        """
        return read_order(trial, payload)

    def correct(self, trial: Trial, answer: Mapping[str, Any]) -> bool | None:
        """Whether a stored answer is what ``trial.expected`` says; None where nothing is expected."""
        return is_expected(trial.expected, answer)


def _set_size(settings: DesignSettings) -> int:
    return whole_number(settings, "set_size", len(settings.conditions))


def _with_spoilt(
    settings: DesignSettings,
    material: Material,
    spoilt: tuple[str, Stimulus],
    part: Literal["gold", "training"],
    slot: int,
    number: int,
) -> Trial:
    """A set in which a spoilt copy took one picture's place: it must come last."""
    subject, copy = spoilt
    key = (settings.seed, part, slot, number)
    names = shuffled(settings.conditions, *key, "set")[: _set_size(settings)]
    place = drawn(len(names), *key, "place")
    shown = [material.sha256(subject, name) for name in names]
    shown[place] = copy.sha256
    return draft(part, QUESTION, shown, expected={"last": place})


def _training(settings: DesignSettings, material: Material, slot: int) -> list[Trial]:
    """Sets with a spoilt copy, where there is one, so that there is an answer."""
    trials = []
    for number, subject in enumerate(material.trained(settings.training, settings.seed, slot)):
        copies = material.degraded.get(subject, ())
        if copies:
            trials.append(_with_spoilt(settings, material, (subject, copies[0]), "training", slot, number))
        else:
            names = shuffled(settings.conditions, settings.seed, "training", slot, number)[: _set_size(settings)]
            trials.append(draft("training", QUESTION, [material.sha256(subject, name) for name in names]))
    return trials


def _attention(settings: DesignSettings, material: Material, slot: int) -> list[Trial]:
    """The leftmost picture shall be put last: an order that leaving all as it stands does not give."""
    subjects = shuffled(material.subjects, settings.seed, "attention", slot)
    trials = []
    for number in range(settings.attention):
        names = shuffled(settings.conditions, settings.seed, "attention", slot, number)[: _set_size(settings)]
        shown = [material.sha256(subjects[number % len(subjects)], name) for name in names]
        trials.append(draft("attention", "attention-last", shown, expected={"last": 0}))
    return trials


RANKING: Design = Ranking()
