"""The sub-commands ``mesoface dataset build`` and ``mesoface dataset export``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recon.command_options import jobs_option, json_option, names, quiet_option

if TYPE_CHECKING:
    from recon.release.build import ReleaseSummary

# More lines than this bury the rest; --json has all.
MOST_LINES = 12


@click.group()
def dataset() -> None:
    """Make a data set of 3-D face models with albedo maps from photographs, and hand it on.

    For standardised photographs: frontal, sharp, evenly lit, one a person.
    """


@dataset.command("build", short_help="Turn photographs into a data set of face models.")
@click.option("--data", required=True, metavar="NAME=PATH", help="The photographs: london=PATH, folder=PATH.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder of the data set; one begun goes on."
)
@click.option(
    "--size", type=click.IntRange(128, 4096), default=1024, show_default=True, help="Side of the maps, texels."
)
@click.option("--face-model", "face_model", default="auto", show_default=True, help="Face model: auto, ict or anny.")
@click.option(
    "--test-fraction", type=float, default=0.2, show_default=True, help="Share of the people in the test split."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split, and of the choice under --limit.")
@click.option("--limit", type=click.IntRange(min=1), help="Take this many people, drawn by --seed.")
@click.option("--subjects", default="", metavar="A,B,C", help="Take these people.")
@click.option("--allow-restricted", is_flag=True,
              help="Take in people whose licence does not allow redistribution; the data set is marked.")  # fmt: skip
@jobs_option
@quiet_option
@json_option
def build(
    data: str,
    out: Path,
    size: int,
    face_model: str,
    test_fraction: float,
    seed: int,
    limit: int | None,
    subjects: str,
    allow_restricted: bool,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Fit every photograph, unwrap and complete its albedo, and write mesh, maps, masks, preview and terms.

    \b
    mesoface dataset build --data london=faces/london --size 1024 --out datasets/london

    May be stopped at any point; the same command goes on, and tries what failed again. The data set has a card
    (README.md), an index, a split into people to train and to test with, and checksums; it is a texture database as
    well: mesoface run --database datasets/london.
    """
    from recon.assets import require
    from recon.errors import EXIT_DONE, EXIT_PARTIAL
    from recon.progress import be_quiet, stages
    from recon.release.build import ReleaseConfig, build_release
    from recon.runs.config import default_jobs

    be_quiet(quiet)
    require("dlib-landmarks")  # or every single fit would fail for want of it
    config = ReleaseConfig(
        out=out,
        data=data,
        size=size,
        face_model=face_model,
        test_fraction=test_fraction,
        seed=seed,
        limit=limit,
        subjects=names(subjects),
        allow_restricted=allow_restricted,
        jobs=jobs or default_jobs(limit or 1_000_000),
    )
    with stages() as progress:
        summary = build_release(config, progress)
    if as_json:
        click.echo(json.dumps(_for_programs(summary), indent=2, ensure_ascii=False))
    else:
        _print(summary, quiet)
    return EXIT_PARTIAL if summary.failed else EXIT_DONE


def _for_programs(summary: ReleaseSummary) -> dict[str, object]:
    return {
        "folder": str(summary.folder.path),
        "made": list(summary.made),
        "kept": list(summary.kept),
        "failed": dict(summary.failed),
        "refused": dict(summary.refused),
        "restricted": list(summary.restricted),
        "not_in_the_source": dict(summary.absent),
    }


def _print(summary: ReleaseSummary, quiet: bool) -> None:
    if not quiet:
        count = len(summary.made) + len(summary.kept)
        click.echo(f"{summary.folder.path}: {count} people ({len(summary.made)} made now)")
    if summary.restricted and not quiet:
        click.echo(f"note: {len(summary.restricted)} of them may not be redistributed; the data set says so.", err=True)
    if summary.absent and not quiet:
        click.echo(f"not in the source to begin with: {len(summary.absent)} (--json names them)", err=True)
    report("refused", summary.refused)
    report("failed", summary.failed)
    if summary.failed:
        click.echo("Run the same command again to try what failed once more.", err=True)


def report(what: str, items: tuple[tuple[str, str], ...]) -> None:
    """Lines on the error stream, one a name, the first of them where there are many."""
    for name, why in items[:MOST_LINES]:
        click.echo(f"{what}: {name}: {why}", err=True)
    if len(items) > MOST_LINES:
        click.echo(f"{what}: and {len(items) - MOST_LINES} more; --json lists all", err=True)


@dataset.command("export", short_help="Hand a data set on in studio formats or as a texture database.")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--format", "formats", required=True, metavar="A,B", help="obj, glb, usd, exr, png, database.")
@click.option("--mobile", is_flag=True, help="GLB of at most 3 MB: fewer triangles, textures of 1024².")
@click.option("--split", type=click.Choice(["train", "test"]), help="Only this side of the split.")
@click.option("--subjects", default="", metavar="A,B,C", help="Only these people.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write to.")
@jobs_option
@quiet_option
@json_option
def export(
    folder: Path,
    formats: str,
    mobile: bool,
    split: str | None,
    subjects: str,
    out: Path,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Write the heads of the data set DIR in the formats of studios, or the people of it as a texture database.

    \b
    mesoface dataset export datasets/london --format usd,exr --out for-houdini
    mesoface dataset export datasets/london --format database --split train --out databases/london-train

    Formats are written to OUT/<subject>/, the database to OUT itself.
    """
    from recon.errors import EXIT_DONE, UsageError
    from recon.export_commands import carry_out
    from recon.release.handover import export_database
    from recon.release.heads import stored_heads
    from recon.release.layout import ReleaseFolder
    from recon.rendering.export.head import FORMATS

    ReleaseFolder(folder).read_index()
    heads = stored_heads(folder, subjects=names(subjects), splits=(split,) if split else ())
    chosen = names(formats)
    studio = tuple(name for name in chosen if name != "database")
    if not studio and "database" not in chosen:
        raise UsageError(f"--format names nothing: give database, or any of {', '.join(FORMATS)}.")
    if "database" in chosen:
        if studio:
            raise UsageError("write the database to a folder of its own: --format database by itself.")
        count = export_database(folder, out, [head.provenance.subject for head in heads])
        summary = {"folder": str(out), "people": count}
        click.echo(json.dumps(summary, indent=2) if as_json else f"{out}: texture database of {count} people")
        return EXIT_DONE
    return carry_out(heads, out, studio, mobile, jobs, quiet, as_json)
