"""The web application of one study (FastAPI): the page, its pictures, and the little API behind it.

======  ====================  =========================================================================================
POST    /api/arrive           what a newly opened page should show; writes nothing
POST    /api/consent          the rater agrees: a session and its token
POST    /api/screen           the screen check: a slot and its trials, or what the screen lacks
POST    /api/answers          one trial's answer, made once by its UUID
POST    /api/prolific         a message of Prolific's, see ``study.server.webhook``
GET     /stimuli/<sha256>.…   a picture of this study
GET     /health               the server and its database answer
======  ====================  =========================================================================================

The token travels in ``Authorization: Bearer``; there are no cookies, so no other site can act for a rater.
"""

import math
import re
import threading
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy import Engine, select, text
from starlette.exceptions import HTTPException as AnyHttpError
from starlette.middleware.cors import CORSMiddleware

from recon import __version__
from recon.errors import InputError, MesofaceError, StudyDatabaseError
from study.contract import Stimulus
from study.database import StimulusRow, StudyRow, now
from study.engine import reading
from study.server import sessions
from study.server.arrivals import read_arrival
from study.server.headers import SecurityHeaders
from study.server.journal import JOURNAL, Journal
from study.server.limits import BodyLimit, Buckets
from study.server.messages import (
    Answer,
    AnswerView,
    ArrivalView,
    Arriving,
    Consenting,
    Health,
    Refusal,
    Screen,
    ScreenView,
    SessionView,
)
from study.server.page import render_page, static_files
from study.server.sessions import ConflictError, Host
from study.server.settings import ServerSettings, Words
from study.server.tokens import TokenError, token_key, verify
from study.stimuli.catalogue import file_name, picture_of

_YEAR = "public, max-age=31536000, immutable"
_PICTURE = re.compile(r"([0-9a-f]{64})\.(webp|png)", re.ASCII)
# Slots whose trials are laid out before anyone comes, so that a mistake meets the researcher and not a rater.
_LOOKED_THROUGH = 4
_REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": Refusal} for code in (400, 401, 404, 409, 413, 422, 429, 503)
}


def create_app(engine: Engine, folder: Path, settings: ServerSettings) -> FastAPI:
    """The application that serves ``settings.study``.

    Args:
        engine: of the study database, in which the study is.
        folder: of the study; its pictures are ``folder/stimuli/<sha256>.<webp|png>``.
        settings: what raters read, what their screens must have, whence they come.

    Raises:
        InputError: the study is not in the database, has no pictures, or lacks one in the folder.
        StudyDatabaseError: the database cannot be reached.
    """
    host = _host(engine, folder, settings)
    # The description of the interface is for programs that test it; raters' browsers do not need it.
    app = FastAPI(
        title="mesoface study",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_errors(app, settings.words)
    _add_page(app, host)
    _add_pictures(app, host, folder)
    _add_api(app, host)
    app.add_middleware(BodyLimit, most=settings.limits.body_bytes)
    if settings.frame_ancestors:
        # A frame without an origin of its own (sandbox) is another site to its own server. Nothing here is given to a
        # browser for what it stores, so any site may ask, as any program can.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=["*"],
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
            max_age=86400,
        )
    app.add_middleware(Journal)
    app.add_middleware(SecurityHeaders, settings=settings)
    return app


def _host(engine: Engine, folder: Path, settings: ServerSettings) -> Host:
    with reading(engine) as session:
        study = session.scalar(select(StudyRow).where(StudyRow.name == settings.study))
        if study is None:
            raise InputError(f"there is no study '{settings.study}' in the database: enter it first.")
        rows = session.scalars(select(StimulusRow).filter_by(study_id=study.id).order_by(StimulusRow.id)).all()
        stimuli = {row.sha256: _stimulus(row) for row in rows}
        key = token_key(settings.key, study.name, study.created_at)
        host = Host(engine, settings, study.id, study.simulated, stimuli, key, threading.Lock())
    if not stimuli:
        raise InputError(f"the study '{settings.study}' has no stimuli: make them first.")
    if settings.pictures is None:
        for stimulus in stimuli.values():
            path = picture_of(folder, stimulus)
            if not path.is_file():
                raise InputError(f"the picture '{path}' is missing: make the stimuli again.")
    for slot in range(min(settings.design_settings.raters, _LOOKED_THROUGH)):
        plan = settings.design.plan(settings.design_settings, tuple(stimuli.values()), slot)
        sessions.require_words(settings, plan)
    return host


def _stimulus(row: StimulusRow) -> Stimulus:
    names = Stimulus.__dataclass_fields__
    return Stimulus(**{name: getattr(row, name) for name in names})


def _refuse(status: int, message: str, turn: int | None = None, wait: float | None = None) -> JSONResponse:
    headers = None if wait is None else {"Retry-After": str(max(1, math.ceil(wait)))}
    return JSONResponse(Refusal(error=message, next=turn).model_dump(), status_code=status, headers=headers)


