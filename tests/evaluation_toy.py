"""A made-up run whose errors are known in every texel, and stand-in metrics; as a program, one evaluation of it.

The program has real worker processes, so that it can be killed: ``python evaluation_toy.py RUN``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace as replace
from pathlib import Path
from typing import Any

import numpy as np
from work_here import silent

from metrics.contract import Component, Judged, Metric, SetMetric, Weights, one_by_one
from metrics.evaluate import Choice, Evaluation, evaluate
from metrics.rows import read_rows
from recon.errors import AssetError, InputError
from recon.images import write_png
from recon.runs.folder import FORMAT, ResultKey, RunFolder, file_hashes
from recon.storage import write_json

SIZE = 96
PEOPLE = {"anna": "female", "bert": "male", "carl": "male"}
PROTOCOLS = ("identity", "occlude:right")
ERRORS = {"exact": 0.0, "near": 0.02, "far": 0.1}
CROP = (2, 3)
"""Columns and rows of the photograph left and above of the cropped part."""

BUILT_IN = {
    "psnr": "metrics.pixel:PSNR",
    "ssim": "metrics.pixel:SSIM",
    "detail": "metrics.detail:DETAIL",
    "coverage": "metrics.contract:COVERAGE",
}
RESULTS = len(PEOPLE) * len(PROTOCOLS) * len(ERRORS)
FAR = ResultKey("far", "identity", "anna")


def run(folder: RunFolder, *metrics: str, **choice: Any) -> Evaluation:
    """Evaluates a run on the CPU."""
    return evaluate(folder, silent, device="cpu", choice=Choice(metrics=metrics, **choice))


def rows_of(folder: RunFolder, **wanted: Any) -> list[dict[str, Any]]:
    """Rows of the table that are as ``wanted``."""
    return [row for row in read_rows(folder) if all(row[name] == value for name, value in wanted.items())]


def photograph(index: int) -> np.ndarray:
    """The person's face: ``(SIZE, SIZE, 3)`` float32."""
    return np.random.default_rng(index).uniform(0.3, 0.7, (SIZE, SIZE, 3)).astype(np.float32)


def write_result(folder: RunFolder, key: ResultKey, picture: np.ndarray, vouched: np.ndarray | None = None) -> None:
    """``picture`` as albedo and view."""
    place = folder.result(key)
    everywhere = np.ones(picture.shape[:2], bool) if vouched is None else vouched
    for name in ("albedo.png", "views/fitted.png"):
        write_png(place / name, picture)
    for name in ("mask.png", "views/fitted_mask.png"):
        write_png(place / name, everywhere)
    files = ["albedo.png", "mask.png", "views/fitted.png", "views/fitted_mask.png"]
    write_json(place / "result.json", {"files": file_hashes(place, files)})


