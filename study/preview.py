"""The pages of a study, to look at before anybody is asked: the real server, a database that is thrown away."""

from __future__ import annotations

import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from recon.errors import InputError, StorageError
from study.hosting import server_settings
from study.specification import read_specification

# The server has started, or never will.
_PATIENCE = 30.0


@contextmanager
def previewed(path: Path) -> Iterator[str]:
    """Address of the study of the file ``path``, served on this machine alone for the time of the block.

    Every opening of the page is a new rater, in the next slot. Answers go to a database that is removed at the end, and
    are marked as simulated.

    Raises:
        InputError: the file cannot be read, or its pictures are not built.
        StorageError: no port is free.
    """
    import uvicorn

    from study.engine import open_database, upgrade
    from study.server.app import create_app
    from study.server.registration import enter_study
    from study.stimuli import read_catalogue

    specification = read_specification(path)
    stimuli = read_catalogue(path.parent).stimuli
    settings = replace(server_settings(specification, secrets.token_bytes(32)), provider="local", kiosk=True)
    with tempfile.TemporaryDirectory(prefix="mesoface-preview-") as folder:
        engine = open_database(f"sqlite:///{Path(folder) / 'preview.sqlite'}")
        try:
            upgrade(engine)
            enter_study(engine, settings, specification.record(), stimuli, simulated=True)
            app = create_app(engine, path.parent, settings)
            with _port() as listening:
                server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
                thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
                thread.start()
                try:
                    _wait(server, thread)
                    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
                finally:
                    server.should_exit = True
                    thread.join(_PATIENCE)
        finally:
            engine.dispose()


@contextmanager
def _port() -> Iterator[socket.socket]:
    """A port that is free, on the loopback interface alone."""
    with socket.socket() as listening:
        try:
            listening.bind(("127.0.0.1", 0))
        except OSError as error:
            raise StorageError(f"no port of this machine is free for the preview ({error.strerror}).") from error
        yield listening


def _wait(server: object, thread: threading.Thread) -> None:
    until = time.monotonic() + _PATIENCE
    while not getattr(server, "started", False):
        if time.monotonic() > until or not thread.is_alive():
            raise InputError("the preview's server did not start: run the command again with --debug.")
        time.sleep(0.01)
