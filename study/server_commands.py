"""``mesoface study serve`` and ``links``: host a study, and name raters of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from recon.command_options import names
from study.database_commands import database_option

folder_argument = click.argument(
    "folder", metavar="STUDY", type=click.Path(path_type=Path, exists=True, file_okay=False)
)


@click.command()
@folder_argument
@database_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at; 0.0.0.0 for all.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    help="Processes; default: one a processor (at most 8) on PostgreSQL, one on SQLite.",
)
@click.option("--kiosk", is_flag=True, help="One screen for one rater after another; nothing is left for the next.")
@click.option("--completion-code", default="", help="For all raters; default: Prolific's of 'launch', else one each.")
@click.option("--screen-out-code", default="", help="For raters whose screen will not do.")
@click.option("--stimuli-url", default="", metavar="URL", help="What addresses of the pictures begin with, elsewhere.")
@click.option("--published", is_flag=True, help="Pages load the pictures from where 'mesoface study publish' put them.")
@click.option("--embedded-by", default="", metavar="ORIGIN,…", help="Sites that may show the page in a frame.")
@click.option("--proxies", default="", metavar="ADDRESS,…", help="Proxies whose word on senders' addresses is taken.")
@click.option("--endpoint", default="", metavar="URL", help="Of Prolific's interface, if not its own.")
@click.option(
    "--new-key", is_flag=True, help="The study's secret key is lost: take this machine's; raters are new to it."
)
def serve(
    folder: Path,
    db: str | None,
    host: str,
    port: int,
    workers: int | None,
    kiosk: bool,
    completion_code: str,
    screen_out_code: str,
    stimuli_url: str,
    published: bool,
    embedded_by: str,
    proxies: str,
    endpoint: str,
    new_key: bool,
) -> None:
    """Let raters answer the study in the folder STUDY, until Ctrl-C.

    The study is entered into the database when it is served first. Several machines may serve it at once, each with a
    copy of the folder, from one PostgreSQL: they need the same MESOFACE_STUDY_KEY. The log goes to the error stream, a
    JSON object a line, and tells nothing of who a rater is. Before people elsewhere are asked, put a proxy with https
    in front. Where PROLIFIC_WEBHOOK_SECRET is set, Prolific's messages are taken at /api/prolific.
    """
    from study.server.process import Serving
    from study.server.process import serve as serve_until_told

    serving = Serving(
        str(folder), db, completion_code, screen_out_code, stimuli_url, published, kiosk, names(embedded_by), endpoint,
        new_key,
    )  # fmt: skip
    click.echo(f"serving '{folder}' at http://{host}:{port}/; Ctrl-C ends it", err=True)
    serve_until_told(serving, host, port, workers, proxies)


@click.command()
@folder_argument
@click.argument("address", metavar="ADDRESS")
@click.option(
    "--raters", required=True, metavar="A,B", help="Names, for example P01,P02; they are stored as pseudonyms."
)
def links(folder: Path, address: str, raters: str) -> None:
    """Print a link for each rater of one's own to the study STUDY, which is served at ADDRESS.

    A rater who opens the same link again goes on where the session stood. The links hold good on this installation,
    whose key signs them.
    """
    from recon.errors import UsageError
    from study.pseudonyms import secret_key
    from study.server.arrivals import rater_link
    from study.specification import read_specification

    specification = read_specification(folder / "study.yaml")
    if specification.payment.provider != "local":
        raise UsageError(f"raters of '{specification.payment.provider}' come through its own links, not through ours.")
    for rater in names(raters):
        if not (rater.isascii() and rater.isprintable() and len(rater) <= 100):
            raise UsageError(f"'{rater}' cannot be in a link: take at most 100 plain letters, digits and signs.")
        click.echo(f"{rater}\t{rater_link(address, secret_key(), specification.name, rater)}")
