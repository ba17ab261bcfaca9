"""The HTML document of the dashboard: Streamlit's own with our name, mark and styles, and the few pages beside it.

Everything that a page loads comes from this server: the content security policy says so to the browser, so that no
library's idea of an outside address is ever followed.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from dashboard.address import PAGES

FRAME = Path(__file__).with_name("frame")

# Charts compile their expressions (unsafe-eval), components are modules from blobs, styles are made in the page.
POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' blob: 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "media-src 'self' blob:",
        "frame-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def document_routes() -> list[BaseRoute]:
    """The pages of the dashboard, and the files of its frame."""
    return [
        Route("/", page, methods=["GET"]),
        Route(f"/{PAGES[0]}", first_page, methods=["GET"]),
        *(Route(f"/{name}", page, methods=["GET"]) for name in PAGES[1:]),
        Route("/frame/{name}", frame_file, methods=["GET"]),
    ]


def page(_request: Request) -> Response:
    """Streamlit's document as ours; it draws the page that the address names."""
    return HTMLResponse(_document(), headers={"Cache-Control": "no-cache"})


def first_page(request: Request) -> Response:
    """The name of the first page, which Streamlit knows by the bare address alone."""
    return RedirectResponse(f"/?{request.url.query}" if request.url.query else "/", 307)


def frame_file(request: Request) -> Response:
    """A style, script or picture of the frame."""
    name = request.path_params["name"]
    if name not in {file.name for file in FRAME.iterdir() if file.suffix in (".css", ".js", ".svg")}:
        return PlainTextResponse("there is no such file.", 404)
    return FileResponse(FRAME / name, headers={"Cache-Control": "no-cache"})


def plain_page(title: str, text: str, status: int = 200, **more: str) -> Response:
    """A page without Streamlit: ``form`` is login, logout or nothing."""
    template = _environment().get_template("plain.html")
    body = template.render(title=title, text=text, **{"form": "", "wrong": "", "next": "/", **more})
    return HTMLResponse(body, status, headers={"Cache-Control": "no-store"})


def not_found() -> Response:
    """What a person sees at an address that there is not."""
    return plain_page("There is no such page", "The address may be mistyped, or of another version of mesoface.", 404)


def wordmark(dark: bool) -> str:
    """The mark with the name beside it, as SVG for a light or a dark page."""
    mark = (FRAME / "mark.svg").read_text(encoding="utf-8").strip()
    inner = re.sub(r"^<svg[^>]*>|</svg>$", "", mark)
    ink = "#e8eaed" if dark else "#1b1f23"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 136 32" width="136" height="32">{inner}'
        f'<text x="40" y="22.5" font-family="Source Sans, Source Sans 3, Helvetica, Arial, sans-serif" font-size="19" '
        f'font-weight="600" textLength="94" lengthAdjust="spacingAndGlyphs" fill="{ink}">mesoface</text></svg>'
    )


@cache
def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(FRAME), autoescape=True)


@cache
def _document() -> str:
    """Streamlit's ``index.html``, changed where it names itself.

    Raises:
        RuntimeError: Streamlit's document is of a shape that this version of mesoface does not know.
    """
    import streamlit

    text = (Path(streamlit.__file__).with_name("static") / "index.html").read_text(encoding="utf-8")
    ours = (
        '<link rel="icon" href="/frame/mark.svg" type="image/svg+xml" />\n'
        '    <script src="/frame/first.js"></script>\n    <link rel="stylesheet" href="/frame/frame.css" />'
    )
    for pattern, replacement in (
        (r'<link rel="shortcut icon"[^>]*/>', ours),
        (r"<title>.*?</title>", "<title>mesoface</title>"),
        # It only says when a page may be indexed, and an inline script is what the policy forbids.
        (r"<script>\s*window\.prerenderReady = false\s*</script>", ""),
        # Streamlit's interface for programs is off: it would be a second door to everything.
        (r'<link rel="service-desc"[^>]*/>', ""),
        (r"<noscript>.*?</noscript>", "<noscript><p>The dashboard needs JavaScript.</p></noscript>"),
    ):
        text, count = re.subn(pattern, replacement, text, count=1, flags=re.DOTALL)
        if not count:
            raise RuntimeError(f"this version of Streamlit has another document: no {pattern} in its index.html")
    return text
