"""Options that several sub-commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

import click

jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), help="Worker processes; default: what cores and memory allow."
)
scheduler_option = click.option(
    "--scheduler",
    metavar="local:N|ADDRESS",
    help="Work on a cluster (Dask): N workers here, or a running scheduler, tcp://HOST:8786.",
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress bars; only what failed.")
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON for programs instead of text for people."
)


def names(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list, each once, in the order given; may be empty."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
