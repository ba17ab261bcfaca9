"""The commands ``mesoface run`` and ``mesoface demo``: reconstruct, measure, and print how the methods compare."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import jobs_option, json_option, place, quiet_option, scheduler_option
from recon.command_options import names as listed

if TYPE_CHECKING:
    from rich.console import Console

    from metrics.comparison import Comparison
    from recon.runs import RunConfig, Summary
    from recon.runs.pictures import PictureSummary
    from recon.store import Place

DEFAULT_METHODS = "meso,deep,pca,mirror"
DEMO_METHODS = "meso,pca,mirror"
DEMO_PROTOCOLS = "identity,occlude:right"
# Its photographs have 60 to 180 pixels between the eyes: a larger map would ask for detail that none of them has.
DEMO_SIZE = 256
# More notes than this bury the table; a program gets them all.
MOST_NOTES = 8


@click.command()
@click.option(
    "--data",
    required=True,
    metavar="NAME=PATH",
    help="Test set: folder=PATH, london=PATH, chicago=PATH, light-stage=PATH, synthetic=COUNT:SEED:MODEL, demo; "
    "a PATH may be s3://BUCKET/PREFIX.",
)
@click.option("--methods", default=DEFAULT_METHODS, show_default=True, help="Methods, comma-separated.")
@click.option("--protocols", default="identity", show_default=True,
              help="identity, blur:σ, occlude:left|right, lowres:k, grayscale; comma-separated.")  # fmt: skip
@click.option("--database", metavar="NAME=PATH|DIR",
              help="Texture database: a test set (tested people are left out), a folder or an address.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="Test this many subjects, drawn by --seed.")
@click.option("--subjects", default="", metavar="A,B,C", help="Test these subjects.")
@click.option("--size", type=click.IntRange(64, 4096), default=512, show_default=True, help="Albedo side in texels.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seeds the choice of subjects and every method.")
@click.option("--features", default="auto", show_default=True, help="auto, filter-bank, vgg16-hed or vgg19.")
@click.option("--face-model", default="auto", show_default=True, help="auto, ict or anny.")
@jobs_option
@scheduler_option
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--renderer", default="gbuffer", show_default=True, help="Renderer of the views.")
@click.option("--views", default="fitted", show_default=True,
              help="View sets to draw: fitted, studio, turntable, closeup, relight.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="METHOD.PARAMETER=VALUE", help="A setting of a method.")
@click.option("--out", required=True, type=place,
              help="Run folder, or s3://BUCKET/PREFIX; an existing run continues.")  # fmt: skip
@quiet_option
@json_option
def run(
    data: str,
    methods: str,
    protocols: str,
    database: str | None,
    limit: int | None,
    subjects: str,
    size: int,
    seed: int,
    features: str,
    face_model: str,
    jobs: int | None,
    scheduler: str | None,
    device: str,
    renderer: str,
    views: str,
    settings: tuple[str, ...],
    out: Place,
    quiet: bool,
    as_json: bool,
) -> int:
    """Reconstruct the people of a test set with several methods, and measure the results.

    May be stopped at any point and run again: what is finished is kept, what failed is tried again. Methods,
    protocols and subjects can be added to a run later.
    """
    from recon.cluster import on_cluster
    from recon.data.protocols import parse_protocols
    from recon.progress import be_quiet
    from recon.render_commands import parse_views
    from recon.runs.config import RunConfig, load_method, parse_settings
    from recon.store import made_in

    names = parse_names(methods, "--methods")
    defaults = {name: load_method(name).defaults for name in names}
    config = RunConfig(
        out=Path(),  # known once the place is open
        data=data,
        methods=names,
        protocols=parse_protocols(protocols),
        database=database,
        limit=limit,
        subjects=listed(subjects),
        size=size,
        seed=seed,
        features=features,
        face_model=face_model,
        device=device,
        renderer=renderer,
        views=parse_views(views),
        parameters=parse_settings(settings, defaults),
        jobs=jobs,
    )
    be_quiet(quiet)
    with on_cluster(scheduler, jobs=jobs, quiet=quiet), made_in(out) as folder:
        return carry_out(replace(config, out=folder), quiet, as_json)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs/demo"), show_default=True,
              help="Run folder.")  # fmt: skip
@jobs_option
@quiet_option
@json_option
def demo(out: Path, jobs: int | None, quiet: bool, as_json: bool) -> int:
    """Try everything on the embedded people: reconstruct, measure, compare, draw a contact sheet.

    Needs no data and no weights: NASA's public-domain portrait of Eileen Collins and a few computer-made people, with
    a texture database of other computer-made people. Takes two minutes or so on two cores.
    """
    from recon import assets
    from recon.data.protocols import parse_protocols
    from recon.progress import be_quiet, progress_bar
    from recon.runs.config import RunConfig
    from recon.runs.execution import LANDMARKS

    config = RunConfig(
        out=out,
        data="demo",
        methods=parse_names(DEMO_METHODS, "--methods"),
        protocols=parse_protocols(DEMO_PROTOCOLS),
        database="synthetic=12",
        size=DEMO_SIZE,
        features="filter-bank",
        face_model="anny",
        device="cpu",
        jobs=jobs,
    )
    if quiet:
        be_quiet()
    with progress_bar("fetching the landmark detector", of_bytes=True) as progress:
        assets.fetch(LANDMARKS, progress)
    code = carry_out(config, quiet, as_json, sheet=out / "report" / "sheet.png")
    if not quiet and not as_json:
        click.echo(_what_it_was(out))
        click.echo(_next_steps(out))
    return code


def _what_it_was(out: Path) -> str:
    """How to read the demo's figures, and which of its people do not exist."""
    from recon.runs.folder import RunFolder
    from recon.storage import read_json

    folder = RunFolder(out)
    people = [read_json(folder.reference(name) / "subject.json") for name in folder.read_config()["subjects"]]
    made_up = sum(bool(person["synthetic"]) for person in people)
    return "\n".join(
        [
            "",
            "How to read this:",
            f"  {made_up} of the {len(people)} people are computer-made, and so is everybody in the texture database.",
            "  The figures show that everything works; for findings about methods, test real faces.",
            "  With 'identity' a method has seen what it is judged on, so 'mirror', which copies it, wins by design.",
            "  'occlude:right' shows a method half of the face: read the rows skin/withheld.",
        ]
    )


