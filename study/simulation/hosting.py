"""The web server of a rehearsal as a process of its own, on a free port of this machine alone.

It is the same application as people meet. It ends with the process that started it, whose end closes its input, and is
started again on its port when it dies: model raters wait that long, as pages do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recon.errors import InputError
from study.engine import URL_VARIABLE
from study.server.settings import ServerSettings
from study.specification import Specification, specification_from

_MOST_STARTS = 5
_LOOK_EVERY = 0.1


def rehearsed_settings(specification: Specification) -> ServerSettings:
    """What the server of a rehearsal is told: all of the study file, and raters of our own whatever its provider.

    Raises:
        InputError: the installation's key cannot be read.
    """
    from study.hosting import server_settings
    from study.pseudonyms import secret_key

    return replace(server_settings(specification, secret_key()), provider="local")


@dataclass
class HostedRehearsal:
    """The server of a rehearsal.

    Attributes:
        address: ``http://127.0.0.1:PORT``.
        pid: of the process that runs now.
        starts: how often it was started.
        failure: why it is not started again; empty while it runs.
    """

    address: str
    pid: int
    starts: int = 1
    failure: str = ""
    _ended: threading.Event = field(default_factory=threading.Event, repr=False)


@contextmanager
def hosted(specification: Specification, folder: Path, database: str) -> Iterator[HostedRehearsal]:
    """A server for the time of the block; the study must be in the database.

    Args:
        folder: with the pictures.
        database: URL.

    Raises:
        InputError: the server did not start.
    """
    given = json.dumps({"specification": specification.record(), "folder": str(folder)})
    process, address = _start(given, database, 0)
    host = HostedRehearsal(address, process.pid)
    keeper = threading.Thread(target=_keep, args=(host, process, given, database), daemon=True)
    keeper.start()
    try:
        yield host
    finally:
        host._ended.set()
        keeper.join()


def _keep(host: HostedRehearsal, process: subprocess.Popen[str], given: str, database: str) -> None:
    port = int(host.address.rpartition(":")[2])
    while not host._ended.wait(_LOOK_EVERY):
        if process.poll() is None:
            continue
        if host.starts >= _MOST_STARTS:
            host.failure = f"the server of the rehearsal died {host.starts} times: run the command again with --debug."
            return
        try:
            process, _ = _start(given, database, port)
        except InputError as error:
            host.failure = str(error)
            return
        host.pid, host.starts = process.pid, host.starts + 1
    _stop(process)


def _start(given: str, database: str, port: int) -> tuple[subprocess.Popen[str], str]:
    """The process and its address, which is its first line."""
    # The address of the database may hold a password, which a command line would show to everybody.
    process = subprocess.Popen(
        [sys.executable, "-m", "study.simulation.hosting", str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, URL_VARIABLE: database, "PYTHONPATH": _import_path()},
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(given + "\n")
        process.stdin.flush()
        address = process.stdout.readline().strip()
    except BrokenPipeError:
        address = ""
    if not address.startswith("http://"):
        _stop(process)
        raise InputError("the server of the rehearsal did not start: what it said stands above.")
    return process, address


def _import_path() -> str:
    """Where the process finds this very mesoface, also one that is run from a checkout without being installed."""
    here = str(Path(__file__).resolve().parents[2])
    return os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])


def _stop(process: subprocess.Popen[str]) -> None:
    """Ends the server and waits for it; what it was doing is finished, unless it takes too long."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def main() -> None:
    """The server process: reads what to serve from its input, and ends when that is closed."""
    import uvicorn

    from study.engine import open_database
    from study.server.app import create_app
    from study.server.journal import JOURNAL

    given: dict[str, Any] = json.loads(sys.stdin.readline())
    settings = rehearsed_settings(specification_from(given["specification"]))
    JOURNAL.disabled = True  # a line for every request of every model rater tells nothing
    app = create_app(open_database(), Path(given["folder"]), settings)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    with config.bind_socket() as listening:
        sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
        server.run(sockets=[listening])


def _end_with_parent(server: Any) -> None:
    sys.stdin.read()
    server.should_exit = True


if __name__ == "__main__":
    main()
