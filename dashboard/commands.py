"""``mesoface dashboard``: runs, comparisons and studies in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from recon.command_options import names as listed
from recon.command_options import place
from study.database_commands import database_option

if TYPE_CHECKING:
    from dashboard.settings import Door
    from recon.store import Place

_file = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.command()
@click.argument("runs", metavar="[RUNS_DIR]", default="runs", type=place)
@database_option
@click.option(
    "--studies", type=click.Path(path_type=Path, file_okay=False), help="Study folders; default: beside RUNS_DIR."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; another one needs a login.")
@click.option("--port", type=click.IntRange(1, 65535), default=8501, show_default=True)
@click.option("--names", default="", metavar="NAME,…", help="Names under which a proxy shows it; needs a login.")
@click.option("--password-file", type=_file, help="A login: line 1 the password, line 2 that of guests, who only look.")
@click.option("--oidc", is_flag=True, help="A login at an OpenID Connect provider: [auth] in the --secrets file.")
@click.option("--secrets", type=_file, metavar="FILE", help="Streamlit's secrets.toml with [auth], for --oidc.")
@click.option("--editors", default="", metavar="MAIL,…", help="With --oidc: who may change things; @DOMAIN: all of it.")
@click.option("--viewers", default="", metavar="MAIL,…", help="With --oidc: who may look; default: all who can log in.")
@click.option("--read-only", is_flag=True, help="Look, but change nothing.")
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
def dashboard(
    runs: Place,
    db: str | None,
    studies: Path | None,
    host: str,
    port: int,
    names: str,
    password_file: Path | None,
    oidc: bool,
    secrets: Path | None,
    editors: str,
    viewers: str,
    read_only: bool,
    no_browser: bool,
) -> None:
    """Browse runs, compare methods, launch and watch studies in the browser, until Ctrl-C.

    RUNS_DIR holds run folders, or is one. The dashboard answers this machine alone unless visitors log in; give it to
    others behind a proxy with https.
    """
    from recon.errors import UsageError

    if not isinstance(runs, Path):
        raise UsageError(
            f"the dashboard shows folders: bring the run here with 'mesoface fetch {runs} FOLDER', and show that one "
            "with 'mesoface dashboard FOLDER'."
        )
    from dashboard.passwords import read_passwords
    from dashboard.settings import Door, Settings
    from recon.assets import home

    passwords = read_passwords(password_file) if password_file else None
    door = Door(host, port, listed(names), passwords, oidc, listed(editors), listed(viewers))
    _require_login(door, secrets)

    from dashboard.server import serve

    settings = Settings(runs, db, read_only, home() / "dashboard", door, studies)
    serve(settings, lambda text: click.echo(text, err=True), browser=not no_browser, secrets=secrets)


def _require_login(door: Door, secrets: Path | None) -> None:
    from recon.errors import UsageError

    if door.passwords is not None and door.oidc:
        raise UsageError("--password-file and --oidc are two ways to log in: choose one.")
    if not door.oidc and (door.editors or door.viewers or secrets):
        raise UsageError("--secrets, --editors and --viewers go with --oidc: add it, or leave them away.")
    if door.oidc:
        from dashboard.provider import require_provider

        require_provider(secrets)
    if not door.is_guarded and (door.host not in ("127.0.0.1", "localhost", "::1") or door.names):
        raise UsageError(
            "beyond this machine, everyone could read the runs and launch studies: add --password-file FILE or --oidc."
        )
