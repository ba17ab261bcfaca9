"""The sub-commands ``mesoface assets``, ``mesoface database`` and ``mesoface sheet``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import jobs_option, json_option, place, scheduler_option
from recon.errors import EXIT_ASSET, EXIT_DONE, EXIT_PARTIAL, AssetError, InputError, UsageError

if TYPE_CHECKING:
    from recon.assets import Verification
    from recon.data.subject import TestSet
    from recon.store import Place

_QUIET = click.option("--quiet", "-q", is_flag=True, help="No progress bars and no advice.")


@click.group()
def assets() -> None:
    """List, fetch, add and verify models, weights and data sets.

    Assets are looked for, in this order: at a path that you gave (`assets add`, or the variable
    MESOFACE_ASSET_<NAME>), in the cache, where other programs have put them, and, when you `fetch`, on the network.
    """


def _human_size(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:,.0f} MB" if size >= 1e7 else f"{size / 1e6:.1f} MB"


@assets.command("list", short_help="List all: what, licence, size, whether here.")
@json_option
def list_assets(as_json: bool) -> None:
    """List every asset: what it is, its licence, its size, and whether it is on this machine."""
    from recon.assets import ASSETS

    rows = [_row(name) for name in ASSETS]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("asset", "here", "size", "what", "licence"):
        table.add_column(column, overflow="fold", no_wrap=column in {"asset", "here", "size"})
    for row in rows:
        state = "yes" if row["path"] else ("broken" if row["problem"] else "no")
        table.add_row(row["name"], state, _human_size(row["size"]), row["title"], row["licence"])
    console = Console()
    console.print(table)
    console.print("\nGet one with `mesoface assets fetch NAME`; `mesoface assets list --json` has citations too.")


def _row(name: str) -> dict[str, Any]:
    from recon.assets import ASSETS, locate

    asset, path, problem = ASSETS[name], None, ""
    try:
        path = locate(name)
    except AssetError as error:
        problem = str(error)
    return {
        "name": name,
        "kind": asset.kind,
        "title": asset.title,
        "licence": asset.licence,
        "citation": asset.citation,
        "size": asset.size,
        "sha256": asset.sha256,
        "gated": asset.gated,
        "path": str(path) if path else None,
        "problem": problem,
    }


@assets.command("fetch", short_help="Download into the cache.")
@click.argument("names", nargs=-1, metavar="NAME...")
@click.option("--again", is_flag=True, help="Drop the cached copy first; mends what `assets verify` found damaged.")
@_QUIET
def fetch_assets(names: tuple[str, ...], again: bool, quiet: bool) -> None:
    """Download assets into the cache, checked; a transfer that broke off is continued."""
    from recon.assets import fetch, find_asset
    from recon.progress import be_quiet, progress_bar

    if not names:
        raise UsageError("say which assets to fetch, for example `mesoface assets fetch vgg16-hed`.")
    for name in names:
        find_asset(name)  # a typing error shows before the first download, not after it
    be_quiet(quiet)
    failures = []
    for name in names:
        try:
            with progress_bar(f"fetching {name}", of_bytes=True) as progress:
                click.echo(fetch(name, progress, again=again))
        except AssetError as error:
            failures.append(str(error))
    if failures:
        raise AssetError(" ".join(failures))


@assets.command("add", short_help="Use a file or folder of yours.")
@click.argument("name")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--forget", is_flag=True, help="Drop the path that was added for NAME; the file stays.")
def add_asset(name: str, path: Path | None, forget: bool) -> None:
    """Use the file or folder at PATH as the asset NAME; it is checked, and not copied."""
    from recon import assets as known

    if forget == (path is not None):
        raise UsageError(f"say either where it is, `mesoface assets add {name} PATH`, or --forget.")
    if path is not None:
        click.echo(f"{name}: {known.add(name, path)}")
    else:
        click.echo(f"{name}: {'forgotten' if known.forget(name) else 'no path had been added'}")


@assets.command("verify", short_help="Check against checksums.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@json_option
def verify_assets(names: tuple[str, ...], as_json: bool) -> None:
    """Check assets on this machine against their checksums (all of them, or those named)."""
    from recon.assets import ASSETS, verify

    results = [verify(name) for name in names or ASSETS]
    if as_json:
        rows = [{**vars(r), "path": str(r.path) if r.path else None} for r in results]
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        width = max(len(result.name) for result in results)
        for result in results:
            click.echo(f"{result.name:<{width}}  {result.status:<9}  {_told(result)}")
    # Absence is a fault only of assets that were asked for by name.
    bad = [r for r in results if r.status == "damaged" or (names and r.status == "absent")]
    if bad:
        click.get_current_context().exit(EXIT_ASSET)


def _told(result: Verification) -> str:
    if result.status == "damaged":
        return f"{result.path or ''} {result.detail}; `mesoface assets fetch {result.name} --again` mends a cached copy"
    return f"{result.path}: {result.detail}" if result.path else result.detail


@assets.command("where", short_help="Print where one lies, or the cache.")
@click.argument("name", required=False)
def where_asset(name: str | None) -> None:
    """Print where the asset NAME lies; without NAME, the folder of the cache."""
    from recon.assets import home, require

    click.echo(require(name) if name else home())


@click.group()
def database() -> None:
    """Build the texture database that methods learn detail from.

    A database holds complete albedo maps of other people, and their statistics. A run refuses to test a subject with
    a database that contains the subject.
    """


@database.command("build", short_help="Turn a test set into a database.")
@click.option("--data", required=True, metavar="NAME=PATH", help="The people, for example london=faces/london.")
@click.option("--out", required=True, type=place, help="Folder of the database, or s3://BUCKET/PREFIX.")
@click.option(
    "--size", default=1024, show_default=True, type=click.IntRange(64, 8192), help="Side of the maps, texels."
)
@click.option("--face-model", "model_name", default="auto", show_default=True, help="Face model: auto, ict or anny.")
@click.option("--exclude", default="", metavar="IDS", help="Comma-separated ids to leave out: those you will test.")
@click.option("--exclude-file", type=click.Path(path_type=Path), help="Text file with ids to leave out, one a line.")
@jobs_option
@scheduler_option
@_QUIET
@json_option
def build(
    data: str,
    out: Place,
    size: int,
    model_name: str,
    exclude: str,
    exclude_file: Path | None,
    jobs: int | None,
    scheduler: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Turn a test set into a texture database: fit every photograph, unwrap it, complete what is hidden.

    \b
    mesoface database build --data london=faces/london --exclude 001,004 --out databases/london

    A build that was interrupted continues; people whose photograph cannot be used are listed and left out.
    """
    from recon.assets import require
    from recon.cluster import on_cluster
    from recon.data import load_test_set
    from recon.face_model import load_face_model
    from recon.progress import be_quiet, progress_bar
    from recon.runs.config import default_jobs
    from recon.runs.databases import building_needs
    from recon.storage import read_json
    from recon.store import made_in
    from recon.store.opening import DATABASE
    from recon.texture.database_build import build_database
    from recon.worker_pool import at_hand, current_cluster

    be_quiet(quiet)
    require("dlib-landmarks")  # or every single fit would fail for want of it
    test_set = load_test_set(data)
    excluded = excluded_ids(test_set, exclude, exclude_file)
    model = load_face_model(model_name)
    wanted = [subject for subject in test_set.subjects if subject.id not in excluded]
    with (
        on_cluster(scheduler, jobs=jobs, quiet=quiet),
        made_in(out, marks=DATABASE) as folder,
        at_hand(building_needs(folder, model, wanted)),
    ):
        cluster = current_cluster()
        workers = cluster.slots if cluster else jobs or default_jobs(len(wanted))
        with progress_bar("building the database") as progress:
            built = build_database(
                test_set,
                model,
                folder,
                size,
                excluded,
                workers,
                lambda done, total, _name: progress(done, total),
            )
        skipped = [(str(name), str(why)) for name, why in read_json(folder / "database.json")["skipped"]]
    failed = [entry for entry in skipped if entry not in test_set.skipped]
    if as_json:
        summary = {"folder": str(out), "people": len(built), "size": size, "skipped": dict(skipped)}
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        click.echo(f"{out}: {len(built)} textures of {size}×{size}")
        for name, why in failed:
            click.echo(f"left out: {name}: {why}", err=True)
        if len(skipped) > len(failed) and not quiet:
            click.echo(f"not in the data set to begin with: {len(skipped) - len(failed)} (--json names them)", err=True)
    return EXIT_PARTIAL if failed else EXIT_DONE