def _add_errors(app: FastAPI, words: Words) -> None:
    """Every failure is a sentence in JSON; none repeats what was sent."""

    async def expected(_request: Request, error: Exception) -> Response:
        if isinstance(error, TokenError):
            return _refuse(401, str(error))
        if isinstance(error, ConflictError):
            return _refuse(409, str(error), error.next)
        if isinstance(error, StudyDatabaseError):
            # The page keeps the answer and comes again. What the database said is for the log.
            JOURNAL.error("database", extra={"said": {"reason": str(error)}})
            return _refuse(503, words.said("kept-by-server"), wait=5)
        if isinstance(error, InputError):
            return _refuse(400, str(error))
        JOURNAL.error("defect", exc_info=error)
        return _refuse(500, "something is wrong here: your answers so far are safe.")

    async def invalid(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        # The name of a field that is not known is the sender's.
        known = (item["loc"][: 1 if item["type"] == "extra_forbidden" else 2] for item in error.errors())
        places = sorted({".".join(map(str, place)) for place in known})
        return _refuse(422, f"this request is not understood ({', '.join(places)}): load the page again."[:300])

    async def http(_request: Request, error: Exception) -> Response:
        assert isinstance(error, AnyHttpError)
        # What the framework refuses by itself says so in words of its own.
        words = {400: "this request cannot be read: load the page again.", 405: "this is asked in another way."}
        framework = not str(error.detail).endswith(".")
        message = words.get(error.status_code, "there is nothing here.") if framework else str(error.detail)
        reply = _refuse(error.status_code, message)
        reply.headers.update(error.headers or {})
        return reply

    app.add_exception_handler(MesofaceError, expected)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(AnyHttpError, http)


def _add_page(app: FastAPI, host: Host) -> None:
    files = static_files()
    document = render_page(host.settings, files)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return Response(document, media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"})

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204, headers={"Cache-Control": _YEAR})

    @app.get("/static/{name}", include_in_schema=False)
    async def static(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "there is no such file.")
        found = files[name]
        headers = {"Cache-Control": _YEAR, "Access-Control-Allow-Origin": "*"}
        return Response(found.content, media_type=found.media_type, headers=headers)


def _add_pictures(app: FastAPI, host: Host, folder: Path) -> None:
    names = {file_name(stimulus): stimulus for stimulus in host.stimuli.values()}

    # In one thread from the look at the name to the last byte: a picture is small, and each way to a thread and back
    # costs more than reading it.
    @app.get("/stimuli/{name}", responses={404: {"model": Refusal}}, response_class=Response)
    def picture(name: str, request: Request) -> Response:
        # Nothing but a name that the study has ever reaches the file system.
        if _PICTURE.fullmatch(name) is None or name not in names:
            raise HTTPException(404, "there is no such picture.")
        stimulus = names[name]
        headers = {"Cache-Control": _YEAR, "ETag": f'"{stimulus.sha256}"'}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        try:
            content = picture_of(folder, stimulus).read_bytes()
        except OSError as error:
            JOURNAL.error("picture missing", extra={"said": {"picture": name}})
            raise HTTPException(404, "there is no such picture.") from error
        return Response(content, media_type=stimulus.media_type, headers=headers)


def _add_api(app: FastAPI, host: Host) -> None:
    limits = host.settings.limits
    addresses = Buckets(limits.address_rate, limits.address_burst)
    raters = Buckets(limits.session_rate, limits.session_burst)

    def slowly(buckets: Buckets, sender: str) -> None:
        wait = buckets.wait(sender, time.monotonic())
        if wait > 0:
            seconds = str(max(1, math.ceil(wait)))
            raise HTTPException(429, host.settings.words.said("too-many"), headers={"Retry-After": seconds})

    # Both on the event loop: they wait for nothing, and the way to a thread and back costs more than they do.
    async def guest(request: Request) -> None:
        slowly(addresses, request.client.host if request.client else "")

    async def rater(request: Request) -> int:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        number = verify(host.token_key, token if scheme.lower() == "bearer" else "", now())
        request.state.session = number
        slowly(raters, str(number))
        return number

    # A rater's token is checked before an address is counted: raters behind one address do not starve each other.
    Session = Annotated[int, Depends(rater)]
    settings = host.settings

    @app.post("/api/arrive", responses=_REFUSALS, dependencies=[Depends(guest)])
    def arrive(given: Arriving) -> ArrivalView:
        arrival = read_arrival(settings.provider, given.parameters, settings.key, settings.study)
        if arrival.preview:
            return ArrivalView(preview=True, session=None)
        return ArrivalView(preview=False, session=sessions.find(host, arrival, str(given.visitor), now()))

    @app.post("/api/consent", responses=_REFUSALS, dependencies=[Depends(guest)])
    def consent(given: Consenting) -> SessionView:
        arrival = read_arrival(settings.provider, given.parameters, settings.key, settings.study)
        if arrival.preview:
            raise ConflictError("this is a preview: accept the work first.")
        return sessions.consent(host, arrival, str(given.visitor), given.consent_version, now())

    @app.post("/api/screen", responses=_REFUSALS)
    def screen(session: Session, given: Screen) -> ScreenView:
        return sessions.screen(host, session, given, now())

    @app.post("/api/answers", responses=_REFUSALS)
    def answers(session: Session, given: Answer) -> AnswerView:
        return sessions.answer(host, session, given, now())

    @app.get("/health", responses={503: {"model": Refusal}})
    def health() -> Health:
        with reading(host.engine) as session:
            session.execute(text("SELECT 1"))
        return Health(status="ok")
