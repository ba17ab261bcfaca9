"""The pages in a real browser: both published designs from consent to debrief, on any screen and in any language."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, select
from study_hosting import settings_for
from study_pages import DESK, answers, arrived, begin, opened, shows, site, wait_for

from study.database import AssignmentRow, ResponseRow
from study.engine import reading

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PHONE = {"width": 360, "height": 640}
ZOOMED = {"width": 640, "height": 400}  # what is left of DESK at a zoom of 200 %


def test_split_face_by_keyboard_with_a_reload(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    with site(engine, tmp_path, settings_for("split-face")) as address, opened(chromium, DESK) as page:
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


def test_ranking_by_mouse_keys_and_buttons(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    with site(engine, tmp_path, settings_for("ranking")) as address, opened(chromium, DESK) as page:
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


def test_ranking_with_a_finger(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    """The grip drags, the picture scrolls; pointer events as a touch screen sends them."""
    with (
        site(engine, tmp_path, settings_for("ranking", training=0)) as address,
        opened(chromium, PHONE, has_touch=True, is_mobile=True) as page,
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
        assert [answer["order"] for answer in arrived(engine, 1)] == [[1, 0, 2, 3]]


@pytest.mark.parametrize("design", ["split-face", "ranking", "pairwise", "acr"])
def test_nothing_lies_beside_the_page(chromium: Browser, engine: Engine, tmp_path: Path, design: str) -> None:
    """On a phone, and at a zoom of 200 %."""
    with (
        site(engine, tmp_path, settings_for(design, training=0)) as address,
        opened(chromium, PHONE) as page,
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
    chromium: Browser, engine: Engine, tmp_path: Path, design: str, screen: dict[str, int]
) -> None:
    touch = {"has_touch": True, "is_mobile": True} if screen is PHONE else {}
    with (
        site(engine, tmp_path, settings_for(design, training=1)) as address,
        opened(chromium, screen, **touch) as page,
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
    chromium: Browser, engine: Engine, tmp_path: Path
) -> None:
    wanted = settings_for("acr", training=0)
    options = {**wanted.design_settings.options, "reference": True}
    wanted = replace(wanted, design_settings=replace(wanted.design_settings, options=options))
    with site(engine, tmp_path, wanted) as address, opened(chromium, DESK) as page:
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


def test_the_study_file_says_what_the_page_says(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
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
    with site(engine, tmp_path, replace(wanted, words=words)) as address, opened(chromium, DESK) as page:
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


def test_the_key_of_a_digit_means_it_on_every_keyboard(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    """The key of the 1 on a French keyboard, without Shift, is an &."""
    with site(engine, tmp_path, settings_for("split-face", training=0)) as address, opened(chromium, DESK) as page:
        page.goto(address)
        begin(page)
        for index, (key, code) in enumerate((("&", "Digit1"), ("é", "Digit2"), ("2", "Numpad2"))):
            wait_for(page, index)
            page.evaluate(
                "([key, code]) => document.dispatchEvent(new KeyboardEvent('keydown', {key, code}))", [key, code]
            )
        wait_for(page, 3)
        assert [answer["choice"] for answer in arrived(engine, 3)] == ["real", "fake", "fake"]
