"""The web server of the dashboard: Streamlit's application with our routes beside it, in one process."""

from __future__ import annotations

import logging
import socket
import threading
import time
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dashboard.departures import keep_departures_quiet
from dashboard.settings import Door, Settings, use
from recon.errors import UsageError

if TYPE_CHECKING:
    from streamlit import App

SCRIPT = Path(__file__).with_name("app.py")
_STARTING_SECONDS = 120


def configuration(door: Door, secrets: Path | None = None) -> dict[str, object]:
    """Streamlit's options: nothing leaves this machine, nobody comes in by another door, and the theme is ours."""
    from dashboard.theme import theme_options

    return {
        "server.address": door.host,
        "server.port": door.port,
        "server.headless": True,
        "server.showEmailPrompt": False,
        "server.fileWatcherType": "none",
        "server.maxUploadSize": 1,
        "server.enableAgentApi": False,
        "server.enableXsrfProtection": True,
        "server.enableCORS": True,
        "server.disconnectedSessionTTL": 300,
        "browser.gatherUsageStats": False,
        "client.toolbarMode": "minimal",
        "client.showErrorDetails": "none",
        "client.showErrorLinks": False,
        "logger.level": "warning",
        "logger.hideWelcomeMessage": True,
        "runner.magicEnabled": False,
        # A full collection after every run of the script takes longer than the run; dashboard.warming does it instead.
        "runner.postScriptGC": False,
        **({"secrets.files": [str(secrets)]} if secrets else {}),
        **theme_options(),
    }


def serve(settings: Settings, say: Callable[[str], None], *, browser: bool, secrets: Path | None = None) -> None:
    """Serve the dashboard until it is interrupted; ``say`` is told its address once it answers.

    Raises:
        UsageError: the port is taken, or there is no such address on this machine.
    """
    require_free(settings.door)
    use(settings)
    _log_to_stderr()
    keep_departures_quiet()
    threading.Thread(target=_announce, args=(settings.door, say, browser), daemon=True).start()
    with suppress(KeyboardInterrupt):  # the way in which a server is meant to end
        application(settings.door).run(config=configuration(settings.door, secrets))


def application(door: Door) -> App:
    """Streamlit with our routes, behind the guard."""
    from starlette.middleware import Middleware
    from streamlit import App

    from dashboard.document import document_routes
    from dashboard.guard import Guard
    from dashboard.login import login_routes
    from dashboard.pictures.routes import picture_routes
    from dashboard.studies.pictures import stimulus_routes
    from dashboard.trouble import tell
    from dashboard.warming import start

    def on_script_error(error: Exception) -> bool:
        tell(error)
        return True

    @asynccontextmanager
    async def lifespan(_app: App) -> AsyncIterator[None]:
        start()
        yield

    return App(
        SCRIPT,
        lifespan=lifespan,
        routes=[*document_routes(), *login_routes(), *stimulus_routes(), *picture_routes()],
        middleware=[Middleware(Guard, door=door)],
        on_script_error=on_script_error,
    )


def address(door: Door) -> str:
    """Where a browser on this machine finds the dashboard."""
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
    host = everywhere.get(door.host, door.host)
    return f"http://[{host}]:{door.port}/" if ":" in host else f"http://{host}:{door.port}/"


def require_free(door: Door) -> None:
    """Nothing where the port can be had.

    Raises:
        UsageError: it cannot.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(door.host, door.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(place)
    except socket.gaierror as error:
        raise UsageError(f"'{door.host}' is no address of this machine: leave --host away.") from error
    except PermissionError as error:
        raise UsageError(f"port {door.port} is for the system alone: take another one with --port.") from error
    except OSError as error:
        raise UsageError(
            f"port {door.port} at '{door.host}' cannot be had ({error.strerror}), perhaps by another dashboard: take "
            f"another one with --port, for example --port {door.port % 65535 + 1}."
        ) from error


def _announce(door: Door, say: Callable[[str], None], browser: bool) -> None:
    host = urlsplit(address(door)).hostname
    for _ in range(_STARTING_SECONDS * 10):
        try:
            socket.create_connection((host, door.port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
            continue
        say(f"the dashboard is at {address(door)}; Ctrl-C ends it")
        if browser:
            webbrowser.open(address(door))
        return


def _log_to_stderr() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    logger = logging.getLogger("mesoface")
    logger.addHandler(handler)
    logger.propagate = False
