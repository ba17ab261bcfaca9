"""What the first visit would wait for, done in the background when the server starts.

The code of all pages is loaded (statistics and charts take seconds), the newest run is read and concluded from as the
pages will ask, the answers of the studies are counted. What is kept is bounded by the caches of those modules.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module

from dashboard.address import PAGES
from dashboard.catalogue import Run, runs
from recon.errors import MesofaceError

_log = logging.getLogger("mesoface.dashboard")

# So many studies, the newest first, are counted before anybody asks.
_STUDIES = 3
# Garbage is collected so often, and not after every run of the script, which would wait for it.
_SWEEP_SECONDS = 20


def start() -> None:
    """Warm up, then keep the memory tidy, in a thread that ends with the process."""
    threading.Thread(target=_keep_warm, name="warm-up", daemon=True).start()


def _keep_warm() -> None:
    warm_up()
    # What stays for good need not be looked at by every collection of garbage.
    gc.collect()
    gc.freeze()
    while True:
        time.sleep(_SWEEP_SECONDS)
        gc.collect()


def warm_up() -> None:
    """Load and read what the first visit will need; what goes wrong is left to that visit."""
    # Streamlit's caches look for a page to show their spinner in, and say so where there is none.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    for step in _steps():
        try:
            step()
        except MesofaceError as error:  # who opens the page is told; nobody has asked yet
            _log.info("not read before it is asked for: %s", error)
        except Exception:
            _log.exception("warming up failed")


def _steps() -> Iterator[Callable[[], object]]:
    first, *others = (f"dashboard.screens.{page}" for page in PAGES)
    yield lambda: import_module(first)
    yield _first_element
    run = next((run for run in runs().values() if not run.problem and run.stamp[1]), None)
    if run is not None:
        yield lambda: _conclude(run)
    for name in others:
        yield lambda name=name: import_module(name)  # type: ignore[misc]
    yield _count


def _first_element() -> None:
    # For the first element of all, Streamlit looks through every loaded module for whether it runs in a shell.
    import streamlit as st

    st.empty()


def _conclude(run: Run) -> None:
    """The leaderboard and the metric in depth, as the page Metrics opens."""
    from dashboard.measurements.chosen import Chosen
    from dashboard.values import comparison_of
    from metrics.conclusions import Selection
    from metrics.report.cases import headline_place

    protocol = run.protocols[0]
    selection = Selection(protocols=(protocol,), headline=True)
    chosen = Chosen(run, protocol, selection, comparison_of(run, selection, contrasts=False))
    place = headline_place(chosen.comparison, protocol)
    if place is not None:
        comparison_of(run, chosen.of(place))


def _count() -> None:
    from sqlalchemy import select

    from dashboard.studies.progress_view import tally_of
    from dashboard.studies_database import readable
    from study.database import StudyRow
    from study.engine import reading

    engine = readable()
    if engine is None:
        return
    with reading(engine) as session:
        names = session.scalars(select(StudyRow.name).order_by(StudyRow.id.desc()).limit(_STUDIES)).all()
    for name in names:
        tally_of(engine, name)
