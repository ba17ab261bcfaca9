"""Pictures that raters saw: ``/pictures/stimuli/STUDY/SHA256/WIDTH``, served as files.

The name of the study is looked up among the folders that were found, and the picture by its hash: nothing of the
address is joined to a path but hexadecimal digits.
"""

from __future__ import annotations

import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard.pictures.addresses import WIDTHS
from dashboard.pictures.sources import Source
from dashboard.pictures.thumbnails import stamp, thumbnail
from dashboard.studies.folders import folder_of
from recon.errors import MesofaceError
from study.stimuli.catalogue import PICTURES, SUFFIXES

ROOT = "/pictures/stimuli"
_SHA256 = re.compile(r"[0-9a-f]{64}")
# The name of a picture is the hash of its bytes: it never changes.
_KEPT = "private, max-age=31536000, immutable"


def stimulus_address(study: str, sha256: str, width: int = 320) -> str:
    """Where the server has the picture ``sha256`` of ``study``, at most ``width`` pixels wide; 0: as it is."""
    return f"{ROOT}/{study}/{sha256}/{width}"


def stimulus_routes() -> list[BaseRoute]:
    """Routes for the server."""
    return [Route(f"{ROOT}/{{study}}/{{sha256}}/{{width:int}}", _picture, methods=["GET"])]


def _picture(request: Request) -> Response:
    study, sha256, width = (request.path_params[name] for name in ("study", "sha256", "width"))
    path = _file(study, sha256) if width in (0, *WIDTHS) else None
    if path is None:
        return _none()
    headers = {"Cache-Control": _KEPT, "X-Content-Type-Options": "nosniff"}
    source = Source(path)
    try:
        made = thumbnail(source, width, stamp(source, width))
    except (MesofaceError, OSError):  # damaged, or gone since: there is no such picture
        return _none()
    return FileResponse(made, media_type="image/webp", headers=headers)


def _none() -> Response:
    return PlainTextResponse("there is no such picture in the studies that are shown.", 404)


def _file(study: str, sha256: str) -> Path | None:
    folder = folder_of(study)
    if folder is None or not _SHA256.fullmatch(sha256):
        return None
    files = (folder.path / PICTURES / f"{sha256}{suffix}" for suffix in SUFFIXES.values())
    return next((file for file in files if file.is_file() and not file.is_symlink()), None)
