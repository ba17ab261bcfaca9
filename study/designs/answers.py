"""What raters send, checked before it is stored; and whether it is what was expected.

``Trial.expected`` is one of:

===========================  =====================================================================
``{"choice": x}``            the answer must be x: ``"real"``, ``"fake"``, or a position on the page
``{"first": k}``             of a ranking, the picture at position k must come first
``{"last": k}``              … last
``{"scores": {s: v}}``       the scores of these scales must be these
``{"at_most": {s: v}}``      … no more than these
``{"at_least": {s: v}}``     … no less than these
===========================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from recon.errors import InputError
from study.contract import Trial

REAL, FAKE = "real", "fake"


def _only(payload: Mapping[str, Any], key: str) -> Any:
    if not isinstance(payload, Mapping) or set(payload) != {key}:
        raise InputError(f"an answer to this trial has one field, '{key}': send it alone.")
    return payload[key]


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def read_verdict(payload: Mapping[str, Any]) -> dict[str, Any]:
    """``{"choice": "real" | "fake"}``.

    Raises:
        InputError: it is not that.
    """
    choice = _only(payload, "choice")
    if not isinstance(choice, str) or choice not in (REAL, FAKE):
        raise InputError("'choice' must be 'real' or 'fake': send one of them.")
    return {"choice": choice}


def read_position(trial: Trial, payload: Mapping[str, Any]) -> dict[str, Any]:
    """``{"choice": k}``, a position on the page.

    Raises:
        InputError: it is not that.
    """
    choice = _only(payload, "choice")
    if not _is_whole(choice) or not 0 <= choice < len(trial.shown):
        raise InputError(f"'choice' must be a position from 0 to {len(trial.shown) - 1}: send the picture's place.")
    return {"choice": choice}


def read_order(trial: Trial, payload: Mapping[str, Any]) -> dict[str, Any]:
    """``{"order": […]}``, every position on the page once, the most realistic first.

    Raises:
        InputError: it is not that.
    """
    order = _only(payload, "order")
    whole = isinstance(order, Sequence) and not isinstance(order, str) and all(_is_whole(place) for place in order)
    if not whole or sorted(order) != list(range(len(trial.shown))):
        raise InputError(f"'order' must hold each position from 0 to {len(trial.shown) - 1} once: rank every picture.")
    return {"order": list(order)}


def read_scores(scales: Mapping[str, int], payload: Mapping[str, Any]) -> dict[str, Any]:
    """``{"scores": {scale: value}}``, on every scale a whole number from 1 to the number of its steps.

    Raises:
        InputError: it is not that.
    """
    scores = _only(payload, "scores")
    if not isinstance(scores, Mapping) or set(scores) != set(scales):
        raise InputError(f"'scores' must have exactly the scales {', '.join(scales)}: answer each of them.")
    for name, steps in scales.items():
        if not _is_whole(scores[name]) or not 1 <= scores[name] <= steps:
            raise InputError(f"the score of '{name}' must be a whole number from 1 to {steps}: choose one of them.")
    return {"scores": {name: scores[name] for name in scales}}


def is_expected(expected: Mapping[str, Any] | None, answer: Mapping[str, Any]) -> bool | None:
    """Whether a stored answer is what was expected; None where nothing was."""
    if not expected:
        return None
    checks = {
        "choice": lambda value: answer["choice"] == value,
        "first": lambda value: answer["order"][0] == value,
        "last": lambda value: answer["order"][-1] == value,
        "scores": lambda value: all(answer["scores"][name] == score for name, score in value.items()),
        "at_most": lambda value: all(answer["scores"][name] <= score for name, score in value.items()),
        "at_least": lambda value: all(answer["scores"][name] >= score for name, score in value.items()),
    }
    return all(checks[name](value) for name, value in expected.items())
