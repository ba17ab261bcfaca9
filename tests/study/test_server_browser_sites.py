"""The pages in a real browser: within another site, with pictures of another, and on a screen for many people."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import Engine, select
from study_hosting import make_stimuli, settings_for
from study_pages import DESK, answers, begin, opened, shows, site, wait_for

from study.database import AssignmentRow
from study.engine import reading

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route


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


def test_in_a_sandboxed_frame_of_the_marketplace(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    """The frame has no origin, no cookies and no storage; the page works, and says what it cannot keep."""
    settings = settings_for("split-face", training=0, frame_ancestors=("http://127.0.0.1:*",))
    outside = tmp_path / "outside"
    outside.mkdir()
    with (
        site(engine, tmp_path, settings) as address,
        marketplace(outside, f'sandbox="allow-scripts allow-forms" src="{address}"') as market,
        opened(chromium, DESK) as page,
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


def test_no_other_site_may_embed_the_page(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    settings = settings_for("split-face", frame_ancestors=("https://worker.example.org",))
    outside = tmp_path / "outside"
    outside.mkdir()
    context = chromium.new_context()
    with site(engine, tmp_path, settings) as address, marketplace(outside, f'src="{address}"') as market:
        page = context.new_page()
        with page.expect_console_message(lambda message: "frame-ancestors" in message.text):
            page.goto(market)
        assert page.frame_locator("iframe").locator("#consent").count() == 0
    context.close()


def test_pictures_come_from_the_store_under_signed_addresses(
    chromium: Browser, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
        with site(engine, tmp_path, settings) as address, opened(chromium, DESK) as page:
            page.context.route(f"{store.origin}/**", answer)
            page.goto(address)
            begin(page)
            wait_for(page, 0)
            shown = page.locator("#stimuli img").get_attribute("src")
            assert shown in asked and "X-Amz-Signature=" in shown


def test_a_kiosk_forgets_the_last_person(chromium: Browser, engine: Engine, tmp_path: Path) -> None:
    settings = settings_for("split-face", training=0, trials=1, gold=0, attention=0, kiosk=True)
    with site(engine, tmp_path, settings) as address, opened(chromium, DESK) as page:
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
