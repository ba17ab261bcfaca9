"""Of browsers that leave nothing is logged, of anything else everything.

Source: the promise of ``dashboard.departures``; how Streamlit and Starlette chain these errors is made here as they do.
"""

from __future__ import annotations

import logging

import pytest
from starlette import websockets

from dashboard.departures import LOGGERS, is_no_departure, keep_departures_quiet


def _logged(error: Exception) -> bool:
    """Whether the record of ``error`` is let through."""
    record = logging.LogRecord(LOGGERS[0], logging.ERROR, __file__, 1, "sending failed", None, None)
    record.exc_info = (type(error), error, None)
    return is_no_departure(record)


def _departure() -> Exception:
    kind = getattr(websockets, "WebSocketDisconnected", None)
    if kind is None:
        pytest.skip("this Starlette has no error of its own for a socket that is closed")
    made: Exception = kind('Cannot call "send" once a close message has been sent.')
    return made


def test_a_departure_is_not_logged_however_it_is_wrapped() -> None:
    assert not _logged(_departure())
    wrapped = TypeError("WebSocket text frames are not supported; connection closed.")
    wrapped.__context__ = _departure()  # what raising it while the other is handled does
    assert not _logged(wrapped)


def test_anything_else_is_logged() -> None:
    for error in (RuntimeError("text frame"), TypeError("no binary"), ConnectionResetError("gone")):
        assert _logged(error)
    assert is_no_departure(logging.LogRecord(LOGGERS[0], logging.WARNING, __file__, 1, "words", None, None))


def test_only_the_two_who_log_departures_are_filtered() -> None:
    before = [list(logging.getLogger(name).filters) for name in LOGGERS]
    keep_departures_quiet()
    try:
        assert all(is_no_departure in logging.getLogger(name).filters for name in LOGGERS)
        assert is_no_departure not in logging.getLogger().filters
    finally:
        for name, filters in zip(LOGGERS, before, strict=True):
            logging.getLogger(name).filters[:] = filters
