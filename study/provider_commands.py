"""``mesoface study launch``, ``follow``, ``stop``, ``budget``, ``settle``: a study at its marketplace, its money."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from recon.command_options import json_option
from study.database_commands import database_option

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from study.database import StudyRow
    from study.providers.contract import Posted, Provider

live_option = click.option("--live", is_flag=True, help="Real money may move. Without it: sandbox, drafts, reading.")
endpoint_option = click.option("--endpoint", default="", metavar="URL", help="Of an interface that is not the usual.")


def _study(engine: Engine, name: str) -> StudyRow:
    from sqlalchemy import select

    from recon.errors import UsageError
    from study.database import StudyRow
    from study.engine import reading

    with reading(engine) as session:
        study = session.scalar(select(StudyRow).where(StudyRow.name == name))
        if study is None:
            known = ", ".join(session.scalars(select(StudyRow.name).order_by(StudyRow.name))) or "none"
            raise UsageError(f"there is no study '{name}' in this database; it has: {known}.")
        session.expunge(study)
        return study


def _open(engine: Engine, study: StudyRow, live: bool, endpoint: str) -> Provider:
    from study.providers import PROVIDERS, ProviderSettings

    return PROVIDERS.get(study.provider)(ProviderSettings(live=live, endpoint=endpoint, engine=engine))


def _database(db: str | None) -> Engine:
    from study.engine import open_database, require_schema

    engine = open_database(db)
    require_schema(engine)
    return engine


def _print(posted: tuple[Posted, ...], as_json: bool) -> None:
    if as_json:
        rows = [{"id": one.provider_id, "state": one.state, "places": one.places, "url": one.url} for one in posted]
        click.echo(json.dumps(rows, indent=2))
        return
    for one in posted:
        click.echo(f"{one.state}\t{one.places} places\t{one.provider_id or '-'}\t{one.url}".rstrip())


@click.command()
@click.argument("name")
@click.option("--url", required=True, help="Where 'mesoface study serve' serves the study, as raters reach it.")
@click.option("--description", default="", help="What raters read before they take it; default: the study's title.")
@click.option("--completion-code", default="", help="The one that 'study serve' was given; Prolific needs it.")
@click.option("--screen-out-code", default="", help="Likewise, for raters whose screen will not do.")
@click.option("--draft", is_flag=True, help="Make a draft and stop: nobody sees it, nothing costs.")
@live_option
@endpoint_option
@database_option
@json_option
def launch(
    name: str,
    url: str,
    description: str,
    completion_code: str,
    screen_out_code: str,
    draft: bool,
    live: bool,
    endpoint: str,
    db: str | None,
    as_json: bool,
) -> None:
    """Offer the study NAME to raters; may be stopped anywhere and run again, and offers nothing twice.

    Its whole cost with fees is set aside first; where that would pass the study's cap, nothing is called. Prolific's
    token is read from PROLIFIC_API_TOKEN, Amazon's credentials from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
    AWS's documentation announces the end of Mechanical Turk on 30 September 2026.
    """
    from study.offer import posting_of
    from study.providers import launching

    engine = _database(db)
    study = _study(engine, name)
    posting = posting_of(
        study, url, description=description, completion_code=completion_code, screen_out_code=screen_out_code
    )
    provider = _open(engine, study, live, endpoint)
    offer = launching.draft if draft else launching.launch
    _print(offer(engine, provider, posting), as_json)


@click.command()
@click.argument("name")
@live_option
@endpoint_option
@database_option
@json_option
def follow(name: str, live: bool, endpoint: str, db: str | None, as_json: bool) -> None:
    """Read from the marketplace how the raters of the study NAME stand, and keep that in the database."""
    from study.providers import launching

    engine = _database(db)
    progress = launching.follow(engine, _open(engine, _study(engine, name), live, endpoint), name)
    if as_json:
        click.echo(json.dumps({"counts": progress.counts, "never_reached_us": progress.unknown}, indent=2))
        return
    for state, count in sorted(progress.counts.items()):
        click.echo(f"{state}\t{count}")
    if progress.unknown:
        click.echo(f"{progress.unknown} of them never reached our server")


@click.command()
@click.argument("name")
@live_option
@endpoint_option
@database_option
@json_option
def stop(name: str, live: bool, endpoint: str, db: str | None, as_json: bool) -> None:
    """Take no more raters for the study NAME; those at work may finish, and are paid."""
    from study.providers import launching

    engine = _database(db)
    _print(launching.close(engine, _open(engine, _study(engine, name), live, endpoint), name), as_json)


@click.command()
@click.argument("name")
@database_option
@json_option
def budget(name: str, db: str | None, as_json: bool) -> None:
    """Show what the study NAME may cost, what is set aside or paid, and which payments nobody knows the end of."""
    from dataclasses import asdict

    from study import ledger
    from study.engine import reading

    engine = _database(db)
    with reading(engine) as session:
        found = ledger.budget(session, _study(engine, name))
    if as_json:
        click.echo(json.dumps({**asdict(found), "left_cents": found.left_cents}, indent=2))
        return
    for title, cents in (
        ("cap", found.cap_cents),
        ("set aside or paid", found.committed_cents),
        ("left", found.left_cents),
        ("paid to raters", found.confirmed_cents),
    ):
        click.echo(f"{title}\t{ledger.money(cents, found.currency)}")
    for token in found.unsettled:
        click.echo(f"unsettled\t{token[:12]}\tlook at the marketplace, then 'mesoface study settle'")


@click.command()
@click.argument("token")
@click.option("--paid/--not-paid", required=True, help="What the marketplace's own page shows.")
@database_option
def settle(token: str, paid: bool, db: str | None) -> None:
    """Say of the payment TOKEN, which 'study budget' calls unsettled, whether it arrived."""
    from study import ledger
    from study.engine import transaction

    with transaction(_database(db)) as session:
        row = ledger.settle(session, token, paid)
        click.echo(f"{row.request_token[:12]}: {row.state}")
