"""A run: methods × protocols × subjects, made into a folder that is the only source of truth for what was made.

:func:`execute` carries one out and can be killed and called again; :class:`RunFolder` knows where everything lies.
"""

from __future__ import annotations

from recon.runs.config import RunConfig
from recon.runs.execution import Summary, execute
from recon.runs.folder import ResultKey, RunFolder

__all__ = ["ResultKey", "RunConfig", "RunFolder", "Summary", "execute"]
