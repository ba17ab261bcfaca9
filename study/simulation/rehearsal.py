"""A whole study rehearsed: entered as a simulated one, visited by model raters, some at a time; may be stopped.

A rehearsal's name in the database is its own, so answers of models and of people never share a study; the database
marks the study and every rater of it. What was put in lies in ``rehearsals/<name>.json`` of the study folder: the same
command goes on with the same raters, another population is another rehearsal.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from recon.errors import InputError
from recon.progress import Progress
from recon.storage import read_json, write_json
from study.check import objections_to_people
from study.contract import Stimulus
from study.designs import DESIGNS
from study.launching import set_state
from study.server.registration import enter_study
from study.simulation.hosting import HostedRehearsal, hosted, rehearsed_settings
from study.simulation.population import Population, as_record, complete
from study.simulation.raters import ModelRater, model_raters
from study.simulation.visits import Browser, visit
from study.specification import Specification, specification_from

FOLDER = "rehearsals"
SUFFIX = "-rehearsal"
# Sessions at a time: the server and its database are kept busy by these on two cores.
AT_ONCE = 4


@dataclass(frozen=True)
class Rehearsal:
    """What is rehearsed.

    Attributes:
        specification: of the study, under the rehearsal's name and with its number of raters.
        folder: of the study, with its pictures.
        stimuli: that its trials show.
        population: that raters are drawn from, complete.
        seed: of raters and answers.
    """

    specification: Specification
    folder: Path
    stimuli: tuple[Stimulus, ...]
    population: Population
    seed: int

    @property
    def raters(self) -> Sequence[ModelRater]:
        """All of them."""
        asked = self.specification
        scales = {scale.name: len(scale.labels) for scale in asked.worded_scales()}
        page = DESIGNS.get(asked.design).page
        return model_raters(asked.name, page, scales, self.population, asked.raters, self.seed)


def plan_rehearsal(
    specification: Specification,
    folder: Path,
    stimuli: tuple[Stimulus, ...],
    population: Population,
    *,
    raters: int | None = None,
    seed: int = 0,
    name: str | None = None,
) -> Rehearsal:
    """A rehearsal of the study of ``specification``.

    Args:
        folder: of the study, with its pictures.
        population: without abilities, ready-made ones are taken.
        raters: None for as many as the study has.
        name: in the database; None for the study's with ``-rehearsal``.

    Raises:
        InputError: the abilities do not fit the study, or the pictures show another number of people than it says.
    """
    against = objections_to_people(specification, stimuli)
    if against:
        raise InputError(f"'{specification.name}' cannot be rehearsed: {against[0]}")
    changed = {
        "name": name or specification.name[: 80 - len(SUFFIX)] + SUFFIX,
        "raters": raters or specification.raters,
    }
    record = specification.record()
    # All raters of a rehearsal come: it does not stop early.
    asked = specification_from({**record, **changed, "stopping": {**record["stopping"], "usable_raters": None}})
    return Rehearsal(asked, folder, stimuli, complete(population, specification), seed)


def rehearse(rehearsal: Rehearsal, engine: Engine, progress: Progress, at_once: int = AT_ONCE) -> int:
    """Let all model raters answer, or go on where an earlier call was cut off; how often the server was started.

    Raises:
        InputError: the rehearsal's name is that of a study of people or of another rehearsal, or the server failed.
        StudyDatabaseError: the database does not answer.
    """
    _note_put_in(rehearsal)
    asked = rehearsal.specification
    enter_study(engine, rehearsed_settings(asked), asked.record(), rehearsal.stimuli, simulated=True)
    database = engine.url.render_as_string(hide_password=False)
    with hosted(asked, rehearsal.folder, database) as host:
        _visit_all(rehearsal, host, progress, at_once)
        starts = host.starts
    set_state(engine, asked.name, "closed")  # nobody else is to come
    return starts


def _note_put_in(rehearsal: Rehearsal) -> None:
    path = rehearsal.folder / FOLDER / f"{rehearsal.specification.name}.json"
    record = {"seed": rehearsal.seed, "raters": rehearsal.specification.raters, **as_record(rehearsal.population)}
    if path.is_file() and read_json(path) != record:
        raise InputError(
            f"'{path}' is of a rehearsal with other raters: give this one a --name of its own, so that their answers "
            "are not mixed."
        )
    write_json(path, record)


def _visit_all(rehearsal: Rehearsal, host: HostedRehearsal, progress: Progress, at_once: int) -> None:
    known = {stimulus.sha256: stimulus for stimulus in rehearsal.stimuli}
    browsers, stopped = threading.local(), threading.Event()
    opened: list[Browser] = []

    def one(rater: ModelRater) -> None:
        if not hasattr(browsers, "mine"):
            browsers.mine = Browser(host.address, rehearsal.specification, known, stopped)
            opened.append(browsers.mine)
        visit(browsers.mine, rater)

    raters = rehearsal.raters
    done = 0
    progress(done, len(raters))
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="model-rater")
    try:
        left: set[Future[None]] = {pool.submit(one, rater) for rater in raters}
        while left:
            finished, left = wait(left, timeout=0.5, return_when=FIRST_EXCEPTION)
            for future in finished:
                future.result()
            done += len(finished)
            progress(done, len(raters))
            if host.failure:
                raise InputError(host.failure)
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)
        for browser in opened:
            browser.close()
