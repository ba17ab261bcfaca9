"""The pages, in the order of the menu."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboard.trouble import told

_PAGES = (
    ("compare", "Compare", ":material/grid_view:"),
    ("metrics", "Metrics", ":material/leaderboard:"),
    ("studies", "Studies", ":material/groups:"),
    ("ratings", "Ratings", ":material/how_to_vote:"),
    ("agreement", "Agreement", ":material/scatter_plot:"),
    ("runs", "Runs", ":material/folder_open:"),
)


def pages() -> list[StreamlitPage]:
    """One page a module of ``dashboard.screens``; the first is where a visit begins."""
    return [
        st.Page(_shown(name), title=title, icon=icon, url_path=name, default=index == 0)
        for index, (name, title, icon) in enumerate(_PAGES)
    ]


def _shown(name: str) -> Callable[[], None]:
    """The page, imported when it is opened."""

    def page() -> None:
        with told("this page"):
            import_module(f"dashboard.screens.{name}").show()

    page.__name__ = name
    return page
