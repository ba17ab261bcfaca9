"""The command ``mesoface export``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from recon.command_options import jobs_option, json_option, names, place, quiet_option

if TYPE_CHECKING:
    from recon.release.heads import StoredHead
    from recon.store import Place


@click.command()
@click.argument("source", metavar="RUN", type=place)
@click.option("--format", "formats", default="glb", show_default=True, metavar="A,B",
              help="obj, glb, usd (with MaterialX), exr, png; comma-separated.")  # fmt: skip
@click.option("--mobile", is_flag=True, help="GLB of at most 3 MB: fewer triangles, textures of 1024².")
@click.option("--methods", default="", metavar="A,B", help="Methods to export; default: all of the run.")
@click.option("--protocols", default="", metavar="A,B", help="Protocols to export; default: all of the run.")
@click.option("--subjects", default="", metavar="A,B,C", help="Subjects to export; default: all.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write to.")
@jobs_option
@quiet_option
@json_option
def export(
    source: Place,
    formats: str,
    mobile: bool,
    methods: str,
    protocols: str,
    subjects: str,
    out: Path,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Write heads in the formats that studios open.

    \b
    mesoface export runs/first --format obj,glb,usd,exr,png --methods meso --out heads
    mesoface export runs/first/results/meso/identity/ada --format glb --mobile --out ada

    RUN is a run (a folder or s3://BUCKET/PREFIX), the folder of one result, or a data set. Every head goes into a
    folder of its own, with its licence and provenance. May be stopped and run again: what is complete is kept.
    """
    from recon.progress import be_quiet
    from recon.release.heads import stored_heads
    from recon.store import brought
    from recon.store.opening import is_head

    be_quiet(quiet)
    with brought(source, is_head) as folder:
        heads = stored_heads(folder, names(methods), names(protocols), names(subjects))
        return carry_out(heads, out, names(formats), mobile, jobs, quiet, as_json)


def carry_out(
    heads: Sequence[StoredHead],
    out: Path,
    formats: Sequence[str],
    mobile: bool,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Export, and print what was written; the exit code."""
    from recon.dataset_commands import report
    from recon.errors import EXIT_DONE, EXIT_PARTIAL
    from recon.progress import be_quiet, progress_bar
    from recon.release.handover import hand_over
    from recon.rendering.export.head import check_formats
    from recon.runs.config import default_jobs

    be_quiet(quiet)
    chosen = check_formats(formats, mobile)
    workers = jobs or default_jobs(len(heads))
    with progress_bar("exporting") as progress:
        done = hand_over(heads, out, chosen, mobile, workers, progress)
    if as_json:
        summary = {
            "folder": str(out),
            "made": list(done.made),
            "kept": list(done.kept),
            "failed": dict(done.failed),
            "restricted": list(done.restricted),
        }
        click.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        if not quiet:
            count = len(done.made) + len(done.kept)
            click.echo(f"{out}: {count} heads as {', '.join(chosen)} ({len(done.made)} written now)")
        if done.restricted:
            click.echo(
                f"note: the licence of {len(done.restricted)} of them does not allow redistribution "
                f"({', '.join(done.restricted[:3])}{' …' if len(done.restricted) > 3 else ''}); see LICENCE.txt there.",
                err=True,
            )
        report("failed", done.failed)
    return EXIT_PARTIAL if done.failed else EXIT_DONE
