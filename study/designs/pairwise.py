"""Pairwise choice (2AFC): two pictures of one person side by side; which looks more real, or more like this person?

Pairs of conditions come in the rounds of a round-robin tournament (circle method), each round using every condition at
most once. A rater who sees a person more than once sees them in one round, so no picture twice. Over the slots each
person is shown with each pair either way round equally often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from study.contract import PHOTOGRAPH, Composition, Design, DesignSettings, Stimulus, Trial
from study.designs.answers import is_expected, read_position
from study.designs.balance import cells, drawn, shuffled
from study.designs.material import (
    Material,
    objections_to_conditions,
    objections_to_material,
    objections_to_options,
    read_material,
    yes_or_no,
)
from study.designs.session import Page, draft, session

QUESTION = "choice"
SIDES = ("left", "right")


def round_robin(count: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Rounds of pairs of ``0 … count − 1``: every pair once, no number twice in a round."""
    seats: list[int | None] = [*range(count), *([None] if count % 2 else [])]
    half = len(seats) // 2
    rounds = []
    for turn in range(len(seats) - 1):
        facing = zip(seats[:half], reversed(seats[half:]), strict=True)
        pairs = [(one, other) for one, other in facing if one is not None and other is not None]
        rounds.append(tuple(pair if (turn + place) % 2 else pair[::-1] for place, pair in enumerate(pairs)))
        seats = [seats[0], seats[-1], *seats[1:-1]]
    return tuple(rounds)


class Pairwise:
    """See the module. Attributes as in ``study.contract.Design``."""

    name = "pairwise"
    title = "Two pictures of one person: which one?"
    page: Page = "choice"
    composition: Composition = "single"

    def check(self, settings: DesignSettings, stimuli: Sequence[Stimulus]) -> tuple[str, ...]:
        """What stands against running this design with these stimuli."""
        material = read_material(self.composition, settings, stimuli)
        said = objections_to_options(settings, ("reference",))
        said += objections_to_conditions(settings.conditions, 2)
        needed = [*settings.conditions]
        if PHOTOGRAPH not in needed and (_reference(settings) or settings.gold or settings.training):
            needed.append(PHOTOGRAPH)
        elif _reference(settings):
            said.append("the photograph is both shown as the reference and to be chosen: take it from the conditions.")
        said += objections_to_material(material, self.composition, settings, stimuli, needed)
        people, meetings = len(material.subjects), len(settings.conditions) // 2
        count = settings.trials_per_rater
        if people and count > people and (count % people or count > people * meetings):
            more = ", ".join(str(people * passes) for passes in range(2, meetings + 1))
            said.append(
                f"{count} trials a rater cannot be balanced over {people} people without showing a picture twice: "
                f"take at most {people}" + f", or {more}" * bool(more) + "."
            )
        return tuple(said)

    def plan(self, settings: DesignSettings, stimuli: Sequence[Stimulus], slot: int) -> tuple[Trial, ...]:
        """The trials of the rater in ``slot``; see ``study.contract.Design``.

        Raises:
            InputError: a picture is missing.
        """
        material = read_material(self.composition, settings, stimuli)
        names = shuffled(settings.conditions, settings.seed, self.name, "conditions")
        main = []
        for person, (left, right) in _pairs(len(material.subjects), settings, slot):
            subject = material.subjects[person]
            shown = [material.sha256(subject, names[place]) for place in (left, right)]
            main.append(draft("main", QUESTION, shown, _reference_of(settings, material, subject)))
        training = _known(settings, material, material.training, "training", settings.training, slot)
        gold = _known(settings, material, material.subjects, "gold", settings.gold, slot)
        return session(settings, slot, training, main, [*gold, *_attention(settings, material, slot)])

    def read_answer(self, settings: DesignSettings, trial: Trial, payload: Mapping[str, Any]) -> dict[str, Any]:
        """``{"choice": 0 | 1}``: the position on the page, 0 on the left.

        Raises:
            InputError: a payload that does not answer this trial.
        """
        return read_position(trial, payload)

    def correct(self, trial: Trial, answer: Mapping[str, Any]) -> bool | None:
        """Whether a stored answer is what ``trial.expected`` says; None where nothing is expected."""
        return is_expected(trial.expected, answer)


def _reference(settings: DesignSettings) -> bool:
    return yes_or_no(settings, "reference")


def _reference_of(settings: DesignSettings, material: Material, subject: str) -> str:
    return material.sha256(subject, PHOTOGRAPH) if _reference(settings) else ""


def _pairs(people: int, settings: DesignSettings, slot: int) -> list[tuple[int, tuple[int, int]]]:
    """Who is shown with which two conditions, left and right, in the order of one slot."""
    rounds = round_robin(len(settings.conditions))
    pairs = [pair for matches in rounds for pair in matches]
    meetings, key = len(rounds[0]), (settings.seed, "pairwise")

    def sides(place: int, turned: int) -> tuple[int, int]:
        return pairs[place] if turned % 2 else pairs[place][::-1]

    if settings.trials_per_rater <= people:
        table = cells(people, 2 * len(pairs), settings.trials_per_rater, slot, *key, shuffle=False)
        chosen = [(person, sides(u % len(pairs), u // len(pairs))) for person, u in table]
        return shuffled(chosen, *key, "order", slot)
    # Every person once a pass, in all passes in the same round of the tournament.
    block, place = divmod(slot, 2 * len(pairs))
    named = shuffled(range(people), *key, "people", block)
    order: list[tuple[int, tuple[int, int]]] = []
    for turn in range(settings.trials_per_rater // people):
        one_pass = []
        for row, person in enumerate(named):
            turned, pair = divmod((row + place) % (2 * len(pairs)), len(pairs))
            round_, match = divmod(pair, meetings)
            one_pass.append((person, sides(round_ * meetings + (match + turn) % meetings, turned + turn)))
        order += shuffled(one_pass, *key, "order", slot, turn)
    return order


def _known(
    settings: DesignSettings,
    material: Material,
    subjects: Sequence[str],
    part: Literal["training", "gold"],
    count: int,
    slot: int,
) -> list[Trial]:
    """The photograph beside its spoilt copy: the photograph is the answer."""
    spoilt = shuffled([s for s in subjects if s in material.degraded], settings.seed, part, slot)
    trials = []
    for number in range(count if spoilt else 0):
        subject = spoilt[number % len(spoilt)]
        both = [material.sha256(subject, PHOTOGRAPH), material.degraded[subject][0].sha256]
        right = drawn(2, settings.seed, part, slot, number)
        shown = both[::-1] if right else both
        trials.append(
            draft(part, QUESTION, shown, _reference_of(settings, material, subject), expected={"choice": right})
        )
    return trials


def _attention(settings: DesignSettings, material: Material, slot: int) -> list[Trial]:
    subjects = shuffled(material.subjects, settings.seed, "attention", slot)
    trials = []
    for number in range(settings.attention):
        subject = subjects[number % len(subjects)]
        names = shuffled(settings.conditions, settings.seed, "attention", slot, number)[:2]
        side = drawn(2, settings.seed, "attention side", slot, number)
        shown = [material.sha256(subject, name) for name in names]
        reference = _reference_of(settings, material, subject)
        trials.append(draft("attention", f"attention-{SIDES[side]}", shown, reference, expected={"choice": side}))
    return trials


PAIRWISE: Design = Pairwise()
