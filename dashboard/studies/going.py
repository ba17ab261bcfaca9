"""Links from one page to another that keep the visit: no reload, and Back works."""

from __future__ import annotations

import streamlit as st

from dashboard.navigation import pages


def link_to(page: str, label: str, icon: str | None = None, **state: str) -> None:
    """A link to ``page`` showing ``state``."""
    found = next(one for one in pages() if one.url_path == page)
    st.page_link(found, label=label, icon=icon, query_params=state)
