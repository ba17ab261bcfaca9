"""Choosers that all pages share: which run, which protocol. The choice is in the URL, and stays when pages change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from dashboard.address import one_of, say
from dashboard.catalogue import Run, runs
from dashboard.settings import current
from dashboard.trouble import tell
from dashboard.wording import plain
from recon.errors import InputError

_KEPT = "chosen "
_PAGE, _OPENED = "page shown", "page just opened"


def chosen_run(label: str = "Run", width: int = 260) -> Run | None:
    """Draws the chooser of runs into the present container; the run that is looked at.

    None where there is nothing to look at; what to do about it has been said in the page then.
    """
    known = runs()
    if not known:
        _no_runs()
        return None
    # A run that can be shown comes before a broken one, however new that is.
    default = next((name for name, run in known.items() if not run.problem), next(iter(known)))
    name = kept_choice("run", list(known), default, label, lambda name: known[name].title, width)
    # Which run is the newest changes: an address that is sent says which one was meant.
    say(run=name)
    run = known[name]
    if run.problem:
        tell(InputError(run.problem))
        return None
    return run


def chosen_protocol(run: Run, width: int = 260) -> str:
    """Draws the chooser of the protocols of ``run`` into the present container; the one that is looked at."""
    return kept_choice("protocol", run.protocols, run.protocols[0], "Protocol", width=width)


def kept_choice(
    name: str, options: Sequence[str], default: str, label: str, shown: Callable[[str], str] = str, width: int = 260
) -> str:
    """A select box whose choice is ``name=`` in the URL and is kept when another page is opened.

    The address comes first; where it says nothing, on a page that was just opened, what this visitor chose last; then
    ``default``. On a page that is open already, an address that says nothing means the default: it was gone back to.
    """
    kept = str(st.session_state.get(_KEPT + name, "")) if just_opened() else ""
    choice = one_of(name, options, kept if kept in options else default)
    st.session_state[_KEPT + name] = choice
    if choice != default:
        say(**{name: choice})
    key = f"choose {name}"
    st.session_state[key] = choice

    def take() -> None:
        chosen = st.session_state[_KEPT + name] = st.session_state[key]
        say(**{name: chosen})

    st.selectbox(label, options, format_func=shown, key=key, on_change=take, width=width)
    return choice


def note_page(name: str) -> None:
    """Called once a run of the script, before the page is drawn: which page it is."""
    st.session_state[_OPENED] = st.session_state.get(_PAGE) != name
    st.session_state[_PAGE] = name


def just_opened() -> bool:
    """Whether this run of the script is the first one of the page since the visitor came to it."""
    return bool(st.session_state.get(_OPENED, True))


def _no_runs() -> None:
    # A container of its own: pages call from within a row of choosers.
    with st.container(width=760):
        st.subheader("No runs yet")
        st.markdown(
            f"The folder *{plain(str(current().runs))}* holds no runs. A run reconstructs the people of a test set "
            "with several methods and measures the results. Make one, and it appears here by itself."
        )
        for command, what in (
            ("mesoface demo", "People that come with mesoface, in some minutes; no data of yours is needed."),
            (
                "mesoface run --data folder=PHOTOGRAPHS --database synthetic --methods meso,pca,mirror "
                f"--out {current().runs}/first",
                "Your own photographs, one a person; mesoface run --help names all data sets and methods.",
            ),
        ):
            st.caption(plain(what))
            st.code(command, language=None, wrap_lines=True)