def excluded_ids(test_set: TestSet, ids: str, file: Path | None) -> frozenset[str]:
    """The ids to leave out, each checked against the set: a misspelt id would silently stay in.

    Raises:
        InputError: the file cannot be read.
        UsageError: an id is not in the set.
    """
    wanted = {part.strip() for part in ids.split(",") if part.strip()}
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the list of ids '{file}' cannot be read ({error}).") from error
        wanted |= {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    unknown = sorted(wanted - {subject.id for subject in test_set.subjects})
    if unknown:
        raise UsageError(f"the id '{unknown[0]}' to exclude is not in the data set '{test_set.name}'.")
    return frozenset(wanted)


@click.command()
@click.argument("run", type=place)
@click.option("--protocol", help="Protocol to show; default: the first of the run.")
@click.option("--crops", is_flag=True, help="Add cheek, forehead and jaw at full size.")
@click.option("--methods", default="", help="Methods to show, comma-separated; default: all of the run.")
@click.option("--subjects", default="", metavar="A,B,C", help="Subjects to show; default: all of the run.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), help="Picture to write; default: in RUN/report."
)
def sheet(run: Place, protocol: str | None, crops: bool, methods: str, subjects: str, out: Path | None) -> None:
    """Draw a contact sheet of RUN, a folder or s3://BUCKET/PREFIX: subjects down, methods across."""
    from recon.runs.folder import RunFolder
    from recon.sheet import draw_sheet
    from recon.store import brought, said
    from recon.store.opening import is_shown

    with brought(run, is_shown) as folder:
        written = draw_sheet(
            RunFolder(folder),
            protocol=protocol,
            crops=crops,
            methods=[name.strip() for name in methods.split(",") if name.strip()],
            subjects=[name.strip() for name in subjects.split(",") if name.strip()],
            out=out,
        )
        click.echo(said(written))
