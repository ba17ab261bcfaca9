"""What one answer shows of how it was given: which answer it was, which place on the page it took, how many there were.

Chance is counted against the number of answers that there were to give. Scores of one rater lie near each other by
their nature, so answers on scales are counted as if there were two.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from study.contract import Page
from study.designs.answers import REAL

STRAIGHT_SCALES = 3
"""On fewer scales than these, equal scores are an opinion and no straight line."""


@dataclass(frozen=True)
class Reading:
    """One answer.

    Attributes:
        key: equal for equal answers.
        answers: how many different ones there were to give.
        place: position on the page that was chosen, of a ranking the one that came first; NaN where none is.
        places: how many positions there were; 0 where none is chosen.
        straight: the same score on all of at least :data:`STRAIGHT_SCALES` scales.
        first_kind: of two kinds of answer, 1.0 for *real* or *left* and 0.0 for the other; NaN of other answers.
        judgements: how many a rater makes to give it: a verdict or a choice is one, each score is one, and an order is
            one fewer than its pictures.
    """

    key: str
    answers: int
    place: float = math.nan
    places: int = 0
    straight: bool = False
    first_kind: float = math.nan
    judgements: int = 1


def read(page: Page, shown: int, answer: Mapping[str, Any]) -> Reading:
    """What a stored ``answer`` to a trial with ``shown`` pictures shows; see ``study.contract.Design.read_answer``."""
    if page == "real-or-fake":
        return Reading(str(answer["choice"]), 2, first_kind=float(answer["choice"] == REAL))
    if page == "choice":
        place = int(answer["choice"])
        return Reading(str(place), shown, place, shown, first_kind=float(place == 0) if shown == 2 else math.nan)
    if page == "ranking":
        order = [int(place) for place in answer["order"]]
        return Reading(
            ",".join(map(str, order)), math.factorial(len(order)), order[0], len(order), judgements=len(order) - 1
        )
    scores = dict(answer["scores"])
    straight = len(scores) >= STRAIGHT_SCALES and len(set(scores.values())) == 1
    return Reading(json.dumps(scores, sort_keys=True), 2, straight=straight, judgements=len(scores))