def _program() -> str:
    """How this program can be called again: a virtual environment that is not activated is not on the path."""
    import shutil
    import sys

    if shutil.which("mesoface"):
        return "mesoface"
    called = Path(sys.argv[0])
    return f"{sys.executable} -m mesoface" if called.suffix == ".py" else str(called)


def _next_steps(out: Path) -> str:
    program = _program()
    return "\n".join(
        [
            "",
            "What next:",
            f"  look at the contact sheet     {out / 'report' / 'sheet.png'}",
            f"  browse everything             {program} dashboard {out}",
            "  ask people what looks real    there, on the page Studies: New study",
            f"  see skin at full size         {program} sheet {out} --crops --protocol occlude:right",
            f"  plots, spectra, worst cases   {program} compare {out} --format html",
            f"  the numbers, for programs     {program} compare {out} --format json",
            f"  your own photographs          {program} run --data folder=PATH --methods pca,mirror,meso \\",
            "                                    --database synthetic --out runs/first",
            f"  real faces as database        {program} assets fetch london, then --database london",
        ]
    )


def parse_names(text: str, option: str) -> tuple[str, ...]:
    """A comma-separated list, each once, in the order given.

    Raises:
        UsageError: the list is empty.
    """
    from recon.errors import UsageError

    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError(f"{option} names nothing: give at least one, separated by commas.")
    return names


def carry_out(config: RunConfig, quiet: bool, as_json: bool, sheet: Path | None = None) -> int:
    """Run, measure, draw the views asked for, and print what was made; the exit code."""
    from metrics.conclusions import EVERYTHING, HEADLINE, conclude
    from metrics.evaluate import evaluate
    from recon.errors import EXIT_DONE, EXIT_PARTIAL
    from recon.progress import be_quiet, stages
    from recon.render_commands import draw_views, print_summary
    from recon.runs import execute

    if quiet:
        be_quiet()
    with stages() as progress, workers_of(config.methods):
        summary = execute(config, progress)
        evaluation = evaluate(summary.folder, progress, jobs=config.jobs, device=config.device)
        # Path tracing may take longer than all else; the numbers are safe by then.
        pictures = draw_views(config, progress, summary.subjects)
        if sheet is not None:
            from recon.sheet import draw_sheet

            progress("drawing the contact sheet", 0, 0)
            for protocol in config.protocols:
                target = sheet if protocol is config.protocols[0] else sheet.with_stem(f"sheet-{protocol.folder}")
                draw_sheet(summary.folder, protocol=protocol.name, out=target)
    comparison = conclude([summary.folder], EVERYTHING if as_json else HEADLINE, contrasts=False)
    if as_json:
        said = _for_programs(summary, comparison, list(evaluation.problems), pictures)
        click.echo(json.dumps(said, indent=2, ensure_ascii=False))
    else:
        _print_summary(summary, comparison, list(evaluation.problems), quiet)
        if pictures is not None:
            print_summary(pictures, quiet)
    failed = summary.failed or evaluation.problems or (pictures is not None and pictures.failed)
    return EXIT_PARTIAL if failed else EXIT_DONE


