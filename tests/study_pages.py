"""The pages of a study in a real browser: what their tests share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, select
from study_hosting import host_study, served

from study.database import ResponseRow, TrialRow
from study.engine import reading
from study.server.settings import ServerSettings

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

DESK = {"width": 1280, "height": 800}
PATIENCE = 60_000
TWO_FRAMES = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


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
    """Until trial ``index`` is drawn, and takes answers."""
    page.locator(f'#trial[data-shown="{index}"]').wait_for()


def to_front(page: Page) -> None:
    """Until it is drawn: a key that is pressed in a window behind another is lost."""
    page.bring_to_front()
    page.evaluate(TWO_FRAMES)


def shows(page: Page, stage: str) -> None:
    """Until the page is there."""
    page.locator(f"#{stage}").wait_for(state="visible")


def answers(engine: Engine) -> list[dict[str, Any]]:
    """In the database, rater by rater."""
    with reading(engine) as session:
        wanted = select(ResponseRow.answer).join(TrialRow).order_by(TrialRow.assignment_id, TrialRow.index)
        return list(session.scalars(wanted))


def arrived(engine: Engine, count: int) -> list[dict[str, Any]]:
    """The answers, once there are ``count``: the page goes on before the server has the last one."""
    limit = time.monotonic() + PATIENCE / 1000
    while len(found := answers(engine)) < count:
        assert time.monotonic() < limit, f"{len(found)} of {count} answers came"
        time.sleep(0.02)
    return found


@contextmanager
def site(engine: Engine, folder: Path, settings: ServerSettings) -> Iterator[str]:
    """The address of a study that is served."""
    with served(host_study(engine, folder, settings)) as address:
        yield address
