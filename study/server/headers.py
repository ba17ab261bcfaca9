"""Response headers: what the page may load, who may embed it, what browsers must not guess or pass on.

Content-Security-Policy level 3: scripts, styles and requests of our own origin alone, pictures also from where they
were published, no inline code. Only the configured marketplace may embed the page (``frame-ancestors``).
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from study.server.arrivals import FORM_ORIGINS
from study.server.settings import ServerSettings


def content_security_policy(settings: ServerSettings) -> str:
    """The policy of every response."""
    pictures = ["'self'"]
    if settings.pictures is not None:
        pictures.append(settings.pictures.origin)
    rules = {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": pictures,
        "connect-src": ["'self'"],
        "base-uri": ["'none'"],
        "form-action": list(FORM_ORIGINS.get(settings.provider, ())) or ["'none'"],
        "frame-ancestors": list(settings.frame_ancestors) or ["'none'"],
    }
    return "; ".join(f"{name} {' '.join(sources)}" for name, sources in rules.items())


class SecurityHeaders:
    """Adds them to every response, errors included."""

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self.app = app
        self.always = {
            "Content-Security-Policy": content_security_policy(settings),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",  # the address of the page holds the marketplace's name of the rater
            "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
            "X-Robots-Tag": "noindex, noimageindex",
        }
        if not settings.frame_ancestors:
            self.always["X-Frame-Options"] = "DENY"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self.always.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, with_headers)
