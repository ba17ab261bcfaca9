"""``mesoface study stimuli`` and ``publish``: the pictures of a study, from runs, and to where raters load them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from recon.command_options import json_option, names, quiet_option

if TYPE_CHECKING:
    from study.contract import Stimulus
    from study.publishing import Access, Published
    from study.stimuli import Catalogue

# More lines of a kind than this bury the rest; --json lists all.
MOST_LINES = 8

restricted_option = click.option(
    "--allow-restricted", is_flag=True, help="Also people whose licence does not allow passing pictures on."
)


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Study folder.")
@click.option("--conditions", required=True, metavar="A,B", help="Methods, or RUN/METHOD; 'photograph' for real faces.")
@click.option("--protocol", default="identity", show_default=True, help="Of the runs.")
@click.option("--subjects", default="", metavar="A,B", help="Default: all of the runs.")
@click.option("--split", is_flag=True, help="Split faces: the left half is always the photograph.")
@click.option("--view", default="fitted", show_default=True, help="RENDERER/VIEW of 'mesoface render', or 'fitted'.")
@click.option("--size", default="512x640", show_default=True, help="Width and height in pixels, as shown.")
@click.option("--format", "file_format", type=click.Choice(["webp", "png"]), default="webp", show_default=True)
@click.option("--quality", type=int, help="Of lossy WebP, 90 to 100; default: lossless.")
@click.option("--seam", type=float, default=0.03, show_default=True, metavar="SHARE",
              help="Width of a split face's seam in parts of the eyes' distance; 0: a hard cut.")  # fmt: skip
@click.option("--match-colour/--no-match-colour", default=True, show_default=True,
              help="Give the right half of a split face the photograph's light and colour.")  # fmt: skip
@click.option("--gold/--no-gold", default=True, show_default=True, help="Degraded copies, to check raters with.")
@restricted_option
@quiet_option
@json_option
def stimuli(
    runs: tuple[Path, ...],
    out: Path,
    conditions: str,
    protocol: str,
    subjects: str,
    split: bool,
    view: str,
    size: str,
    file_format: Literal["webp", "png"],
    quality: int | None,
    seam: float,
    match_colour: bool,
    gold: bool,
    allow_restricted: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Make the pictures that raters see from finished runs; may be stopped and run again.

    Every condition of a person has the same crop, size, hair, eyes and background; only the skin that the methods made
    differs. Nothing in a file or its name says which condition it is: stimuli.json does, and is not for raters.
    """
    from recon.errors import EXIT_DONE, EXIT_PARTIAL
    from recon.progress import be_quiet, progress_bar
    from recon.render_commands import parse_size
    from study.stimuli import StimuliOrder, build_stimuli, read_catalogue

    be_quiet(quiet)
    width, height = parse_size(size)
    order = StimuliOrder(
        runs=runs,
        conditions=names(conditions),
        protocol=protocol,
        subjects=names(subjects),
        composition="split" if split else "single",
        view=view,
        width=width,
        height=height,
        format=file_format,
        quality=quality,
        seam=seam,
        match_colour=match_colour,
        gold=gold,
        allow_restricted=allow_restricted,
    )
    with progress_bar("making stimuli") as progress:
        made = build_stimuli(order, out, progress)
    catalogue = read_catalogue(out)
    if as_json:
        click.echo(json.dumps(_for_programs(out, catalogue), indent=2, ensure_ascii=False))
    else:
        _print(out, made, catalogue, quiet)
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
@click.option("--endpoint", metavar="ADDRESS", help="A store other than Amazon's that speaks the protocol of S3.")
@click.option("--access", type=click.Choice(["presigned", "public"]), default="presigned", show_default=True,
              help="Public addresses need a bucket whose policy lets everybody read.")  # fmt: skip
@click.option("--base", default="", metavar="https://…", help="What public addresses begin with: a content network.")
@click.option("--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--live", is_flag=True, help="Talk to a store beyond this machine.")
@restricted_option
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
    from recon.progress import be_quiet, progress_bar
    from study.publishing import destination, publish

    be_quiet(quiet)
    place = destination(url, endpoint, access, base)
    with progress_bar("publishing") as progress:
        done = publish(folder, place, progress, live=live, dry_run=dry_run, allow_restricted=allow_restricted)
    if as_json:
        click.echo(json.dumps({"sent": list(done.sent), "kept": list(done.kept), "bytes": done.size, "dry": dry_run}))
    elif not quiet:
        click.echo(_said(done, url, dry_run, asked=live or place.is_local))


def _said(done: Published, url: str, dry_run: bool, asked: bool) -> str:
    if not dry_run:
        return f"{url}: {len(done.sent)} sent ({done.size / 1e6:.1f} MB), {len(done.kept)} were there already"
    unknown = "" if asked else " at most (the store was not asked: --live does)"
    return f"{url}: {len(done.sent)} would be sent{unknown}, {len(done.kept)} are there already"
