"""The page *Studies*: drafts are the files of the command line, nothing is written over, changes are asked for.

Sources: the promises of ``dashboard.studies``; what a written study says is read back by ``study.specification``.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rehearsed_study import REHEARSAL, SUBJECTS, Rehearsed, add_study_file, make_measured_run, rehearse_in
from starlette.applications import Starlette
from starlette.testclient import TestClient
from streamlit.testing.v1 import AppTest
from study_runs import UNKNOWN, make_run

from dashboard import background, studies_database
from dashboard.access import require_change
from dashboard.catalogue import runs
from dashboard.settings import Settings, use
from dashboard.studies import draft as draft_module
from dashboard.studies import listing
from dashboard.studies.changes import amount_of, confirmed
from dashboard.studies.draft import Draft, kept_draft, name_for, suggested, validated
from dashboard.studies.folders import folder_of, folders, look_again, studies_folder, write_study
from dashboard.studies.hosting_view import links_for
from dashboard.studies.pictures import stimulus_address, stimulus_routes
from recon.errors import InputError, StudyDatabaseError, UsageError
from recon.progress import no_progress
from study.check import check_study
from study.costs import estimate
from study.launching import launch_study, prepared_database, study_status
from study.ready_files import ready_files
from study.specification import read_specification
from study.stimuli import read_catalogue
from study.suggestions import minutes_in

SHOW = """
import streamlit as st
from dashboard.navigation import pages
from dashboard.screens import studies
st.navigation(pages(), position="hidden")
studies.show()
"""
PATIENCE = 60


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory: pytest.TempPathFactory) -> Rehearsed:
    """A study for people, launched, and its rehearsal."""
    return rehearse_in(tmp_path_factory.mktemp("rehearsed"))


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Callable[..., Settings]]:
    """``settings(folder)``: those of a dashboard over ``folder``/runs."""

    def begin(folder: Path = tmp_path, **changed: Any) -> Settings:
        database = f"sqlite:///{folder / 'studies.sqlite'}"
        made = Settings(folder / "runs", database, bool(changed.get("read_only")), tmp_path / "cache")
        use(made)
        look_again()
        listing.look_again()
        return made

    yield begin
    look_again()
    listing.look_again()


@pytest.fixture
def run(tmp_path: Path, settings: Callable[..., Settings]) -> Any:
    """The run ``first``, in a dashboard without a study."""
    make_measured_run(tmp_path)
    settings()
    return runs()["first"]


def _draft(run: Any, example: str) -> Draft:
    return Draft(example, {**suggested(run, example).changes, "name": "mine", "stimuli.runs": ["../../runs/first"]})


@pytest.mark.parametrize("example", list(ready_files()))
def test_every_ready_file_becomes_a_study_of_a_run_with_few_people(run: Any, example: str) -> None:
    """Five people, photographs of 240 × 300 pixels: what the form starts with can be launched as it is."""
    draft = _draft(run, example)
    found = validated(draft.text(), Path("mine/study.yaml"))
    assert found.name == "mine"
    assert {*found.conditions} - {"photograph"} == {"alpha", "beta"}
    assert len(found.stimuli.training_subjects) > 0 and (found.stimuli.people or 0) + 1 <= len(SUBJECTS)
    assert check_study(kept_draft(draft.text(), run), 0).objections == ()
    minutes = minutes_in(found.consent.text)
    assert minutes is not None and abs(minutes - estimate(found).minutes) <= 1.5


def test_what_is_made_to_fit_a_run_is_said(run: Any) -> None:
    fitting = suggested(run, "split_face")
    # Five people of whom one is for training; split faces show each of the others twice.
    assert (fitting.changes["stimuli.people"], fitting.changes["trials.main"]) == (4, 8)
    # Photographs of 240 × 300, in which a frame of 4:5 with the face is at most 200 wide.
    assert fitting.changes["stimuli.width"] <= 200
    assert [start for start in ("Pictures are", "4 people instead of 11", "8 trials a rater instead of 22")
            if any(one.startswith(start) for one in fitting.said)] == ["Pictures are", "4 people instead of 11",
                                                                         "8 trials a rater instead of 22"]  # fmt: skip
    assert "You will see 15 pictures of faces" in fitting.changes["consent.text"]


def test_people_whose_licence_is_closed_need_a_leave(tmp_path: Path, settings: Callable[..., Settings]) -> None:
    make_run(tmp_path / "runs" / "closed", subjects=SUBJECTS, licence=UNKNOWN)
    settings()
    fitting = suggested(runs()["closed"], "pairwise")
    assert any("your own laboratory" in one for one in fitting.said)
    assert "stimuli.allow_restricted" not in fitting.changes  # a person gives it
    page = _page(view="new", run="closed")
    assert [one.value for one in page.warning] == ["Without this leave no picture of this run can be shown."]
    next(one for one in page.checkbox if "licence forbids" in one.label).check().run()
    assert not page.warning and not page.exception


def test_what_is_written_is_read_back_and_never_written_over(run: Any) -> None:
    file = write_study("mine", _draft(run, "pairwise").text())
    assert read_specification(file).run_folders(file.parent)[0].resolve() == run.folder.path.resolve()
    before = file.read_bytes()
    with pytest.raises(InputError, match="not written over"):
        write_study("mine", "other")
    assert file.read_bytes() == before
    assert name_for(run, "pairwise", {"first-pairwise"}) == "first-pairwise-2"


def test_drafts_of_a_form_do_not_pile_up(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft_module, "MOST_DRAFTS", 3)
    base = _draft(run, "pairwise")
    files = [kept_draft(Draft("pairwise", {**base.changes, "raters": 10 + n}).text(), run) for n in range(6)]
    assert files[-1].is_file() and not files[0].exists()
    assert len([*(tmp_path / "cache" / "drafts").iterdir()]) == 3


def test_a_wrong_draft_is_refused_in_the_words_of_the_file(run: Any) -> None:
    draft = Draft("pairwise", {**_draft(run, "pairwise").changes, "name": "Bad Name", "raters": 0})
    with pytest.raises(InputError, match=r"line 1: 'name' is \"Bad Name\"") as refused:
        validated(draft.text(), studies_folder() / "x" / "study.yaml")
    assert "'raters' is 0" in str(refused.value)


def test_folders_are_found_by_the_name_in_their_file_and_broken_ones_say_why(run: Any, tmp_path: Path) -> None:
    write_study("mine", _draft(run, "pairwise").text())
    broken = tmp_path / "studies" / "deep" / "broken" / "study.yaml"
    broken.parent.mkdir(parents=True)
    broken.write_text("name: [")
    look_again()
    assert {*folders()} == {"mine", "broken"}
    assert folders()["broken"].problem.startswith(f"'{broken}'")
    for name in ("../mine", "mine/../mine", str(tmp_path / "studies" / "mine"), ""):
        assert folder_of(name) is None


def test_a_folder_that_is_not_ours_to_read_holds_no_study(
    run: Any, tmp_path: Path, close_folder: Callable[[Path], None]
) -> None:
    write_study("mine", _draft(run, "pairwise").text())
    close_folder(tmp_path / "studies" / "lost+found")
    look_again()
    assert {*folders()} == {"mine"}


def test_a_rehearsal_lies_in_the_folder_of_its_study(rehearsed: Rehearsed, settings: Callable[..., Settings]) -> None:
    settings(rehearsed.runs.parent)
    assert folder_of(REHEARSAL) == folder_of("pairs")
    engine = prepared_database(rehearsed.database)
    found = listing.listed(engine)
    assert (found["pairs"].raters, found[REHEARSAL].raters) == (listing.PEOPLE, listing.MODELS)
    assert found[REHEARSAL].places == (4, 4)
    assert listing.spent(found["pairs"]) == "USD 2.00 / 10.00"
    assert listing.spent(found[REHEARSAL]) == "costs nothing"


def test_pictures_of_a_study_are_served_by_their_hash_alone(
    rehearsed: Rehearsed, settings: Callable[..., Settings]
) -> None:
    settings(rehearsed.runs.parent)
    sha256 = read_catalogue(rehearsed.studies / "pairs").stimuli[0].sha256
    client = TestClient(Starlette(routes=stimulus_routes()))
    for study in ("pairs", REHEARSAL):
        answer = client.get(stimulus_address(study, sha256, 160))
        assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
    wrong = [
        stimulus_address("other", sha256),
        stimulus_address("pairs", "0" * 64),
        stimulus_address("pairs", sha256, 7),
    ]
    wrong += ["/pictures/stimuli/pairs/..%2Fstudy.yaml/160", f"/pictures/stimuli/..%2Fstudies%2Fpairs/{sha256}/160"]
    assert [client.get(address).status_code for address in wrong] == [404] * len(wrong)


def test_real_money_needs_the_name_and_the_amount_as_they_are(tmp_path: Path) -> None:
    payment = {"provider": "prolific", "currency": "USD", "reward": 100, "cap": 10_000}
    asked = read_specification(add_study_file(tmp_path, payment=payment))
    # Four raters at 1.00, and 33.4 % of each reward rounded up.
    assert amount_of(asked) == "USD 5.36"
    assert confirmed(asked, " pairs ", "USD 5.36")
    for name, amount in (("pair", "USD 5.36"), ("pairs", "5.36"), ("pairs", "USD 5.35"), ("", "")):
        assert not confirmed(asked, name, amount)


def test_work_is_done_once_for_a_key_and_failures_are_kept() -> None:
    calls, gate = [], threading.Event()

    def slow(tell: Callable[[int, int | None], None]) -> str:
        calls.append(1)
        tell(1, 2)
        gate.wait(PATIENCE)
        return "done"

    first = background.start(("test", 1), "slow", slow)
    background.forget(("test", 1))  # what runs is left to run
    second = background.start(("test", 1), "slow", slow)
    assert first is second and first.running and (first.done, first.total) == (1, 2)
    gate.set()
    assert first._ended.wait(PATIENCE) and first.result == "done" and len(calls) == 1

    def fails(_tell: object) -> None:
        raise UsageError("no")

    failed = background.start(("test", 2), "fails", fails)
    assert failed._ended.wait(PATIENCE) and str(failed.failure) == "no"


def test_what_failed_for_a_passing_reason_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [StudyDatabaseError("it did not answer."), InputError("the file is wrong."), "never asked for"]

    def read(_tell: object) -> str:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return str(found)

    def asked() -> background.Work[str]:
        work = background.start(("test", 3), "reading", read)
        assert work._ended.wait(PATIENCE)
        return work

    assert isinstance(asked().failure, StudyDatabaseError)
    assert isinstance(asked().failure, StudyDatabaseError) and len(answers) == 2  # not for every visit
    monkeypatch.setattr(background, "_TRY_AGAIN", 0.0)
    assert isinstance(asked().failure, InputError)
    assert isinstance(asked().failure, InputError) and len(answers) == 1  # the same input is as wrong as before


def test_the_end_of_the_dashboard_waits_for_no_work() -> None:
    program = (
        "import time; from dashboard import background\n"
        "background.start(('test', 4), 'long', lambda _: time.sleep(600))\nprint('ends')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0 and ended.stdout.endswith("ends\n")


def test_links_name_raters_as_the_command_does_and_refuse_what_no_link_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESOFACE_STUDY_KEY", "ab" * 32)
    (name, link), _ = links_for("pairs", "http://127.0.0.1:8000/", ["P01", "P02"])
    assert name == "P01" and link.startswith("http://127.0.0.1:8000/?rater=P01&key=")
    for address, names in (("here", ["P01"]), ("https://x/", ["Ä"]), ("https://x/", ["P"] * 501)):
        with pytest.raises(UsageError):
            links_for("pairs", address, names)


def test_a_server_ends_with_the_program_that_started_it(rehearsed: Rehearsed, tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from dashboard.settings import Settings, use\n"
        f"use(Settings(Path({str(rehearsed.runs)!r}), {rehearsed.database!r}, False, Path({str(tmp_path)!r})))\n"
        "from dashboard.studies.servers import serve\n"
        f"made = serve('pairs', Path({str(rehearsed.studies / 'pairs')!r}))\n"
        "print(made.address, made.process.pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            address, pid = parent.stdout.readline().split()
            with urllib.request.urlopen(address, timeout=PATIENCE) as page:
                assert page.status == 200
        finally:
            parent.send_signal(signal.SIGKILL)
    for _ in range(PATIENCE * 10):
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return
        if Path(f"/proc/{pid}/stat").is_file() and Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    raise AssertionError("the server goes on without the dashboard")


def _page(**query: str) -> AppTest:
    page = AppTest.from_string(SHOW, default_timeout=PATIENCE)
    for name, value in query.items():
        page.query_params[name] = value
    return page.run()


def _button(page: AppTest, label: str) -> Any:
    return next(one for one in page.button if label in one.label)


def test_an_empty_page_says_what_to_do_next(run: Any) -> None:
    page = _page()
    assert not page.exception
    assert [one.value for one in page.info if "No studies yet" in one.value]
    assert not page.warning  # nobody misses a database that holds nothing


def test_without_its_database_no_study_is_called_unlaunched(run: Any, tmp_path: Path) -> None:
    write_study("mine", _draft(run, "pairwise").text())
    assert listing.listed(None)["mine"].state == "not launched"  # there is no database yet
    (tmp_path / "studies.sqlite").write_bytes(b"no database" * 100)
    use(Settings(tmp_path / "runs", f"sqlite:///{tmp_path / 'studies.sqlite'}", False, tmp_path / "cache"))
    studies_database._believed.clear()
    listing.look_again()
    assert listing.listed(None)["mine"].state == "not known"
    page = _page(study="mine")
    assert not page.exception
    assert not any("Launch" in one.label for one in page.button)


def test_the_form_writes_the_file_that_it_shows(run: Any, tmp_path: Path) -> None:
    prepared_database(f"sqlite:///{tmp_path / 'studies.sqlite'}").dispose()
    page = _page(view="new")
    assert not page.exception
    next(one for one in page.text_input if one.label == "Name").set_value("by-form").run()
    shown = page.code[0].value
    _button(page, "Save the study").click().run()
    assert (tmp_path / "studies" / "by-form" / "study.yaml").read_text().strip() == shown
    assert page.query_params["study"] == "by-form"


def test_who_may_only_look_is_offered_no_change(rehearsed: Rehearsed, settings: Callable[..., Settings]) -> None:
    settings(rehearsed.runs.parent, read_only=True)
    page = _page(study="pairs")
    assert not page.exception
    for label in ("Pause", "Close", "Start the server"):
        assert _button(page, label).disabled
    assert not any(one.label == "Names, one a line" for one in page.text_area)  # links let people in
    assert _button(_page(), "New study").disabled
    assert "changes nothing" in _page(view="new").info[0].value.replace("\\", "")


def test_what_may_not_be_changed_is_refused_whatever_the_page_showed(settings: Callable[..., Settings]) -> None:
    settings(read_only=True)
    with pytest.raises(UsageError, match="changes nothing"):
        require_change()


def test_pausing_is_asked_for_once_more(tmp_path: Path, start_dashboard: Any, visit: Any) -> None:
    make_measured_run(tmp_path)
    url = f"sqlite:///{tmp_path / 'studies.sqlite'}"
    engine = prepared_database(url)
    launch_study(add_study_file(tmp_path), engine, no_progress)
    page = visit(start_dashboard(tmp_path / "runs", "--db", url)).open("/studies?study=pairs")
    page.get_by_role("button", name="Pause …").click()
    sure = page.get_by_role("button", name="Pause pairs")
    sure.wait_for()
    assert study_status(engine, "pairs").state == "open"
    sure.click()
    page.get_by_role("button", name="Resume …").wait_for()
    assert study_status(engine, "pairs").state == "paused"


def test_the_list_and_a_study_in_a_browser(rehearsed: Rehearsed, start_dashboard: Any, visit: Any) -> None:
    dashboard = start_dashboard(rehearsed.runs, "--db", rehearsed.database)
    here = visit(dashboard)
    page = here.open("/studies")
    page.get_by_text("Select a row to open the study.").wait_for()
    assert _barriers(page) == []
    page = here.open("/studies?study=pairs")
    page.get_by_role("button", name="Pause").wait_for()
    assert page.get_by_text("simulated raters").count() == 0
    page = here.open(f"/studies?study={REHEARSAL}")
    page.get_by_text("They say nothing of any method").wait_for()
    assert page.get_by_role("button", name="Pause").count() == 0
    assert _barriers(page) == []
    phone = visit(dashboard, width=390, height=844).open("/studies?view=new")
    phone.get_by_role("button", name="Save the study").wait_for()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390


def _barriers(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page, context="[data-testid=stMainBlockContainer]").response["violations"]
    return [one["id"] for one in found if one["impact"] in ("serious", "critical")]
