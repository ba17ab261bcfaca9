"""Who may change things: studies, payments, the database. Looking is for all who may come in."""

from __future__ import annotations

from dashboard.settings import current

READ_ONLY = "This dashboard was started with --read-only: it changes nothing."


def may_change() -> bool:
    """Whether this visitor may change anything."""
    return not current().read_only


def why_not() -> str:
    """A sentence for one who may not change anything; empty for one who may."""
    return "" if may_change() else READ_ONLY
