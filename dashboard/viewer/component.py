"""The component that draws pictures in the page: its scripts joined, registered once, mounted where it is wanted.

What it is handed is JSON; what it hands back is ``go``, a table of changes of the address (``{"subject": "008"}``). The
scripts make elements and set text, so names out of run folders are never taken for markup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard.address import say

NAME = "mesoface.viewer"
SCRIPTS = ("elements.js", "matrix.js", "panes.js", "glb.js", "heads.js", "beside.js", "viewer.js")
STYLE = "viewer.css"
KEY = "viewer"

# What the page may be asked to change; anything else that a browser sends is left alone.
CHANGEABLE = frozenset({"subject", "beside", "mode", "page", "order", "revealed", "at"})


@cache
def source() -> tuple[str, str]:
    """Script and style."""
    folder = Path(__file__).parent
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    return script, (folder / STYLE).read_text(encoding="utf-8")


def viewer(data: Mapping[str, Any]) -> None:
    """Draw ``data`` into the present container."""
    mounted()(data=dict(data), key=KEY, on_go_change=_go)


def mounted() -> Callable[..., Any]:
    """The mounting command; the component is registered where this runtime does not have it yet."""
    from streamlit.runtime import Runtime

    script, style = source()
    runtime = id(Runtime.instance())
    if runtime not in _registered:
        _registered.clear()
        _registered[runtime] = st.components.v2.component(NAME, js=script, css=style)
    return _registered[runtime]


_registered: dict[int, Callable[..., Any]] = {}


def _go() -> None:
    asked = st.session_state[KEY].get("go")
    if isinstance(asked, Mapping):
        say(**{name: str(value) for name, value in asked.items() if name in CHANGEABLE and isinstance(value, str)})
