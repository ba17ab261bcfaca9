"""The routes under ``/pictures``: thumbnails, whole pictures and heads as files, never through the socket."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard.pictures.addresses import ROOT, Picture, parsed, parsed_width
from dashboard.pictures.sources import source_of
from dashboard.pictures.thumbnails import stamp, thumbnail
from dashboard.pictures.tokens import behind
from recon.errors import MesofaceError

_KEPT = "private, max-age=60, stale-while-revalidate=600"
_SAFE = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
_ABSENT = "there is no such picture in the runs that are shown."
_FORGOTTEN = "this blind picture is not known any more, because the dashboard was started anew: reload the page."


def picture_routes() -> list[BaseRoute]:
    """Routes for the server."""
    parts = "/".join("{" + name + "}" for name in ("run", "kind", "protocol", "method", "subject", "view", "width"))
    return [
        Route(f"{ROOT}/blind/{{token}}/{{width}}", blind_picture, methods=["GET"]),
        Route(f"{ROOT}/{parts}", picture, methods=["GET"]),
    ]


def picture(request: Request) -> Response:
    """Answer with the picture that the address names; 404 where there is none."""
    named = parsed(dict(request.path_params))
    return _answer(request, *named) if named else PlainTextResponse(_ABSENT, 404, headers=_SAFE)


def blind_picture(request: Request) -> Response:
    """Answer with the picture behind a token; 404 where the token is not known."""
    named, width = behind(request.path_params["token"]), parsed_width(request.path_params["width"])
    if named is None or width is None:
        return PlainTextResponse(_FORGOTTEN, 404, headers=_SAFE)
    return _answer(request, named, width)


def _answer(request: Request, named: Picture, width: int) -> Response:
    source = source_of(named)
    if source is None:
        return PlainTextResponse(_ABSENT, 404, headers=_SAFE)
    try:
        key = stamp(source, width)
        headers = {"ETag": f'"{key}"', "Cache-Control": _KEPT, "X-Content-Type-Options": "nosniff"}
        if f'"{key}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if named.kind == "head":
            return FileResponse(source.files[0], media_type="model/gltf-binary", headers=headers)
        return FileResponse(thumbnail(source, width, key), media_type="image/webp", headers=headers)
    except MesofaceError as error:
        return PlainTextResponse(str(error), 422, headers=_SAFE)
    except OSError:  # the run is being made again this moment, or is not ours to read
        return PlainTextResponse(_ABSENT, 404, headers=_SAFE)
