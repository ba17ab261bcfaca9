"""Stimuli that stand for pictures: all that a design looks at, without the pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from study.contract import PHOTOGRAPH, Composition, DesignSettings, Stimulus


def picture(subject: str, condition: str, composition: Composition = "single", degraded: bool = False) -> Stimulus:
    """One stimulus; its sha256 follows from what it shows."""
    name = hashlib.sha256(f"{subject} {condition} {composition} {degraded}".encode()).hexdigest()
    return Stimulus(
        name, "image/webp", 640, 800, composition, condition, subject, "first", "blur:8", "fitted", "CC0", degraded
    )


def pictures(
    subjects: Sequence[str] | int, conditions: Sequence[str], composition: Composition = "single"
) -> tuple[Stimulus, ...]:
    """Every subject by every condition and as a photograph, and a spoilt copy of each photograph."""
    names = [f"s{number:02}" for number in range(subjects)] if isinstance(subjects, int) else list(subjects)
    shown = dict.fromkeys([*conditions, PHOTOGRAPH])
    whole = [picture(name, condition, composition) for name in names for condition in shown]
    return (*whole, *(picture(name, PHOTOGRAPH, composition, degraded=True) for name in names))


def settings(conditions: Sequence[str], trials: int, raters: int, **changed: Any) -> DesignSettings:
    """Settings without gold, attention or training trials, unless ``changed`` says so."""
    fields: dict[str, Any] = {"gold": 0, "attention": 0, "training": 0, "seed": 1, **changed}
    return DesignSettings(tuple(conditions), trials, raters, **fields)
