"""Who a visitor is, by the cookies that came with a request: the same answer for pages, pictures and sockets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from dashboard import sessions
from dashboard.passwords import Role
from dashboard.settings import Door


def cookie_name(door: Door) -> str:
    """Cookies know no ports: two dashboards on one machine must not log each other out."""
    return f"mesoface-{door.port}"


def role_by_cookies(door: Door, cookies: Mapping[str, str]) -> Role | None:
    """What the holder of ``cookies`` may do; None for one who may not come in."""
    if door.passwords is not None:
        return sessions.role_of(cookies.get(cookie_name(door)))
    if door.oidc:
        return role_by_mail(door, _provider_said(cookies))
    return "editor"


def role_by_mail(door: Door, person: Mapping[str, Any] | None) -> Role | None:
    """What somebody may do of whom the OpenID Connect provider said ``person``."""
    if not person or not person.get("is_logged_in") or _is_denied(person.get("email_verified")):
        return None
    mail = str(person.get("email") or "").lower()
    if mail and _is_among(mail, door.editors):
        return "editor"
    return "guest" if not door.viewers or (mail and _is_among(mail, door.viewers)) else None


def _is_denied(verified: object) -> bool:
    """Whether the provider says that the address is not verified; some write the word. Some say nothing at all."""
    return verified is False or str(verified).strip().lower() == "false"


def _is_among(mail: str, people: tuple[str, ...]) -> bool:
    domain = "@" + mail.rpartition("@")[2]
    return any(mail == one.lower() or domain == one.lower() for one in people)


def _provider_said(cookies: Mapping[str, str]) -> dict[str, Any] | None:
    """What Streamlit's signed cookie says; it has no public reader, so its own is asked."""
    from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME
    from streamlit.web.server.starlette.starlette_websocket import _get_signed_cookie_with_chunks

    if USER_COOKIE_NAME not in cookies:
        return None
    raw = _get_signed_cookie_with_chunks(dict(cookies), USER_COOKIE_NAME)
    return dict(json.loads(raw)) if raw else None
