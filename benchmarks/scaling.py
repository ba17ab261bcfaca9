"""Time against resolution, people of the database, iterations and subjects: does anything grow faster than linearly?

    python benchmarks/scaling.py --data london=../shared/data/london --parts resolution,people,iterations,subjects

For every part a table: the seconds at each point, and the exponent of the power law through them (least squares of
log seconds on log size, all repeats). Fixed costs flatten that exponent where sizes are small, so that of the last step
alone stands beside it. The goal is an exponent of at most 1, within two standard errors by the scatter of the repeats.

The people of a database are a few photographed ones and copies of them in other tones and with grain of their own:
files and code are those of any database. Every point runs in a process of its own; what a database costs once and what
a subject costs each time are told apart, and so is the reading of what is cached: the database's correlations. On a
machine that others use as well, ``--clock cpu --threads 1`` takes seconds of the processor instead of the wall's.
"""

from __future__ import annotations

import argparse
import math
import os
import pickle
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dataset import measure
from reconstruct import Job, Measured, apart, correlate, describe
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter

from recon.colour import srgb_to_linear
from recon.data import load_test_set
from recon.data.protocols import parse_protocol
from recon.data.subject import TestSet
from recon.face_model import load_face_model
from recon.runs.config import choose_subjects, load_method, resolve_device
from recon.texture.database import Entry, TextureDatabase, open_database, write_entry, write_index

GOAL = 1.0
# The correlations of everybody in the database, read into memory, may take this share of a subject's time.
GOAL_CACHED = 0.01
# Fewer than the methods take, so that the other costs show as well; the part `iterations` multiplies them.
ITERATIONS = {"meso": (10, 8, 4), "deep": (4, 2)}
FACTORS = (1, 2, 4, 8)
PHOTOGRAPHED = 4
OBSERVED = "observation.pickle"
# Deviations of a copy: of the tone's logarithm in every channel, and of its grain.
TONE, GRAIN = 0.1, 0.01


@dataclass(frozen=True)
class Growth:
    """A power law: its exponent over all points and over the last step, each with two standard errors."""

    exponent: float
    tolerance: float
    last: float
    last_tolerance: float

    @property
    def linear(self) -> bool:
        """Whether it is no faster than linear."""
        return self.exponent <= GOAL + self.tolerance and self.last <= GOAL + self.last_tolerance


def growth(sizes: Sequence[float], repeats: Sequence[Sequence[float]]) -> Growth:
    """The power law through the seconds of every repeat at every size.

    The scatter is that of the repeats about their own mean; where nothing was repeated, that of the points about the
    law.
    """
    x = np.log(np.repeat(sizes, [len(each) for each in repeats]))
    logs = [np.log(each) for each in repeats]
    y, middle = np.concatenate(logs), [float(each.mean()) for each in logs]
    spread = float(((x - x.mean()) ** 2).sum())
    exponent = float(((x - x.mean()) * y).sum() / spread)
    off, free = np.concatenate([each - each.mean() for each in logs]), len(y) - len(logs)
    if not free:
        off, free = y - y.mean() - exponent * (x - x.mean()), max(len(y) - 2, 1)
    scatter = math.sqrt(float((off**2).sum()) / free)
    step = math.log(sizes[-1] / sizes[-2])
    return Growth(
        exponent=exponent,
        tolerance=2 * scatter / math.sqrt(spread),
        last=(middle[-1] - middle[-2]) / step,
        last_tolerance=2 * scatter * math.sqrt(1 / len(logs[-1]) + 1 / len(logs[-2])) / step,
    )


