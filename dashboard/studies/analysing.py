"""An analysis of answers: under way, done, or with nothing to analyse, and then the page says where that is mended."""

from __future__ import annotations

from typing import Any

import streamlit as st

from dashboard import background
from dashboard.background import Work
from dashboard.studies.going import link_to
from dashboard.trouble import sentence
from dashboard.wording import plain
from recon.errors import InputError

_FLAG = "--all-sessions"


def analysed(work: Work[Any], study: str) -> bool:
    """Whether ``work``, an analysis of ``study``, ended well; else the page says how far it is, or what to do first."""
    said = sentence(work.failure) if isinstance(work.failure, InputError) else ""
    if work.running or _FLAG not in said:
        return background.settled(work, may_wait=True)
    # What the command line mends by an option, this page mends by a switch and another view.
    st.info(
        f"{plain(said.partition(';')[0])}. Decide whose answers are used, or turn on *All sessions that were handed "
        "in* above.", icon=":material/rule:",
    )  # fmt: skip
    link_to("ratings", "Quality and payment", ":material/rule:", study=study, view="quality")
    return False
