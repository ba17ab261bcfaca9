"""Text of others in our pages: names and messages are shown as they are, never taken for Markdown."""

from __future__ import annotations

import re

_SIGNS = re.compile(r"([\\`*_{}\[\]<>()#+\-!|$~])")


def plain(text: str) -> str:
    """``text`` such that Streamlit's Markdown shows exactly it."""
    return _SIGNS.sub(r"\\\1", text).replace("\n", "  \n")
