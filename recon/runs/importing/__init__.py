"""Results of other systems, brought into a run folder so that everything treats them like the run's own.

:func:`survey` sets a folder beside the run and writes nothing; :func:`import_results` makes the results.
"""

from __future__ import annotations

from recon.runs.importing.making import Imported, Terms, check_name, import_results
from recon.runs.importing.survey import KINDS, Found, Kind, Survey, survey

__all__ = ["KINDS", "Found", "Imported", "Kind", "Survey", "Terms", "check_name", "import_results", "survey"]
