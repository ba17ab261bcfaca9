"""The page and its files, made once when the server starts: one document for all raters of the study."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from study.server.settings import ServerSettings

_ROOM = Path(__file__).parent
STYLE = "study.css"
SCRIPTS = ("words.js", "storage.js", "outbox.js", "pictures.js", "screen.js", "forms.js", "ranking.js", "study.js")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}

# The parameters of the page's address that the page passes on; any other stays where it is.
PARAMETERS = {
    "local": ("rater", "key"),
    "prolific": ("PROLIFIC_PID", "SESSION_ID", "STUDY_ID"),
    "mturk": ("workerId", "assignmentId", "hitId", "turkSubmitTo"),
}


@dataclass(frozen=True)
class StaticFile:
    """A file of the page: what it holds, its media type, and 16 digits of its sha256, which are in its address."""

    content: bytes
    media_type: str
    version: str


def static_files() -> dict[str, StaticFile]:
    """All files that the page loads, by name."""
    files = {}
    for name in (STYLE, *SCRIPTS):
        content = (_ROOM / "static" / name).read_bytes()
        version = hashlib.sha256(content).hexdigest()[:16]
        files[name] = StaticFile(content, _TYPES[Path(name).suffix], version)
    return files


def render_page(settings: ServerSettings, files: dict[str, StaticFile]) -> bytes:
    """The document, UTF-8."""
    environment = Environment(
        loader=FileSystemLoader(_ROOM / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["paragraphs"] = _paragraphs
    environment.filters["keys"] = _keys
    words = settings.words
    text = environment.get_template("study.html").render(
        words=words,
        said=words.said,
        screen=settings.screen,
        provider=settings.provider,
        kiosk=settings.kiosk,
        page=settings.design.page,
        style=f"static/{STYLE}?v={files[STYLE].version}",
        scripts=[f"static/{name}?v={files[name].version}" for name in SCRIPTS],
        told=_told(settings),
    )
    return text.encode()


def _told(settings: ServerSettings) -> dict[str, Any]:
    """What the scripts need of the study; nothing of conditions, subjects or what is expected."""
    words = settings.words
    return {
        "study": settings.study,
        "page": settings.design.page,
        "parameters": PARAMETERS.get(settings.provider, ()),
        "kiosk": settings.kiosk,
        "consentVersion": words.consent_version,
        "words": dict(words.page),
        "labels": dict(words.labels),
        "best": words.best,
        "worst": words.worst,
        "right": words.right,
        "wrong": words.wrong,
        "scales": [{"name": s.name, "question": s.question, "labels": s.labels} for s in words.scales],
        "card": settings.screen.card,
    }


def _keys(text: str) -> list[str]:
    """The text in parts, of which every second is the name of a key: ``[E]``."""
    return re.split(r"\[([^\[\]]+)\]", text)


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a text in which empty lines part them."""
    return [" ".join(part.split()) for part in text.replace("\r\n", "\n").split("\n\n") if part.strip()]
