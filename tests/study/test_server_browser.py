"""The pages in a real browser: both published designs from consent to debrief, and what goes wrong on the way."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, select
from study_hosting import host_study, make_stimuli, served, settings_for

from study.database import AssignmentRow, ResponseRow, TrialRow
from study.engine import open_database, reading, upgrade
from study.server.settings import ServerSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page, Route

DESK = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 640}
ZOOMED = {"width": 640, "height": 400}  # what is left of DESK at a zoom of 200 %
PATIENCE = 60_000


@pytest.fixture
def browser(chromium: Browser) -> Browser:
    """Chromium of this machine."""
    return chromium


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'one.sqlite'}")
    upgrade(engine)
    yield engine
    engine.dispose()


@contextmanager
def opened(browser: Browser, viewport: dict[str, int], **more: Any) -> Iterator[Page]:
    """A page of its own; whatever goes wrong in its scripts, or against its policy, fails the test."""
    context = browser.new_context(viewport=viewport, **more)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert wrong == []


def begin(page: Page | FrameLocator) -> None:
    """From consent to the first trial."""
    page.locator("#agree").check()
    page.locator("#agree-button").click()
    page.locator("#screen-go").click()
    page.locator("#begin").click()


def wait_for(page: Page | FrameLocator, index: int) -> None:
    page.locator(f'#trial[data-shown="{index}"]').wait_for()


def shows(page: Page, stage: str) -> None:
    page.locator(f"#{stage}").wait_for(state="visible")


def answers(engine: Engine) -> list[dict[str, Any]]:
    with reading(engine) as session:
        wanted = select(ResponseRow.answer).join(TrialRow).order_by(TrialRow.assignment_id, TrialRow.index)
        return list(session.scalars(wanted))


@contextmanager
def site(engine: Engine, folder: Path, settings: ServerSettings) -> Iterator[str]:
    with served(host_study(engine, folder, settings)) as address:
        yield address


def test_split_face_by_keyboard_with_a_reload(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    with site(engine, tmp_path, settings_for("split-face")) as address, opened(browser, DESK) as page:
        page.goto(address)
        shows(page, "consent")
        page.keyboard.press("Tab")
        page.keyboard.press("Space")
        for stage in ("screen", "instructions"):
            page.keyboard.press("Enter")  # in the form, or on the button that has the focus
            shows(page, stage)
            page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        for index in range(8):
            wait_for(page, index)
            if index == 4:
                page.reload()
                wait_for(page, 4)
                assert page.locator("#progress-text").inner_text() == "Question 5 of 8"
            page.keyboard.press("1" if index % 2 else "2")
            if index < 2:
                page.locator("#feedback").wait_for(state="visible")
                said = page.locator("#feedback-text").inner_text()
                assert re.match(r"That is (not )?right\. The answer is: (Real|Fake)\.", said)
                page.keyboard.press("Enter")
        shows(page, "done")
        code = page.locator("#done .code").inner_text()
        page.reload()
        shows(page, "done")
        assert page.locator("#done .code").inner_text() == code
    assert [answer["choice"] for answer in answers(engine)] == ["fake", "real"] * 4
    with reading(engine) as session:
        assert session.scalars(select(AssignmentRow.completion_code)).all() == [code]
        times = session.scalars(select(ResponseRow.reaction_ms)).all()
    assert all(0 < milliseconds < 60_000 for milliseconds in times)


def order_on(page: Page) -> list[int]:
    """Positions in which the pictures first stood, in the order in which they stand now."""
    found = page.locator(".entry").evaluate_all("all => all.map(one => Number(one.dataset.position))")
    return [int(position) for position in found]


def drag(page: Page, place: int, to: int) -> None:
    boxes = [page.locator(".entry").nth(number).bounding_box() for number in (place, to)]
    assert boxes[0] and boxes[1]
    middle = [(box["x"] + box["width"] / 2, box["y"] + box["height"] / 3) for box in boxes if box]
    further = 20 if to > place else -20
    page.mouse.move(*middle[0])
    page.mouse.down()
    page.mouse.move(middle[1][0] + further, middle[1][1], steps=12)
    page.mouse.up()


def test_ranking_by_mouse_keys_and_buttons(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    with site(engine, tmp_path, settings_for("ranking")) as address, opened(browser, DESK) as page:
        page.goto(address)
        begin(page)
        given = []
        for index in range(8):
            wait_for(page, index)
            assert order_on(page) == [0, 1, 2, 3]
            if index == 0:
                page.locator("#confirm-order").click()
                page.locator("#answers .note", has_text="not moved").wait_for()
            elif index == 1:
                drag(page, 0, 2)
                assert order_on(page) == [1, 2, 0, 3]
            elif index == 2:
                drag(page, 3, 0)
                assert order_on(page) == [3, 0, 1, 2]
            elif index == 3:
                page.locator(".entry").nth(0).focus()
                for key in ("ArrowRight", "Space", "ArrowRight", "ArrowRight", "Space"):
                    page.keyboard.press(key)
                assert order_on(page) == [0, 2, 3, 1]
            elif index == 4:
                page.locator(".entry").nth(1).focus()
                for key in ("Space", "ArrowLeft", "Escape"):
                    page.keyboard.press(key)
                assert order_on(page) == [0, 1, 2, 3]
            else:
                page.locator(".entry").nth(3).locator("[data-act=back]").click()
                assert order_on(page) == [0, 1, 3, 2]
            given.append(order_on(page))
            page.locator("#confirm-order").click()
            if index < 2:
                page.locator("#feedback-next").click()
        shows(page, "done")
    assert [answer["order"] for answer in answers(engine)] == given


def test_ranking_with_a_finger(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    """The grip drags, the picture scrolls; pointer events as a touch screen sends them."""
    with (
        site(engine, tmp_path, settings_for("ranking", training=0)) as address,
        opened(browser, PHONE, has_touch=True, is_mobile=True) as page,
    ):
        page.goto(address)
        begin(page)
        wait_for(page, 0)
        grip = page.locator(".entry").nth(0).locator(".grip").bounding_box()
        entry = page.locator(".entry").nth(1).bounding_box()
        assert grip and entry
        x, y = grip["x"] + grip["width"] / 2, grip["y"] + grip["height"] / 2
        touch = page.context.new_cdp_session(page)
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
        for step in range(1, 9):
            to = y + (entry["y"] + entry["height"] * 0.7 - y) * step / 8
            touch.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": to}]})
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert order_on(page) == [1, 0, 2, 3]
        page.locator(".entry").nth(2).locator("[data-act=closer]").click()
        assert page.locator("#closer img").is_visible()
        page.keyboard.press("Escape")
        page.locator("#confirm-order").click()
        wait_for(page, 1)
    assert [answer["order"] for answer in answers(engine)] == [[1, 0, 2, 3]]


@pytest.mark.parametrize("design", ["split-face", "ranking", "pairwise", "acr"])
def test_nothing_lies_beside_the_page(browser: Browser, engine: Engine, tmp_path: Path, design: str) -> None:
    """On a phone, and at a zoom of 200 %."""
    with (
        site(engine, tmp_path, settings_for(design, training=0)) as address,
        opened(browser, PHONE) as page,
    ):
        page.goto(address)
        for stage, button in (("consent", "agree-button"), ("screen", "screen-go"), ("instructions", "begin")):
            shows(page, stage)
            fits(page)
            if stage == "consent":
                page.locator("#agree").check()
            page.locator(f"#{button}").click()
        wait_for(page, 0)
        fits(page)
        for control in page.locator("#trial button:visible").all():
            box = control.bounding_box()
            assert box and min(box["width"], box["height"]) >= 24  # WCAG 2.5.8


def fits(page: Page) -> None:
    """It need not be scrolled sideways, which WCAG 1.4.10 does not allow."""
    for viewport in (ZOOMED, PHONE):
        page.set_viewport_size(viewport)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), viewport


def no_barriers(page: Page) -> None:
    """Axe finds nothing against WCAG 2.2, nor against what it calls best practice."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs 'axe-playwright-python'")
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 15
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []


