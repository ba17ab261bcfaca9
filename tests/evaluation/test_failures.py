"""What fails is a reason in its row, names file and metric, and never ends the rest."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import evaluation_toy as toy
import numpy as np
import pytest
from evaluation_toy import (
    BUILT_IN,
    ERRORS,
    FAR,
    PEOPLE,
    RESULTS,
    SIZE,
    photograph,
    rows_of,
    run,
    write_result,
)
from PIL import Image
from work_here import in_this_process

from metrics.evaluate import Choice, evaluate
from metrics.rows import read_rows
from recon.errors import InputError, StorageError
from recon.images import read_png, write_png
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json, write_json

# What fails


def test_a_missing_reference_is_named_and_retried(folder: RunFolder, tmp_path: Path) -> None:
    away = tmp_path / "away"
    folder.judged("bert", "identity").rename(away)
    found = run(folder)
    assert len(found.problems) == len(ERRORS)
    assert all("bert" in line and "identity" in line and "no complete reference" in line for line in found.problems)
    rows = rows_of(folder, subject="bert", protocol="identity")
    assert {(row["space"], row["region"]) for row in rows} == {("", "")}
    assert {row["family"] for row in rows} == set(BUILT_IN)
    away.rename(folder.judged("bert", "identity"))
    found = run(folder)
    assert (found.problems, found.measured) == ((), len(ERRORS))
    assert all(row["space"] for row in read_rows(folder))


def test_missing_results_are_listed_with_their_reason(folder: RunFolder) -> None:
    reasons = {"anna": "the fit failed", "bert": "not applicable: no scan", "carl": "not made yet"}
    for name in PEOPLE:
        shutil.rmtree(folder.result(ResultKey("far", "identity", name)))
    write_json(folder.result(FAR) / "failure.json", {"error": "FitError", "message": "the fit failed"})
    write_json(folder.result(ResultKey("far", "identity", "bert")) / "not_applicable.json", {"reason": "no scan"})
    found = run(folder, "coverage")
    assert {gap.subject: gap.reason for gap in found.gaps} == reasons
    assert found.failed and not found.problems


def test_a_metric_may_fail_in_any_way_and_takes_nobody_with_it(folder: RunFolder, use: Callable[..., None]) -> None:
    """``failing`` refuses the results of ``far``; it is asked for whole batches, and the others keep their numbers."""
    use(failing="FAILS", short="SHORT", leaving="LEAVES", infinite="INFINITE", psnr="metrics.pixel:PSNR")
    found = run(folder)
    assert {row["method"]: row["reason"] for row in rows_of(folder, family="failing")} == {
        "exact": "", "near": "", "far": "failing: ValueError: seven is not eight"
    }  # fmt: skip
    assert all("short: it gave [1] numbers" in row["reason"] for row in rows_of(folder, family="short"))
    assert {row["metric"] for row in rows_of(folder, family="short")} == {"one", "two"}
    assert {row["reason"] for row in rows_of(folder, family="leaving")} == {"leaving: SystemExit: 3"}
    assert all(row["reason"].startswith("not defined") and "inf" in row["reason"] and np.isnan(row["value"])
               for row in rows_of(folder, family="infinite"))  # fmt: skip
    assert all(np.isfinite(row["value"]) for row in rows_of(folder, family="psnr"))
    assert f"{FAR}: failing: ValueError: seven is not eight" in found.problems
    assert len(found.problems) == RESULTS // 3 + 2 * RESULTS
    use(psnr="metrics.pixel:PSNR", failing="SLOW")
    assert run(folder).problems == ()


def test_a_gpu_without_memory_measures_half_a_batch_at_a_time(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, use: Callable[..., None]
) -> None:
    from torch import OutOfMemoryError

    asked: list[int] = []

    def greedy(most: int) -> Callable[[Any, str], Any]:
        def measure(batch: Any, device: str) -> Any:
            asked.append(len(batch))
            if len(batch) > most:
                raise OutOfMemoryError("CUDA out of memory.")
            return [[1.0] for _ in batch]

        return measure

    use(greedy="SLOW")
    monkeypatch.setattr(toy, "SLOW", toy.metric("slow", measure=greedy(2)))
    assert run(folder).problems == ()
    assert set(asked) == {3, 2, 1} and asked[:3] == [3, 2, 1]  # three methods: two of them, then the third
    monkeypatch.setattr(toy, "SLOW", toy.metric("slow", measure=greedy(0)))
    problems = evaluate(folder, lambda *_: None, jobs=1, device="cpu", choice=Choice(again=True)).problems
    assert len(problems) == RESULTS and all("the GPU's memory is too small" in line for line in problems)


def test_what_found_no_room_on_the_gpu_beside_others_is_measured_again_alone(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, use: Callable[..., None]
) -> None:
    from torch import OutOfMemoryError

    rounds: list[int] = []

    def noted(tasks: Any, prepare: Any, argument: Any, *, jobs: int, threads: int) -> Any:
        rounds.append(jobs)
        return in_this_process(tasks, prepare, argument, jobs=jobs, threads=threads)

    def measure(batch: Any, device: str) -> Any:
        if rounds[-1] > 1 or never:
            raise OutOfMemoryError("CUDA out of memory.")
        return [[1.0] for _ in batch]

    use(greedy="SLOW")
    never = False
    monkeypatch.setattr("metrics.evaluate.work_through", noted)
    monkeypatch.setattr(toy, "SLOW", toy.metric("slow", measure=measure))
    found = evaluate(folder, lambda *_: None, jobs=2, device="cpu")
    assert (rounds, found.problems, found.measured) == ([2, 1], (), RESULTS)
    assert all(row["value"] == 1.0 for row in rows_of(folder, family="greedy"))
    assert any("6 of the tasks" in note and "6 of them were measured" in note for note in found.notes)
    never = True
    found = evaluate(folder, lambda *_: None, jobs=2, device="cpu", choice=Choice(again=True))
    assert (len(found.problems), found.measured) == (RESULTS, RESULTS)
    assert all("the GPU's memory is too small" in row["reason"] for row in rows_of(folder, family="greedy"))
    assert any("0 of them were measured" in note for note in found.notes)


def test_absent_weights_are_said_once_and_tried_again(
    folder: RunFolder, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def weights() -> toy.Weights:
        calls.append(1)
        return toy.absent_weights()

    monkeypatch.setattr(
        toy, "WEIGHED", toy.metric("weighed", measure=toy.SHORT.measure, weights=weights), raising=False
    )
    use(weighed="WEIGHED", psnr="metrics.pixel:PSNR")
    found = run(folder)
    assert len(calls) == 1
    assert (list(found.absent), found.problems, found.failed) == (["weighed"], (), False)
    rows = rows_of(folder, family="weighed")
    assert {row["reason"] for row in rows} == {
        "not computed: the asset 'dream' is not on this machine: get it with `mesoface assets fetch dream`."
    }
    assert len(rows) == len(rows_of(folder, family="psnr"))
    assert run(folder).measured == 0
    here = toy.metric("weighed", measure=toy.SHORT.measure, weights=lambda: toy.Weights("n", "b" * 64, "f"))
    monkeypatch.setattr(toy, "WEIGHED", here)
    assert run(folder).measured == RESULTS
    assert {(row["reason"], row["net"]) for row in rows_of(folder, family="weighed")} == {("", "n")}


def test_a_weight_file_that_is_gone_is_nothing_to_metrics_that_do_not_read_it(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch, use: Callable[..., None]
) -> None:
    there = toy.metric("weighed", measure=toy.SHORT.measure, weights=lambda: toy.Weights("n", "b" * 64, "f"))
    monkeypatch.setattr(toy, "WEIGHED", there, raising=False)
    monkeypatch.setenv("MESOFACE_ASSET_VGG19", str(folder.path / "gone"))
    use(weighed="WEIGHED")
    found = run(folder)
    assert (found.measured, found.problems) == (RESULTS, ())


def test_a_plugin_that_cannot_be_loaded_is_named(folder: RunFolder, use: Callable[..., None]) -> None:
    use(gone="no_such_module:METRIC", number="SIZE", psnr="metrics.pixel:PSNR", twin="metrics.pixel:PSNR")
    found = run(folder)
    assert [line for line in found.problems if "'gone' cannot be loaded (ModuleNotFoundError" in line]
    assert [line for line in found.problems if "'number' is no Metric but a int" in line]
    assert [line for line in found.problems if "'twin' is left out" in line]
    assert {row["family"] for row in read_rows(folder)} == {"psnr"}


def test_an_outside_metric_joins_by_entry_point(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from metrics import METRICS

    entry = SimpleNamespace(name="brightness", value="evaluation_toy:BRIGHTNESS")
    monkeypatch.setattr("recon.registry.entry_points", lambda group: [entry] if group == METRICS.group else [])
    monkeypatch.setattr(METRICS, "_discovered", False)
    run(folder)
    assert {row["family"] for row in read_rows(folder)} == {*BUILT_IN, "brightness"}


def test_a_full_disk_ends_the_evaluation(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(batch: Any, device: str) -> Any:
        raise StorageError("the disk is full")

    monkeypatch.setattr(toy, "FULL", toy.metric("full", measure=full), raising=False)
    toy.install(monkeypatch.setattr, {"full": "FULL"})
    with pytest.raises(StorageError):
        run(folder)


# Damaged files


def alpha(path: Path) -> None:
    Image.fromarray(np.full((SIZE, SIZE, 4), 128, np.uint8)).save(path)


def grey(path: Path) -> None:
    Image.fromarray(np.full((SIZE, SIZE), 128, np.uint8)).save(path)


def palette(path: Path) -> None:
    Image.fromarray(np.full((SIZE, SIZE, 3), 128, np.uint8)).quantize(4).save(path)


def transparent(path: Path) -> None:
    Image.fromarray(np.full((SIZE, SIZE, 3), 128, np.uint8)).save(path, transparency=(1, 2, 3))


def deep(path: Path) -> None:
    """16 bits a channel, which Pillow reads as 8 without a word."""
    import png

    rows = np.full((SIZE, SIZE * 3), 30000, np.uint16)
    with path.open("wb") as stream:
        png.Writer(SIZE, SIZE, greyscale=False, bitdepth=16).write(stream, rows.tolist())
    with Image.open(path) as image:
        assert image.mode == "RGB"


def deep_grey(path: Path) -> None:
    Image.fromarray(np.full((SIZE, SIZE), 30000, np.uint16)).save(path)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "size": (lambda path: write_png(path, photograph(0)[:50]), "96×50"),
    "one pixel": (lambda path: write_png(path, photograph(0)[:1, :1]), "1×1"),
    "alpha": (alpha, "alpha channel"),
    "transparent": (transparent, "transparent"),
    "grey": (grey, "grey, 8 bits"),
    "palette": (palette, "palette"),
    "16 bits": (deep, "16 bits"),
    "16-bit grey": (deep_grey, "16 bits"),
    "truncated": (truncated, "truncated or damaged"),
    "header": (lambda path: path.write_bytes(path.read_bytes()[:20]), "damaged header"),
    "empty": (lambda path: path.write_bytes(b""), "empty file"),
    "absent": (lambda path: path.unlink(), "no partner"),
    "no picture": (lambda path: path.write_text("hello"), "not an image"),
}


@pytest.mark.parametrize("name", ["albedo.png", "views/fitted.png"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_result_is_a_reason_and_never_a_number(folder: RunFolder, damage: str, name: str) -> None:
    change, words = DAMAGES[damage]
    change(folder.result(FAR) / name)
    found = run(folder, "psnr", "coverage", subjects=("anna",), protocols=("identity",))
    space = "uv" if name == "albedo.png" else "image"
    own = rows_of(folder, method="far", subject="anna", protocol="identity")
    for row in own:
        if row["space"] == space:
            assert np.isnan(row["value"]) and row["region"]
            assert words in row["reason"] and row["family"] in row["reason"]
            assert f"results/far/identity/anna/{name}" in row["reason"] and str(folder.path) not in row["reason"]
        else:
            assert np.isfinite(row["value"])
    assert {row["space"] for row in own} == {"uv", "image"}
    assert [line for line in found.problems if str(FAR) in line and words in line]
    assert all(np.isfinite(row["value"]) for row in read_rows(folder) if row["method"] != "far")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda path: write_png(path, photograph(0)), "no mask of one bit"),
        (lambda path: Image.fromarray(np.full((SIZE, SIZE), 255, np.uint8)).save(path), "grey, 8 bits"),
        (lambda path: write_png(path, np.ones((9, SIZE), bool)), "96×9"),
        (lambda path: path.unlink(), "no partner"),
    ],
)
def test_a_damaged_mask_is_a_reason(folder: RunFolder, change: Callable[[Path], Any], words: str) -> None:
    change(folder.result(FAR) / "mask.png")
    run(folder, "psnr", subjects=("anna",))
    own = rows_of(folder, method="far", subject="anna", protocol="identity", space="uv")
    assert own
    assert all(words in row["reason"] and "mask.png" in row["reason"] and np.isnan(row["value"]) for row in own)


@pytest.mark.parametrize("name", ["albedo.png", "skin.png", "image_skin.png", "withheld.png"])
@pytest.mark.parametrize("damage", ["size", "truncated", "16 bits"])
def test_a_damaged_reference_is_a_reason_of_all_methods(folder: RunFolder, damage: str, name: str) -> None:
    DAMAGES[damage][0](folder.judged("anna", "identity") / name)
    found = run(folder, "psnr", subjects=("anna",), protocols=("identity",))
    assert len(found.problems) == len(ERRORS)
    assert all(name in line for line in found.problems)
    spoiled = [row for row in read_rows(folder) if row["reason"]]
    assert {row["method"] for row in spoiled} == set(ERRORS)
    assert {row["space"] for row in read_rows(folder) if not row["reason"]} == {
        "uv" if name.startswith("image") else "image"
    }


def test_a_mask_that_is_false_everywhere_leaves_nothing_to_measure(folder: RunFolder) -> None:
    write_result(folder, FAR, photograph(0), np.zeros((SIZE, SIZE), bool))
    run(folder)
    for row in rows_of(folder, method="far", subject="anna", protocol="identity"):
        if row["metric"] == "coverage":
            assert row["value"] == 0
        else:
            assert np.isnan(row["value"]) and "vouches for 0" in row["reason"]


def test_a_constant_image_is_a_picture_like_any_other(folder: RunFolder) -> None:
    """PSNR of constant c against the photograph p: −10 log10 of the mean of (c − p)²."""
    constant = np.full((SIZE, SIZE, 3), 128 / 255, np.float32)
    write_result(folder, FAR, constant)
    run(folder)
    stored = read_png(folder.judged("anna", "identity") / "albedo.png").astype(np.float64)[8:-8, 8:-8]
    row = rows_of(folder, method="far", subject="anna", protocol="identity", space="uv", metric="PSNR")[0]
    assert row["value"] == pytest.approx(-10 * np.log10(np.square(stored - 128 / 255).mean()), abs=1e-4)
    rows = rows_of(folder, method="far", subject="anna", protocol="identity", space="uv")
    assert {row["value"] for row in rows if "detail" in row["metric"] and not row["reason"]} <= {0.0}


def test_a_run_of_single_pixels_gives_no_wrong_number(tmp_path: Path, folder: RunFolder) -> None:
    tiny = RunFolder(tmp_path / "tiny")
    write_json(tiny.config, {**read_json(folder.config), "subjects": ["anna"], "protocols": ["identity"]})
    one = np.full((1, 1, 3), 0.5, np.float32)
    write_png(tiny.reference("anna") / "photo.png", np.full((9, 9, 3), 0.5, np.float32))
    toy.write_reference(tiny, "anna", "identity", one)
    for stem in ("skin", "image_skin"):
        write_png(tiny.judged("anna", "identity") / f"{stem}.png", np.ones((1, 1), bool))
    for method in ERRORS:
        write_result(tiny, ResultKey(method, "identity", "anna"), one)
    run(tiny)
    for row in read_rows(tiny):
        known = {"PSNR": 100.0, "coverage": 1.0}.get(row["metric"])
        assert row["value"] == known if known is not None else (np.isnan(row["value"]) and row["reason"])


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": 3}', "{}"])
def test_a_damaged_record_is_a_missing_result(folder: RunFolder, text: str) -> None:
    (folder.result(FAR) / "result.json").write_text(text)
    found = run(folder, "coverage")
    assert [(gap.method, gap.subject) for gap in found.gaps] == [("far", "anna")]
    assert "result.json cannot be read" in found.gaps[0].reason
    assert not rows_of(folder, method="far", subject="anna", protocol="identity")


def test_a_damaged_table_says_how_to_mend_it(folder: RunFolder) -> None:
    run(folder, "coverage")
    folder.metrics.write_bytes(folder.metrics.read_bytes()[:100])
    with pytest.raises(InputError, match="delete it"):
        run(folder)
    folder.metrics.unlink()
    assert run(folder, "coverage").measured == RESULTS


def test_a_table_of_another_version_is_measured_anew(folder: RunFolder) -> None:
    import pandas as pd

    run(folder, "coverage")
    written = folder.metrics.read_bytes()
    pd.read_parquet(folder.metrics).drop(columns="reference_record").to_parquet(folder.metrics)
    found = run(folder, "coverage")
    assert found.measured == RESULTS and "another version" in found.notes[0]
    assert folder.metrics.read_bytes() == written
