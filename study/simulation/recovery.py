"""What analysis finds in a rehearsal, beside what was put in: with it, a study is known to measure what it should.

Put in is what the whole population would come to, lapses, careless raters and the spread of criteria included (closed
forms of ``study.simulation.population``); recovered is what the study's own analysis says of the stored answers, with
its 95 % interval over raters. About one interval in twenty misses what was put in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from sqlalchemy import Engine, select

from recon.errors import InputError
from study.analysis.answers import Answer, choices_frame, rankings_frame, scores_frame, verdicts_frame
from study.contract import PHOTOGRAPH
from study.database import AssignmentRow, ParticipantRow, ResponseRow, StudyRow, TrialRow
from study.designs import DESIGNS
from study.engine import reading
from study.pseudonyms import pseudonym, secret_key
from study.report import read_study_data
from study.simulation.population import Population, called_fake, expected_score, preferred

if TYPE_CHECKING:
    import pandas as pd

    from study.analysis.choices import Choices
    from study.simulation.rehearsal import Rehearsal


@dataclass(frozen=True)
class Recovered:
    """One number: what was put in, and what came out with its 95 % interval."""

    quantity: str
    condition: str
    put_in: float
    recovered: float
    low: float
    high: float

    @property
    def inside(self) -> bool:
        """Whether the interval holds what was put in."""
        return self.low <= self.put_in <= self.high


@dataclass(frozen=True)
class Checks:
    """Gold and attention trials of a kind of raters: how many raters, and the share of the trials answered right."""

    raters: int
    right: float


@dataclass(frozen=True)
class Recovery:
    """What a rehearsal showed.

    Attributes:
        raters: whose sessions are complete; ``answers`` to main trials.
        rows: put in beside recovered.
        careful, careless: how gold and attention trials tell them apart.
    """

    raters: int
    answers: int
    rows: tuple[Recovered, ...]
    careful: Checks
    careless: Checks

    @property
    def inside(self) -> int:
        """Rows whose interval holds what was put in."""
        return sum(row.inside for row in self.rows)


def recover(rehearsal: Rehearsal, engine: Engine) -> Recovery:
    """Analyse the stored answers of a rehearsal.

    Raises:
        InputError: there are none, or the study of that name is one of people.
    """
    stored, right = _stored(engine, rehearsal.specification.name)
    if not stored:
        raise InputError(f"nobody has finished the rehearsal '{rehearsal.specification.name}': run it first.")
    page = DESIGNS.get(rehearsal.specification.design).page
    rows = _ANALYSES[page](rehearsal, stored)
    careless = _careless(rehearsal)
    raters = {*right}
    return Recovery(
        raters=len(raters),
        answers=len(stored),
        rows=tuple(rows),
        careful=_checks(raters - careless, right),
        careless=_checks(raters & careless, right),
    )


def _careless(rehearsal: Rehearsal) -> set[str]:
    """Pseudonyms of the careless raters."""
    name, key = rehearsal.specification.name, secret_key()
    return {pseudonym(key, name, "local", f"visitor {one.visitor}") for one in rehearsal.raters if one.careless}


def _stored(engine: Engine, name: str) -> tuple[list[Answer], dict[str, list[bool]]]:
    """Answers to main trials of complete sessions; and by pseudonym whether gold and attention trials were right."""
    with reading(engine) as session:
        study = session.scalar(select(StudyRow).where(StudyRow.name == name))
        if study is None or not study.simulated:
            raise InputError(f"there is no rehearsal '{name}' in this database: run it first.")
        rows = session.execute(
            select(ParticipantRow.pseudonym, TrialRow.part, ResponseRow.correct)
            .join(AssignmentRow, AssignmentRow.participant_id == ParticipantRow.id)
            .join(TrialRow, TrialRow.assignment_id == AssignmentRow.id)
            .join(ResponseRow, ResponseRow.trial_id == TrialRow.id)
            .where(AssignmentRow.study_id == study.id, AssignmentRow.state == "submitted")
        ).all()
    right: dict[str, list[bool]] = {}
    for rater, part, correct in rows:
        checks = right.setdefault(rater, [])
        if part in ("gold", "attention"):
            checks.append(bool(correct))
    return read_study_data(engine, name, all_sessions=True).answers(), right


def _checks(raters: set[str], right: dict[str, list[bool]]) -> Checks:
    found = [one for rater in sorted(raters) for one in right.get(rater, ())]
    return Checks(len(raters), float(np.mean(found)) if found else float("nan"))


def _verdicts(rehearsal: Rehearsal, stored: Sequence[Answer]) -> list[Recovered]:
    """Fooling rates, and d′ of pooled counts, which a spread of criteria draws towards 0 by a known factor."""
    from scipy.special import ndtri

    from study.analysis.fooling import fooling_rates, verdicts_from_frame
    from study.analysis.signal_detection import detections

    population = rehearsal.population
    verdicts = verdicts_from_frame(verdicts_frame(stored, rehearsal.stimuli))
    rows = [
        Recovered("called real", one.condition, 1 - called_fake(population, one.condition), one.mean, one.low, one.high)
        for one in fooling_rates(verdicts).rates
    ]
    alarm = ndtri(called_fake(population, PHOTOGRAPH))
    for one in detections(verdicts):
        put_in = float(ndtri(called_fake(population, one.condition)) - alarm)
        rows.append(Recovered("d′", one.condition, put_in, one.d_prime, one.d_prime_low, one.d_prime_high))
    return rows


def _choices(rehearsal: Rehearsal, stored: Sequence[Answer]) -> list[Recovered]:
    from study.analysis.choices import choices_from_frame

    return _compared(rehearsal.population, choices_from_frame(choices_frame(stored, rehearsal.stimuli)))


def _rankings(rehearsal: Rehearsal, stored: Sequence[Answer]) -> list[Recovered]:
    from study.analysis.plackett_luce import rankings_from_frame

    rankings = rankings_from_frame(rankings_frame(stored, rehearsal.stimuli))
    return _compared(rehearsal.population, rankings.as_choices())


def _compared(population: Population, choices: Choices) -> list[Recovered]:
    """Shares of every pair, and positions on Thurstone's scale.

    The position put in is what the same model makes of the expected shares: lapses draw it together.
    """
    from study.analysis.choices import choices_from_wins, preferences
    from study.analysis.thurstone import thurstone

    found, names = preferences(choices), choices.names
    rows = []
    expected = np.zeros((len(names), len(names)))
    for i, j in combinations(range(len(names)), 2):
        share = preferred(population, names[i], names[j])
        expected[i, j], expected[j, i] = share * found.count[i, j], (1 - share) * found.count[i, j]
        values = (float(found.share[i, j]), float(found.low[i, j]), float(found.high[i, j]))
        rows.append(Recovered("preferred", f"{names[i]} > {names[j]}", share, *values))
    put_in = thurstone(choices_from_wins(names, expected), resamples=0)
    scale = thurstone(choices)
    for i, name in enumerate(names):
        values = (float(scale.ability[i]), float(scale.low[i]), float(scale.high[i]))
        rows.append(Recovered("position (z)", name, float(put_in.ability[put_in.index(name)]), *values))
    return rows


def _scores(rehearsal: Rehearsal, stored: Sequence[Answer]) -> list[Recovered]:
    """Mean opinion score of every condition on every scale."""
    from study.analysis.opinion_scores import condition_opinions

    frame: pd.DataFrame = scores_frame(stored, rehearsal.stimuli)
    rows = []
    for scale in rehearsal.specification.worded_scales():
        found = condition_opinions(frame[frame["scale"] == scale.name])
        for i, name in enumerate(found.names):
            put_in = expected_score(rehearsal.population, name, len(scale.labels))
            values = (float(found.mean[i]), float(found.low[i]), float(found.high[i]))
            rows.append(Recovered(f"MOS {scale.name}", name, put_in, *values))
    return rows


_ANALYSES: dict[str, Callable[[Rehearsal, Sequence[Answer]], list[Recovered]]] = {
    "real-or-fake": _verdicts,
    "choice": _choices,
    "ranking": _rankings,
    "scales": _scores,
}