def clock(name: str, device: str) -> float:
    """Seconds of the wall or of this process' processor; waits for a GPU's queue."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()
    return time.process_time() if name == "cpu" else time.perf_counter()


def timed(measured: Measured, stage: str, on: tuple[str, str], work: Callable[[], Any]) -> Any:
    """The answer of ``work``, its time noted under ``stage``; ``on`` are clock and device."""
    started = clock(*on)
    answer = work()
    measured.add(stage, clock(*on) - started)
    return answer


class Bench:
    """What all parts share: where databases and observations are kept, and what was asked for."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.test_set = load_test_set(options.data)
        self.subjects = tuple(s.id for s in choose_subjects(self.test_set, (), max(options.subjects), 0))
        self.model = load_face_model(options.model)
        self.console = Console(width=120)

    def job(self, size: int, people: int) -> Job:
        """A database of so many people and the observation of a subject at that size, made if they are not there."""
        scratch = self.folder / f"{size}-{people}"
        asked = self.options
        job = Job(asked.data, self.subjects[:1], scratch, size, asked.device, asked.threads, self.model.name,
                  asked.protocol)  # fmt: skip
        if not (scratch / "database" / "database.json").is_file():
            enlarged(self.photographed(size), scratch / "database", people)
        if not (scratch / OBSERVED).is_file():
            apart(observe_subject, job)
        return job

    def photographed(self, size: int) -> TextureDatabase:
        """People whom no part tests, from their photographs."""
        from recon.texture.database_build import build_database

        folder = self.folder / f"{size}-photographed"
        others = [subject for subject in self.test_set.subjects if subject.id not in self.subjects]
        return build_database(TestSet(self.test_set.name, tuple(others[:PHOTOGRAPHED])), self.model, folder, size)

    def points(self, method: str, jobs: Mapping[int, Job], settings: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
        """Rows of a table: by what was timed, the seconds of every repeat at every point."""
        rows: dict[str, list[list[float]]] = {}
        peaks = []
        for point, job in jobs.items():
            shutil.rmtree(job.scratch / "database" / "derived", ignore_errors=True)
            asked = self.options
            found = apart(measure_point, job, method, asked.features, dict(settings[point]), asked.rounds, asked.clock)
            peaks.append(found.peak)
            for stage, seconds in found.stages.items():
                rows.setdefault(stage, []).append(seconds)
            for stage, spent in found.once.items():
                rows.setdefault(stage, []).append([spent])
            self.console.print(f"measured {method} at {point}", style="dim")
        return {"rows": rows, "peaks": peaks, "clock": "processor" if self.options.clock == "cpu" else "wall"}


def enlarged(base: TextureDatabase, folder: Path, people: int) -> None:
    """A database of ``people``: those of ``base``, then copies of them in another tone and with grain of their own."""
    entries = []
    for number in range(people):
        entry, copy = base.entries[number % len(base)], number // len(base)
        texture, (visible, skin) = base.seen_texture(entry.id), base.masks_of(entry.id)
        rng = np.random.default_rng(number)
        if copy:
            grain = gaussian_filter(rng.normal(size=texture.shape[:2]), 1.0)
            texture = texture * np.exp(rng.normal(0, TONE, 3)) * (1 + GRAIN * grain / grain.std())[..., None]
        name = f"{entry.id}-{copy}"
        write_entry(folder, name, srgb_to_linear(np.clip(texture, 0, 1).astype(np.float32)), visible, skin)
        entries.append(Entry(name, f"{entry.sha256}-{copy}", entry.attributes, entry.licence))
    write_index(folder, base.model, base.size, "copies", entries, recipe=base.recipe)


def observe_subject(job: Job, measured: Measured) -> None:
    """Reads, fits and observes the subject; leaves the observation."""
    from recon.fitting import detect_landmarks, fit_face
    from recon.images import read_photograph
    from recon.texture.observe import observe

    model, protocol = load_face_model(job.model), parse_protocol(job.protocol)
    known = {subject.id: subject for subject in load_test_set(job.data).subjects}
    given = protocol.given(read_photograph(known[job.subjects[0]].photograph))
    fit = fit_face(given, model, albedo_model=open_database(job.scratch / "database", model).albedo_model,
                   landmarks=detect_landmarks(given))  # fmt: skip
    observation = observe(given, protocol, model, job.size, fit=fit)
    (job.scratch / OBSERVED).write_bytes(pickle.dumps((given, observation)))


def measure_unwrap(job: Job, measured: Measured, rounds: int, by: str) -> None:
    """Unwrapping of the subject, the first time, which fills caches, not counted."""
    from recon.texture.observe import observe

    model, protocol = load_face_model(job.model), parse_protocol(job.protocol)
    given, observation = pickle.loads((job.scratch / OBSERVED).read_bytes())
    observe(given, protocol, model, job.size, fit=observation.fit)
    for _ in range(max(rounds, 2)):
        timed(measured, "unwrap", (by, "cpu"), lambda: observe(given, protocol, model, job.size, fit=observation.fit))


def measure_point(
    job: Job, measured: Measured, name: str, features: str, parameters: dict[str, Any], rounds: int, by: str
) -> None:
    """One method on the subject: the database's statistics once, then ``rounds`` times with all of them cached."""
    from recon.methods.contract import Context

    method, model = load_method(name), load_face_model(job.model)
    given, observation = pickle.loads((job.scratch / OBSERVED).read_bytes())
    database = open_database(job.scratch / "database", model)

    def made() -> Any:
        asked = {**method.defaults, **parameters}
        context = Context(model, observation, database, features, job.size, 0, job.device, None, asked)
        return method.reconstruct(given, context)

    on = (by, job.device)
    started = clock(*on)
    correlate(Measured(), name, database, features)
    made()
    first = clock(*on) - started
    for _ in range(rounds):
        record = timed(measured, name, on, made).record
        for stage, seconds in record.get("timings", {}).items() if by == "wall" else ():
            measured.add(f"  {stage}", seconds)
    own = statistics.median(measured.stages[name])
    for _ in range(max(rounds, 3)):
        timed(measured, "  cached correlations, read", on, lambda: read_correlations(database))
    measured.once["database, once"] = max(first - own, 1e-3)


def read_correlations(database: TextureDatabase) -> int:
    """Bytes of all correlations that lie with the database, read as a new process would: from the files."""
    folder = database.folder / "derived" / database.identity
    return sum(np.load(path).nbytes for path in sorted(folder.glob("*correlations*.npy")))


def report(bench: Bench, title: str, sizes: Mapping[str, float], found: Mapping[str, Any]) -> None:
    """One part's table: seconds at each point, exponents, and the peak memory."""
    table = Table(title=f"{title}, seconds of the {found['clock']}", title_justify="left")
    table.add_column("median")
    for heading in (*sizes, "exponent", "last step", "goal"):
        table.add_column(heading, justify="right")
    measures = list(sizes.values())
    for stage, repeats in found["rows"].items():
        law = growth(measures, repeats)
        colour = "green" if law.linear else "bold red"
        cells = [f"{statistics.median(each):.3g}" for each in repeats]
        table.add_row(
            stage, *cells, f"[{colour}]{law.exponent:.2f} ± {law.tolerance:.2f}[/]",
            f"[{colour}]{law.last:.2f} ± {law.last_tolerance:.2f}[/]", f"≤ {GOAL:g}",
        )  # fmt: skip
    table.add_section()
    table.add_row("peak memory, GB", *(f"{peak:.2f}" for peak in found["peaks"]), "", "", "")
    bench.console.print(table)


def resolution(bench: Bench, method: str) -> None:
    """Time against texels."""
    asked = bench.options
    jobs = {size: bench.job(size, asked.people[0]) for size in asked.sizes}
    if asked.prepare:
        return
    found = bench.points(method, jobs, {size: {"iterations": ITERATIONS[method]} for size in jobs})
    unwrapped = [apart(measure_unwrap, job, asked.rounds, asked.clock) for job in jobs.values()]
    found["rows"]["unwrap"] = [each.stages["unwrap"] for each in unwrapped]
    sizes = {f"{size}²": float(size) ** 2 for size in asked.sizes}
    report(bench, f"{method} against texels, {asked.people[0]} people", sizes, found)


def people(bench: Bench, method: str) -> None:
    """Time against the people of the database, and what reading their correlations costs once they are cached."""
    asked = bench.options
    jobs = {count: bench.job(asked.size, count) for count in asked.people}
    if asked.prepare:
        return
    found = bench.points(method, jobs, {count: {"iterations": ITERATIONS[method]} for count in jobs})
    sizes = {f"{count} people": float(count) for count in asked.people}
    report(bench, f"{method} against people, {asked.size}²", sizes, found)
    reading, whole = (statistics.median(found["rows"][row][-1]) for row in ("  cached correlations, read", method))
    colour = "green" if reading <= GOAL_CACHED * whole else "bold red"
    bench.console.print(
        f"reading the cached correlations of {asked.people[-1]} people takes [{colour}]{reading / whole:.2%}[/] of a "
        f"subject's time; goal {GOAL_CACHED:.0%}"
    )


def iterations(bench: Bench, method: str) -> None:
    """Time against iterations."""
    asked = bench.options
    job = bench.job(asked.size, asked.people[0])
    if asked.prepare:
        return
    chosen = {factor: tuple(factor * steps for steps in ITERATIONS[method]) for factor in FACTORS}
    found = bench.points(
        method, dict.fromkeys(chosen, job), {factor: {"iterations": steps} for factor, steps in chosen.items()}
    )
    sizes = {"+".join(map(str, steps)): float(factor) for factor, steps in chosen.items()}
    report(bench, f"{method} against iterations, {asked.size}², {asked.people[0]} people", sizes, found)


def subjects(bench: Bench, method: str) -> None:
    """Time of the whole command ``mesoface run``, metrics included, against subjects; one process after the other."""
    asked = bench.options
    job = bench.job(asked.size, asked.people[0])
    if asked.prepare:
        return
    steps = ",".join(map(str, ITERATIONS[method]))
    given = [
        "run", "-q", "--data", asked.data, "--methods", method, "--protocols", asked.protocol, "--size",
        str(asked.size), "--database", str(job.scratch / "database"), "--face-model", job.model, "--features",
        asked.features, "--device", asked.device, "--jobs", "1", "--set", f"{method}.iterations=[{steps}]",
    ]  # fmt: skip
    rows: dict[str, list[list[float]]] = {"mesoface run, wall": [], "mesoface run, processor": []}
    peaks = []
    with tempfile.TemporaryDirectory(dir=bench.folder) as runs:
        for count in (0, *asked.subjects):  # the first makes what is made once
            tested = ["--subjects", ",".join(bench.subjects[: count or 1])]
            repeats = range(asked.rounds if count else 1)
            took = [measure([*given, *tested, "--out", f"{runs}/{count}-{turn}"], every=0.2) for turn in repeats]
            if count:
                rows["mesoface run, wall"].append([each.wall for each in took])
                rows["mesoface run, processor"].append([each.cpu for each in took])
                peaks.append(max(each.gigabytes for each in took))
                bench.console.print(f"measured {count} subjects", style="dim")
    sizes = {f"{count}": float(count) for count in asked.subjects}
    report(bench, f"mesoface run, {method}, against subjects, {asked.size}²", sizes,
           {"rows": rows, "peaks": peaks, "clock": "wall and of the processor"})  # fmt: skip


PARTS = {part.__name__: part for part in (resolution, people, iterations, subjects)}


@contextmanager
def work_folder(given: Path | None) -> Iterator[Path]:
    """The folder that was given, which stays, or a scratch folder."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="mesoface-scaling-") as scratch:
        yield Path(scratch)


def counts(text: str) -> tuple[int, ...]:
    """Numbers apart at commas, from small to large."""
    return tuple(sorted(int(part) for part in text.split(",")))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="test set, for example london=PATH")
    parser.add_argument("--parts", default=",".join(PARTS), help="of " + ", ".join(PARTS))
    parser.add_argument("--methods", default="meso,deep")
    parser.add_argument("--sizes", type=counts, default=(256, 512, 1024), help="of the part resolution")
    parser.add_argument("--people", type=counts, default=(4, 8, 16, 32), help="all other parts take the first")
    parser.add_argument("--subjects", type=counts, default=(1, 2, 4, 8))
    parser.add_argument("--size", type=int, default=512, help="of the other parts")
    parser.add_argument("--rounds", type=int, default=3, help="repeats of every point")
    parser.add_argument("--protocol", default="blur:8", help="what the method gets; blur needs all steps")
    parser.add_argument("--features", default="auto")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--work", type=Path, help="keep databases and observations here for the next call")
    parser.add_argument("--prepare", action="store_true", help="only make databases and observations in --work")
    return parser.parse_args()


def main() -> None:
    options = parse()
    options.device = resolve_device(options.device)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the workers of a run have it
    unknown = [part for part in options.parts.split(",") if part not in PARTS]
    if unknown:
        sys.exit(f"no part '{unknown[0]}': choose of {', '.join(PARTS)}.")
    with work_folder(options.work) as folder:
        bench = Bench(options, folder)
        describe(bench.console, replace(bench.job(options.size, options.people[0]), subjects=bench.subjects))
        for part in options.parts.split(","):
            for method in options.methods.split(","):
                PARTS[part](bench, method)


if __name__ == "__main__":
    main()
