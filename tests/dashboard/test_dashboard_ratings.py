"""The page *Ratings*: raters stay nameless, answers are shown as given, decisions and payments are asked for.

Answers come from model raters through the real server, and from rows that the test adds as people's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rehearsed_study import RATERS, REHEARSAL, Rehearsed, rehearse_in
from sqlalchemy import select
from streamlit.testing.v1 import AppTest
from study_rows import add_assignment

from dashboard import background
from dashboard.settings import Settings, use
from dashboard.studies import listing
from dashboard.studies.answers_view import said_of
from dashboard.studies.folders import look_again
from dashboard.studies.paying_view import _start, amount_due, require_same
from dashboard.studies.progress_view import tally_of
from dashboard.studies.quality_view import frame_of, review_of, rows_of
from recon.errors import StudyDatabaseError, UsageError
from study.database import AssignmentRow, ParticipantRow, WorkerContactRow, now
from study.engine import open_database, reading, transaction
from study.quality.decisions import Decision, decide_by_person, decide_by_rules
from study.quality.records import find_study
from study.rewards import Due, dues

SHOW = """
import streamlit as st
from dashboard.navigation import pages
from dashboard.screens import ratings
st.navigation(pages(), position="hidden")
ratings.show()
"""
PATIENCE = 60
RAW_ID = "5f3c9d-raw-worker-id"


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """A study for people to which two of them handed in a session, and its rehearsal."""
    made = rehearse_in(tmp_path_factory.mktemp("rehearsed"))
    engine = open_database(made.database)
    with transaction(engine) as session:
        study = find_study(session, "pairs")
        for number, slot in enumerate(study.slots[:2]):
            assignment = add_assignment(session, study, slot, f"{number}" * 64)
            assignment.state, assignment.submitted_at, slot.state = "submitted", now(), "done"
            assignment.completion_code = f"CODE{number}"
            person = WorkerContactRow(participant_id=assignment.participant_id, raw_id=f"{RAW_ID}{number}")
            person.delete_after = now().date()
            session.add(person)
    engine.dispose()
    return made


@pytest.fixture(autouse=True)
def settings(rehearsed: Rehearsed, tmp_path: Path) -> Iterator[None]:
    """A dashboard over the study."""
    use(Settings(rehearsed.runs, rehearsed.database, False, tmp_path / "cache"))
    look_again()
    listing.look_again()
    yield
    look_again()
    listing.look_again()


def _page(**query: str) -> AppTest:
    page = AppTest.from_string(SHOW, default_timeout=PATIENCE)
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def _number(page: AppTest, name: str) -> str:
    """A figure of the strip at the top."""
    strip = next(one.body for one in page.get("html") if "mesoface-figures" in one.body)
    found = re.search(f"<dt>{name}</dt><dd>(.*?)</dd>", strip)
    assert found is not None
    return found.group(1)


def _texts(page: AppTest) -> str:
    kinds = (page.markdown, page.caption, page.warning, page.error, page.info, page.success)
    return "\n".join(str(one.value) for kind in kinds for one in kind)


def test_progress_counts_places_and_answers(rehearsed: Rehearsed) -> None:
    page = _page(study=REHEARSAL)
    assert not page.exception and not page.error
    assert _number(page, "Places done") == f"{RATERS} of {RATERS}"
    # Training, main and gold trials of the study file: 1 + 4 + 1.
    assert _number(page, "Answers") == str(RATERS * 6)
    assert "come from a model, not from people" in _texts(page)
    assert tally_of(open_database(rehearsed.database), REHEARSAL).answers == RATERS * 6


def test_a_database_that_stops_answering_is_a_sentence_below_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The progress is drawn again by itself, without the page around it, which tells its own errors."""

    def fails(_engine: object) -> None:
        raise StudyDatabaseError("the study database did not answer.")

    monkeypatch.setattr(listing, "listed", fails)
    page = AppTest.from_string(
        "from dashboard.studies import progress_view\nprogress_view._draw(None, 'pairs', True)",
        default_timeout=PATIENCE,
    ).run()
    assert not page.exception
    assert [one.value for one in page.error] == ["The study database did not answer."]


def test_people_and_models_never_mix(rehearsed: Rehearsed) -> None:
    page = _page(study="pairs")
    assert _number(page, "Places done") == f"2 of {RATERS}"
    assert "come from a model" not in _texts(page)


def test_no_raw_id_of_a_rater_reaches_a_page() -> None:
    for view in ("progress", "quality"):
        page = _page(study="pairs", view=view)
        assert not page.exception
        shown = _texts(page) + "".join(one.value.to_csv() for one in page.dataframe)
        assert RAW_ID not in shown
        assert "0" * 13 not in shown  # a pseudonym is shortened


