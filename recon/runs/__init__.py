"""A run: methods × protocols × subjects, made into a folder that is the only source of truth for what was made.

:func:`execute` carries one out and can be killed and called again; :class:`RunFolder` knows where everything lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recon.late_names import late_names

if TYPE_CHECKING:
    from recon.runs.config import RunConfig
    from recon.runs.execution import Summary, execute
    from recon.runs.folder import ResultKey, RunFolder

__all__ = ["ResultKey", "RunConfig", "RunFolder", "Summary", "execute"]

# Who only reads a run does not wait for what makes one.
_HOMES = {
    "config": ("RunConfig",),
    "execution": ("Summary", "execute"),
    "folder": ("ResultKey", "RunFolder"),
}
__getattr__ = late_names(__name__, _HOMES)
