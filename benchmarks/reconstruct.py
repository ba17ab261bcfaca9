"""Time and memory of every stage of a reconstruction, beside the targets that the project has set itself.

    python benchmarks/reconstruct.py --data london=../shared/data/london --people 24 --subjects 3

Every method runs in a process of its own, so that its peak memory is its own. A database's statistics are made in a
scratch folder and thrown away: what a database costs once and what a subject costs each time are told apart. The peer
of unwrapping is scikit-image's ``warp`` at the very same sample positions, in the same process.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import multiprocessing
import os
import pickle
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from recon.data import load_test_set
from recon.data.protocols import parse_protocol
from recon.data.subject import Subject
from recon.errors import MesofaceError
from recon.face_model import load_face_model
from recon.runs.config import choose_subjects, load_method, resolve_device
from recon.texture.database import TextureDatabase, open_database
from recon.worker_pool import limit_torch

# Seconds a subject and GB, on two CPU cores.
TARGETS = {
    "fit": 4.0,
    "unwrap 1024²": 2.0,
    "meso": 15.0,
    "deep": 90.0,
    "pca + mirror": 8.0,
    "peak memory": 4.0,
}
TARGET_SIZE = 512


@dataclass(frozen=True)
class Job:
    """What a measuring process needs; travels to it."""

    data: str
    subjects: tuple[str, ...]
    scratch: Path
    size: int
    device: str
    threads: int
    model: str
    protocol: str


@dataclass
class Measured:
    """Seconds of each stage (one number a subject), what is paid once, notes, and the peak memory of the process."""

    stages: dict[str, list[float]] = field(default_factory=dict)
    once: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    peak: float = 0.0
    device_peak: float = 0.0

    def add(self, stage: str, seconds: float) -> None:
        """One more time of ``stage``."""
        self.stages.setdefault(stage, []).append(seconds)


def main() -> None:
    options = parse()
    console = Console()
    device = resolve_device(options.device)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # as the workers of a run have it
    test_set = load_test_set(options.data)
    chosen = choose_subjects(test_set, (), options.subjects, 0)
    with tempfile.TemporaryDirectory(prefix="mesoface-benchmark-") as scratch:
        job = Job(
            options.data,
            tuple(subject.id for subject in chosen),
            Path(scratch),
            options.size,
            device,
            options.threads,
            load_face_model(options.model).name,
            options.protocol,
        )
        describe(console, job)
        results = {"database": apart(measure_database, job, options.database, options.people)}
        results["photograph"] = apart(measure_photographs, job)
        for method in options.methods.split(","):
            results[method] = apart(measure_method, job, method, options.features)
            console.print(f"measured {method}", style="dim")
    report(console, job, results)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", required=True, help="test set, for example london=PATH")
    parser.add_argument("--database", type=Path, help="a finished database folder; by default one is built")
    parser.add_argument("--people", type=int, default=16, help="people of the database that is built")
    parser.add_argument("--subjects", type=int, default=3, help="people to reconstruct")
    parser.add_argument("--size", type=int, default=TARGET_SIZE)
    parser.add_argument("--methods", default="meso,deep,pca,mirror")
    parser.add_argument("--protocol", default="occlude:right", help="what the methods get; half a face needs all steps")
    parser.add_argument("--features", default="auto")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def apart(work: Callable[..., None], job: Job, *arguments: Any) -> Measured:
    """``work(job, measured, …)`` in a fresh process; its peak memory is measured there."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(theirs, work, job, arguments))
    process.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError:
        process.join()
        sys.exit(f"the process of {work.__name__} ended with code {process.exitcode}, perhaps for want of memory.")
    process.join()
    if isinstance(answer, str):
        sys.exit(answer)
    return answer  # type: ignore[no-any-return]


def _serve(connection: Any, work: Callable[..., None], job: Job, arguments: tuple[Any, ...]) -> None:
    import torch

    limit_torch(job.threads)  # as the workers of a run
    measured = Measured()
    try:
        work(job, measured, *arguments)
    except MesofaceError as error:
        connection.send(f"{work.__name__}: {error}")
        return
    measured.peak = peak_gigabytes()
    if job.device.startswith("cuda"):
        measured.device_peak = torch.cuda.max_memory_allocated() / 1e9
    connection.send(measured)


def peak_gigabytes() -> float:
    """Largest resident size of this process; Linux's own count, since ``getrusage`` there includes the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def timed(measured: Measured, stage: str, work: Callable[[], Any], *, once: bool = False) -> Any:
    """The answer of ``work``, its time noted under ``stage``; waits for a GPU's queue."""
    import torch

    started = time.perf_counter()
    answer = work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    if once:
        measured.once[stage] = seconds
    else:
        measured.add(stage, seconds)
    return answer


def _subjects(job: Job) -> list[Subject]:
    known = {subject.id: subject for subject in load_test_set(job.data).subjects}
    return [known[name] for name in job.subjects]


