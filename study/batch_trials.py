"""Trials of a study in a batch of Mechanical Turk whose pages were laid out there: which columns say what.

=============================  =======================================================================================
column                         what it holds
=============================  =======================================================================================
``Input.shown``                names or addresses of the pictures, ``<sha256>.webp`` or ``.png``, from left to right,
                               separated by blanks
``Input.reference``            of the reference, where the design shows one
``Input.part``                 ``main`` (also where it is empty or absent), ``gold``, ``attention`` or ``training``
``Input.expected``             of other parts, the right answer as JSON: ``{"choice": "fake"}``
``Answer.choice``              ``real`` or ``fake``; where pictures are chosen from, the position from 0
``Answer.order``               of a ranking: positions from 0, the most realistic first, separated by blanks
``Answer.SCALE``               of opinion scores: the step from 1, a column for every scale of the study
``Answer.reaction_ms``         how long the answer took; where it is absent, the work time by the number of trials
=============================  =======================================================================================

A task of several trials adds ``_1``, ``_2`` … to all of these names. Other columns are not read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from recon.errors import InputError
from study.contract import Design, DesignSettings, Part, Stimulus, Trial
from study.providers.mturk_results import BatchResult

_LONGEST_MS = 7 * 24 * 3600 * 1000
_EXPECTED = ("choice", "first", "last", "scores", "at_most", "at_least")


@dataclass(frozen=True)
class BatchTrial:
    """A trial of a batch, and its answer.

    Attributes:
        row: of the file.
        name: which trial of which assignment; the same whenever the file is read.
    """

    row: int
    name: str
    trial: Trial
    answer: Mapping[str, Any]
    correct: bool | None
    reaction_ms: int


class BatchReader:
    """Reads trials of one study out of batch results.

    Args:
        design, settings: of the study.
        stimuli: of the study, by sha256.
    """

    def __init__(self, design: Design, settings: DesignSettings, stimuli: Mapping[str, Stimulus]) -> None:
        self._design, self._settings, self._stimuli = design, settings, stimuli
        plan = design.plan(settings, tuple(stimuli.values()), 0)
        self._example = next(trial for trial in plan if trial.part == "main")

    def trials(self, result: BatchResult) -> tuple[BatchTrial, ...]:
        """The trials of one assignment, in the order of their numbers.

        Raises:
            InputError: something does not match the study; the message names the row and the column.
        """
        endings = _endings(result)
        return tuple(self._trial(result, ending, len(endings)) for ending in endings)

    def _trial(self, result: BatchResult, ending: str, count: int) -> BatchTrial:
        part = self._part(result, ending)
        shown = tuple(self._picture(result, f"shown{ending}", name) for name in _words(result, f"shown{ending}"))
        self._check_shown(result, f"shown{ending}", shown, part)
        reference = self._reference(result, ending, shown)
        trial = Trial(0, part, self._example.question, shown, reference, _expected(result, ending, part))
        try:
            answer = self._design.read_answer(self._settings, trial, self._payload(result, ending))
        except InputError as error:
            raise InputError(f"row {result.row} does not answer its trial{ending}: {error}") from error
        correct = _correct(self._design, result, trial, answer)
        name = f"{result.submission.provider_id}{ending}"
        return BatchTrial(result.row, name, trial, answer, correct, _milliseconds(result, ending, count))

    def _part(self, result: BatchResult, ending: str) -> Part:
        given = result.inputs.get(f"part{ending}", "").strip() or "main"
        if given not in get_args(Part):
            raise _wrong(result, f"Input.part{ending}", f"'{given}' is none of {', '.join(get_args(Part))}")
        part: Part = given  # type: ignore[assignment]
        return part

    def _picture(self, result: BatchResult, column: str, name: str) -> str:
        sha256 = name.split("?")[0].rsplit("/", 1)[-1].partition(".")[0]
        if sha256 not in self._stimuli:
            raise _wrong(result, f"Input.{column}", f"'{name[:90]}' is no picture of this study")
        return sha256

    def _check_shown(self, result: BatchResult, column: str, shown: tuple[str, ...], part: Part) -> None:
        wanted = len(self._example.shown)
        if len(shown) != wanted:
            raise _wrong(result, f"Input.{column}", f"names {len(shown)} pictures, the design shows {wanted}")
        found = [self._stimuli[sha256] for sha256 in shown]
        if len({*shown}) < len(shown) or len({one.subject for one in found}) > 1:
            raise _wrong(result, f"Input.{column}", "a trial shows different pictures of one person")
        spoilt = [one for one in found if one.degraded]
        if spoilt and part == "main":
            raise _wrong(result, f"Input.{column}", "a spoilt copy stands in a trial of part 'main', not 'gold'")

    def _reference(self, result: BatchResult, ending: str, shown: tuple[str, ...]) -> str:
        column = f"reference{ending}"
        names = _words(result, column)
        if len(names) != bool(self._example.reference):
            wanted = "shows one" if self._example.reference else "has none"
            raise _wrong(result, f"Input.{column}", f"names {len(names)} references, the design {wanted}")
        if not names:
            return ""
        reference = self._picture(result, column, names[0])
        if self._stimuli[reference].subject != self._stimuli[shown[0]].subject:
            raise _wrong(result, f"Input.{column}", "the reference is another person than the picture")
        return reference

    def _payload(self, result: BatchResult, ending: str) -> dict[str, Any]:
        page = self._design.page
        if page == "scales":
            scales = self._settings.options["scales"]
            return {"scores": {name: _whole(result, f"{name}{ending}") for name in scales}}
        if page == "ranking":
            words = result.answers.get(f"order{ending}", "").split()
            return {"order": [_number(result, f"order{ending}", word) for word in words]}
        if page == "choice":
            return {"choice": _whole(result, f"choice{ending}")}
        return {"choice": result.answers.get(f"choice{ending}", "").strip().lower()}


def _endings(result: BatchResult) -> list[str]:
    """Of the columns of this task's trials: one empty, or ``_1``, ``_2`` …"""
    given = [name.removeprefix("shown") for name, value in result.inputs.items() if name.startswith("shown") and value]
    if not given:
        raise _wrong(result, "Input.shown", "nothing says which pictures the worker saw")
    if given == [""]:
        return given
    numbers = sorted(int(one[1:]) for one in given if one.startswith("_") and one[1:].isdecimal())
    if len(numbers) != len(given):
        raise _wrong(result, f"Input.shown{given[0]}", "columns of several trials end in _1, _2 and so on")
    return [f"_{number}" for number in numbers]


