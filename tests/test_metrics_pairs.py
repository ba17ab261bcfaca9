"""Results against the truth in a run folder: who has rows, what they say, and what happens to damaged files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from evaluation_toy import install
from texture_toy import face, known_fit
from work_here import in_this_process, silent

from metrics.evaluate import evaluate
from metrics.rows import read_rows
from recon.images import write_png
from recon.rendering.scene import Scene
from recon.runs.folder import FORMAT, ResultKey, RunFolder, file_hashes
from recon.runs.views import write_head
from recon.storage import write_json, write_npy

SIZE = 96
PROTOCOLS = ("identity", "occlude:right")
METHODS = {"true": 1.0, "dark": 0.6}
TRUE, GAINED = "albedo ΔE2000 (truth)", "albedo ΔE2000 (truth, one gain)"
SIMILARITY, RIGID = "vertex distance (truth, similarity)", "vertex distance (truth, rigid)"
LARGER = 1.1
FAMILIES = {
    "psnr": "metrics.pixel:PSNR",
    "truth-albedo": "metrics.truth:ALBEDO",
    "truth-tone": "metrics.truth:TONE",
    "truth-detail": "metrics.truth:DETAIL",
    "truth-shape": "metrics.shape:SHAPE",
}


def encoded(linear: np.ndarray) -> np.ndarray:
    from recon.colour import linear_to_srgb

    return linear_to_srgb(linear)


def true_albedo() -> np.ndarray:
    """Linear ``(SIZE, SIZE, 3)``."""
    return np.random.default_rng(3).uniform(0.1, 0.5, (SIZE, SIZE, 3)).astype(np.float32)


def write_result(run: RunFolder, key: ResultKey, gain: float) -> None:
    """The true albedo times ``gain``, and the true head; that of ``dark`` is turned and a tenth too large."""
    place = run.result(key)
    picture = encoded(gain * true_albedo())
    for name in ("albedo.png", "views/fitted.png"):
        write_png(place / name, picture)
    for name in ("mask.png", "views/fitted_mask.png"):
        write_png(place / name, np.ones((SIZE, SIZE), bool))
    vertices = face().mean if gain == 1 else LARGER * face().mean @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    fit = known_fit()
    write_head(place / "head.glb", Scene(face(), vertices.astype(np.float32), true_albedo(), fit.camera, fit.lighting))
    files = ["albedo.png", "mask.png", "head.glb", "views/fitted.png", "views/fitted_mask.png"]
    write_json(place / "result.json", {"files": file_hashes(place, files)})


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """``anna``, whose albedo and head are known, at twice the size of the run; of ``bert`` there is a photograph."""
    monkeypatch.setattr("metrics.evaluate.work_through", in_this_process)
    install(monkeypatch.setattr, FAMILIES)
    monkeypatch.setattr("recon.face_model.load_face_model", lambda name: {"toy": face()}[name])
    made = RunFolder(tmp_path / "run")
    write_json(
        made.config,
        {
            "format": FORMAT,
            "settings": {"face_model": {"name": "toy"}},
            "methods": {name: {} for name in METHODS},
            "protocols": list(PROTOCOLS),
            "subjects": ["anna", "bert"],
        },
    )
    skin, right = np.zeros((2, SIZE, SIZE), bool)
    skin[8:-8, 8:-8] = True
    right[:, : SIZE // 2] = True
    fit = known_fit()
    for name in ("anna", "bert"):
        write_png(made.reference(name) / "photo.png", encoded(true_albedo()))
        write_json(made.reference(name) / "subject.json", {"attributes": {}})
        for protocol in PROTOCOLS:
            place = made.judged(name, protocol)
            withheld = right if protocol.startswith("occlude") else np.zeros_like(right)
            maps = {"skin": skin, "withheld": withheld, "image_skin": skin, "image_withheld": withheld}
            for stem, mask in maps.items():
                write_png(place / f"{stem}.png", mask)
            write_png(place / "albedo.png", encoded(0.8 * true_albedo()))
            record = {"identity": fit.identity.tolist(), "expression": fit.expression.tolist()}
            files = ["albedo.png", *(f"{stem}.png" for stem in maps)]
            hashes = file_hashes(place, files)
            write_json(place / "reference.json", {"crop": [0, 0, SIZE, SIZE], "fit": record, "files": hashes})
            for method, gain in METHODS.items():
                write_result(made, ResultKey(method, protocol, name), gain)
    known = np.ones((SIZE, SIZE), bool)
    known[:, -32:] = False
    truth = np.where(known[..., None], true_albedo(), 0)
    write_png(made.reference("anna") / "truth.png", encoded(truth.repeat(2, axis=0).repeat(2, axis=1)))
    write_png(made.reference("anna") / "truth_mask.png", known.repeat(2, axis=0).repeat(2, axis=1))
    write_npy(made.reference("anna") / "truth_vertices.npy", face().mean)
    return made


def values(run: RunFolder, **wanted: Any) -> dict[tuple[str, str], float]:
    """Values by method and metric of anna's rows that are as ``wanted``."""
    rows = [row for row in read_rows(run) if row["subject"] == "anna"]
    return {(row["method"], row["metric"]): row["value"] for row in rows if all(row[k] == v for k, v in wanted.items())}


