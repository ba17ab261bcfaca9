"""Who may change things: studies, payments, the database. Looking is for all who may come in."""

from __future__ import annotations

import streamlit as st

from dashboard.passwords import Role
from dashboard.settings import current
from dashboard.visitors import role_by_cookies, role_by_mail
from recon.errors import UsageError


def role() -> Role | None:
    """What this visitor may do; None where nobody is logged in (any more). To be asked in the script alone."""
    door = current().door
    if door.oidc:
        return role_by_mail(door, st.user.to_dict())
    # The cookies are those of the moment when the page was opened; whether they still hold is asked now.
    return role_by_cookies(door, st.context.cookies) if door.is_guarded else "editor"


def may_change() -> bool:
    """Whether this visitor may change anything."""
    return not current().read_only and role() == "editor"


def why_not() -> str:
    """A sentence for one who may not change anything; empty for one who may."""
    if current().read_only:
        return "This dashboard was started with --read-only: it changes nothing."
    who = role()
    if who is None:
        return "You are logged out: log in again."
    return "" if who == "editor" else "You are a guest here: you can look at everything, and change nothing."


def require_change() -> None:
    """Nothing where this visitor may change things. Asked at the moment of every change: a button that is greyed out
    keeps nobody from sending its click, and a session may have ended since the page was drawn.

    Raises:
        UsageError: not so.
    """
    if not may_change():
        raise UsageError(why_not())
