"""The frame of every page: the menu, the mark, the page that the address names, and who is looking at it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from dashboard.access import role, why_not
from dashboard.address import PAGES
from dashboard.choosing import note_page
from dashboard.document import wordmark
from dashboard.settings import current
from dashboard.trouble import told
from dashboard.warming import note_visit
from dashboard.wording import plain

_ICONS = {
    "compare": ":material/grid_view:",
    "metrics": ":material/leaderboard:",
    "studies": ":material/groups:",
    "ratings": ":material/how_to_vote:",
    "agreement": ":material/scatter_plot:",
    "runs": ":material/folder_open:",
}


def draw() -> None:
    """The page, for one who may look; the way in for one who may not."""
    note_visit()
    if role() is None:
        _strangers()
        return
    page = st.navigation(pages(), position="top")
    st.set_page_config(page_title=f"{page.title} · mesoface", layout="wide")
    st.logo(wordmark(st.context.theme.type == "dark"), size="medium")
    note_page(page.url_path)
    page.run()
    _account()


def pages() -> list[StreamlitPage]:
    """One page a module of ``dashboard.screens``; the first is where a visit begins."""
    return [
        st.Page(_shown(name), title=name.capitalize(), icon=_ICONS[name], url_path=name, default=name == PAGES[0])
        for name in PAGES
    ]


def _shown(name: str) -> Callable[[], None]:
    """The page, imported when it is opened."""

    def page() -> None:
        with told("this page"):
            import_module(f"dashboard.screens.{name}").show()

    page.__name__ = name
    return page


def _strangers() -> None:
    st.navigation(pages(), position="hidden")  # so that the address is known, though its page is not shown
    st.set_page_config(page_title="Log in · mesoface", layout="wide")
    door = current().door
    if door.passwords is not None:
        st.title("You are logged out")
        st.html('<a href="/login" target="_self">Log in again</a>')
    elif st.user.get("is_logged_in"):
        st.title("You are not invited")
        who = plain(str(st.user.get("email") or "you"))
        st.write(f"This dashboard is for others than {who}. Ask who runs it.")
        st.button("Log out", on_click=st.logout)
    else:
        st.title("Runs, comparisons and studies")
        st.button("Log in", type="primary", on_click=st.login)


def _account() -> None:
    """Who is looking, where that is known, and what it means; one line under the page."""
    door, reason = current().door, why_not()
    if not door.is_guarded and not reason:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(reason or "You may change things here.", width="content")
        if door.passwords is not None:
            # Streamlit's Markdown opens links in another tab.
            st.html('<a class="mf-quiet" href="/logout" target="_self">Log out</a>', width="content")
        elif door.oidc:
            st.button("Log out", type="tertiary", on_click=st.logout)
