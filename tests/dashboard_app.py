"""A page of the dashboard without a browser: Streamlit runs its script and keeps what it would draw."""

from __future__ import annotations

from collections.abc import Callable

from streamlit.testing.v1 import AppTest

PATIENCE = 60
"""Seconds that a page may take: the machine may be busy with other tests."""


def opened(script: Callable[[], None], address: dict[str, str]) -> AppTest:
    """What ``script`` draws under ``address``; its source alone is taken, so it imports what it needs itself."""
    page = AppTest.from_function(script, default_timeout=PATIENCE)
    for name, value in address.items():
        page.query_params[name] = value
    page.run()
    assert not page.exception
    return page


def page_html(page: AppTest) -> str:
    """All that the page draws as HTML of its own."""
    return "".join(str(element.proto.body) for element in page.get("html"))
