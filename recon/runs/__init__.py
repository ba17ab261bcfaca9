"""A run: methods × protocols × subjects, made into a folder that is the only source of truth for what was made.

:func:`execute` carries one out and can be killed and called again; :class:`RunFolder` knows where everything lies.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recon.runs.config import RunConfig
    from recon.runs.execution import Summary, execute
    from recon.runs.folder import ResultKey, RunFolder

__all__ = ["ResultKey", "RunConfig", "RunFolder", "Summary", "execute"]

_HOMES = {
    "ResultKey": "recon.runs.folder",
    "RunConfig": "recon.runs.config",
    "RunFolder": "recon.runs.folder",
    "Summary": "recon.runs.execution",
    "execute": "recon.runs.execution",
}


def __getattr__(name: str) -> Any:
    """The public names, imported when they are used: who only reads a run does not wait for what makes one."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
