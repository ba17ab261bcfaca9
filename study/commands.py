"""``mesoface study``: from a finished run to what people say of it. Each sub-command lives beside what it commands."""

from __future__ import annotations

import click

from study.database_commands import database


@click.group()
def study() -> None:
    """Ask people: lay out a study, host it, watch it, pay, and analyse what they said."""


study.add_command(database)
