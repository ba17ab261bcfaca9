"""Text of others in our pages: names and messages are shown as they are, never taken for Markdown."""

from __future__ import annotations

import re

# Markdown's signs; what begins an entity, an underline, or one of Streamlit's colours (``:red[…]``).
_SIGNS = re.compile(r"([\\`*_{}\[\]<>()#+\-!|$~]|&(?=[#\w])|^=|:(?=[\w-]+\[))", re.MULTILINE)
_EMOJI = re.compile(r":([\w\\+-]+):")
_NUMBERED = re.compile(r"^(\s*\d{1,9})\.", re.MULTILINE)


def plain(text: str) -> str:
    """``text`` such that Streamlit's Markdown shows it and formats nothing. What looks like an address is a link."""
    said = _EMOJI.sub(r"\\:\1\\:", _SIGNS.sub(r"\\\1", text))
    return _NUMBERED.sub(r"\1\\.", said).replace("\n", "  \n")
