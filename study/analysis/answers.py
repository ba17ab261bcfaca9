"""From stored answers to the frames that analysis reads: positions on a page become the conditions that stood there.

Only main trials count; what each form of answer says is in :class:`study.contract.Design`. Every frame has the columns
``rater``, ``trial`` (index in the rater's session), ``question`` and ``subject`` besides those of
:mod:`study.analysis.frames`, so that a study with several questions can be split: ``frame[frame["question"] == …]``.
Whose answers may be used at all is decided before, by the rules of quality.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recon.errors import InputError
from study.contract import Stimulus, Trial

if TYPE_CHECKING:
    import pandas as pd

REAL = "real"
COMMON = ("rater", "trial", "question", "subject")


@dataclass(frozen=True)
class Answer:
    """One answer: who, to which trial, and what, as it is stored."""

    rater: str
    trial: Trial
    answer: Mapping[str, Any]


def verdicts_frame(answers: Iterable[Answer], stimuli: Sequence[Stimulus]) -> pd.DataFrame:
    """The frame *verdicts* of answers ``{"choice": "real" | "fake"}``: columns :data:`COMMON`, condition, real.

    Raises:
        InputError: an answer of another form, or to a picture that is no stimulus; likewise the other functions here.
    """
    rows = []
    for one, shown in _main(answers, stimuli):
        choice = one.answer.get("choice")
        if choice not in (REAL, "fake") or len(shown) != 1:
            raise _wrong(one, "a verdict, real or fake, of one picture")
        rows.append((*_common(one, shown), shown[0].condition, choice == REAL))
    return _frame(rows, "condition", "real")


def choices_frame(answers: Iterable[Answer], stimuli: Sequence[Stimulus]) -> pd.DataFrame:
    """The frame *choices* of answers ``{"choice": 0 | 1}``: columns :data:`COMMON`, winner, loser, side.

    ``side`` is the chosen position, 0 on the left: about half of them should be.
    """
    rows = []
    for one, shown in _main(answers, stimuli):
        side = one.answer.get("choice")
        if side not in (0, 1) or len(shown) != 2:
            raise _wrong(one, "a choice between two pictures")
        rows.append((*_common(one, shown), shown[side].condition, shown[1 - side].condition, side))
    return _frame(rows, "winner", "loser", "side")


def rankings_frame(answers: Iterable[Answer], stimuli: Sequence[Stimulus]) -> pd.DataFrame:
    """The frame *rankings* of answers ``{"order": […]}``: columns :data:`COMMON`, condition, rank (1 comes first).

    Pictures that an order leaves out have no rank.
    """
    rows = []
    for one, shown in _main(answers, stimuli):
        order = one.answer.get("order")
        if not isinstance(order, Sequence) or len(set(order)) < len(order) or not {*order} <= {*range(len(shown))}:
            raise _wrong(one, "an order of the pictures on the page")
        common = _common(one, shown)
        for position, stimulus in enumerate(shown):
            rank = order.index(position) + 1.0 if position in order else float("nan")
            rows.append((*common, stimulus.condition, rank))
    return _frame(rows, "condition", "rank")


def scores_frame(answers: Iterable[Answer], stimuli: Sequence[Stimulus]) -> pd.DataFrame:
    """The frame *scores* of answers ``{"scores": {…}}``: columns :data:`COMMON`, condition, stimulus, scale, score.

    One row for each scale: keep one scale before scores are averaged.
    """
    rows = []
    for one, shown in _main(answers, stimuli):
        scores = one.answer.get("scores")
        if not isinstance(scores, Mapping) or len(shown) != 1:
            raise _wrong(one, "scores of one picture")
        common = _common(one, shown)
        for scale, score in scores.items():
            rows.append((*common, shown[0].condition, shown[0].sha256, scale, score))
    return _frame(rows, "condition", "stimulus", "scale", "score")


def _main(answers: Iterable[Answer], stimuli: Sequence[Stimulus]) -> Iterator[tuple[Answer, list[Stimulus]]]:
    """Answers to main trials, with what was shown."""
    known = {one.sha256: one for one in stimuli}
    for one in answers:
        if one.trial.part != "main":
            continue
        strange = [name for name in one.trial.shown if name not in known]
        if strange:
            raise InputError(
                f"trial {one.trial.index} of rater {one.rater} shows the picture {strange[0][:12]}…, which is none of "
                "the study's stimuli: restore the stimuli that the study was launched with."
            )
        yield one, [known[name] for name in one.trial.shown]


def _common(one: Answer, shown: Sequence[Stimulus]) -> tuple[str, int, str, str]:
    return one.rater, one.trial.index, one.trial.question, shown[0].subject


def _wrong(one: Answer, wanted: str) -> InputError:
    return InputError(
        f"the answer {dict(one.answer)} to trial {one.trial.index} of rater {one.rater} is not {wanted}: analyse the "
        "study by its own design."
    )


def _frame(rows: list[tuple[Any, ...]], *columns: str) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=[*COMMON, *columns])
