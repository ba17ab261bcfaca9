"""The command ``mesoface compare``."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from recon.command_options import place

if TYPE_CHECKING:
    from metrics.comparison import Comparison
    from metrics.conclusions import Selection
    from recon.runs.folder import RunFolder
    from recon.store import Place

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "markdown", "latex", "csv", "json", "html")
# For programs everything, for readers what says different things.
_FOR_PROGRAMS = {"csv", "json"}
_WITH_PAIRS = {"latex", "html"}


def _filter(dest: str, text: str) -> Callable[[Command], Command]:
    """An option in the plural, as other commands have it, that also answers to the singular."""
    return click.option(f"--{dest}", f"--{dest[:-1]}", dest, multiple=True, metavar="NAME[,NAME]", help=text)


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=place)
@_filter("metrics", "Metrics whose name is or contains this (psnr, detail); all for all that were measured.")
@_filter("regions", "Regions, such as withheld.")
@_filter("spaces", "uv (albedo), image (view) or shape (head).")
@_filter("views", "What was looked at: albedo, fitted, mitsuba/fitted …")
@_filter("methods", "Methods; others do not count for Holm's correction and the ranks.")
@_filter("protocols", "Protocols: blur for all strengths of it, blur:8 for one.")
@click.option("--by", metavar="ATTRIBUTE", help="Split the subjects: gender, ethnicity, age, 'ITA group' …")
@click.option("--pairs", is_flag=True, help="Every pair of methods: difference with interval, p, effect.")
@click.option("--sensitivity", is_flag=True, help="How metrics answer to a protocol's strength, where it has several.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True, help="What to write.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False),
              help="File to write; without it HTML goes to RUN/report/comparison.html.")  # fmt: skip
@click.option("--quiet", "-q", is_flag=True, help="Tables alone: no legend, no notes.")
def compare(
    runs: tuple[Place, ...],
    metrics: tuple[str, ...],
    regions: tuple[str, ...],
    spaces: tuple[str, ...],
    views: tuple[str, ...],
    methods: tuple[str, ...],
    protocols: tuple[str, ...],
    by: str | None,
    pairs: bool,
    sensitivity: bool,
    form: str,
    out: Path | None,
    quiet: bool,
) -> None:
    """Print how methods compare, in one run or in several; a RUN is a folder or s3://BUCKET/PREFIX.

    Means over subjects with 95 % intervals, and marks that are tested: ★ is better than every other method beyond
    chance, ☆ shares the first place. ↑ higher is better, ↓ lower, →1 one is ideal. Several runs are compared method by
    method as well. Reads what 'mesoface metrics' measured.

    Tables show the headline metrics unless --metrics names others; csv and json hold everything.
    """
    from metrics.conclusions import Selection
    from recon.runs.folder import RunFolder
    from recon.store import brought
    from recon.store.opening import is_light, is_shown

    selection = Selection(
        metrics=_names(metrics),
        regions=_names(regions),
        spaces=_names(spaces),
        views=_names(views),
        methods=_names(methods),
        protocols=_names(protocols),
        headline=form not in _FOR_PROGRAMS,
    )
    with ExitStack() as stack:
        wanted = is_shown if form == "html" else is_light
        folders = [RunFolder(stack.enter_context(brought(run, wanted))) for run in runs]
        _compare(folders, selection, by, pairs, sensitivity, form, out, quiet)


def _compare(
    folders: list[RunFolder],
    selection: Selection,
    by: str | None,
    pairs: bool,
    sensitivity: bool,
    form: str,
    out: Path | None,
    quiet: bool,
) -> None:
    from metrics.conclusions import conclude
    from recon.errors import InputError, UsageError

    comparison = conclude(folders, selection, by, contrasts=pairs or form in _WITH_PAIRS)
    if not comparison.standings:
        why = "; ".join(dict.fromkeys(gap.reason for gap in comparison.gaps)) or "it has no result"
        raise InputError(f"run '{folders[0].path}' has no value to compare: {why}.")
    # JSON says so by empty lists.
    if pairs and not comparison.contrasts and form != "json":
        raise UsageError("--pairs: no two methods have values of the same people; leave it out, or compare more.")
    if sensitivity and not comparison.sensitivity and form != "json":
        raise UsageError("--sensitivity: no protocol has values at several strengths, such as blur:4 and blur:8.")
    if form == "html":
        _write_html(comparison, folders, out, pairs)
    elif form == "table" and out is None:
        _print(comparison, pairs, sensitivity, quiet)
    else:
        _put(_as_text(comparison, form, pairs, sensitivity, quiet), out)


def _names(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Names apart at commas; those inside brackets belong to a name: ``albedo ΔE2000 (truth, one gain)``."""
    parts = [part.strip() for text in texts for part in re.split(r",(?![^(]*\))", text)]
    return tuple(dict.fromkeys(part for part in parts if part))


def _print(comparison: Comparison, pairs: bool, sensitivity: bool, quiet: bool) -> None:
    from rich.console import Console

    from metrics.report.tables import print_comparison

    print_comparison(comparison, Console(), pairs=pairs, sensitivity=sensitivity, notes=not quiet)


def _as_text(comparison: Comparison, form: str, pairs: bool, sensitivity: bool, quiet: bool) -> str:
    if form == "latex":
        from metrics.report.latex import as_latex

        return as_latex(comparison, pairs=_all_pairs(comparison) if pairs else ())
    if form == "markdown":
        from metrics.report.markdown import as_markdown

        return as_markdown(comparison, pairs=pairs, sensitivity=sensitivity)
    if form == "table":
        import io

        from rich.console import Console

        from metrics.report.tables import print_comparison

        stream = io.StringIO()
        console = Console(file=stream, width=120, no_color=True)
        print_comparison(comparison, console, pairs=pairs, sensitivity=sensitivity, notes=not quiet)
        return stream.getvalue()
    from metrics.report.data import as_csv, as_json

    return {"json": as_json, "csv": as_csv}[form](comparison, pairs=pairs, sensitivity=sensitivity)


def _put(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text.removesuffix("\n"))
        return
    from recon.storage import write_text

    write_text(out, text if text.endswith("\n") else text + "\n")
    click.echo(str(out))


def _all_pairs(comparison: Comparison) -> list[tuple[str, str]]:
    return list(combinations(comparison.methods, 2))


def _write_html(comparison: Comparison, folders: list[RunFolder], out: Path | None, pairs: bool) -> None:
    from metrics.report.html import write_html
    from recon.store import said

    path = out or folders[0].path / "report" / "comparison.html"
    click.echo(said(write_html(comparison, folders, path, pairs=_all_pairs(comparison) if pairs else ())))
