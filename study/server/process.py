"""The server as a process: one, or several that share a port, each with an application of its own.

What a worker process must know travels to it in the environment, because it is started afresh.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from recon.errors import InputError, UsageError
from study.engine import open_database, require_schema
from study.hosting import server_settings
from study.pseudonyms import secret_key
from study.server.app import create_app
from study.server.arrivals import FRAME_ANCESTORS, PROVIDERS
from study.server.journal import write_journal
from study.server.registration import enter_study
from study.server.settings import ServerSettings
from study.specification import Specification, read_specification
from study.stimuli import read_catalogue

_VARIABLE = "MESOFACE_STUDY_SERVED"


@dataclass(frozen=True)
class Serving:
    """What is served, and how.

    Attributes:
        folder: of the study, with ``study.yaml``, ``stimuli.json`` and ``stimuli/``.
        database: URL; None for the default.
        completion_code, screen_out_code, stimuli_url, kiosk: as in ``ServerSettings``.
        embedded_by: origins that may embed the page, besides the provider's own.
    """

    folder: str
    database: str | None = None
    completion_code: str = ""
    screen_out_code: str = ""
    stimuli_url: str = ""
    kiosk: bool = False
    embedded_by: tuple[str, ...] = ()


def settings_of(serving: Serving, specification: Specification) -> ServerSettings:
    """All that the server must know.

    Raises:
        UsageError: raters of this provider cannot be served so.
    """
    provider = specification.payment.provider
    if provider not in PROVIDERS:
        raise UsageError(f"raters of '{provider}' cannot be served: known are {', '.join(PROVIDERS)}.")
    if provider == "prolific" and not serving.completion_code:
        raise UsageError("raters of Prolific need the code that Prolific knows: give --completion-code.")
    if serving.kiosk and provider != "local":
        raise UsageError(f"a kiosk is for raters of 'local'; this study's come from '{provider}'.")
    if serving.stimuli_url and not serving.stimuli_url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise UsageError(f"'{serving.stimuli_url}' is no place for pictures: give an https address.")
    return replace(
        server_settings(specification, secret_key()),
        completion_code=serving.completion_code,
        screen_out_code=serving.screen_out_code,
        stimuli_url=serving.stimuli_url,
        kiosk=serving.kiosk,
        frame_ancestors=(*FRAME_ANCESTORS.get(provider, ()), *serving.embedded_by),
    )


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
    enter_study(engine, settings, specification.record(), stimuli, currency=payment.currency, cap_cents=payment.cap)
    return create_app(engine, folder, settings)


def serve(serving: Serving, host: str, port: int, workers: int, proxies: str) -> None:
    """Serve until the process is told to end; requests that are under way are finished.

    Args:
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
    try:
        if workers == 1:
            uvicorn.run(prepare(serving), **options)
        else:
            prepare(serving)  # what is wrong is said once, here, and not by every worker
            os.environ[_VARIABLE] = json.dumps(asdict(serving))
            uvicorn.run("study.server.process:worker", factory=True, workers=workers, **options)
    except KeyboardInterrupt:  # passed on by uvicorn once all is finished
        return
    except SystemExit as error:  # uvicorn's way to say that it could not listen
        if not error.code:
            raise
        raise InputError(f"port {port} of {host} cannot be had: another server may be there; give --port.") from error


def worker() -> FastAPI:
    """The application of a worker process."""
    write_journal()
    given = json.loads(os.environ[_VARIABLE])
    return prepare(Serving(**{**given, "embedded_by": tuple(given["embedded_by"])}))
