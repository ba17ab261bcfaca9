"""What a view of the dashboard shows, as the part of its URL behind ``?``: it can be sent, kept, and gone back to.

Lists are written ``a,b``. A value equal to its default is left out, so that addresses stay short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import streamlit as st

PAGES = ("compare", "metrics", "studies", "ratings", "agreement", "runs")
"""In the order of the menu; each is a module of ``dashboard.screens``, and the first is where a visit begins."""


def link(page: str, state: Mapping[str, str | Sequence[str]]) -> str:
    """The address of ``page`` showing ``state``, relative to the dashboard's own."""
    if page not in PAGES:
        raise ValueError(f"no page '{page}'")
    said = {name: value if isinstance(value, str) else ",".join(value) for name, value in state.items() if value}
    # Streamlit knows the first page by the bare address alone.
    place = "./" if page == PAGES[0] else f"./{page}"
    return f"{place}?{urlencode(said, safe=',:~')}" if said else place


def text(name: str, default: str = "") -> str:
    """A value of the address."""
    value = st.query_params.get(name)
    return default if value is None else value


def words(name: str) -> tuple[str, ...]:
    """A list of the address."""
    return tuple(word for word in text(name).split(",") if word)


def one_of(name: str, known: Sequence[str], default: str = "") -> str:
    """A value of the address that must be one of ``known``; anything else counts as not said."""
    value = text(name)
    return value if value in known else default


def some_of(name: str, known: Sequence[str]) -> tuple[str, ...]:
    """Those words of a list of the address that are among ``known``."""
    return tuple(word for word in words(name) if word in known)


def say(**state: str | Sequence[str]) -> None:
    """Write ``state`` into the address of the present view; empty values are taken out, others stay as they are."""
    for name, value in state.items():
        said = value if isinstance(value, str) else ",".join(value)
        if said:
            if st.query_params.get(name) != said:
                st.query_params[name] = said
        elif name in st.query_params:
            del st.query_params[name]