def workers_of(methods: Sequence[str]) -> AbstractContextManager[None]:
    """Lets the processes that reconstruct stay for measuring, unless a method comes from outside.

    What that one leaves behind in a process, a default type or a flag of PyTorch, must not reach a number.
    """
    from recon.methods import METHODS
    from recon.worker_pool import workers_kept

    return workers_kept() if set(methods) <= set(METHODS.built_in) else nullcontext()


def _for_programs(
    summary: Summary, comparison: Comparison, problems: list[str], pictures: PictureSummary | None
) -> dict[str, Any]:
    from metrics.report.data import standing_rows
    from recon.render_commands import for_programs

    def listed(outcomes: tuple[Any, ...]) -> list[dict[str, str]]:
        return [
            {
                "method": outcome.key.method,
                "protocol": outcome.key.protocol,
                "subject": outcome.key.subject,
                "error": outcome.kind,
                "message": outcome.message,
            }
            for outcome in outcomes
        ]

    return {
        "run": summary.folder.said,
        "subjects": list(summary.subjects),
        "made": len(summary.made),
        "kept": summary.kept,
        "failed": listed(summary.failed),
        "not_applicable": listed(summary.not_applicable),
        "not_measured": problems,
        "pictures": None if pictures is None else for_programs(pictures),
        "notes": list(summary.notes),
        "comparison": standing_rows(comparison.standings),
    }


def _print_summary(summary: Summary, comparison: Comparison, problems: list[str], quiet: bool) -> None:
    from rich.console import Console

    from metrics.report.sections import legend
    from metrics.report.tables import print_tables

    console = Console()
    if not quiet:
        print_tables(comparison, console)
        for line in legend(comparison):
            console.print(line, style="dim", highlight=False, markup=False)
        _print_made(summary, console)
        for note in summary.notes[:MOST_NOTES]:
            console.print(f"note: {note}", style="dim", markup=False)
        if len(summary.notes) > MOST_NOTES:
            console.print(f"and {len(summary.notes) - MOST_NOTES} more notes; --json lists them all", style="dim")
    trouble = Console(stderr=True) if quiet else console
    for reason, keys in _by_reason(summary).items():
        trouble.print(f"[bold red]failed[/] ({len(keys)}): {', '.join(keys[:4])}{' …' if len(keys) > 4 else ''}")
        trouble.print(f"  {reason}", markup=False)
    for line in problems:
        trouble.print(f"not measured: {line}", markup=False)
    if summary.failed:
        trouble.print("Run the same command again to try what failed once more.")


def _print_made(summary: Summary, console: Console) -> None:
    from rich.table import Table

    rows = Table(title=f"run {summary.folder.said}", title_justify="left", title_style="bold")
    for heading in ("subjects", "made now", "there already", "not applicable", "failed"):
        rows.add_column(heading, justify="right")
    counts = (len(summary.subjects), len(summary.made), summary.kept, len(summary.not_applicable), len(summary.failed))
    rows.add_row(*(str(count) for count in counts))
    console.print(rows)
    for outcome in {(o.key.method, o.message): o for o in summary.not_applicable}.values():
        console.print(f"{outcome.key.method} does not apply: {outcome.message}", style="dim", markup=False)


def _by_reason(summary: Summary) -> dict[str, list[str]]:
    """Failed results by what went wrong, so that one cause is said once."""
    found: dict[str, list[str]] = {}
    for outcome in summary.failed:
        found.setdefault(outcome.message, []).append(str(outcome.key))
    return found
