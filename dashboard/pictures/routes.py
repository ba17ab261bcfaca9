"""The routes under ``/pictures``: thumbnails, whole pictures and heads as files, never through the socket."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard.pictures.addresses import ROOT, parsed
from dashboard.pictures.sources import source_of
from dashboard.pictures.thumbnails import stamp, thumbnail

_KEPT = "private, max-age=60"


def picture_routes() -> list[BaseRoute]:
    """Routes for the server."""
    parts = "/".join("{" + name + "}" for name in ("run", "kind", "protocol", "method", "subject", "view", "width"))
    return [Route(f"{ROOT}/{parts}", picture, methods=["GET"])]


def picture(request: Request) -> Response:
    """Answer with the picture that the address names; 404 where there is none."""
    named = parsed(dict(request.path_params))
    source = source_of(named[0]) if named else None
    if named is None or source is None:
        return PlainTextResponse("there is no such picture in the runs that are shown.", 404)
    key = stamp(source, named[1])
    headers = {"ETag": f'"{key}"', "Cache-Control": _KEPT, "X-Content-Type-Options": "nosniff"}
    if f'"{key}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if named[0].kind == "head":
        return FileResponse(source.path, media_type="model/gltf-binary", headers=headers)
    return FileResponse(thumbnail(source, *named[1:], key), media_type="image/webp", headers=headers)