def _words(result: BatchResult, column: str) -> list[str]:
    return result.inputs.get(column, "").split()


def _expected(result: BatchResult, ending: str, part: Part) -> dict[str, Any] | None:
    text, column = result.inputs.get(f"expected{ending}", "").strip(), f"Input.expected{ending}"
    if part == "main":
        if text:
            raise _wrong(result, column, "a trial of part 'main' has no right answer")
        return None
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or len(found) != 1 or next(iter(found)) not in _EXPECTED:
        raise _wrong(result, column, f"a trial of part '{part}' has its right answer as JSON, one of {_EXPECTED}")
    return found


def _correct(design: Design, result: BatchResult, trial: Trial, answer: Mapping[str, Any]) -> bool | None:
    try:
        return design.correct(trial, answer)
    except (KeyError, TypeError, AttributeError) as error:
        raise _wrong(result, "Input.expected", f"{json.dumps(trial.expected)} fits no answer of this design") from error


def _whole(result: BatchResult, column: str) -> int:
    return _number(result, column, result.answers.get(column, "").strip())


def _number(result: BatchResult, column: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise _wrong(result, f"Answer.{column}", f"'{text[:40]}' is no whole number") from error


def _milliseconds(result: BatchResult, ending: str, count: int) -> int:
    column = f"reaction_ms{ending}"
    if result.answers.get(column, "").strip():
        found = _whole(result, column)
    elif result.seconds is not None:
        found = round(result.seconds * 1000 / count)
    else:
        raise _wrong(result, f"Answer.{column}", "neither this column nor WorkTimeInSeconds says how long it took")
    if not 0 <= found <= _LONGEST_MS:
        raise _wrong(result, f"Answer.{column}", f"{found} ms are no time that an answer takes")
    return found


def _wrong(result: BatchResult, column: str, problem: str) -> InputError:
    return InputError(f"row {result.row}, column '{column}': {problem}. Nothing was imported: mend the file.")
