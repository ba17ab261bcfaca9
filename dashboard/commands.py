"""``mesoface dashboard``: runs, comparisons and studies in the browser."""

from __future__ import annotations

from pathlib import Path

import click

from study.database_commands import database_option


@click.command()
@click.argument("runs", metavar="[RUNS_DIR]", default="runs", type=click.Path(path_type=Path, file_okay=False))
@database_option
@click.option(
    "--studies", type=click.Path(path_type=Path, file_okay=False), help="Study folders; default: beside RUNS_DIR."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--read-only", is_flag=True, help="Look, but change nothing.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
def dashboard(
    runs: Path, db: str | None, studies: Path | None, host: str, port: int, read_only: bool, no_browser: bool
) -> None:
    """Browse runs, compare methods, launch and watch studies in the browser, until Ctrl-C.

    RUNS_DIR holds run folders, or is one.
    """
    from dashboard.server import serve
    from dashboard.settings import Settings
    from recon.assets import home

    serve(Settings(runs, db, read_only, home() / "dashboard", studies), host, port, browser=not no_browser)
