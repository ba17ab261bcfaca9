"""The command ``mesoface compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.option("--metric", "metrics", multiple=True, help="Only metrics whose name contains this; may be repeated.")
@click.option("--region", "regions", multiple=True, help="Only regions whose name contains this, such as withheld.")
@click.option("--space", "spaces", multiple=True, type=click.Choice(["uv", "image", "shape"]),
              help="Albedo (uv), view (image) or head (shape).")  # fmt: skip
@click.option("--by", help="Split the subjects by one of their attributes, such as gender.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "markdown"]),
    default="table",
    show_default=True,
    help="How to print.",
)
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes for measuring; default: what fits.")
@click.option("--quiet", "-q", is_flag=True, help="No progress bars, no notes.")
def compare(
    run: Path,
    metrics: tuple[str, ...],
    regions: tuple[str, ...],
    spaces: tuple[str, ...],
    by: str | None,
    form: str,
    jobs: int | None,
    quiet: bool,
) -> None:
    """Print how the methods of the run folder RUN compare: medians over its subjects.

    Measures first what the run has not measured yet. ★ marks the best; ↑ higher is better, ↓ lower, →1 one is ideal.
    """
    from metrics.compare import as_csv, as_json, as_markdown, missing_partners, print_tables
    from metrics.compare import compare as compared
    from metrics.evaluate import evaluate
    from recon.errors import InputError
    from recon.progress import be_quiet, stages
    from recon.runs.folder import RunFolder

    if quiet:
        be_quiet()
    folder = RunFolder(run)
    folder.read_config()
    with stages() as progress:
        evaluation = evaluate(folder, progress, jobs=jobs)
    table = compared(folder, metrics, regions, spaces, by)
    if form != "table":
        click.echo({"json": as_json, "csv": as_csv, "markdown": as_markdown}[form](table))
        return
    if not table:
        raise InputError(f"run '{run}' has no result that could be measured: see the failure.json files in it.")
    from rich.console import Console

    console = Console()
    print_tables(table, console)
    if not quiet:
        _print_notes(console, [*evaluation.problems], [*missing_partners(folder)])


def _print_notes(console: Console, problems: list[str], missing: list[str], most: int = 10) -> None:
    for title, lines in (("not measured", problems), ("missing results", missing)):
        if lines:
            console.print(f"[bold]{title}[/] ({len(lines)})")
            for line in lines[:most]:
                console.print(f"  {line}", markup=False)
            if len(lines) > most:
                console.print(f"  … and {len(lines) - most} more")
