"""What changes a study: pausing, opening, closing, launching. Each is asked for once more before it is done."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st
from sqlalchemy import Engine

from dashboard import background
from dashboard.access import may_change, require_change
from dashboard.studies import listing, servers
from dashboard.studies.folders import StudyFolder, look_again
from dashboard.studies_database import made_database
from dashboard.trouble import told
from dashboard.wording import plain
from recon.progress import Progress
from study.costs import estimate, money
from study.launching import Launched, close_study, launch_study, set_state
from study.progress import posted_live
from study.specification import Specification

WORDS = {
    "paused": ("Pause", "No new raters are let in; those at work finish. A marketplace goes on offering the study."),
    "open": ("Resume", "Raters are let in again."),
    "closed": (
        "Close",
        "Nobody is let in any more, for good: results may be known from then on. Those at work finish.",
    ),
}


@st.dialog("Are you sure?")
def ask_state(engine: Engine, name: str, wanted: str) -> None:
    """Ask, then pause, resume or close the study ``name``."""
    label, words = WORDS[wanted]
    st.markdown(f"**{label} {plain(name)}?** {words}")
    if st.button(f"{label} {name}", type="primary", disabled=not may_change(), key="sure"):
        with told(f"to {label.lower()} '{name}'"):
            require_change()
            if wanted == "closed":
                close_study(engine, name, live=posted_live(engine, name))
                servers.stop(name)
            else:
                set_state(engine, name, wanted)
            listing.look_again()
            st.rerun()


@dataclass(frozen=True)
class Wanted:
    """How a study is to be launched.

    Attributes:
        address: at which raters reach its server; empty for raters of our own.
        live: whether real money may move.
        serve: start its server on this machine, too.
    """

    address: str = ""
    live: bool = False
    serve: bool = False


def amount_of(specification: Specification) -> str:
    """What must be typed before money may move: the whole estimate, fees included."""
    costs = estimate(specification)
    return money(costs.total, costs.currency)


def confirmed(specification: Specification, name: str, amount: str) -> bool:
    """Whether the study's name and the amount were typed as they are."""
    return name.strip() == specification.name and " ".join(amount.split()) == amount_of(specification)


def launching_key(name: str) -> tuple[str, str]:
    """Of the work that launches the study ``name``."""
    return "launch", name


def launch(folder: StudyFolder, wanted: Wanted) -> None:
    """Launch the study of ``folder`` in the background: check it, make its pictures, enter it, offer it.

    The study database is made where there is none yet.
    """
    require_change()
    background.forget(launching_key(folder.name))

    def work(progress: Progress) -> Launched:
        try:
            done = launch_study(folder.file, made_database(), progress, address=wanted.address, live=wanted.live)
            if wanted.serve:
                servers.serve(folder.name, folder.path)
            return done
        finally:
            listing.look_again()
            look_again()

    background.start(launching_key(folder.name), f"Launching {folder.name}", work)


@st.dialog("Launch", width="medium")
def ask_launch(folder: StudyFolder) -> None:
    """Ask how, then launch: raters of our own at once, a marketplace after the name and the amount were typed."""
    asked = folder.specification
    assert asked is not None
    if asked.payment.provider == "local":
        st.markdown(
            f"Raters of your own answer **{plain(asked.name)}**. Its pictures are made, its {asked.raters} places are "
            f"laid out, and up to {plain(amount_of(asked))} of the cap is set aside. The file cannot be changed after "
            "that."
        )
        serve = st.checkbox("Start its server on this machine", value=True, key="serve too")
        if st.button("Launch", type="primary", disabled=not may_change(), key="launch now"):
            with told("the launch"):
                launch(folder, Wanted(serve=serve))
                st.rerun()
        return
    _ask_live(folder, asked)


def _ask_live(folder: StudyFolder, asked: Specification) -> None:
    provider, amount = asked.payment.provider, amount_of(asked)
    st.warning(
        f"This offers the study to **real people** on {plain(provider)} and commits **{plain(amount)}**, fees "
        "included. It cannot be taken back, only closed.",
        icon=":material/payments:",
    )
    address = st.text_input(
        "Address of your server", placeholder="https://…", help="Where raters reach 'mesoface study serve', by https."
    )
    name = st.text_input("Type the study's name", placeholder=asked.name)
    typed = st.text_input("Type the amount", placeholder=amount)
    ready = confirmed(asked, name, typed) and address.startswith("https://")
    if st.button("Launch with real money", type="primary", disabled=not (ready and may_change()), key="launch live"):
        with told("the launch"):
            launch(folder, Wanted(address.strip(), True))
            st.rerun()