def write_reference(folder: RunFolder, subject: str, protocol: str, picture: np.ndarray) -> None:
    """Skin is all but a rim of eight; the subject's right is the picture's left."""
    size = len(picture)
    skin, right = np.zeros((2, size, size), bool)
    skin[8:-8, 8:-8] = True
    if protocol.startswith("occlude"):
        right[:, : size // 2] = True
    place = folder.judged(subject, protocol)
    maps = {"skin": skin, "withheld": right, "image_skin": skin, "image_withheld": right}
    for stem, mask in maps.items():
        write_png(place / f"{stem}.png", mask)
    write_png(place / "albedo.png", picture)
    files = ["albedo.png", *(f"{stem}.png" for stem in maps)]
    left, top = CROP
    fit = {"landmarks": [[left + 10.5, top + 20.5]] * 68}
    record = {"crop": [left, top, left + size, top + size], "fit": fit, "files": file_hashes(place, files)}
    write_json(place / "reference.json", record)


def write_run(path: Path, methods: Mapping[str, float] = ERRORS, people: Sequence[str] = tuple(PEOPLE)) -> RunFolder:
    """People, protocols, and methods whose error in every texel is known: a little larger for each person."""
    run = RunFolder(path)
    config = {"methods": {name: {} for name in methods}, "protocols": [*PROTOCOLS], "subjects": [*people]}
    write_json(run.config, {"format": FORMAT, **config})
    for index, name in enumerate(people):
        left, top = CROP
        write_png(run.reference(name) / "photo.png", np.pad(photograph(index), ((top, 4), (left, 5), (0, 0))))
        write_json(run.reference(name) / "subject.json", {"attributes": {"gender": PEOPLE[name]}, "sha256": name})
        for protocol in PROTOCOLS:
            write_reference(run, name, protocol, photograph(index))
            for method, error in methods.items():
                picture = photograph(index) + np.float32(error * (1 + 0.1 * index))
                write_result(run, ResultKey(method, protocol, name), picture)
    return run


def brightness(judged: Judged) -> list[float]:
    """How much lighter the result is, and where the first landmark lies."""
    lighter = judged.result[judged.region].mean() - judged.reference[judged.region].mean()
    return [float(lighter), float("nan") if judged.landmarks is None else float(judged.landmarks[0, 0])]


def fails(judged: Judged) -> list[float]:
    """Fails on whatever is far from its reference."""
    if abs(brightness(judged)[0]) > 0.05:
        raise ValueError("seven is not eight")
    return [1.0]


def leaves(judged: Judged) -> list[float]:
    """Ends the process, as the command line of another program would."""
    raise SystemExit(3)


def absent_weights() -> Weights:
    """Weights that nobody has."""
    raise AssetError("the asset 'dream' is not on this machine: get it with `mesoface assets fetch dream`.")


def metric(*components: str, **settings: Any) -> Metric:
    """A metric of ours in both spaces of pictures."""
    defaults = {"library": "toy", "version": "1", "parameters": {}, "spaces": frozenset({"uv", "image"})}
    return Metric(
        components=tuple(Component(name, direction="none") for name in components), **{**defaults, **settings}
    )


def slowly(judged: Judged) -> list[float]:
    """Takes its time."""
    time.sleep(0.02)
    return [float(judged.result[judged.region].mean())]


def mean_colours(batch: Sequence[Judged], device: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean colour of either side."""
    return [(j.result[j.region].mean(axis=0), j.reference[j.region].mean(axis=0)) for j in batch]


def spread(subjects: Sequence[str], results: np.ndarray, references: np.ndarray) -> dict[str, Any]:
    """Mean distance over the set, and that of each subject."""
    apart = np.linalg.norm(results - references, axis=1)
    return {"set distance": float(apart.mean()), "own distance": apart}


BRIGHTNESS = metric("brightness", "landmark x", measure=one_by_one(brightness))
FAILS = metric("failing", measure=one_by_one(fails))
SHORT = metric("one", "two", measure=one_by_one(lambda judged: [1.0]))
LEAVES = metric("leaving", measure=one_by_one(leaves))
INFINITE = metric("infinite", measure=one_by_one(lambda judged: [float("inf")]))
NEEDY = metric("needy", measure=one_by_one(lambda judged: [1.0]), weights=absent_weights)
SLOW = metric("slow", measure=one_by_one(slowly))
COLOURS = SetMetric(
    components=(Component("set distance"), Component("own distance")),
    library="toy",
    version="1",
    parameters={},
    spaces=frozenset({"uv"}),
    describe=mean_colours,
    gather=spread,
)


def refuses(subjects: Sequence[str], results: np.ndarray, references: np.ndarray) -> dict[str, Any]:
    """A set metric that cannot gather."""
    raise InputError("the set is no good.")


REFUSES = SetMetric((Component("refused"),), "toy", "1", {}, frozenset({"uv"}), mean_colours, refuses)


def install(patch: Any, metrics: Mapping[str, str], sets: Mapping[str, str] | None = None) -> None:
    """These metrics alone, by attribute of this module or ``module:attribute``; ``patch(owner, name, value)``."""
    from metrics import METRICS, SET_METRICS

    for registry, wanted in ((METRICS, metrics), (SET_METRICS, sets or {})):
        targets = {name: at if ":" in at else f"evaluation_toy:{at}" for name, at in wanted.items()}
        patch(registry, "_discovered", True)
        patch(registry, "_targets", targets)


# Worker processes import the script as __mp_main__.
if __name__ in {"__main__", "__mp_main__"}:
    install(setattr, {"slow": "SLOW", "brightness": "BRIGHTNESS", "needy": "NEEDY"}, {"colours": "COLOURS"})

if __name__ == "__main__":
    found = evaluate(RunFolder(Path(sys.argv[1])), silent, jobs=1, device="cpu")
    sys.stdout.write(f"measured {found.measured} rows {found.rows} problems {len(found.problems)}\n")
