"""The server as a process: one, or several that share a port, each with an application of its own.

What a worker process must know travels to it in the environment, because it is started afresh.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI

from recon.errors import InputError, UsageError
from study.engine import open_database, require_schema
from study.hosting import server_settings
from study.providers import prolific_webhook
from study.pseudonyms import COMPLETED, SCREENED, secret_key, shared_code
from study.server.app import create_app
from study.server.arrivals import FRAME_ANCESTORS, PROVIDERS
from study.server.journal import write_journal
from study.server.registration import enter_study
from study.server.settings import AddressBefore, PictureStore, ServerSettings
from study.server.webhook import add_webhook
from study.specification import Specification, read_specification
from study.stimuli import read_catalogue
from study.stimuli.catalogue import file_name

_VARIABLE = "MESOFACE_STUDY_SERVED"
# By default: each has its own connections to the database, of which a PostgreSQL takes 100 unless it is told otherwise.
MOST_WORKERS = 8


@dataclass(frozen=True)
class Serving:
    """What is served, and how.

    Attributes:
        folder: of the study, with ``study.yaml``, ``stimuli.json`` and ``stimuli/``.
        database: URL; None for the default.
        completion_code, screen_out_code, kiosk: as in ``ServerSettings``.
        stimuli_url: what addresses of the pictures begin with; empty to serve them from the folder.
        published: whether pages load the pictures from where ``study publish`` put them.
        embedded_by: origins that may embed the page, besides the provider's own.
        endpoint: of Prolific's interface, if not its own.
        new_key: the key that the study was entered with is lost, and this installation's takes its place.
    """

    folder: str
    database: str | None = None
    completion_code: str = ""
    screen_out_code: str = ""
    stimuli_url: str = ""
    published: bool = False
    kiosk: bool = False
    embedded_by: tuple[str, ...] = ()
    endpoint: str = ""
    new_key: bool = False


def settings_of(serving: Serving, specification: Specification) -> ServerSettings:
    """All that the server must know.

    Raises:
        UsageError: raters of this provider cannot be served so.
    """
    provider = specification.payment.provider
    if provider not in PROVIDERS:
        raise UsageError(f"raters of '{provider}' cannot be served: known are {', '.join(PROVIDERS)}.")
    if serving.kiosk and provider != "local":
        raise UsageError(f"a kiosk is for raters of 'local'; this study's come from '{provider}'.")
    key, of_all = secret_key(), provider == "prolific"  # whose raters hand in the codes that 'study launch' told it
    return replace(
        server_settings(specification, key),
        completion_code=serving.completion_code or (shared_code(key, specification.name, COMPLETED) if of_all else ""),
        screen_out_code=serving.screen_out_code or (shared_code(key, specification.name, SCREENED) if of_all else ""),
        pictures=_pictures(serving),
        kiosk=serving.kiosk,
        frame_ancestors=(*FRAME_ANCESTORS.get(provider, ()), *serving.embedded_by),
    )


def _pictures(serving: Serving) -> PictureStore | None:
    if serving.published and serving.stimuli_url:
        raise UsageError("--published and --stimuli-url both say where the pictures are: give one of them.")
    if serving.published:
        from study.publishing import PublishedPictures

        store = PublishedPictures(Path(serving.folder))
        lacking = {file_name(one) for one in read_catalogue(Path(serving.folder)).stimuli} - store.files
        if lacking:
            raise InputError(
                f"'{serving.folder}' was published before it had {len(lacking)} of its pictures: run 'mesoface study "
                "publish' again."
            )
        return store
    parts = urlsplit(serving.stimuli_url)
    here = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")
    if serving.stimuli_url and not (parts.scheme == "https" or here):
        raise UsageError(f"'{serving.stimuli_url}' is no place for pictures: give an https address.")
    return AddressBefore(serving.stimuli_url) if serving.stimuli_url else None


def prepare(serving: Serving) -> FastAPI:
    """The application, once the study is in the database and open.

    Raises:
        InputError: the study file, its pictures or the database cannot be used.
        UsageError: see :func:`settings_of`.
    """
    folder = Path(serving.folder)
    specification = read_specification(folder / "study.yaml")
    settings = settings_of(serving, specification)
    stimuli = read_catalogue(folder).stimuli
    engine = open_database(serving.database)
    require_schema(engine)
    payment = specification.payment
    enter_study(
        engine, settings, specification.record(), stimuli, currency=payment.currency, cap_cents=payment.cap,
        new_key=serving.new_key,
    )  # fmt: skip
    app = create_app(engine, folder, settings)
    if settings.provider == "prolific" and prolific_webhook.is_expected():
        add_webhook(app, engine, specification.name, serving.endpoint)
    return app


def default_workers(database: str | None) -> int:
    """Worker processes that serve a study best: one a processor on PostgreSQL; one on SQLite, where writers take turns.

    Args:
        database: URL; None for the default.

    Raises:
        StudyDatabaseError: it names no database.
    """
    engine = open_database(database)
    engine.dispose()
    return 1 if engine.dialect.name == "sqlite" else min(_processors(), MOST_WORKERS)


def _processors() -> int:
    """Of this machine that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def serve(serving: Serving, host: str, port: int, workers: int | None, proxies: str) -> None:
    """Serve until the process is told to end; requests that are under way are finished.

    Args:
        workers: processes; None for :func:`default_workers`.
        proxies: addresses of proxies whose word on a sender's address is taken, separated by commas.

    Raises:
        InputError: the port is taken, or cannot be had.
    """
    import uvicorn

    options: dict[str, Any] = {
        "host": host,
        "port": port,
        "log_config": None,
        "access_log": False,
        "lifespan": "off",
        "server_header": False,
        "proxy_headers": bool(proxies),
        "forwarded_allow_ips": proxies,
        "timeout_keep_alive": 30,
        "timeout_graceful_shutdown": 10,
    }
    write_journal()
    wanted = workers or default_workers(serving.database)
    with _ended_by_a_signal() as told:
        try:
            if wanted == 1:
                uvicorn.run(prepare(serving), **options)
            else:
                prepare(serving)  # what is wrong is said once, here, and not by every worker
                os.environ[_VARIABLE] = json.dumps(asdict(serving))
                uvicorn.run("study.server.process:worker", factory=True, workers=wanted, **options)
        except KeyboardInterrupt:  # passed on by uvicorn once all is finished
            return
        except SystemExit as error:  # uvicorn's way to say that it could not listen
            if told or not error.code:
                return
            raise InputError(
                f"port {port} of {host} cannot be had: another server may be there; give --port."
            ) from error


@contextmanager
def _ended_by_a_signal() -> Iterator[list[int]]:
    """SIGTERM ends the block as Ctrl-C does, so that a clean stop is a success also for who supervises the process.

    Uvicorn finishes what is under way and then raises the signal again, which by default would kill the process.
    """
    told: list[int] = []

    def end(number: int, _frame: Any) -> None:
        told.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield told
    finally:
        signal.signal(signal.SIGTERM, before)


def worker() -> FastAPI:
    """The application of a worker process."""
    write_journal()
    given = json.loads(os.environ[_VARIABLE])
    return prepare(Serving(**{**given, "embedded_by": tuple(given["embedded_by"])}))
