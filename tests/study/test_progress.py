"""How a study goes: steps, pace, balance, times, one rater's answers; counted by hand on rows that the test adds."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import numpy as np
import pytest
from sqlalchemy import Engine
from study_rows import add_assignment, add_response, add_study

from recon.errors import UsageError
from study.contract import Stimulus
from study.database import HitRow, QaDecisionRow, TrialRow, now
from study.engine import transaction
from study.progress import (
    LEAST_FOR_PACE,
    Tally,
    Way,
    answers_of_session,
    marks_of,
    posted_live,
    way_of,
)
from study.quality.records import find_study

PICTURES = tuple(
    Stimulus(digit * 64, "image/webp", 8, 8, "plain", name, "s1", "run", "identity", "fitted", "CC0")
    for digit, name in (("1", "alpha"), ("2", "beta"), ("3", "gamma"))
)


def _begin(engine: Engine, pseudonym: str, answers: int, trials: int, *, handed_in: bool = False) -> int:
    """A session with so many trials and answers; its number."""
    with transaction(engine) as session:
        assignment = add_assignment(session, find_study(session, "trial"), None, pseudonym * 64)
        for index in range(answers):
            add_response(session, assignment, index, str(uuid4()))
        for index in range(answers, trials):
            session.add(
                TrialRow(assignment_id=assignment.id, index=index, part="main", question="which", shown=["1" * 64])
            )
        if handed_in:
            assignment.state, assignment.submitted_at = "submitted", now()
        return assignment.id


@pytest.fixture
def engine(database: Engine) -> Engine:
    """A database with the study ``trial``."""
    with transaction(database) as session:
        add_study(session)
    return database


def test_steps_count_sessions_that_reached_them(engine: Engine) -> None:
    _begin(engine, "a", 0, 0)
    _begin(engine, "b", 0, 4)
    _begin(engine, "c", 1, 4)
    _begin(engine, "d", 2, 4)
    _begin(engine, "e", 4, 4)
    _begin(engine, "f", 4, 4, handed_in=True)
    way = way_of(engine, "trial")
    assert [count for _, count in way.steps] == [6, 5, 4, 3, 2, 1]
    assert way.reached.tolist() == [4, 3, 2, 2]
    assert way.begun == 5


def test_nobody_came(engine: Engine) -> None:
    way = way_of(engine, "trial")
    assert [count for _, count in way.steps] == [0] * 6
    assert way.reached.size == 0
    assert way.seconds_left(3) is None


def test_time_left_is_that_of_the_last_sessions_with_the_time_since() -> None:
    start = now()
    moments = tuple(start + timedelta(seconds=100 * number) for number in range(4))
    way = Way((), np.zeros(0, np.int64), 0, moments)
    # Three intervals in 300 s, and 60 s without anybody: 120 s a session.
    assert way.seconds_left(5, moments[-1] + timedelta(seconds=60)) == pytest.approx(600)
    assert way.seconds_left(0) is None
    assert Way((), np.zeros(0, np.int64), 0, moments[: LEAST_FOR_PACE - 1]).seconds_left(5) is None


def test_tally_reads_what_came_since_and_counts_pictures_of_main_trials(engine: Engine) -> None:
    tally = Tally("trial")
    _begin(engine, "a", 2, 4)
    tally.update(engine)
    assert tally.answers == 2
    _begin(engine, "b", 1, 4)
    tally.update(engine)
    assert tally.answers == 3
    assert {index: len(seconds) for index, seconds in tally.seconds.items()} == {0: 2, 1: 1}
    assert tally.seconds[1] == [1.234]
    # Every answered trial of these rows shows the first two pictures.
    assert tally.views(PICTURES) == {"alpha": 3, "beta": 3, "gamma": 0}


def test_answers_of_a_session_in_order_with_a_shortened_pseudonym(engine: Engine) -> None:
    number = _begin(engine, "a", 1, 3)
    found = answers_of_session(engine, "trial", number)
    assert found.rater == "a" * 12
    assert [one.index for one in found.trials] == [0, 1, 2]
    assert found.trials[0].answer == {"choice": 1}
    assert found.trials[1].answer is None
    with pytest.raises(UsageError, match="has no session"):
        answers_of_session(engine, "trial", number + 1)


def test_marks_change_with_sessions_and_decisions_alone(engine: Engine) -> None:
    before = marks_of(engine, "trial")
    assert marks_of(engine, "trial") == before
    number = _begin(engine, "a", 1, 1, handed_in=True)
    began = marks_of(engine, "trial")
    assert began != before
    with transaction(engine) as session:
        session.add(QaDecisionRow(assignment_id=number, pay=True, use=False, reasons=[], decided_by="rules"))
    assert marks_of(engine, "trial") != began


def test_real_money_is_told_by_the_postings(engine: Engine) -> None:
    assert not posted_live(engine, "trial")
    with transaction(engine) as session:
        study = find_study(session, "trial").id
        posted = {"provider": "prolific", "request_token": "t", "state": "open", "assignments": 1}
        session.add(HitRow(study_id=study, live=True, **posted))
    assert posted_live(engine, "trial")
    with pytest.raises(UsageError, match="no study 'other'"):
        posted_live(engine, "other")
