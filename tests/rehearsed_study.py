"""A run of made-up people with measurements, a study of it, and that study rehearsed through the real server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from comparison_runs import row
from study_runs import make_run

import study
from metrics.rows import write_rows
from recon.progress import no_progress
from study.launching import launch_study, prepared_database
from study.simulation.population import Population
from study.simulation.rehearsal import plan_rehearsal, rehearse
from study.specification import read_specification
from study.stimuli import read_catalogue

EXAMPLE = Path(study.__file__).parent / "examples" / "pairwise.yaml"
SUBJECTS = tuple(f"s{number}" for number in range(1, 6))
RATERS = 4
REHEARSAL = "pairs-rehearsal"


@dataclass(frozen=True)
class Rehearsed:
    """What there is.

    Attributes:
        runs: folder of the run ``first``.
        studies: folder of the study ``pairs``, launched for people, with its rehearsal ``pairs-rehearsal``.
        database: URL.
    """

    runs: Path
    studies: Path
    database: str


def add_study_file(folder: Path, **changed: Any) -> Path:
    """A small study of pairs in ``folder``/studies/NAME, on the run ``folder``/runs/first."""
    content = yaml.safe_load(EXAMPLE.read_text(encoding="utf-8"))
    content |= {
        "name": "pairs",
        "conditions": ["photograph", "alpha", "beta"],
        "raters": RATERS,
        "stimuli": {"runs": ["../../runs/first"], "training_subjects": ["s5"], "width": 96, "height": 120},
        "trials": {"main": 4, "gold": 1, "training": 1},
        "payment": {"reward": 50, "cap": 1000},
        **changed,
    }
    file = folder / "studies" / content["name"] / "study.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return file


def make_measured_run(folder: Path, values: Mapping[str, float] | None = None) -> None:
    """The run ``folder``/runs/first; ``alpha`` is better by PSNR, and worse by another metric."""
    run = make_run(folder / "runs" / "first", subjects=SUBJECTS)
    base = values or {"alpha": 30.0, "beta": 20.0}
    rows = [row(method, subject, value + number / 10)
            for method, value in base.items() for number, subject in enumerate(SUBJECTS)]  # fmt: skip
    other = [{**one, "metric": "SSIM", "family": "ssim", "value": -one["value"]} for one in rows]
    write_rows(run, [*rows, *other])


def rehearse_in(folder: Path) -> Rehearsed:
    """Makes all of it in ``folder``: takes some seconds."""
    make_measured_run(folder)
    file = add_study_file(folder)
    database = f"sqlite:///{folder / 'studies.sqlite'}"
    engine = prepared_database(database)
    launch_study(file, engine, no_progress)
    stimuli = read_catalogue(file.parent).stimuli
    planned = plan_rehearsal(read_specification(file), file.parent, stimuli, Population())
    rehearse(planned, engine, no_progress)
    engine.dispose()
    return Rehearsed(folder / "runs", folder / "studies", database)
