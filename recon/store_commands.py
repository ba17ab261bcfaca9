"""The command ``mesoface fetch``: a run or a database out of an object store, into a folder."""

from __future__ import annotations

import json
from pathlib import Path

import click

from recon.command_options import json_option, quiet_option


@click.command()
@click.argument("address", metavar="s3://BUCKET/PREFIX")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@quiet_option
@json_option
def fetch(address: str, folder: Path, quiet: bool, as_json: bool) -> None:
    """Bring the run or texture database at an address into FOLDER, which every command then works on.

    May be stopped at any point and run again: what is there is kept, and what has changed in the store since is
    brought anew.
    """
    from recon.progress import be_quiet, progress_bar
    from recon.store.fetching import fetch_store

    be_quiet(quiet)
    with progress_bar(f"fetching {address}", of_bytes=True) as progress:
        done = fetch_store(address, folder, progress)
    if as_json:
        click.echo(json.dumps({"folder": str(folder), "fetched": done.fetched, "kept": done.kept, "bytes": done.size}))
    elif not quiet:
        click.echo(f"{folder}: {done.fetched} files fetched ({done.size / 1e6:,.1f} MB), {done.kept} were there")