def test_sessions_are_told_by_what_is_to_be_done_with_them(rehearsed: Rehearsed) -> None:
    engine = open_database(rehearsed.database)
    found = review_of(engine, REHEARSAL)
    assert [len(rows_of(found, shown)) for shown in ("all", "to decide")] == [RATERS, RATERS]
    session = next(one.judgement.session for one in found.standings if one.use)
    unused = {one.judgement.session for one in rows_of(found, "not used")}
    decide_by_person(engine, REHEARSAL, session, pay=True, use=False, reason="asleep", by="somebody")
    found = review_of(engine, REHEARSAL)
    assert {one.judgement.session for one in rows_of(found, "not used")} == unused | {session}
    assert ("asleep",) in {one.reasons for one in rows_of(found, "with a reason")}
    assert len(rows_of(found, "to decide")) == RATERS - 1
    frame = frame_of(list(found.standings), simulated=True)
    assert "pay" not in frame.columns  # models are never paid
    assert frame["rater"].str.len().eq(12).all()


def test_a_rater_s_answers_are_shown_with_their_pictures(rehearsed: Rehearsed) -> None:
    engine = open_database(rehearsed.database)
    session = review_of(engine, REHEARSAL).standings[1].judgement.session
    page = _page(study=REHEARSAL, view="quality", session=str(session))
    assert not page.exception and not page.error
    drawn = next(one.body for one in page.get("html") if "mesoface-trials" in one.body)
    assert drawn.count("class='mesoface-trial'") == 6
    assert drawn.count(f"/pictures/stimuli/{REHEARSAL}/") == 12
    assert drawn.count("class=chosen") == 6


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"choice": "real"}, "said real"),
        ({"choice": 1}, "chose picture 2"),
        ({"order": [1, 0]}, "sorted as numbered"),
        ({"scores": {"realism": 4, "trust": 2}}, "realism 4, trust 2"),
    ],
)
def test_answers_in_words(answer: dict[str, Any], words: str) -> None:
    assert said_of(answer) == words


def test_paying_own_raters_marks_them_once(rehearsed: Rehearsed) -> None:
    engine = open_database(rehearsed.database)
    decide_by_rules(engine, "pairs")
    held = [one.judgement.session for one in review_of(engine, "pairs").standings]
    for number in held:
        decide_by_person(engine, "pairs", number, pay=True, use=False, reason="came", by="somebody")
    assert amount_due(dues(engine, "pairs")) == "USD 1.00"  # two raters at 0.50
    page = _page(study="pairs", view="quality")
    assert not page.exception
    assert not next(one for one in page.button if one.label == "Mark as paid …").disabled
    confirmed = dues(engine, "pairs")
    for _ in range(2):
        _start(engine, confirmed, False)
        work = background.known(("pay", "pairs"))
        assert work is not None and work._ended.wait(PATIENCE) and work.failure is None
    due = dues(engine, "pairs")
    assert (len(due.paid), len(due.approve)) == (2, 0)
    with reading(engine) as session:
        states = session.scalars(
            select(AssignmentRow.provider_state)
            .join(ParticipantRow, ParticipantRow.id == AssignmentRow.participant_id)
            .where(~ParticipantRow.simulated)
        ).all()
    assert states == ["approved", "approved"]


def test_what_was_confirmed_is_paid_and_no_more(rehearsed: Rehearsed) -> None:
    engine = open_database(rehearsed.database)
    due = dues(engine, "pairs")
    one, other = (Due(number, "", "", Decision(True, True, (), "rules", now())) for number in (1, 2))
    shown = replace(due, approve=(one,), reject=())
    require_same(shown, shown)
    require_same(shown, replace(shown, approve=()))  # paid elsewhere meanwhile
    for changed in ({"approve": (one, other)}, {"approve": (), "reject": (one,)}, {"reward_cents": 99}):
        with pytest.raises(UsageError, match="nothing was paid"):
            require_same(shown, replace(shown, **changed))


def test_results_are_those_of_the_report(rehearsed: Rehearsed, start_dashboard: Any, visit: Callable[..., Any]) -> None:
    begun = visit(start_dashboard(rehearsed.runs, "--db", rehearsed.database), color_scheme="dark")
    page = begun.open(f"/ratings?study={REHEARSAL}&view=results")
    page.get_by_role("heading", name="On one scale: Bradley–Terry").wait_for(timeout=60_000)
    page.get_by_role("region", name="Preference matrix").wait_for()
    assert page.locator(".mesoface-report img.figure").count() >= 2
    broken = (
        "() => [...document.querySelectorAll('img.figure')].filter(one => one.complete && !one.naturalWidth).length"
    )
    assert page.evaluate(broken) == 0
    with page.expect_download() as download:
        page.get_by_role("button", name="Answers").click()
    lines = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + RATERS * 6
    phone = visit(begun.dashboard, width=390, height=844).open(f"/ratings?study={REHEARSAL}")
    phone.get_by_text("Who came how far").wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
