"""The stimuli of a study as its design needs them: by subject and condition, with what is missing named."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recon.errors import InputError
from study.contract import PHOTOGRAPH, Composition, DesignSettings, Stimulus
from study.designs.balance import shuffled

TRAINING_SUBJECTS = "training_subjects"
"""The option, known to every design, that names the subjects who are kept for training trials."""


@dataclass(frozen=True, eq=False)
class Material:
    """Stimuli of one composition.

    Attributes:
        subjects: of main trials, in alphabetical order; ``training`` those of training trials.
        whole: the stimulus of a subject and a condition that is not degraded.
        degraded: spoilt copies of a subject, those of the photograph first.
    """

    subjects: tuple[str, ...]
    training: tuple[str, ...]
    whole: Mapping[tuple[str, str], Stimulus]
    degraded: Mapping[str, tuple[Stimulus, ...]]

    def sha256(self, subject: str, condition: str) -> str:
        """Of the stimulus of a subject and a condition.

        Raises:
            InputError: there is none.
        """
        found = self.whole.get((subject, condition))
        if found is None:
            raise InputError(f"the study has no picture of '{subject}' by '{condition}': build its stimuli again.")
        return found.sha256

    def trained(self, count: int, *key: object) -> list[str]:
        """Subjects of ``count`` training trials, in turn, those of even and odd trials changing about; none if none."""
        names = shuffled(self.training, *key, "training")
        number = len(names)
        # An even number of subjects would meet trials that alternate always with the same kind of trial.
        shift = 1 - number % 2
        return [names[(trial + shift * (trial // number)) % number] for trial in range(count)] if names else []

    @property
    def spoilt(self) -> tuple[tuple[str, Stimulus], ...]:
        """Subjects of main trials with a spoilt copy, and that copy; what gold trials are made of."""
        return tuple((subject, self.degraded[subject][0]) for subject in self.subjects if subject in self.degraded)


def read_material(composition: Composition, settings: DesignSettings, stimuli: Sequence[Stimulus]) -> Material:
    """Sorts the stimuli of ``composition``."""
    own = sorted((s for s in stimuli if s.composition == composition), key=lambda s: (s.subject, s.condition, s.sha256))
    kept = tuple(settings.options.get(TRAINING_SUBJECTS, ()))
    wanted = {*settings.conditions, PHOTOGRAPH}
    whole = {(s.subject, s.condition): s for s in reversed(own) if not s.degraded and s.condition in wanted}
    subjects = sorted({subject for subject, _ in whole})
    degraded = {}
    for subject in sorted({s.subject for s in own if s.degraded}):
        copies = [s for s in own if s.degraded and s.subject == subject]
        degraded[subject] = tuple(sorted(copies, key=lambda s: (s.condition != PHOTOGRAPH, s.condition, s.sha256)))
    return Material(
        tuple(subject for subject in subjects if subject not in kept),
        tuple(subject for subject in subjects if subject in kept),
        whole,
        degraded,
    )


def objections_to_material(
    material: Material,
    composition: Composition,
    settings: DesignSettings,
    stimuli: Sequence[Stimulus],
    needed: Sequence[str],
) -> list[str]:
    """What every design has to say against its stimuli.

    Args:
        needed: conditions that every subject of main trials must have.
    """
    said = []
    if not material.subjects:
        said.append(f"there is no picture of composition '{composition}': build the stimuli.")
    lacking = [
        f"{subject} by {name}"
        for subject in (*material.subjects, *material.training)
        for name in needed
        if (subject, name) not in material.whole
    ]
    if lacking:
        said.append(f"pictures are missing: {_some(lacking)}; finish the run, or leave these subjects out.")
    own = [s for s in stimuli if s.composition == composition and not s.degraded and s.condition in needed]
    count: dict[tuple[str, str], int] = {}
    for stimulus in own:
        count[stimulus.subject, stimulus.condition] = count.get((stimulus.subject, stimulus.condition), 0) + 1
    twice = [f"{subject} by {name}" for (subject, name), number in sorted(count.items()) if number > 1]
    if twice:
        said.append(f"there is more than one picture of {_some(twice)}: take one protocol and one view.")
    if settings.gold and not material.spoilt:
        said.append("gold trials need spoilt copies, and there is none: build the stimuli with gold items.")
    unknown = sorted({*settings.options.get(TRAINING_SUBJECTS, ())} - {*material.training})
    if unknown:
        said.append(f"training subjects without a picture: {_some(unknown)}; name others.")
    if settings.training and not material.training:
        said.append(
            f"training shows {settings.training} faces with their answers, and nobody is kept for it: name subjects in "
            "stimuli.training_subjects, who then appear in no other trial."
        )
    return said


def objections_to_options(settings: DesignSettings, known: Sequence[str]) -> list[str]:
    """Options that a design does not have, with the nearest that it has."""
    said = []
    for name in sorted({*settings.options} - {*known, TRAINING_SUBJECTS}):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        hint = f"did you mean '{near[0]}'?" if near else "this design has none."
        said.append(f"unknown option '{name}': {hint}")
    return said


def objections_to_conditions(conditions: Sequence[str], least: int) -> list[str]:
    """Conditions that are named twice, or too few of them."""
    twice = sorted({name for name in conditions if list(conditions).count(name) > 1})
    said = [f"conditions are named twice: {_some(twice)}; name each once."] if twice else []
    if len(conditions) < least:
        said.append(f"this design needs at least {least} conditions that compete; the study has {len(conditions)}.")
    return said


def whole_number(settings: DesignSettings, name: str, default: int) -> int:
    """An option that is a whole number.

    Raises:
        InputError: it is something else.
    """
    value: Any = settings.options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"option '{name}' is {value!r}: give a whole number.")
    return value


def yes_or_no(settings: DesignSettings, name: str) -> bool:
    """An option that is true or false, and false where it is not given.

    Raises:
        InputError: it is something else.
    """
    value: Any = settings.options.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"option '{name}' is {value!r}: give true or false.")
    return value


def _some(names: Sequence[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
