"""What the log need not say: that a browser left while a page was being sent to it.

Streamlit logs such a departure as a fault, with a traceback, when a message is on its way at that moment: Starlette
raises ``WebSocketDisconnected`` where Streamlit waits for ``WebSocketDisconnect``. Everything else is logged as before.
"""

from __future__ import annotations

import logging

# Who logs it: Streamlit where it sends, the web server where Streamlit took the end of receiving for a wrong message.
LOGGERS = ("streamlit.web.server.starlette.starlette_websocket", "uvicorn.error")
_DEPARTURE = "WebSocketDisconnected"  # by name, because older versions of Starlette have no such class


def is_no_departure(record: logging.LogRecord) -> bool:
    """Whether ``record`` is to be logged: it is of something else than a browser that left."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    while error is not None:
        if type(error).__name__ == _DEPARTURE and type(error).__module__ == "starlette.websockets":
            return False
        error = error.__cause__ or error.__context__
    return True


def keep_departures_quiet() -> None:
    """From now on departures are not logged."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(is_no_departure)
