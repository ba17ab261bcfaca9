"""The command ``mesoface metrics``: measure the results of a run, and list what can be measured."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from recon.command_options import jobs_option, json_option, names, place, quiet_option, scheduler_option

if TYPE_CHECKING:
    from rich.console import Console

    from metrics.evaluate import Evaluation
    from metrics.known import KnownMetric
    from recon.store import Place

Command = TypeVar("Command", bound=Callable[..., Any])

# More lines than this bury the rest; a program gets them all.
MOST_LINES = 10


def _listed(*names_: str, text: str) -> Callable[[Command], Command]:
    """An option that names several things, apart at commas or given several times."""
    return click.option(
        *names_, multiple=True, metavar="A,B", help=text, callback=lambda _c, _p, given: ",".join(given)
    )


@click.command()
@click.argument("run", required=False, type=place)
@_listed("--metrics", "--metric", "metrics_", text="Measure these metrics; default: all known.")
@_listed("--methods", text="Of these methods; default: all of the run.")
@_listed("--protocols", text="Under these protocols; default: all of the run.")
@_listed("--subjects", text="Of these subjects; default: all of the run.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@jobs_option
@scheduler_option
@click.option("--again", is_flag=True, help="Measure anew what is up to date, too.")
@click.option("--list", "list_", is_flag=True, help="List all metrics: what they are, and whether weights are there.")
@quiet_option
@json_option
def metrics(
    run: Place | None,
    metrics_: str,
    methods: str,
    protocols: str,
    subjects: str,
    device: str,
    jobs: int | None,
    scheduler: str | None,
    again: bool,
    list_: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Measure the results of RUN, a folder or s3://BUCKET/PREFIX: every metric, view and region, into metrics.parquet.

    Only what is missing or out of date is measured. May be stopped at any point and run again; what could not be
    measured is tried again.
    """
    from recon.errors import EXIT_DONE, EXIT_PARTIAL, UsageError

    if list_:
        _list_metrics(names(metrics_), as_json)
        return EXIT_DONE
    if run is None:
        raise UsageError("say which run folder to measure, for example 'mesoface metrics runs/first'.")
    from metrics.evaluate import Choice, evaluate
    from recon.cluster import on_cluster
    from recon.progress import be_quiet, stages
    from recon.runs.folder import RunFolder
    from recon.store import made_in

    if quiet:
        be_quiet()
    choice = Choice(names(metrics_), names(methods), names(protocols), names(subjects), again)
    with on_cluster(scheduler, jobs=jobs, quiet=quiet), made_in(run, existing=True) as folder, stages() as progress:
        found = evaluate(RunFolder(folder), progress, jobs=jobs, device=device, choice=choice)
    if as_json:
        click.echo(json.dumps(_for_programs(run, found), indent=2, ensure_ascii=False))
    else:
        _print_summary(run, found, quiet)
    return EXIT_PARTIAL if found.failed else EXIT_DONE


def _for_programs(run: Place, found: Evaluation) -> dict[str, Any]:
    return {
        "run": str(run),
        "measured": found.measured,
        "values": found.values,
        "rows": found.rows,
        "not_measured": list(found.problems),
        "not_computed": dict(found.absent),
        "missing": [vars(gap) for gap in found.gaps],
        "notes": list(found.notes),
    }


def _print_summary(run: Place, found: Evaluation, quiet: bool) -> None:
    from rich.console import Console

    if not quiet:
        console = Console()
        done = f"{found.values} values of {found.measured} results" if found.measured else "nothing to measure"
        console.print(f"{run}/metrics.parquet: {done}; {found.rows} rows", markup=False, highlight=False)
        _print_lines(
            console, "not computed", [f"{name}: {why}" for name, why in found.absent.items()], len(found.absent)
        )
        _print_lines(console, "note", list(found.notes))
    trouble = Console(stderr=True) if quiet else console
    _print_lines(trouble, "not measured", list(found.problems))
    gaps = [f"{gap.subject} · {gap.protocol} · {gap.method}: {gap.reason}" for gap in found.gaps]
    _print_lines(trouble, "missing results", gaps)


def _print_lines(console: Console, title: str, lines: Sequence[str], most: int = MOST_LINES) -> None:
    if not lines:
        return
    console.print(f"[bold]{title}[/] ({len(lines)})", highlight=False)
    for line in lines[:most]:
        console.print(f"  {line}", markup=False, highlight=False)
    if len(lines) > most:
        console.print(f"  … and {len(lines) - most} more; --json lists them all", highlight=False)


def _list_metrics(chosen: Sequence[str], as_json: bool) -> None:
    """All known metrics; those that cannot be loaded say why in place of what they are."""
    from metrics.known import all_names, check_names, find_metric, with_weights
    from recon.errors import InputError

    check_names(chosen)
    rows: list[dict[str, Any]] = []
    for name in chosen or all_names():
        try:
            rows.append(_described(with_weights(find_metric(name), to_measure=False)))
        except InputError as error:
            rows.append({"metric": name, "problem": str(error)})
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    _print_metrics(rows)


def _described(known: KnownMetric) -> dict[str, Any]:
    from metrics.contract import SetMetric

    piece = known.metric
    return {
        "metric": known.name,
        "of": "sets" if isinstance(piece, SetMetric) else "results",
        "components": [vars(component) for component in piece.components],
        "spaces": sorted(piece.spaces),
        "reference": piece.reference,
        "library": piece.library,
        "version": piece.version,
        "parameters": json.loads(known.parameters),
        "needs_weights": piece.weights is not None,
        "weights": vars(known.weights) if known.weights else None,
        "problem": known.absent,
    }


def _print_metrics(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("metric", "numbers", "in", "weights"):
        table.add_column(column, overflow="fold", no_wrap=column == "metric")
    absent = {str(row["metric"]): str(row["problem"]) for row in rows if row["problem"]}
    for row in rows:
        if "components" not in row:
            table.add_row(row["metric"], "–", "–", "cannot be loaded")
            continue
        first, *others = (_component(component) for component in row["components"])
        numbers = first + (f", and {len(others)} more" if others else "")
        where = ", ".join(row["spaces"]) + (" (set)" if row["of"] == "sets" else "")
        weights = "absent" if row["problem"] else row["weights"]["net"] if row["weights"] else ""
        table.add_row(row["metric"], numbers, where, weights)
    console = Console()
    console.print(table)
    console.print(
        "\n↑ higher is better, ↓ lower, →1 one is ideal; without a sign the number only describes. Names in full, "
        "versions and parameters: --json."
    )
    if absent:
        console.print(f"\n[bold]absent[/] ({len(absent)})")
        for name, why in absent.items():
            console.print(f"  {name}: {why}", markup=False, highlight=False)


def _component(component: Mapping[str, str]) -> str:
    arrow = {"higher": " ↑", "lower": " ↓", "one": " →1", "none": ""}[component["direction"]]
    return component["name"] + (f", {component['unit']}" if component["unit"] else "") + arrow
