"""A small finished run with pictures, maps, heads and values, for the tests of the page Compare."""

from __future__ import annotations

import json
from pathlib import Path

import comparison_runs
import numpy as np
import rendering_scenes
import study_runs

from metrics.rows import write_rows
from recon.images import write_png
from recon.rendering.export import write_glb
from recon.runs.folder import ResultKey, RunFolder, file_hashes
from recon.storage import read_json, write_json

METHODS = ("alpha", "beta", "gamma")
SUBJECTS = ("s1", "s2", "s3", "s4")
FLIP = {
    "alpha": {"s1": 0.1, "s2": 0.4, "s3": 0.2, "s4": 0.3},
    "beta": {"s1": 0.2, "s2": 0.1, "s3": 0.9, "s4": 0.3},
    "gamma": {"s1": 0.3, "s2": 0.2, "s3": 0.1},
}
FAILED = ResultKey("gamma", "identity", "s4")
REASON = "no skin is visible in the photograph: give another one."
MAPS = ["albedo.png", "mask.png", "head.glb"]


def make_run(path: Path, methods: tuple[str, ...] = METHODS) -> RunFolder:
    """Four people, three methods; :data:`FAILED` failed, and ``beta`` was imported as views."""
    folder = study_runs.make_run(path, methods, SUBJECTS)
    head = rendering_scenes.head()
    camera = rendering_scenes.looking(3.0, 400.0, 256)
    for number, (method, subject) in enumerate((method, subject) for method in methods for subject in SUBJECTS):
        key = ResultKey(method, "identity", subject)
        if method == "beta":
            continue
        place = folder.result(key)
        albedo = np.clip(rendering_scenes.smooth_albedo(64) + 0.01 * number, 0, 1).astype(np.float32)
        write_png(place / "albedo.png", albedo)
        mask = np.zeros((64, 64), bool)
        mask[8:56, 8:56] = True
        write_png(place / "mask.png", mask)
        write_glb(place / "head.glb", rendering_scenes.scene_of(head, camera, albedo))
        record = read_json(place / "result.json")
        write_json(place / "result.json", {**record, "files": record["files"] | file_hashes(place, MAPS)})
    for subject in SUBJECTS:
        judged = folder.judged(subject, "identity")
        write_png(judged / "image_skin.png", study_runs.skin())
        write_png(judged / "image_withheld.png", np.zeros_like(study_runs.skin()))
        record = read_json(folder.reference(subject) / "subject.json")
        gender = {"gender": "female" if subject in ("s1", "s2") else "male"}
        write_json(folder.reference(subject) / "subject.json", {**record, "attributes": gender, "source": "test"})
    if FAILED.method in methods:
        place = folder.result(FAILED)
        (place / "result.json").unlink()
        write_json(place / "failure.json", {"message": REASON})
    measure(folder, FLIP)
    return folder


def measure(folder: RunFolder, flip: dict[str, dict[str, float]]) -> None:
    """Give the run these values of FLIP, and some PSNR."""
    image = {"space": "image", "view": "fitted"}
    rows = comparison_runs.rows(flip, metric="FLIP", family="flip", unit="", direction="lower", **image)
    psnr = {method: {subject: 40 - 20 * value for subject, value in own.items()} for method, own in flip.items()}
    write_rows(folder, [*rows, *comparison_runs.rows(psnr, **image)])


def change_config(folder: RunFolder, **changes: object) -> None:
    """Write ``run.json`` as another program might."""
    folder.config.write_text(json.dumps({**read_json(folder.config), **changes}))
