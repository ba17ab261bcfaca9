"""What went wrong, as a sentence in the page: never a traceback.

An error of :mod:`recon.errors` is shown as it is, for it names the mend. Anything else is a defect: it is logged with
its traceback where the dashboard was started, under a number that the page shows.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.wording import plain
from recon.errors import MesofaceError

_log = logging.getLogger("mesoface.dashboard")


@contextmanager
def told(what: str = "this page") -> Iterator[None]:
    """Shows an error of the block as a sentence, and goes on after it; also a decorator, ``@told("the chart")``.

    Streamlit's own signals (stop, rerun) pass.
    """
    try:
        yield
    except Exception as error:  # whatever it is, the rest of the page must go on
        tell(error, what)


def tell(error: Exception, what: str = "this page") -> None:
    """Show ``error``; log it where it is a defect."""
    st.error(plain(sentence(error, what)), icon=":material/error:")


def sentence(error: Exception, what: str = "this page") -> str:
    """What a person reads of ``error``; a defect is logged."""
    if isinstance(error, MesofaceError):
        text = str(error)
        return text[:1].upper() + text[1:]
    number = secrets.token_hex(3)
    _log.error("defect %s in %s", number, what, exc_info=error)
    return (
        f"Something in mesoface is broken: {what} cannot be shown. The log of 'mesoface dashboard' says why, under "
        f"{number}; please report it."
    )
