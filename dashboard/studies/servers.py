"""Servers of raters that were started from the dashboard, and previews: each on a free port, all ended with it."""

from __future__ import annotations

import atexit
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from dashboard.settings import current
from recon.errors import InputError, StorageError
from study.engine import default_url
from study.server.process import Serving

HERE, ALL = "127.0.0.1", "0.0.0.0"
# The server has started, or never will.
_PATIENCE = 60.0
_MOST_SAID = 4000


@dataclass
class Server:
    """A study that is served.

    Attributes:
        address: that raters open.
        log: file with what the server says.
    """

    study: str
    host: str
    address: str
    log: Path
    process: subprocess.Popen[str]

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None


_servers: dict[str, Server] = {}
_previews: dict[str, tuple[str, ExitStack]] = {}
_lock = threading.Lock()


def server_of(study: str) -> Server | None:
    """The server of ``study`` that was started here and runs."""
    found = _servers.get(study)
    return found if found is not None and found.running else None


def serve(study: str, folder: Path, host: str = HERE) -> Server:
    """Serve the study in ``folder``; the server that runs already where there is one.

    Raises:
        InputError: it did not start; the message is the server's own.
        StorageError: no port is free.
    """
    with _lock:
        found = server_of(study)
        if found is not None:
            return found
        port = _free_port(host)
        log = current().cache / "servers" / f"{study}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        given = {
            "serving": asdict(Serving(str(folder), current().database or default_url())),
            "host": host,
            "port": port,
        }
        with log.open("w", encoding="utf-8") as stream:
            process = subprocess.Popen(
                [sys.executable, "-m", "dashboard.studies.hosted"],
                stdin=subprocess.PIPE, stdout=stream, stderr=stream, text=True,
            )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        name = socket.gethostname() if host == ALL else host
        started = Server(study, host, f"http://{name}:{port}/", log, process)
        _await(started, port)
        _servers[study] = started
        return started


def _free_port(host: str) -> int:
    with socket.socket() as tried:
        try:
            tried.bind((host, 0))
        except OSError as error:
            raise StorageError(f"no port of '{host}' is free for a server ({error.strerror}).") from error
        return int(tried.getsockname()[1])


def _await(server: Server, port: int) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if not server.running:
            said = server.log.read_text(encoding="utf-8", errors="replace")[-_MOST_SAID:]
            last = next((line for line in reversed(said.splitlines()) if line.startswith("mesoface: ")), "")
            raise InputError(
                last.removeprefix("mesoface: ") or f"the server of '{server.study}' ended: '{server.log}' says why."
            )
        with socket.socket() as tried:
            tried.settimeout(0.5)
            if tried.connect_ex((HERE, port)) == 0:
                return
        time.sleep(0.1)
    _end(server)
    raise InputError(f"the server of '{server.study}' did not start in {_PATIENCE:.0f} s: '{server.log}' says why.")


def stop(study: str) -> None:
    """End the server of ``study``; what raters are sending is finished."""
    with _lock:
        found = _servers.pop(study, None)
    if found is not None:
        _end(found)


def _end(server: Server) -> None:
    server.process.terminate()
    try:
        server.process.wait(15)
    except subprocess.TimeoutExpired:
        server.process.kill()
        server.process.wait()


def preview_of(study: str) -> str:
    """Address of the preview of ``study`` that runs; empty where none does."""
    found = _previews.get(study)
    return "" if found is None else found[0]


def start_preview(study: str, file: Path) -> str:
    """The pages of the study ``file``, in this process; answers are thrown away.

    Raises:
        InputError, StorageError: as of :func:`study.preview.previewed`.
    """
    from study.preview import previewed

    with _lock:
        found = _previews.get(study)
        if found is None:
            stack = ExitStack()
            found = _previews[study] = (stack.enter_context(previewed(file)), stack)
        return found[0]


def stop_preview(study: str) -> None:
    """End the preview of ``study``."""
    with _lock:
        found = _previews.pop(study, None)
    if found is not None:
        found[1].close()


@atexit.register
def stop_all() -> None:
    """End all that was started here."""
    for study in list(_servers):
        stop(study)
    for study in list(_previews):
        stop_preview(study)