def answer_by_pointing(page: Page, index: int) -> None:
    """Whatever the trial is."""
    for control in ("#answers button[data-value]", ".picture-button"):
        if page.locator(control).count():
            page.locator(control).nth(index % 2).click()
            return
    if page.locator("#scales").count():
        for scale in page.locator("#scales fieldset").all():
            scale.locator("label").nth(index % 5).click()
        page.locator("#scales button").click()
        return
    page.locator(".entry").nth(1).locator("[data-act=back]").click()
    page.locator("#confirm-order").click()


@pytest.mark.parametrize("screen", [DESK, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("design", ["split-face", "ranking", "pairwise", "acr"])
def test_from_consent_to_debrief_without_barriers(
    browser: Browser, engine: Engine, tmp_path: Path, design: str, screen: dict[str, int]
) -> None:
    touch = {"has_touch": True, "is_mobile": True} if screen is PHONE else {}
    with (
        site(engine, tmp_path, settings_for(design, training=1)) as address,
        opened(browser, screen, **touch) as page,
    ):
        page.goto(address)
        for stage, button in (("consent", "agree-button"), ("screen", "screen-go"), ("instructions", "begin")):
            shows(page, stage)
            no_barriers(page)
            if stage == "consent":
                page.locator("#agree").check()
            page.locator(f"#{button}").click()
        total = None
        for index in range(20):
            page.wait_for_function(
                "index => document.body.dataset.shows === 'done' ||"
                " document.getElementById('trial').dataset.shown === String(index)",
                arg=index,
            )
            if page.locator("#done").is_visible():
                total = index
                break
            if index < 2:
                no_barriers(page)
            answer_by_pointing(page, index)
            if index == 0:
                page.locator("#feedback").wait_for(state="visible")
                no_barriers(page)
                page.locator("#feedback-next").click()
        no_barriers(page)
        assert len(answers(engine)) == total and page.locator("#done .code").inner_text()


def test_the_judged_picture_and_its_photograph_are_seen_at_once(
    browser: Browser, engine: Engine, tmp_path: Path
) -> None:
    wanted = settings_for("acr", training=0)
    options = {**wanted.design_settings.options, "reference": True}
    wanted = replace(wanted, design_settings=replace(wanted.design_settings, options=options))
    with site(engine, tmp_path, wanted) as address, opened(browser, DESK) as page:
        page.goto(address)
        begin(page)
        wait_for(page, 0)
        for screen in (DESK, {"width": 1024, "height": 768}, PHONE):
            page.set_viewport_size(screen)
            boxes = [picture.bounding_box() for picture in page.locator("#stimuli img").all()]
            assert len(boxes) == 2
            for box in boxes:
                assert box and box["y"] >= 0 and box["y"] + box["height"] <= screen["height"], (screen, box)
                assert box["x"] >= 0 and box["x"] + box["width"] <= screen["width"], (screen, box)
            assert boxes[0] and boxes[1] and boxes[0]["y"] == boxes[1]["y"]


def test_pictures_come_from_the_store_under_signed_addresses(
    browser: Browser, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's policy, which the browser obeys, lets it; the store is moto's."""
    import boto3
    import requests
    from moto import mock_aws

    from recon.progress import no_progress
    from study.publishing import PublishedPictures, destination, publish
    from study.stimuli.catalogue import Catalogue, write_catalogue

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    stimuli = make_stimuli(tmp_path, "split")
    write_catalogue(tmp_path, Catalogue({}, {}, stimuli, (), (), ()))
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="faces")
        publish(tmp_path, destination("s3://faces/study"), no_progress, live=True)
        store = PublishedPictures(tmp_path)
        asked: list[str] = []

        def answer(route: Route) -> None:
            asked.append(route.request.url)
            found = requests.get(route.request.url, timeout=10)
            route.fulfill(status=found.status_code, body=found.content, content_type=found.headers["Content-Type"])

        settings = settings_for("split-face", training=0, pictures=store)
        with site(engine, tmp_path, settings) as address, opened(browser, DESK) as page:
            page.context.route(f"{store.origin}/**", answer)
            page.goto(address)
            begin(page)
            wait_for(page, 0)
            shown = page.locator("#stimuli img").get_attribute("src")
            assert shown in asked and "X-Amz-Signature=" in shown


def test_answers_are_kept_while_the_study_cannot_be_reached(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(browser, DESK) as page:
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


def test_the_study_file_says_what_the_page_says(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    """Every text of the page in other words: nothing else is read, heard or pressed."""
    from study.wording import PAGE, placeholders

    def foreign(text: str) -> str:
        return " ".join(["⟨", *(f"{{{one}}}" for one in sorted(placeholders(text))), "⟩"])

    wanted = settings_for("ranking", training=1)
    names = ("title", "consent", "instructions", "debrief", "contact", "best", "worst", "right", "wrong")
    own: dict[str, Any] = {"questions": dict.fromkeys(wanted.words.questions, "⟨⟩"), **dict.fromkeys(names, "⟨⟩")}
    words = replace(wanted.words, page={name: foreign(text) for name, text in PAGE.items()}, **own)
    english = "() => [document.body.innerText, ...[...document.querySelectorAll('[aria-label]')]" \
        ".map((one) => one.getAttribute('aria-label'))].join(' ').match(/[A-Za-z]{2,}/g)"  # fmt: skip
    with site(engine, tmp_path, replace(wanted, words=words)) as address, opened(browser, DESK) as page:
        page.goto(address)
        for stage, button in (("consent", "agree-button"), ("screen", "screen-go"), ("instructions", "begin")):
            shows(page, stage)
            assert page.evaluate(english) is None
            if stage == "consent":
                page.locator("#agree").check()
            page.locator(f"#{button}").click()
        wait_for(page, 0)
        assert page.evaluate(english) is None
        answer_by_pointing(page, 0)
        page.locator("#feedback").wait_for(state="visible")
        assert page.evaluate(english) is None


def test_the_key_of_a_digit_means_it_on_every_keyboard(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    """The key of the 1 on a French keyboard, without Shift, is an &."""
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(browser, DESK) as page:
        page.goto(address)
        begin(page)
        for index, (key, code) in enumerate((("&", "Digit1"), ("é", "Digit2"), ("2", "Numpad2"))):
            wait_for(page, index)
            page.evaluate(
                "([key, code]) => document.dispatchEvent(new KeyboardEvent('keydown', {key, code}))", [key, code]
            )
        wait_for(page, 3)
    assert [answer["choice"] for answer in answers(engine)] == ["real", "fake", "fake"]


def test_a_second_window_does_not_spoil_the_first(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(browser, DESK) as page:
        page.goto(address)
        begin(page)
        wait_for(page, 0)
        other = page.context.new_page()
        other.goto(address)  # the same device: the same rater
        shows(other, "instructions")
        other.locator("#begin").click()
        for index in range(2):
            wait_for(other, index)
            other.keyboard.press("2")
        wait_for(other, 2)
        page.bring_to_front()
        page.keyboard.press("1")  # question 1, which has its answer: the page goes on where the session stands
        wait_for(page, 2)
        page.keyboard.press("1")
        wait_for(page, 3)
    assert [answer["choice"] for answer in answers(engine)] == ["fake", "fake", "real"]


@contextmanager
def marketplace(folder: Path, frame: str) -> Iterator[str]:
    """Another site, whose page embeds ``frame``."""
    (folder / "index.html").write_text(f"<!doctype html><iframe width=1200 height=760 {frame}></iframe>")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(folder))

        def log_message(self, *_arguments: Any) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_in_a_sandboxed_frame_of_the_marketplace(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    """The frame has no origin, no cookies and no storage; the page works, and says what it cannot keep."""
    settings = settings_for("split-face", training=0, frame_ancestors=("http://127.0.0.1:*",))
    outside = tmp_path / "outside"
    outside.mkdir()
    with (
        site(engine, tmp_path, settings) as address,
        marketplace(outside, f'sandbox="allow-scripts allow-forms" src="{address}"') as market,
        opened(browser, DESK) as page,
    ):
        page.goto(market)
        frame = page.frame_locator("iframe")
        begin(frame)
        wait_for(frame, 0)
        page.context.route("**/api/answers", lambda route: route.abort())
        frame.locator("#answers button").first.click()
        frame.locator("footer.notice").wait_for()
        frame.locator("#status", has_text="does not let it store anything").wait_for()
        page.context.unroute("**/api/answers")
        for index in range(1, 6):
            wait_for(frame, index)
            frame.locator("#answers button").first.click()
        frame.locator("#done").wait_for(state="visible")
    assert len(answers(engine)) == 6


def test_no_other_site_may_embed_the_page(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    settings = settings_for("split-face", frame_ancestors=("https://worker.example.org",))
    outside = tmp_path / "outside"
    outside.mkdir()
    context = browser.new_context()
    with site(engine, tmp_path, settings) as address, marketplace(outside, f'src="{address}"') as market:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(market)
        page.wait_for_timeout(300)
        assert any("frame-ancestors" in text for text in said)
        assert page.frame_locator("iframe").locator("#consent").count() == 0
    context.close()


def test_a_kiosk_forgets_the_last_person(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    settings = settings_for("split-face", training=0, trials=1, gold=0, attention=0, kiosk=True)
    with site(engine, tmp_path, settings) as address, opened(browser, DESK) as page:
        for _ in range(2):
            page.goto(address)
            begin(page)
            wait_for(page, 0)
            page.keyboard.press("1")
            shows(page, "done")
            page.locator("#next-rater").click()
            shows(page, "consent")
            assert not page.locator("#agree").is_checked()
            page.goto("about:blank")
    with reading(engine) as session:
        assert len(session.scalars(select(AssignmentRow.participant_id)).all()) == 2


def test_the_server_dies_and_comes_back(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    app = host_study(engine, tmp_path, settings_for("split-face", training=0))
    with opened(browser, DESK) as page:
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


def test_an_answer_that_is_refused_for_good_is_asked_again(browser: Browser, engine: Engine, tmp_path: Path) -> None:
    """A page must not be stuck with what the server will never take."""
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(browser, DESK) as page:
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
    assert [answer["choice"] for answer in answers(engine)][:1] == ["fake"]
