"""``mesoface study simulate``: a whole study rehearsed with model raters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from recon.command_options import json_option, quiet_option
from study.database_commands import database_option

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from study.simulation.recovery import Recovery
    from study.simulation.rehearsal import Rehearsal


@click.command()
@click.argument("study", metavar="STUDY", type=click.Path(path_type=Path))
@click.option("--raters", type=click.IntRange(1, 100_000), help="Model raters; default: as many as the study asks for.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--abilities",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML or JSON file of what is put in: abilities, criterion, lapses, careless and more; default: ready-made.",
)
@click.option("--name", help="Of the rehearsal in the database; default: the study's with '-rehearsal'.")
@click.option("--report", is_flag=True, help="Write the study's report on the rehearsal, too.")
@database_option
@quiet_option
@json_option
def simulate(
    study: Path,
    raters: int | None,
    seed: int,
    abilities: Path | None,
    name: str | None,
    report: bool,
    db: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Rehearse STUDY, a study file or its folder, with model raters; print what was put in beside what came out.

    They go through the real web server from consent to completion code. Their answers are marked as simulated and lie
    under a name of their own: they never mix with people's. May be stopped; the same command goes on.
    """
    from recon.progress import be_quiet, progress_bar
    from study.launching import prepared_database
    from study.simulation.population import Population, read_population
    from study.simulation.recovery import recover
    from study.simulation.rehearsal import plan_rehearsal, rehearse
    from study.specification import read_specification
    from study.stimuli import build_stimuli, read_catalogue

    be_quiet(quiet)
    file = study / "study.yaml" if study.is_dir() else study
    specification = read_specification(file)
    population = Population() if abilities is None else read_population(abilities)
    with progress_bar("making stimuli") as progress:
        build_stimuli(specification.stimuli_order(file.parent), file.parent, progress)
    rehearsal = plan_rehearsal(
        specification,
        file.parent,
        read_catalogue(file.parent).stimuli,
        population,
        raters=raters,
        seed=seed,
        name=name,
    )
    engine = prepared_database(db)
    try:
        with progress_bar("model raters") as progress:
            starts = rehearse(rehearsal, engine, progress)
        found = recover(rehearsal, engine)
        page = _report(rehearsal, engine) if report else None
    finally:
        engine.dispose()
    found_text = json.dumps(_for_programs(rehearsal, found), indent=2, ensure_ascii=False)
    click.echo(found_text if as_json else _table(rehearsal, found))
    if page is not None:
        click.echo(f"report: {page}", err=as_json)
    if starts > 1:
        click.echo(f"the server was started {starts} times", err=True)


def _report(rehearsal: Rehearsal, engine: Engine) -> Path:
    """The page of the report, which lies beside what was put in."""
    from study.report import build_report, read_study_data, write_report
    from study.simulation.rehearsal import FOLDER

    name = rehearsal.specification.name
    made = build_report(read_study_data(engine, name, all_sessions=True), rehearsal.folder)
    return write_report(made, rehearsal.folder / FOLDER / name).html


def _for_programs(rehearsal: Rehearsal, found: Recovery) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "study": rehearsal.specification.name,
        "design": rehearsal.specification.design,
        "seed": rehearsal.seed,
        "population": rehearsal.population.model_dump(mode="json"),
        "raters": found.raters,
        "answers": found.answers,
        "rows": [{**asdict(row), "inside": row.inside} for row in found.rows],
        "inside": found.inside,
        "careful": asdict(found.careful),
        "careless": asdict(found.careless),
    }


def _table(rehearsal: Rehearsal, found: Recovery) -> str:
    put_in = ", ".join(f"{name} {value:g}" for name, value in rehearsal.population.abilities.items())
    width = max(len(row.condition) for row in found.rows)
    lines = [
        f"{rehearsal.specification.name}: {found.raters} model raters, {found.answers} answers to main trials",
        f"abilities put in: {put_in}",
        f"{'':14} {'':{width}}  put in  recovered  95 % interval",
    ]
    for row in found.rows:
        mark = "" if row.inside else "  outside"
        lines.append(
            f"{row.quantity:14} {row.condition:{width}}  {_number(row.put_in):>6}  {_number(row.recovered):>9}  "
            f"{_number(row.low)} to {_number(row.high)}{mark}"
        )
    lines.append(f"{found.inside} of {len(found.rows)} intervals hold what was put in (19 of 20 should)")
    lines.append(f"gold and attention trials right: {_checks(found)}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{round(value, 3) + 0.0:.3f}"  # + 0.0: no minus before a zero


def _checks(found: Recovery) -> str:
    kinds = [("raters who look", found.careful), ("careless raters", found.careless)]
    return "; ".join(
        f"{one.right:.0%} by {one.raters} {kind}" if one.right == one.right else f"none by {one.raters} {kind}"
        for kind, one in kinds
    )
