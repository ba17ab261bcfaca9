"""The newest run is read before anybody asks for it, in the background, so that the first visit need not wait."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from recon.errors import MesofaceError

_log = logging.getLogger("mesoface.dashboard")


def warm_up() -> threading.Thread:
    """Start reading; the thread ends with the process at the latest."""
    thread = threading.Thread(target=_read, name="warm-up", daemon=True)
    thread.start()
    return thread


def _read() -> None:
    # Streamlit's caches look for a page to show their spinner in, and say so where there is none.
    logging.getLogger("streamlit.runtime.scriptrunner_utils.script_run_context").setLevel(logging.ERROR)
    from dashboard.catalogue import runs
    from dashboard.studies_database import condition
    from dashboard.values import comparison_of, values_of

    run = next((run for run in runs().values() if not run.problem and run.stamp[1]), None)
    steps: list[Callable[[], object]] = [condition]
    if run is not None:
        steps += [lambda: values_of(run), lambda: comparison_of(run)]
    for step in steps:
        try:
            step()
        except MesofaceError:
            pass  # whoever opens the page is told; nobody has asked yet
        except Exception:
            _log.exception("warming up failed")
