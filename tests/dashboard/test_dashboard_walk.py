"""A newcomer's whole way: the worst subject, a study from the form, launched, rated in a second browser, its result.

Everything happens in browsers; what is checked besides the pages is what the study database then holds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import viewer_run

from study.engine import open_database
from study.launching import study_status

STUDY, RATERS = "first-pairwise", 2
# Training, main, gold and attention: the ready file's, but for main: three people (a fourth is for training) who each
# come once with every one of the pairs (photograph, alpha), (photograph, beta), (alpha, beta) that no picture repeats.
TRIALS = 2 + 3 + 2 + 1
MINUTE = 60_000


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory, start_dashboard: Any) -> tuple[Any, str]:
    """A dashboard over one run of four people and two methods, without studies or a database; and its database."""
    folder = tmp_path_factory.mktemp("walk")
    viewer_run.make_run(folder / "runs" / "first", ("alpha", "beta"))
    url = f"sqlite:///{folder / 'studies.sqlite'}"
    return start_dashboard(folder / "runs", "--db", url), url


def test_from_the_worst_subject_to_the_result_of_a_study(
    walked: tuple[Any, str], visit: Callable[..., Any], chromium: Any, tmp_path: Path
) -> None:
    dashboard, url = walked
    page = visit(dashboard).open("/")
    _to_the_worst(page)
    address = _launched(page)
    for _ in range(RATERS):
        _rate(chromium, address)
    status = study_status(open_database(url), STUDY)
    assert (status.slots, status.answers) == ({"done": RATERS}, RATERS * TRIALS)
    _to_the_result(page, tmp_path)
    assert "Traceback" not in dashboard.log.read_text()


def _to_the_worst(page: Any) -> None:
    page.click(".matrix thead a:has-text('beta')")
    page.wait_for_selector(".bar:has-text('worst of beta first')")
    page.click(".matrix tbody tr:first-child td:nth-child(4) a")
    worst = max(viewer_run.FLIP["beta"], key=lambda subject: viewer_run.FLIP["beta"][subject])
    page.locator(".subject", has_text=worst).wait_for()


def _launched(page: Any) -> str:
    """The address at which raters are served, after the form and the launch."""
    page.get_by_role("link", name="Studies", exact=True).first.click()
    page.get_by_role("button", name="New study").click()
    page.get_by_text("The ready study was made to fit this run").wait_for()
    raters = page.get_by_label("Raters", exact=True)
    raters.fill(str(RATERS))
    raters.press("Enter")
    page.get_by_text(f"laid out for {RATERS} raters").wait_for(timeout=MINUTE)
    page.get_by_text("Nothing stands against running it.").wait_for()
    page.get_by_role("button", name="Save the study").click()
    page.get_by_role("button", name="Launch …").click()
    page.get_by_role("dialog").get_by_role("button", name="Launch", exact=True).click()
    page.get_by_text("Raters open").wait_for(timeout=MINUTE)
    return str(page.get_by_role("link", name="Open", exact=True).get_attribute("href"))


def _rate(chromium: Any, address: str) -> None:
    """A rater from the consent to the completion code, by buttons and keys."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.goto(address)
        page.locator("#agree").check()
        for button in ("#agree-button", "#screen-go", "#begin"):
            page.locator(button).click()
        for index in range(TRIALS):
            page.locator(f'#trial[data-shown="{index}"]').wait_for()
            page.keyboard.press("12"[index % 2])
            if index < 2:  # training says whether it was right
                page.locator("#feedback").wait_for(state="visible")
                page.locator("#feedback-next").click()
        page.locator("#done").wait_for(state="visible")
        assert page.locator("#done .code").inner_text()
    finally:
        context.close()


def _to_the_result(page: Any, tmp_path: Path) -> None:
    page.get_by_role("link", name="Ratings and results").click()
    page.get_by_text("Who came how far").wait_for(timeout=MINUTE)
    page.get_by_text("Quality and payment", exact=True).click()
    page.get_by_role("button", name=f"Decide {RATERS} by the rules").click()
    page.get_by_role("dialog").get_by_role("button", name="Decide", exact=True).click()
    page.get_by_text(f"{RATERS} of these decided").wait_for()
    page.get_by_text("Results", exact=True).click()
    page.get_by_text("All sessions that were handed in").first.click()
    page.get_by_role("heading", name="Who was preferred to whom").wait_for(timeout=MINUTE)
    with page.expect_download() as taken:
        page.get_by_role("button", name="Report").click()
    taken.value.save_as(tmp_path / "report.html")
    assert "Who was preferred to whom" in (tmp_path / "report.html").read_text(encoding="utf-8")
    page.get_by_role("link", name="Agreement", exact=True).first.click()
    page.get_by_role("heading", name="Agreement", exact=True).wait_for()  # the page before has such a switch, too
    page.get_by_text("All sessions that were handed in").first.click()
    page.get_by_text("Which metric to trust").wait_for(timeout=MINUTE)