def measure_photographs(job: Job, measured: Measured) -> None:
    """Reading, landmarks, fit, unwrapping at two sizes with its peer; leaves the observations for the methods."""
    from recon.fitting import detect_landmarks, fit_face
    from recon.images import read_photograph
    from recon.texture.observe import observe, withheld_pixels
    from recon.texture.uv_map import uv_map

    model = timed(measured, "face model, load", lambda: load_face_model(job.model), once=True)
    for size in sorted({job.size, 512, 1024}):
        timed(measured, f"UV raster {size}²", lambda size=size: uv_map(model, size), once=True)
    albedo = _open(job).albedo_model
    protocol = parse_protocol(job.protocol)
    subjects = _subjects(job)
    detect_landmarks(read_photograph(subjects[0].photograph))  # loads the detector
    for subject in subjects:
        photograph = timed(measured, "read", lambda subject=subject: read_photograph(subject.photograph))
        given = protocol.given(photograph)
        points = timed(measured, "landmarks", lambda given=given: detect_landmarks(given))
        hidden = None
        if protocol.withheld_side:
            hidden = withheld_pixels(points.points, given.srgb.shape[:2], protocol.withheld_side)
        fit = timed(
            measured,
            "fit",
            lambda given=given, points=points, hidden=hidden: fit_face(
                given, model, albedo_model=albedo, landmarks=points, ignore=hidden
            ),
        )
        for stage, seconds in fit.record.get("seconds", {}).items():
            measured.add(f"  fit: {stage}", seconds)
        for size in (512, 1024):
            timed(
                measured,
                f"unwrap {size}²",
                lambda given=given, size=size, fit=fit: observe(given, protocol, model, size, fit=fit),
            )
        observation = observe(given, protocol, model, job.size, fit=fit)
        (job.scratch / f"{subject.id}.pickle").write_bytes(pickle.dumps((given, observation)))
        compare_unwrapping(measured, given, model, fit)


def compare_unwrapping(measured: Measured, photograph: Any, model: Any, fit: Any) -> None:
    """Sampling alone, ours beside scikit-image's at the same positions, turn about; and whether they agree."""
    from skimage.transform import warp

    from recon.colour import srgb_to_linear
    from recon.texture.unwrap import sample_photograph, surface
    from recon.texture.uv_map import uv_map

    radiance = srgb_to_linear(photograph.srgb)
    seen = timed(
        measured, "  unwrap 1024²: visibility", lambda: surface(model, uv_map(model, 1024), fit.vertices, fit.camera)
    )
    places = np.moveaxis(seen.pixels - 0.5, -1, 0)[::-1]
    ours = peer = None
    for _ in range(3):
        ours = timed(measured, "  sampling 1024², one sample", lambda: sample_photograph(radiance, seen, 1))
        peer = timed(
            measured,
            "  peer: skimage warp, same places",
            lambda: np.stack(
                [warp(radiance[..., c], places, order=1, mode="edge", preserve_range=True) for c in range(3)], axis=-1
            ),
        )
    assert ours is not None
    assert peer is not None
    measured.notes.append(f"sampling differs from the peer's by {np.abs(ours - peer)[seen.visible].max():.1e} at most")


def measure_database(job: Job, measured: Measured, given: Path | None, people: int) -> None:
    """A database of others: built, or the given one; its completed textures and principal components."""
    folder = job.scratch / "database"
    if given is None:
        build(job, measured, folder, people)
    else:
        folder.mkdir()
        (folder / "entries").symlink_to((given / "entries").resolve(), target_is_directory=True)
        (folder / "database.json").write_bytes((given / "database.json").read_bytes())
    database = _open(job)
    measured.notes.append(f"database of {len(database)} people at {database.size}²")
    timed(measured, "completed textures", lambda: database.textures, once=True)
    timed(measured, "common skin", lambda: database.skin_mask, once=True)
    timed(measured, "principal components", lambda: database.pca, once=True)
    timed(measured, "vertex albedo", lambda: database.albedo_model, once=True)


def build(job: Job, measured: Measured, folder: Path, people: int) -> None:
    from recon.data.subject import TestSet
    from recon.texture.database_build import build_database

    test_set = load_test_set(job.data)
    others = [subject for subject in test_set.subjects if subject.id not in job.subjects][:people]
    started = time.perf_counter()
    chosen = TestSet(test_set.name, tuple(others))
    model = load_face_model(job.model)
    built = build_database(chosen, model, folder, job.size, (), 1)
    measured.add("database build, a person", (time.perf_counter() - started) / len(built))


def _open(job: Job) -> TextureDatabase:
    database = open_database(job.scratch / "database", load_face_model(job.model)).without(job.subjects)
    database.require_enough()
    return database


