"""The pages in a real browser: what goes wrong on a rater's way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine
from study_hosting import host_study, served, settings_for
from study_pages import DESK, TWO_FRAMES, answers, arrived, begin, opened, shows, site, to_front, wait_for

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route


def answer_two_elsewhere(page: Page, address: str) -> None:
    """Two questions are answered in a second window of the same device, which has the same rater."""
    other = page.context.new_page()
    other.goto(address)
    shows(other, "instructions")
    other.locator("#begin").click()
    for index in range(2):
        wait_for(other, index)
        other.keyboard.press("2")
    wait_for(other, 2)
    to_front(page)


def test_answers_are_kept_while_the_study_cannot_be_reached(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(chromium, DESK) as page:
        page.goto(address)
        begin(page)
        wait_for(page, 0)
        page.route("**/api/answers", lambda route: route.abort())
        for index in range(3):
            wait_for(page, index)
            page.keyboard.press("1")
        wait_for(page, 3)
        page.locator("#status", has_text="Answers not sent yet: 3. They are kept on this device").wait_for()
        assert answers(engine) == []
        page.on("dialog", lambda dialog: dialog.accept())  # "leave the page?"
        page.reload()
        wait_for(page, 3)  # the three are remembered: the fourth is asked
        page.unroute("**/api/answers")
        page.context.set_offline(True)
        page.keyboard.press("2")
        wait_for(page, 4)  # its pictures were fetched before
        page.context.set_offline(False)
        for index in (4, 5):
            wait_for(page, index)
            page.keyboard.press("1")
        shows(page, "done")
    assert [answer["choice"] for answer in answers(engine)] == ["real"] * 3 + ["fake"] + ["real"] * 2


def test_a_second_window_does_not_spoil_the_first(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(chromium, DESK) as page:
        page.goto(address)
        begin(page)
        wait_for(page, 0)
        answer_two_elsewhere(page, address)
        page.keyboard.press("1")  # question 1, which has its answer: the page goes on where the session stands
        wait_for(page, 2)
        page.keyboard.press("1")
        wait_for(page, 3)
        assert [answer["choice"] for answer in arrived(engine, 3)] == ["fake", "fake", "real"]


def test_a_picture_that_comes_late_does_not_replace_the_question(
    chromium: Browser, engine: Engine, tmp_path: Path
) -> None:
    """It is of a question that was answered in another window while it was on its way."""
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(chromium, DESK) as page:
        asked: list[Route] = []

        def hold_the_second(route: Route) -> None:
            asked.append(route)
            if len(asked) != 2:
                route.continue_()

        page.route("**/stimuli/*", hold_the_second)
        page.goto(address)
        begin(page)
        wait_for(page, 0)
        answer_two_elsewhere(page, address)
        page.keyboard.press("1")
        wait_for(page, 2)
        with page.expect_response(asked[1].request.url):
            asked[1].continue_()
        for _ in range(3):  # decoded, laid out, and drawn, if it were
            page.evaluate(TWO_FRAMES)
        assert page.locator("#trial").get_attribute("data-shown") == "2"
        page.keyboard.press("1")
        wait_for(page, 3)
        assert [answer["choice"] for answer in arrived(engine, 3)] == ["fake", "fake", "real"]


def test_the_server_dies_and_comes_back(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    app = host_study(engine, tmp_path, settings_for("split-face", training=0))
    with opened(chromium, DESK) as page:
        with served(app) as address:
            page.goto(address)
            begin(page)
            wait_for(page, 0)
            page.keyboard.press("1")
            wait_for(page, 1)
        page.keyboard.press("2")
        wait_for(page, 2)
        page.locator("footer.notice").wait_for()
        with served(app, port=int(address.rpartition(":")[2])):
            for index in range(2, 6):
                wait_for(page, index)
                page.keyboard.press("1")
            shows(page, "done")
    assert [answer["choice"] for answer in answers(engine)] == ["real", "fake", "real", "real", "real", "real"]


def test_an_answer_that_is_refused_for_good_is_asked_again(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    """A page must not be stuck with what the server will never take."""
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(chromium, DESK) as page:
        page.goto(address)
        begin(page)
        wait_for(page, 0)
        body = '{"error": "this does not answer the question.", "next": null}'
        page.route("**/api/answers", lambda route: route.fulfill(status=400, body=body))
        page.keyboard.press("1")
        page.locator("footer.notice #status", has_text="this does not answer the question.").wait_for()
        page.unroute("**/api/answers")
        shows(page, "instructions")
        page.locator("#begin").click()
        wait_for(page, 0)
        page.keyboard.press("2")
        wait_for(page, 1)
        page.keyboard.press("2")
        wait_for(page, 2)
        assert arrived(engine, 1)[0]["choice"] == "fake"
