"""Options that several sub-commands share, so that they read and mean the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from recon.store.address import is_address


class PlaceType(click.Path):
    """A folder, as a :class:`Path`, or the address of an object store, as text: ``s3://bucket/prefix``."""

    name = "place"

    def __init__(self) -> None:
        super().__init__(path_type=Path, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """A :data:`Place`: a path is checked, an address is looked at when it is used."""
        return value if is_address(value) else super().convert(value, param, ctx)


place = PlaceType()

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
