"""The command ``mesoface render``: more pictures of a run that exists."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from recon.command_options import jobs_option, json_option, names, place, quiet_option

if TYPE_CHECKING:
    from recon.runs.config import RunConfig
    from recon.runs.pictures import PictureSummary
    from recon.store import Place

DEFAULT_VIEWS = "fitted,turntable,closeup,relight"
# More lines than this bury what matters; a program gets them all.
_MOST_REASONS = 8


@click.command()
@click.argument("run", type=place)
@click.option("--renderer", default="mitsuba", show_default=True, help="gbuffer (fast), mitsuba or cycles.")
@click.option("--views", default=DEFAULT_VIEWS, show_default=True,
              help="Sets (also: studio) or single views such as relight-top; comma-separated.")  # fmt: skip
@click.option("--methods", default="", metavar="A,B,C", help="Methods to draw; default: all of the run.")
@click.option("--protocols", default="", metavar="A,B,C", help="Protocols to draw; default: all of the run.")
@click.option("--subjects", default="", metavar="A,B,C", help="Subjects to draw; default: all of the run.")
@click.option("--samples", type=click.IntRange(1, 65536), help="Paths a pixel; default: the renderer's own.")
@click.option("--size", default="512x640", show_default=True, metavar="WxH",
              help="Pixels; 'fitted' has the photograph's own.")  # fmt: skip
@jobs_option
@quiet_option
@json_option
def render(
    run: Place,
    renderer: str,
    views: str,
    methods: str,
    protocols: str,
    subjects: str,
    samples: int | None,
    size: str,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Draw more pictures of RUN, a folder or s3://BUCKET/PREFIX, with any renderer, in the standard views.

    \b
    fitted      over the photograph, with its camera and light
    turntable   seven cameras from 60° right to 60° left
    closeup     cheeks, eyes and mouth
    relight     five fixed lights
    studio      front and 35° to either side

    They lie in RUN/results/METHOD/PROTOCOL/SUBJECT/views/RENDERER as PNG, as EXR (linear, high dynamic range), and as
    JSON that says how they were made. May be stopped and run again: what is finished is kept.
    """
    from recon.errors import EXIT_DONE, EXIT_PARTIAL
    from recon.progress import be_quiet, stages
    from recon.runs.pictures import PictureOrder, render_run
    from recon.store import made_in

    width, height = parse_size(size)
    chosen = parse_views(views)
    if quiet:
        be_quiet()
    with made_in(run, existing=True) as folder:
        order = PictureOrder(folder, renderer, chosen, width, height, samples)
        with stages() as progress:
            summary = render_run(order, progress, names(methods), names(protocols), names(subjects), jobs)
        if as_json:
            click.echo(json.dumps(for_programs(summary), indent=2, ensure_ascii=False))
        else:
            print_summary(summary, quiet)
    return EXIT_PARTIAL if summary.failed else EXIT_DONE


def draw_views(
    config: RunConfig, progress: Callable[[str, int, int], None], subjects: Sequence[str] = ()
) -> PictureSummary | None:
    """The views of ``mesoface run --views``, drawn by its ``--renderer`` once the results are made.

    None where they are the default, ``fitted``: every result has that picture already.

    Args:
        subjects: those that the command tests; empty for all that the run folder has.

    Raises:
        UsageError: an unknown view.
    """
    from recon.rendering.view_sets import chosen_views
    from recon.runs.pictures import PictureOrder, render_run

    names = chosen_views(config.views)
    if names == ("fitted",):
        return None
    order = PictureOrder(config.out, config.renderer, names)
    methods, protocols = config.methods, [protocol.name for protocol in config.protocols]
    return render_run(order, progress, methods, protocols, subjects, config.jobs)


def parse_views(text: str) -> tuple[str, ...]:
    """``fitted,closeup`` → the names of all views of these sets.

    Raises:
        UsageError: an unknown name, or none.
    """
    from recon.rendering.view_sets import chosen_views

    return chosen_views(names(text))


def parse_size(text: str) -> tuple[int, int]:
    """``512x640`` → width and height.

    Raises:
        UsageError: not of that form.
    """
    from recon.errors import UsageError

    found = re.fullmatch(r"(\d{1,5})[x×X](\d{1,5})", text.strip())
    if found is None:
        raise UsageError(f"--size {text}: write width and height in pixels, for example 512x640.")
    return int(found[1]), int(found[2])


def for_programs(summary: PictureSummary) -> dict[str, object]:
    """The summary in the types of JSON."""
    return {
        "run": summary.folder.said,
        "made": len(summary.made),
        "kept": summary.kept,
        "seconds_per_picture": round(summary.seconds, 2),
        "failed": [
            {
                "method": outcome.key.method,
                "protocol": outcome.key.protocol,
                "subject": outcome.key.subject,
                "view": outcome.view,
                "message": outcome.message,
            }
            for outcome in summary.failed
        ],
    }


def print_summary(summary: PictureSummary, quiet: bool) -> None:
    """What was made, and what failed and why, each reason once."""
    if not quiet:
        pace = f", {summary.seconds:.1f} s a picture" if summary.made else ""
        click.echo(f"{summary.folder.said}: {len(summary.made)} pictures made{pace}; {summary.kept} were there already")
    reasons: dict[str, list[str]] = {}
    for outcome in summary.failed:
        reasons.setdefault(outcome.message, []).append(str(outcome))
    for reason, pictures in list(reasons.items())[:_MOST_REASONS]:
        shown: Sequence[str] = pictures[:4]
        more = " …" if len(pictures) > 4 else ""
        click.echo(f"failed ({len(pictures)}): {', '.join(shown)}{more}\n  {reason}", err=True)
    if len(reasons) > _MOST_REASONS:
        click.echo(f"and {len(reasons) - _MOST_REASONS} more reasons; --json lists them all", err=True)
    if summary.failed:
        click.echo("Run the same command again to try what failed once more.", err=True)
