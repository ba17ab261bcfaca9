"""Writing a report: the page, its tables for people and for programs, and every answer as a table.

Files are whole or absent; ``report.json`` is written last.

``answers.csv`` and ``answers.parquet`` have one row an answer: rater (a number, see :mod:`study.report.data`), use
(whether the rater's answers are analysed), left_out (why not), simulated, trial, part, question, subject, conditions
(in the order shown, left to right, ``|`` between them; a spoilt copy ends in ``*``), reference, answer (JSON), correct
(empty where nothing is right or wrong), reaction_ms.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from metrics.report.markdown import escaped
from recon.errors import StorageError, UsageError
from recon.storage import atomic_path, storage_errors, write_json, write_text
from study.report.findings import Report, stimuli_by_name
from study.report.html import as_page
from study.report.tables import as_markdown, as_record

if TYPE_CHECKING:
    from study.contract import Stimulus
    from study.report.data import StudyData

COLUMNS = ("rater", "use", "left_out", "simulated", "trial", "part", "question", "subject", "conditions", "reference",
           "answer", "correct", "reaction_ms")  # fmt: skip


@dataclass(frozen=True)
class Written:
    """The files of a report."""

    html: Path
    markdown: Path
    csv: Path
    parquet: Path
    json: Path


def write_report(report: Report, folder: Path) -> Written:
    """Writes all files of ``report`` to ``folder``.

    Raises:
        UsageError: ``folder`` is a file.
        StorageError: a file cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"'{folder}' is a file: name a folder to write the report to.")
    files = Written(
        folder / "report.html", folder / "tables.md", folder / "answers.csv", folder / "answers.parquet",
        folder / "report.json",
    )  # fmt: skip
    frame = answers_frame(report.data)
    _write_answers(frame, files)
    write_text(files.markdown, markdown(report))
    write_text(files.html, as_page(report))
    write_json(files.json, record(report))
    return files


def _write_answers(frame: pd.DataFrame, files: Written) -> None:
    import pyarrow as pa

    with storage_errors(files.csv), atomic_path(files.csv) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", encoding="utf-8")
    try:
        with atomic_path(files.parquet) as temporary:
            frame.to_parquet(temporary, index=False)
    except pa.ArrowException as error:
        raise StorageError(f"'{files.parquet}' could not be written: {error}.") from error


def answers_frame(data: StudyData) -> pd.DataFrame:
    """Every answer of the study, a row each; columns :data:`COLUMNS`."""
    known = stimuli_by_name(data)
    sessions = {one.rater: one for one in data.sessions}
    rows = []
    for one in data.given:
        shown = [known.get(name) for name in one.trial.shown]
        session = sessions[one.rater]
        rows.append(
            (
                one.rater, session.use, session.reason, data.simulated, one.trial.index, one.trial.part,
                one.trial.question, next((each.subject for each in shown if each), ""),
                "|".join(map(_label, shown)), _label(known.get(one.trial.reference)) if one.trial.reference else "",
                json.dumps(one.answer, sort_keys=True, ensure_ascii=False), one.correct, one.reaction_ms,
            )
        )  # fmt: skip
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["correct"] = frame["correct"].astype("boolean")
    return frame


def _label(stimulus: Stimulus | None) -> str:
    if stimulus is None:
        return "?"
    return stimulus.condition + ("*" if stimulus.degraded else "")


def _about(report: Report) -> str:
    data = report.data
    return (
        f"{report.design}{'' if report.design.endswith('?') else '.'} {report.size}; seed {data.seed}, provider "
        f"{data.provider}, study file {data.specification_sha256[:12]}, made with {data.made_with}. "
        f"Written {report.made}."
    )


def markdown(report: Report) -> str:
    """All tables in Markdown, under the warnings."""
    parts = [f"# {escaped(report.data.title)}", *(f"> **{escaped(one)}**" for one in report.warnings)]
    parts.append(escaped(_about(report)))
    for section in report.sections:
        parts += [f"## {escaped(section.title)}", *(escaped(one) for one in section.words)]
        parts += [as_markdown(table) for table in section.tables]
    return "\n\n".join(parts) + "\n"


def record(report: Report) -> dict[str, Any]:
    """The report for programs, as JSON's types; an interval is ``{value, low, high, n}``, null where there is none."""
    data = report.data
    return {
        "study": data.name,
        "title": data.title,
        "design": data.design,
        "simulated": data.simulated,
        "warnings": list(report.warnings),
        "written": report.made,
        "made_with": data.made_with,
        "specification_sha256": data.specification_sha256,
        "seed": data.seed,
        "provider": data.provider,
        "quality_decided": data.decided,
        "raters": report.raters,
        "answers": report.answers,
        "left_out": [{"reason": reason, "sessions": count} for reason, count in data.left_out()],
        "sections": [
            {
                "key": section.key,
                "title": section.title,
                "words": list(section.words),
                "tables": [as_record(table) for table in section.tables],
            }
            for section in report.sections
        ],
    }
