"""The report of a study: whose answers count, what they say of the conditions, and how sure that is.

:mod:`study.report.data` reads the database, one module a kind of answer (``verdicts``, ``preferences``, ``opinions``)
runs :mod:`study.analysis` and gives sections of tables and figures, and ``html``, ``tables`` and ``export`` write them.
"""

from study.report.data import StudyData, read_study_data
from study.report.export import Written, write_report
from study.report.findings import Report, build_report

__all__ = ["Report", "StudyData", "Written", "build_report", "read_study_data", "write_report"]
