"""``mesoface study stimuli`` and ``publish``: the pictures of a study, from runs, and to where raters load them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import json_option, quiet_option

if TYPE_CHECKING:
    from study.contract import Stimulus
    from study.publishing import Access, Destination, Published
    from study.stimuli import Catalogue

# More lines of a kind than this bury the rest; --json lists all.
MOST_LINES = 8


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where pictures are published, and what may be."""
    for option in (
        click.option(
            "--allow-restricted",
            is_flag=True,
            help="Publish people, too, whose licence does not allow passing pictures on; never to public addresses.",
        ),
        click.option("--live", is_flag=True, help="Talk to a store beyond this machine."),
        click.option(
            "--base", default="", metavar="https://…", help="What public addresses begin with: a content network."
        ),
        click.option(
            "--access",
            type=click.Choice(["presigned", "public"]),
            default="presigned",
            show_default=True,
            help="Public addresses need a bucket whose policy lets everybody read.",
        ),
        click.option(
            "--endpoint", metavar="ADDRESS", help="A store other than Amazon's that speaks the protocol of S3."
        ),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("study", metavar="STUDY", type=click.Path(path_type=Path))
@click.option(
    "--publish", "url", metavar="s3://BUCKET/PREFIX", help="Send them there afterwards, as 'mesoface study publish'."
)
@place_options
@quiet_option
@json_option
def stimuli(
    study: Path,
    url: str | None,
    endpoint: str | None,
    access: Access,
    base: str,
    live: bool,
    allow_restricted: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Make the pictures that raters of STUDY see, a study file or its folder; may be stopped and run again.

    Every condition of a person has the same crop, size, hair, eyes and background; only the skin that the methods made
    differs. Nothing in a file or its name says which condition it is: stimuli.json does, and is not for raters.
    """
    from recon.errors import EXIT_DONE, EXIT_PARTIAL
    from recon.progress import be_quiet, progress_bar
    from study.specification import read_specification
    from study.stimuli import build_stimuli, read_catalogue

    be_quiet(quiet)
    place = None if url is None else _place(url, endpoint, access, base, live)  # a mistake is said before the work
    file = study / "study.yaml" if study.is_dir() else study
    folder = file.parent
    order = read_specification(file).stimuli_order(folder)
    with progress_bar("making stimuli") as progress:
        made = build_stimuli(order, folder, progress)
    catalogue = read_catalogue(folder)
    if not as_json:
        _print(folder, made, catalogue, quiet)
    sent = None if place is None else _send(folder, place, live, False, allow_restricted)
    if as_json:
        published = {} if sent is None else {"published": _sent_record(sent, dry_run=False)}
        click.echo(json.dumps({**_for_programs(folder, catalogue), **published}, indent=2, ensure_ascii=False))
    elif sent is not None and url is not None and not quiet:
        click.echo(_said(sent, url, dry_run=False, asked=True))
    return EXIT_PARTIAL if catalogue.gaps else EXIT_DONE


def _for_programs(folder: Path, catalogue: Catalogue) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "stimuli": len(catalogue.stimuli),
        "gaps": [{"subject": gap.subject, "condition": gap.condition, "reason": gap.reason} for gap in catalogue.gaps],
        "notes": list(catalogue.notes),
        "restricted": list(catalogue.restricted),
    }


def _print(folder: Path, made: tuple[Stimulus, ...], catalogue: Catalogue, quiet: bool) -> None:
    if not quiet:
        people = len({stimulus.subject for stimulus in made})
        click.echo(f"{folder}: {len(made)} stimuli of {people} people, {len(catalogue.gaps)} missing")
        _lines("note", catalogue.notes, err=False)
    _lines("missing", map(str, catalogue.gaps), err=True)


def _lines(title: str, lines: Iterable[str], err: bool) -> None:
    every = list(lines)
    for line in every[:MOST_LINES]:
        click.echo(f"{title}: {line}", err=err)
    if len(every) > MOST_LINES:
        click.echo(f"{title}: and {len(every) - MOST_LINES} more; --json lists them all", err=err)


@click.command()
@click.argument("folder", metavar="STUDY", type=click.Path(path_type=Path, file_okay=False))
@click.argument("url", metavar="s3://BUCKET/PREFIX")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@place_options
@quiet_option
@json_option
def publish(
    folder: Path,
    url: str,
    endpoint: str | None,
    access: Access,
    base: str,
    dry_run: bool,
    live: bool,
    allow_restricted: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Send the pictures of STUDY to S3, checked; what is there already is not sent again.

    Only pictures are sent, under names that say nothing. Without --live, no store beyond this machine is talked to.
    """
    from recon.progress import be_quiet

    be_quiet(quiet)
    place = _place(url, endpoint, access, base, live or dry_run)
    done = _send(folder, place, live, dry_run, allow_restricted)
    if as_json:
        click.echo(json.dumps(_sent_record(done, dry_run), indent=2))
    elif not quiet:
        click.echo(_said(done, url, dry_run, asked=live or place.is_local))


def _place(url: str, endpoint: str | None, access: Access, base: str, live: bool) -> Destination:
    from recon.errors import UsageError
    from study.publishing import destination

    place = destination(url, endpoint, access, base)
    if not live and not place.is_local:
        raise UsageError(f"this would write pictures of faces to '{url}': add --live, or look first with 'mesoface "
                         "study publish --dry-run'.")  # fmt: skip
    return place


def _send(folder: Path, place: Destination, live: bool, dry_run: bool, allow_restricted: bool) -> Published:
    from recon.progress import progress_bar
    from study.publishing import publish

    with progress_bar("publishing") as progress:
        return publish(folder, place, progress, live=live, dry_run=dry_run, allow_restricted=allow_restricted)


def _sent_record(done: Published, dry_run: bool) -> dict[str, Any]:
    said = {"sent": list(done.sent), "kept": list(done.kept), "bytes": done.size, "dry_run": dry_run}
    return {**said, "address": done.address}


def _said(done: Published, url: str, dry_run: bool, asked: bool) -> str:
    if not dry_run:
        begin = f"\npublic addresses begin with {done.address}" if done.address else ""
        return f"{url}: {len(done.sent)} sent ({done.size / 1e6:.1f} MB), {len(done.kept)} were there already{begin}"
    unknown = "" if asked else " at most (the store was not asked: --live does)"
    return f"{url}: {len(done.sent)} would be sent{unknown}, {len(done.kept)} are there already"
