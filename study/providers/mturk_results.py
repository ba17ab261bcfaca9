"""Batch results of Mechanical Turk, as its requester page let one download them: one row of CSV an assignment.

Columns ``HITId``, ``AssignmentId``, ``WorkerId``, ``AssignmentStatus``, ``WorkTimeInSeconds``; ``Input.NAME`` is what
the task was given, ``Answer.NAME`` what the worker answered; ``study.batch_trials`` says what that means to a study.
Downloads outlive the marketplace.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path

from recon.errors import InputError
from study.providers.contract import Submission
from study.providers.mturk import SUBMISSION_STATES

NEEDED = ("HITId", "AssignmentId", "WorkerId", "AssignmentStatus")


@dataclass(frozen=True)
class BatchResult:
    """One assignment of a batch.

    Attributes:
        row: of the file; its first line is 1.
        submission: who, what and how it was decided; the worker's id is personal.
        seconds: at work; None where the file does not say.
        inputs, answers: by name, without the prefix.
    """

    row: int
    submission: Submission
    seconds: float | None
    inputs: dict[str, str] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)


def read_batch_results(path: Path) -> tuple[BatchResult, ...]:
    """Every row of a batch file.

    Raises:
        InputError: it cannot be read, lacks a column, or names an assignment twice; the row is named.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [column for column in NEEDED if column not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"'{path}' has no column '{missing[0]}': it is no batch result of Mechanical Turk.")
            results = tuple(_read_row(path, number, row) for number, row in enumerate(reader, start=2))
    except FileNotFoundError as error:
        raise InputError(f"'{path}' does not exist.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"'{path}' cannot be read as CSV: {error}.") from error
    seen: set[str] = set()
    for result in results:
        if result.submission.provider_id in seen:
            raise InputError(f"'{path}' has the assignment '{result.submission.provider_id}' twice: remove one row.")
        seen.add(result.submission.provider_id)
    return results


def _read_row(path: Path, number: int, row: dict[str | None, str | None]) -> BatchResult:
    values = {name: value or "" for name, value in row.items() if name is not None and not isinstance(value, list)}
    empty = [column for column in NEEDED if not values.get(column)]
    if empty or None in row:
        raise InputError(f"row {number} of '{path}' has {'no ' + empty[0] if empty else 'too many columns'}.")
    status = values["AssignmentStatus"]
    if status not in SUBMISSION_STATES:
        raise InputError(
            f"row {number} of '{path}' calls an assignment '{status}'; known: {', '.join(SUBMISSION_STATES)}."
        )
    return BatchResult(
        row=number,
        submission=Submission(
            provider_id=values["AssignmentId"],
            posting_id=values["HITId"],
            participant=values["WorkerId"],
            state=SUBMISSION_STATES[status],
            provider_state=status,
            code=values.get("Answer.completion_code", ""),
        ),
        seconds=_seconds(path, number, values.get("WorkTimeInSeconds", "")),
        inputs=_with_prefix(values, "Input."),
        answers=_with_prefix(values, "Answer."),
    )


def _seconds(path: Path, number: int, text: str) -> float | None:
    if not text:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"row {number} of '{path}' has the work time '{text}', which is no number.") from error


def _with_prefix(values: dict[str, str], prefix: str) -> dict[str, str]:
    return {name.removeprefix(prefix): value for name, value in values.items() if name.startswith(prefix)}
