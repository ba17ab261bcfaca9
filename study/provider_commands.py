"""``mesoface study follow``, ``ask-return``, ``settle`` and ``import-batch``: what marketplaces say of raters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recon.command_options import json_option
from study.command_options import study_argument
from study.database_commands import database_option

if TYPE_CHECKING:
    from sqlalchemy import Engine


def _database(db: str | None) -> Engine:
    from study.engine import open_database, require_schema

    engine = open_database(db)
    require_schema(engine)
    return engine


def _provider_of(engine: Engine, name: str) -> str:
    from study.engine import reading
    from study.quality.records import find_study

    with reading(engine) as session:
        return find_study(session, name).provider


@click.command()
@study_argument()
@click.option("--live", is_flag=True, help="The study was launched with --live.")
@click.option("--endpoint", default="", metavar="URL", help="Of the provider, if not its own.")
@database_option
@json_option
def follow(name: str, live: bool, endpoint: str, db: str | None, as_json: bool) -> None:
    """Read from the marketplace how the raters of STUDY stand, and keep that in the database."""
    from study.providers import PROVIDERS, ProviderSettings, launching

    engine = _database(db)
    opened = PROVIDERS.get(_provider_of(engine, name))(ProviderSettings(live=live, endpoint=endpoint, engine=engine))
    progress = launching.follow(engine, opened, name)
    if as_json:
        click.echo(json.dumps({"counts": progress.counts, "never_reached_us": progress.unknown}, indent=2))
        return
    for state, count in sorted(progress.counts.items()):
        click.echo(f"{state}\t{count}")
    if progress.unknown:
        click.echo(f"{progress.unknown} of them never reached our server")


@click.command("import-batch")
@click.argument("folder", metavar="STUDY", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("file", metavar="FILE.csv", type=click.Path(path_type=Path))
@database_option
@json_option
def import_batch_command(folder: Path, file: Path, db: str | None, as_json: bool) -> None:
    """Enter batch results of Mechanical Turk, FILE.csv, as answers to the study in the folder STUDY.

    Pictures are named in the column Input.shown by their files' names; answers stand in Answer.choice, Answer.order, or
    a column Answer.SCALE for every scale; of several trials a task, all with _1, _2 and so on. One worker is one rater.
    All rows fit, or nothing is imported; the same file again adds nothing. Then review and report work as on any study;
    what was rejected at Mechanical Turk is left out, and nobody is paid from here.
    """
    from dataclasses import asdict

    from study.batch_import import import_batch
    from study.launching import prepared_database

    done = import_batch(prepared_database(db), folder, file)
    if as_json:
        click.echo(json.dumps(asdict(done), indent=2))
        return
    click.echo(
        f"{done.study}: {done.answers} answers, {done.raters} new raters; {done.known} answers were there, "
        f"{done.rejected} rejected rows left out"
    )


@click.command("ask-return")
@study_argument()
@click.argument("session", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Read by the rater.")
@click.option("--live", is_flag=True, help="Write to a real rater.")
@click.option("--endpoint", default="", metavar="URL", help="Of the provider, if not its own.")
@database_option
def ask_return(name: str, session: int, reason: str, live: bool, endpoint: str, db: str | None) -> None:
    """Ask the rater of SESSION in STUDY to return the work: neither paid nor rejected, as Prolific advises.

    Once the rater has done so, 'mesoface study follow' notes it, and the place goes to another rater.
    """
    from study.providers import PROVIDERS, ProviderSettings
    from study.rewards import ask_return

    engine = _database(db)
    opened = PROVIDERS.get(_provider_of(engine, name))(ProviderSettings(live=live, endpoint=endpoint, engine=engine))
    ask_return(engine, opened, name, session, reason)
    click.echo(f"{name}: the rater of session {session} is asked to return the work")


@click.command()
@click.argument("token")
@click.option("--paid/--not-paid", required=True, help="What the marketplace's own page shows.")
@database_option
def settle(token: str, paid: bool, db: str | None) -> None:
    """Say whether the payment TOKEN arrived, of which neither we nor the marketplace's interface can tell.

    Such payments count as spent, and 'mesoface study status --json' lists them as unsettled. The beginning of the token
    is enough.
    """
    from study import ledger
    from study.engine import transaction

    with transaction(_database(db)) as session:
        row = ledger.settle(session, token, paid)
        click.echo(f"{row.request_token[:12]}: {row.state}")