def test_the_truth_has_no_error_and_a_darker_one_has_none_after_one_gain(run: RunFolder) -> None:
    """The texels of the doubled truth are equal in fours, so both are rounded to the same 8 bits; of the darker one
    some tenths of a ΔE are left of the rounding."""
    evaluate(run, silent)
    found = values(run, protocol="identity", space="uv", region="skin/all")
    assert found["true", TRUE] == pytest.approx(0, abs=1e-6)
    assert found["dark", TRUE] > 5
    assert found["dark", GAINED] < 0.3
    assert found["true", "ITA error (truth)"] < 0.01 < found["dark", "ITA error (truth)"]
    assert found["true", "detail-energy ratio (truth, fine)"] == pytest.approx(1, abs=0.01)
    assert found["true", "PSNR"] < 40, "the photograph is another reference"


def test_heads_are_measured_in_millimetres(run: RunFolder) -> None:
    """The toy's unit is the centimetre; a face k times too large is (k − 1) of the mean distance from its centre."""
    evaluate(run, silent)
    found = values(run, protocol="identity", space="shape", region="face")
    own = face().mean[face().regions["face"]].astype(np.float64) * 1000 * face().metres_per_unit
    wanted = (LARGER - 1) * np.linalg.norm(own - own.mean(axis=0), axis=1).mean()
    assert found["true", RIGID] == pytest.approx(0, abs=1e-3)
    assert found["dark", SIMILARITY] == pytest.approx(0, abs=1e-3)
    assert found["dark", RIGID] == pytest.approx(wanted, rel=1e-4)


def test_only_known_texels_count(run: RunFolder) -> None:
    """The truth is black where it is unknown: a single such texel would show."""
    key = ResultKey("true", "identity", "anna")
    before = encoded(true_albedo())
    before[:, -32:] = 1.0
    write_png(run.result(key) / "albedo.png", before)
    evaluate(run, silent)
    assert values(run, protocol="identity", region="skin/all", space="uv")["true", TRUE] < 0.02


