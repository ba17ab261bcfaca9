"""``mesoface study database``: the schema of the study database, and the erasing of raters' ids."""

from __future__ import annotations

import click

database_option = click.option(
    "--db",
    metavar="URL",
    help="Study database: sqlite:///FILE or postgresql://USER@HOST/NAME; default: MESOFACE_STUDY_DATABASE, else a "
    "file in the mesoface home.",
)


@click.group()
def database() -> None:
    """Make, migrate and check the database of studies; erase raters' ids."""


@database.command("upgrade")
@database_option
def upgrade_command(db: str | None) -> None:
    """Make the tables, or bring those of an earlier mesoface up to this one; what is in them stays."""
    from study.engine import open_database, schema_version, upgrade

    engine = open_database(db)
    before, newest = schema_version(engine)
    upgrade(engine)
    name = engine.url.render_as_string(hide_password=True)
    change = "is at" if before == newest else f"went from {before or 'nothing'} to"
    click.echo(f"{name}: {change} schema {newest}")


@database.command("downgrade")
@click.argument("revision")
@click.option("--yes", is_flag=True, help="Do it: what the earlier schema has no place for is lost.")
@database_option
def downgrade_command(revision: str, yes: bool, db: str | None) -> None:
    """Bring the tables back to the schema REVISION; 'base' removes them all."""
    from recon.errors import UsageError
    from study.engine import downgrade, open_database

    engine = open_database(db)
    name = engine.url.render_as_string(hide_password=True)
    if not yes:
        raise UsageError(f"going back to '{revision}' loses data of '{name}': make a copy, then add --yes.")
    downgrade(engine, revision)
    click.echo(f"{name}: is at schema {revision}")


@database.command("check")
@database_option
def check_command(db: str | None) -> None:
    """Say whether the database can be reached and has the schema that this mesoface works with."""
    from study.engine import open_database, require_schema, schema_version

    engine = open_database(db)
    require_schema(engine)
    click.echo(
        f"{engine.url.render_as_string(hide_password=True)}: schema {schema_version(engine)[1]}, as it should be"
    )


@database.command("erase-contacts")
@click.option("--study", metavar="STUDY", help="All ids of this study, now: its name, or its folder.")
@click.option("--all", "everything", is_flag=True, help="All ids of all studies, now.")
@database_option
def erase_command(study: str | None, everything: bool, db: str | None) -> None:
    """Erase the marketplaces' ids of raters whose time is over; answers stay, under pseudonyms."""
    from datetime import UTC, datetime

    from recon.errors import UsageError
    from study.command_options import study_name
    from study.contacts import erase, erase_due
    from study.engine import open_database, require_schema, transaction
    from study.quality.records import find_study

    if study and everything:
        raise UsageError("--study and --all are two different wishes: give one.")
    engine = open_database(db)
    require_schema(engine)
    with transaction(engine) as session:
        if study:
            study = study_name(study)
            find_study(session, study)  # or the error that names those that there are
        count = erase(session, study) if study or everything else erase_due(session, datetime.now(UTC).date())
    click.echo(f"{count} erased")
