"""The commands ``mesoface results …``: results of other systems, judged like the rest."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import jobs_option, json_option, names, quiet_option

if TYPE_CHECKING:
    from recon.runs.folder import ResultKey
    from recon.runs.importing import Imported, Survey

# More lines of a kind than this bury the table; --json lists all.
MOST_LINES = 8


@click.group()
def results() -> None:
    """Bring the results of other systems into a run."""


@results.command("import")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--run", "run_path", required=True, type=click.Path(path_type=Path, file_okay=False), help="Run folder.")
@click.option("--method", required=True, metavar="NAME", help="What the other system is called in tables.")
@click.option("--kind", type=click.Choice(["views", "albedo", "mesh"]), help="What DIR holds; default: told from it.")
@click.option("--protocols", default="", metavar="A,B", help="Protocols to import; default: all of the run.")
@click.option("--source", default="", metavar="TEXT", help="Where the results come from: paper, address, version.")
@click.option("--licence", default="unknown", show_default=True, metavar="TEXT", help="Terms of the results.")
@click.option("--dry-run", is_flag=True, help="Only check, and print what would be imported.")
@click.option("--force", is_flag=True, help="Replace an earlier import under this name.")
@jobs_option
@quiet_option
@json_option
def import_(
    folder: Path,
    run_path: Path,
    method: str,
    kind: str | None,
    protocols: str,
    source: str,
    licence: str,
    dry_run: bool,
    force: bool,
    jobs: int | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Make results of the run from what another system wrote to the folder DIR; nothing in DIR is changed.

    \b
    views   DIR/PROTOCOL/SUBJECT.png   a rendering in the photograph's frame: all of it, or the run's crop
    albedo  DIR/PROTOCOL/SUBJECT.png   an sRGB albedo map in the UV square of the run's face model
    mesh    DIR/PROTOCOL/SUBJECT.glb   or a folder SUBJECT/ with OBJ, PLY or glTF: a head with an albedo texture in
                                       a UV layout of its own

    SUBJECT.mask.png beside a picture says, in white, where the system vouches for it. Views have no albedo: of them,
    image-space metrics alone are measured. May be stopped and run again.
    """
    from recon.errors import EXIT_DONE, EXIT_PARTIAL
    from recon.progress import be_quiet, progress_bar
    from recon.runs.folder import RunFolder
    from recon.runs.importing import KINDS, Terms, check_name, import_results, survey

    be_quiet(quiet)
    run = RunFolder(run_path)
    check_name(run, method)
    with progress_bar("checking") as progress:
        stated = next((known for known in KINDS if known == kind), None)
        found = survey(folder, run, method, stated, names(protocols), progress)
    done = None
    if not dry_run:
        terms = Terms(source or folder.resolve().name, licence)
        with progress_bar("importing") as progress:
            done = import_results(found, run, method, terms, force, jobs, progress)
    if as_json:
        click.echo(json.dumps(_for_programs(found, done), indent=2, ensure_ascii=False))
    else:
        _print(found, done, method, run_path, quiet)
    whole = not found.missing and len(found.usable) == len(found.found) and not (done and done.failed)
    return EXIT_DONE if whole else EXIT_PARTIAL


def _for_programs(found: Survey, done: Imported | None) -> dict[str, Any]:
    def listed(key: ResultKey, **more: Any) -> dict[str, Any]:
        return {"protocol": key.protocol, "subject": key.subject, **more}

    return {
        "kind": found.kind,
        "guessed": found.guessed,
        "fits": [listed(f.key, described=f.described, notes=list(f.notes)) for f in found.usable],
        "unusable": [listed(f.key, message=f.problem) for f in found.found if f.problem],
        "missing": [listed(key) for key in found.missing],
        "extra": [{"file": name, "reason": reason} for name, reason in found.strangers],
        "imported": None
        if done is None
        else {
            "made": len(done.made),
            "kept": done.kept,
            "removed": [listed(key) for key in done.removed],
            "failed": [listed(key, message=message) for key, message in done.failed],
        },
    }


def _print(found: Survey, done: Imported | None, method: str, run: Path, quiet: bool) -> None:
    from rich.console import Console

    console = Console()
    if not quiet:
        _print_table(found, method, console)
        notes: dict[str, int] = {}
        for note in (note for item in found.usable for note in item.notes):
            notes[note] = notes.get(note, 0) + 1
        _print_lines(console, "note", (f"{note} ({count} files)" for note, count in notes.items()))
        _print_lines(console, "extra", (f"{name}: {reason}" for name, reason in found.strangers))
        _print_lines(console, "missing", (f"{key.protocol} · {key.subject}" for key in found.missing))
    trouble = Console(stderr=True) if quiet else console
    unusable = [item for item in found.found if item.problem]
    _print_lines(trouble, "unusable", (f"{f.key.protocol} · {f.key.subject}: {f.problem}" for f in unusable))
    if done is None:
        if not quiet:
            console.print("Nothing was written (--dry-run).")
        return
    _print_lines(trouble, "failed", (f"{key.protocol} · {key.subject}: {message}" for key, message in done.failed))
    if not quiet:
        removed = f", {len(done.removed)} of an earlier import removed" if done.removed else ""
        console.print(f"{len(done.made)} results imported as '{method}', {done.kept} there already{removed}.")
        console.print(f"What next:  mesoface metrics {run}, then mesoface compare {run}", markup=False, soft_wrap=True)


def _print_lines(console: Any, title: str, lines: Iterable[str]) -> None:
    every = list(lines)
    for line in every[:MOST_LINES]:
        console.print(f"{title}: {line}", markup=False, soft_wrap=True)
    if len(every) > MOST_LINES:
        console.print(f"{title}: and {len(every) - MOST_LINES} more; --json lists them all")


def _print_table(found: Survey, method: str, console: Any) -> None:
    from rich.table import Table

    guess = ", told from the files" if found.guessed else ""
    table = Table(title=f"{method}: {found.kind}{guess}", title_justify="left", title_style="bold")
    table.add_column("protocol")
    for heading in ("fit", "unusable", "missing"):
        table.add_column(heading, justify="right")
    table.add_column("what they are")
    order = dict.fromkeys([*(f.key.protocol for f in found.found), *(key.protocol for key in found.missing)])
    for protocol in order:
        here = [f for f in found.found if f.key.protocol == protocol]
        fits = [f for f in here if not f.problem]
        gaps = sum(key.protocol == protocol for key in found.missing)
        table.add_row(protocol, str(len(fits)), str(len(here) - len(fits)), str(gaps), _kinds(fits))
    console.print(table)


def _kinds(found: Sequence[Any]) -> str:
    """Descriptions with their counts, the frequent ones first."""
    counts: dict[str, int] = {}
    for item in found:
        counts[item.described] = counts.get(item.described, 0) + 1
    listed = sorted(counts.items(), key=lambda pair: -pair[1])
    return "; ".join(f"{count} × {text}" for text, count in listed[:3]) + (" …" if len(listed) > 3 else "")