def test_visible_and_withheld_are_told_apart_under_one_gain(run: RunFolder) -> None:
    key = ResultKey("true", "occlude:right", "anna")
    picture = encoded(true_albedo())
    picture[:, : SIZE // 2] = encoded(0.6 * true_albedo()[:, : SIZE // 2])
    write_png(run.result(key) / "albedo.png", picture)
    evaluate(run, silent)
    seen = values(run, protocol="occlude:right", region="skin/visible", space="uv")
    hidden = values(run, protocol="occlude:right", region="skin/withheld", space="uv")
    assert seen["true", TRUE] < 0.02 < 5 < hidden["true", TRUE]
    assert abs(seen["true", GAINED] + hidden["true", GAINED]) > 5, "one gain cannot mend both halves"


def test_who_has_no_truth_has_no_row_and_nothing_is_measured_twice(run: RunFolder) -> None:
    assert evaluate(run, silent).measured == 8
    written = run.metrics.read_bytes()
    assert evaluate(run, silent).measured == 0
    assert run.metrics.read_bytes() == written
    against = [row for row in read_rows(run) if row["reference"] == "truth"]
    assert {row["subject"] for row in against} == {"anna"}
    assert {row["metric"] for row in against} == {row["metric"] for row in read_rows(run) if "truth" in row["metric"]}


def test_a_truth_that_comes_later_is_measured_then(run: RunFolder) -> None:
    away = run.path / "away.npy"
    (run.reference("anna") / "truth_vertices.npy").rename(away)
    evaluate(run, silent)
    assert not values(run, space="shape")
    away.rename(run.reference("anna") / "truth_vertices.npy")
    assert evaluate(run, silent).measured == 4
    assert values(run, space="shape")


@pytest.mark.parametrize(
    ("name", "damage", "family", "words"),
    [
        ("truth.png", lambda path: write_png(path, np.zeros((10, 12, 3))), "truth-albedo", "12×10"),
        ("truth_mask.png", lambda path: write_png(path, np.zeros((2 * SIZE, 2 * SIZE), bool)), "truth-tone", "nowhere"),
        ("truth_vertices.npy", lambda path: write_npy(path, np.zeros((7, 3))), "truth-shape", "(7, 3)"),
        ("truth_vertices.npy", lambda path: path.write_bytes(b"\x93NUMPY"), "truth-shape", "cannot be read"),
        ("truth_vertices.npy", lambda path: write_npy(path, face().mean * np.nan), "truth-shape", "no numbers"),
    ],
)
def test_a_damaged_truth_is_named_and_stops_nothing_else(
    run: RunFolder, name: str, damage: Any, family: str, words: str
) -> None:
    damage(run.reference("anna") / name)
    evaluation = evaluate(run, silent)
    assert evaluation.measured == 8
    assert evaluation.problems
    assert all("anna" in line and words in line for line in evaluation.problems)
    rows = [row for row in read_rows(run) if row["family"] == family]
    assert rows
    assert all(row["space"] == "" and words in row["reason"] and np.isnan(row["value"]) for row in rows)
    assert values(run, protocol="identity", space="uv", region="skin/all")["true", "PSNR"] > 10


def test_a_truth_of_another_face_model_is_not_written(tmp_path: Path) -> None:
    """Its UV square is another one: ``truth.png`` would be compared texel by texel with what it has no relation to."""
    from recon.data.subject import GroundTruth, Licence, Photograph, Subject
    from recon.runs.subject import SubjectWorker

    grey = np.full((8, 8, 3), 0.5, np.float32)
    write_npy(tmp_path / "albedo.npy", grey)
    write_npy(tmp_path / "mask.npy", np.ones((8, 8), bool))
    write_npy(tmp_path / "vertices.npy", np.zeros((4, 3)))
    photograph = Photograph(grey, "p.png", "0")
    for model, wanted in (("toy", True), ("other", False)):
        folder = RunFolder(tmp_path / model)
        truth = GroundTruth("toy", tmp_path / "albedo.npy", tmp_path / "mask.npy", tmp_path / "vertices.npy")
        subject = Subject("anna", "here", Path("p.png"), Licence("none"), truth=truth)
        worker: Any = SimpleNamespace(folder=folder, model=SimpleNamespace(name=model))
        SubjectWorker._write_subject(worker, subject, photograph)
        for name in ("truth.png", "truth_mask.png", "truth_vertices.npy"):
            assert (folder.reference("anna") / name).is_file() is wanted
