"""Text of others in Markdown. Sources: CommonMark's signs, entities and lists; Streamlit's names of emoji."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest

from dashboard.wording import plain

NAMES = (
    "<img src=x onerror=alert(1)>", "**b** [l](x) `c` _i_ ~~s~~ $x$ # h", "a :smile: :red[x]",
    ":+1: :red_circle: :blue-background[x]", "&lt;b&gt; &amp; &#60;", "1. one", "===", "- one", "> one", "a|b",
    "C:\\new\\run", "blur:8, 12:30:00, a: b", "50 % = 0.5 & so on",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_only_backslashes_are_added(name: str) -> None:
    said = plain(name)
    assert said.replace("\\", "") == name.replace("\\", "") and len(said) >= len(name)


def test_what_formats_nothing_stays_as_it_is() -> None:
    for name in ("blur:8", "a & b", "x = 1", "it is 1.5: good.", "Ünï – “quoted”"):
        assert plain(name) == name


SCRIPT = """
import streamlit as st
from dashboard.wording import plain
for name in {names!r}:
    st.caption(plain(name))
st.caption(plain("one\\ntwo"))
"""


def test_a_browser_shows_every_name_as_it_is(tmp_path: Any, chromium: Any) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    script = tmp_path / "names.py"
    script.write_text(SCRIPT.format(names=NAMES), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.headless", "true", "--browser.gatherUsageStats", "false", "--server.address", "127.0.0.1"]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", str(script), "--server.port", str(port), *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    page = chromium.new_page()
    try:
        for _ in range(60):
            try:
                page.goto(f"http://127.0.0.1:{port}", timeout=5_000)
                break
            except playwright.Error:  # not there yet
                page.wait_for_timeout(500)
        shown = page.locator("[data-testid=stCaptionContainer]")
        shown.nth(len(NAMES)).wait_for(timeout=60_000)
        assert [one.strip() for one in shown.all_inner_texts()] == [*NAMES, "one\ntwo"]
        assert (
            page.locator("[data-testid=stCaptionContainer]").locator("a, b, strong, em, img, ol, ul, h1").count() == 0
        )
    finally:
        page.close()
        server.terminate()
        server.wait(20)
