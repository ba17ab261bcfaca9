"""A rater's session: training, then main trials with gold and attention trials between them, never as the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from study.contract import DesignSettings, Part, Trial
from study.designs.balance import gaps, shuffled

Page = Literal["real-or-fake", "ranking", "choice", "scales"]
""":attr:`study.contract.Design.page`."""


def draft(
    part: Part,
    question: str,
    shown: Sequence[str],
    reference: str = "",
    expected: Mapping[str, Any] | None = None,
) -> Trial:
    """A trial whose place in the session is not known yet."""
    return Trial(0, part, question, tuple(shown), reference, expected)


def session(
    settings: DesignSettings, slot: int, training: Sequence[Trial], main: Sequence[Trial], extra: Sequence[Trial]
) -> tuple[Trial, ...]:
    """All trials of ``slot``, numbered: ``training`` first, ``extra`` (gold and attention) by lot among ``main``."""
    mixed = shuffled(extra, settings.seed, "extra", slot)
    places = gaps(len(mixed), len(main), settings.seed, slot)
    body: list[Trial] = []
    for number, trial in enumerate(main, start=1):
        body.append(trial)
        body += [other for other, place in zip(mixed, places, strict=True) if place == number]
    return tuple(replace(trial, index=index) for index, trial in enumerate([*training, *body]))