def measure_method(job: Job, measured: Measured, name: str, features: str) -> None:
    """One method on every subject; the first is done twice, and the first time, which fills caches, not counted."""
    from recon.methods.contract import Context

    method = load_method(name)
    database = _open(job)
    model = load_face_model(job.model)
    correlate(measured, name, database, features)
    warm = False
    for subject in job.subjects:
        given, observation = pickle.loads((job.scratch / f"{subject}.pickle").read_bytes())
        context = Context(model, observation, database, features, job.size, 0, job.device, None, dict(method.defaults))
        if not warm:
            method.reconstruct(given, context)
            warm = True
        made = timed(measured, name, lambda given=given, context=context: method.reconstruct(given, context))
        for stage, seconds in made.record.get("timings", {}).items():
            measured.add(f"  {name}: {stage}", seconds)
        extractor = made.record.get("extractor")
        if extractor and subject == job.subjects[0]:
            measured.notes.append(f"{name}: features {extractor['name']}")


def correlate(measured: Measured, name: str, database: TextureDatabase, features: str) -> None:
    """What a method derives from a database once: statistics and correlations of everybody in it."""
    from recon.texture.extractor_choice import resolve_extractor

    if name == "meso":
        from recon.methods.meso_inference import detail_database, residual_extractor
        from recon.texture.detail_database import SCALES

        details = detail_database(database)
        extractor = residual_extractor(resolve_extractor(features, learned_first=False))
        timed(measured, "detail", lambda: (details.valid, details.residuals), once=True)
        timed(measured, "energies", lambda: (details.deviations, details.blurred_energy()), once=True)
        timed(measured, "correlations", lambda: [details.correlations(extractor, s) for s in SCALES], once=True)
    elif name.startswith("deep"):
        from recon.methods.deep_inference import face_correlations

        faces = face_correlations(database, resolve_extractor(features, learned_first=True))
        timed(measured, "correlations", lambda: [faces.correlations(scale) for scale in (1, 2)], once=True)


def describe(console: Console, job: Job) -> None:
    import torch

    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", "scikit-image"))
    console.print(
        f"{processor()}, {os.cpu_count()} cores, {job.threads} threads; Python {platform.python_version()}, {versions}"
    )
    if job.device.startswith("cuda"):
        console.print(f"{torch.cuda.get_device_name(job.device)}, CUDA {torch.version.cuda}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    console.print(f"{job.data}, {len(job.subjects)} subjects, {job.size}², {job.protocol}, face model {job.model}, "
                  f"load before {load:.1f}")  # fmt: skip


def processor() -> str:
    """The processor's name as the system has it."""
    facts = Path("/proc/cpuinfo")
    names = [line for line in facts.read_text().splitlines() if line.startswith("model name")] if facts.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def report(console: Console, job: Job, results: dict[str, Measured]) -> None:
    """Three tables: stages a subject, what is paid once, memory."""
    table = Table(title="seconds a subject", title_justify="left")
    table.add_column("stage")
    for heading in ("median", "largest", "target"):
        table.add_column(heading, justify="right")
    for measured in results.values():
        for stage, seconds in measured.stages.items():
            table.add_row(stage, *figures(seconds, TARGETS.get(stage)))
        table.add_section()
    floors = [results[name].stages[name] for name in ("pca", "mirror") if name in results]
    if len(floors) == 2:
        table.add_row(
            "pca + mirror", *figures([sum(pair) for pair in zip(*floors, strict=True)], TARGETS["pca + mirror"])
        )
    console.print(table)
    once = Table("", "stage", title="seconds, once", title_justify="left")
    once.add_column("", justify="right")
    for name, measured in results.items():
        for stage, spent in measured.once.items():
            once.add_row(name, stage, f"{spent:.2f}")
    console.print(once)
    memory = Table("process", title="peak memory, GB", title_justify="left")
    for heading in ("resident", "target", *(["GPU"] if job.device.startswith("cuda") else [])):
        memory.add_column(heading, justify="right")
    for name, measured in results.items():
        cells = [marked(measured.peak, TARGETS["peak memory"]), f"{TARGETS['peak memory']:.0f}"]
        memory.add_row(name, *cells, *([f"{measured.device_peak:.2f}"] if job.device.startswith("cuda") else []))
    console.print(memory)
    for measured in results.values():
        for note in measured.notes:
            console.print(note, style="dim")


def figures(seconds: Sequence[float], target: float | None) -> tuple[str, str, str]:
    """Median, largest and target of one stage as cells."""
    middle = statistics.median(seconds)
    return marked(middle, target), f"{max(seconds):.2f}", "" if target is None else f"{target:g}"


def marked(value: float, target: float | None) -> str:
    """A figure, green if it meets its target and red if it does not."""
    text = f"{value:.2f}"
    return text if target is None else f"[green]{text}[/]" if value <= target else f"[bold red]{text}[/]"


if __name__ == "__main__":
    main()
