"""``mesoface study report``: what the raters of a study said, as a page, tables, and every answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from study.command_options import study_name
from study.database_commands import database_option

if TYPE_CHECKING:
    from study.report import Report, Written

FORMATS = ("html", "markdown", "csv", "json")


@click.command()
@click.argument("study", metavar="STUDY")
@database_option
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR",
              help="Where the report goes; default: 'report' in the study's folder.")  # fmt: skip
@click.option("--all-sessions", is_flag=True, help="Analyse every session that was handed in, reviewed or not.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(FORMATS),
    default="html",
    show_default=True,
    help="What is printed besides: tables as Markdown, answers as CSV, all numbers as JSON; html: where the page is.",
)
def report(study: str, db: str | None, out: Path | None, all_sessions: bool, kind: str) -> None:
    """Report what raters said: STUDY is its name, or its folder.

    Writes report.html, tables.md, answers.csv, answers.parquet and report.json. Answers carry a number for each rater
    and nothing else of them. The runs are looked for where the study file in the folder (by default studies/STUDY)
    says, to set their metrics beside what people say.
    """
    from study.engine import open_database
    from study.report import build_report, read_study_data, write_report

    name, folder = _named(study)
    data = read_study_data(open_database(db), name, all_sessions=all_sessions)
    made = build_report(data, folder)
    written = write_report(made, out or (folder or Path("studies") / name) / "report")
    click.echo(_said(made, written) if kind == "html" else _file(written, kind).read_text(encoding="utf-8"),
               nl=kind == "html")  # fmt: skip


def _named(study: str) -> tuple[str, Path | None]:
    """Name and folder of a study; the folder None where there is none."""
    given, name = Path(study), study_name(study)
    if given.is_file() or (given / "study.yaml").is_file():
        return name, given if given.is_dir() else given.parent
    folder = Path("studies") / study
    return name, folder if folder.is_dir() else None


def _file(written: Written, kind: str) -> Path:
    return {"markdown": written.markdown, "csv": written.csv, "json": written.json}[kind]


def _said(made: Report, written: Written) -> str:
    data = made.data
    lines = [f"{data.name}: {made.size}"]
    lines += [f"note: {warning}" for warning in made.warnings]
    lines += [f"left out: {count} ({reason})" for reason, count in data.left_out()]
    return "\n".join([*lines, f"report: {written.html}"])
