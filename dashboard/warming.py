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
from typing import TYPE_CHECKING

from dashboard.address import PAGES
from dashboard.catalogue import Run, runs
from recon.errors import MesofaceError

if TYPE_CHECKING:
    from dashboard.measurements.chosen import Chosen

_log = logging.getLogger("mesoface.dashboard")

# So many studies, the newest first, are counted before anybody asks.
_STUDIES = 3
# Garbage is collected so often, and not after every run of the script, which would wait for it.
_SWEEP_SECONDS = 20
# What no page needs to open is read when nobody has looked for so long: who looks comes first, on few cores.
_QUIET_SECONDS = 3.0
_seen = 0.0


def note_visit() -> None:
    """Somebody looks at a page this moment."""
    global _seen
    _seen = time.monotonic()


def _when_quiet() -> None:
    while (left := _seen + _QUIET_SECONDS - time.monotonic()) > 0:
        time.sleep(left)


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
    if run is not None:
        yield lambda: _ask_raters(run)
        yield lambda: _conclude_in_depth(run)


def _first_element() -> None:
    # For the first element of all, Streamlit looks through every loaded module for whether it runs in a shell.
    import streamlit as st

    st.empty()


def _chosen(run: Run) -> Chosen:
    """What the page Metrics shows of ``run`` as it opens."""
    from dashboard.measurements.chosen import Chosen
    from dashboard.values import comparison_of
    from metrics.conclusions import Selection

    protocol = run.protocols[0]
    selection = Selection(protocols=(protocol,), headline=True)
    return Chosen(run, protocol, selection, comparison_of(run, selection, contrasts=False))


def _conclude(run: Run) -> None:
    """The leaderboard and the metric in depth, as the page Metrics opens."""
    from dashboard.values import comparison_of
    from metrics.report.cases import headline_place

    chosen = _chosen(run)
    place = headline_place(chosen.comparison, chosen.protocol)
    if place is not None:
        comparison_of(run, chosen.of(place))


def _conclude_in_depth(run: Run) -> None:
    """Every other metric of the leaderboard in depth; last, for it takes some seconds on a thousand people."""
    from dashboard.values import comparison_of

    chosen = _chosen(run)
    for place in chosen.places:
        _when_quiet()
        comparison_of(run, chosen.of(place))


def _ask_raters(run: Run) -> None:
    """What raters said of the pictures of ``run``, for who opens a subject."""
    from dashboard.studies_database import address, readable
    from dashboard.viewer.verdicts import studies_of, verdicts_of

    engine = readable()
    if engine is None:
        return
    name, protocol = run.folder.path.resolve().name, run.protocols[0]
    for study in studies_of(address(), name, protocol, engine)[-_STUDIES:]:
        _when_quiet()
        verdicts_of(address(), study.name, study.state, study.simulated, name, protocol, engine)


def _count() -> None:
    from sqlalchemy import select

    from dashboard.studies.progress_view import tally_of
    from dashboard.studies.quality_view import review_of
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
    for name in names[:1]:
        _when_quiet()
        review_of(engine, name)
