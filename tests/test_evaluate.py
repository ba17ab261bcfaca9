"""Evaluation of a run: pairing by id, what is measured once, what is out of date, failures, damaged files, kills."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import evaluation_toy as toy
import numpy as np
import pytest
from click.testing import CliRunner
from evaluation_toy import CROP, ERRORS, PEOPLE, PROTOCOLS, SIZE, in_this_process, photograph, silent, write_result
from PIL import Image
from run_programs import CHECKOUT, contents, wait_for

from metrics.evaluate import Choice, Evaluation, evaluate
from metrics.rows import COLUMNS, read_rows, write_rows
from recon.assets import file_sha256
from recon.errors import InputError, StorageError, UsageError
from recon.images import read_png, write_png
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json, write_json
from recon.worker_pool import Event

BUILT_IN = {
    "psnr": "metrics.pixel:PSNR",
    "ssim": "metrics.pixel:SSIM",
    "detail": "metrics.detail:DETAIL",
    "coverage": "metrics.contract:COVERAGE",
}
RESULTS = len(PEOPLE) * len(PROTOCOLS) * len(ERRORS)
FAR = ResultKey("far", "identity", "anna")


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.write_run(tmp_path_factory.mktemp("made") / "run").path


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Three people, two protocols, three methods whose error in every texel is known; four metrics."""
    monkeypatch.setattr("metrics.evaluate.work_through", in_this_process)
    toy.install(monkeypatch.setattr, BUILT_IN)
    return RunFolder(Path(shutil.copytree(made, tmp_path / "run")))


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``use(name=attribute …)`` leaves these metrics of the toy alone; ``sets=`` those of sets."""

    def install(sets: dict[str, str] | None = None, **metrics: str) -> None:
        toy.install(monkeypatch.setattr, metrics, sets)

    return install


def rows_of(folder: RunFolder, **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in read_rows(folder) if all(row[name] == value for name, value in wanted.items())]


def run(folder: RunFolder, *metrics: str, **choice: Any) -> Evaluation:
    return evaluate(folder, silent, device="cpu", choice=Choice(metrics=metrics, **choice))


# What rows say


def test_a_value_carries_its_identity(folder: RunFolder) -> None:
    run(folder)
    rows = read_rows(folder)
    assert set(rows[0]) == set(COLUMNS)
    assert {(row["space"], row["view"]) for row in rows} == {("uv", "albedo"), ("image", "fitted")}
    assert not [row for row in rows if row["space"] == "image" and "detail" in row["metric"]]
    for row in rows:
        assert row["library"] and row["version"] and row["unit"] == ("dB" if row["metric"] == "PSNR" else "")
        assert row["direction"] == ("one" if "detail" in row["metric"] else "higher")
        assert isinstance(json.loads(row["parameters"]), dict)
        assert (row["width"], row["height"], row["colour_space"]) == (SIZE, SIZE, "sRGB")
        assert (row["reference"], row["net"], row["weights"]) == ("photograph", "", "")
        result = folder.result(ResultKey(row["method"], row["protocol"], row["subject"]))
        reference = folder.judged(row["subject"], row["protocol"]) / "albedo.png"
        if row["space"] == "image":
            reference = folder.reference(row["subject"]) / "photo.png"
        picture = result / ("albedo.png" if row["space"] == "uv" else "views/fitted.png")
        assert (row["result_image"], row["reference_image"]) == (file_sha256(picture), file_sha256(reference))


def test_regions_of_a_protocol_that_withholds_nothing_are_equal(folder: RunFolder) -> None:
    run(folder, "psnr")
    regions = {(row["protocol"], row["region"]) for row in read_rows(folder)}
    assert regions == {("identity", "skin/visible"), ("identity", "skin/all"),
                       *(("occlude:right", f"skin/{part}") for part in ("visible", "withheld", "all"))}  # fmt: skip
    seen = {row["region"]: row["value"] for row in rows_of(folder, method="far", protocol="identity", subject="bert",
                                                           space="uv")}  # fmt: skip
    assert seen["skin/visible"] == seen["skin/all"]


def test_visible_and_withheld_are_told_apart(folder: RunFolder) -> None:
    spoiled = photograph(0)
    spoiled[:, : SIZE // 2] = 0.9
    write_result(folder, ResultKey("near", "occlude:right", "anna"), spoiled)
    run(folder, "psnr")
    found = rows_of(folder, method="near", protocol="occlude:right", subject="anna", metric="PSNR", space="uv")
    values = {row["region"]: row["value"] for row in found}
    assert values["skin/visible"] == 100.0
    assert values["skin/withheld"] < 12
    assert values["skin/withheld"] < values["skin/all"] < values["skin/visible"]


def test_a_method_is_judged_only_where_it_vouches_and_coverage_says_so(folder: RunFolder) -> None:
    picture, vouched = photograph(0), np.ones((SIZE, SIZE), bool)
    picture[20:60, 20:60] = 0
    vouched[20:60, 20:60] = False
    write_result(folder, ResultKey("exact", "identity", "anna"), picture, vouched)
    run(folder)
    rows = rows_of(folder, method="exact", protocol="identity", subject="anna", region="skin/all")
    found = {(row["metric"], row["space"]): row["value"] for row in rows}
    assert found["PSNR", "uv"] == 100.0
    assert found["coverage", "uv"] == pytest.approx(1 - 40 * 40 / (SIZE - 16) ** 2)


def test_landmarks_are_those_of_the_cropped_photograph(folder: RunFolder, use: Callable[..., None]) -> None:
    """The record holds them in the whole photograph; the crop begins at :data:`CROP`."""
    use(brightness="BRIGHTNESS")
    assert read_json(folder.judged("anna", "identity") / "reference.json")["crop"][:2] == list(CROP)
    assert not run(folder).problems
    assert {row["value"] for row in rows_of(folder, metric="landmark x", space="image")} == {10.5}
    assert all(np.isnan(row["value"]) and row["reason"].startswith("not defined")
               for row in rows_of(folder, metric="landmark x", space="uv"))  # fmt: skip
    (value,) = {round(row["value"], 2) for row in rows_of(folder, metric="brightness", method="far", subject="anna")}
    assert value == 0.1


def test_results_of_a_batch_share_what_is_worked_out_of_their_reference(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int, int]] = []

    def watch(batch: Any, device: str) -> list[list[float]]:
        made = [j.of_reference.get("made", lambda: [0]) for j in batch]
        made[0][0] += 1
        mine = [j.of_result.get("mine", object) for j in batch]
        seen.append((len(batch), len({id(one) for one in made}), len({id(one) for one in mine})))
        return [[float(made[0][0])] for _ in batch]

    monkeypatch.setattr(toy, "WATCH", toy.metric("watched", measure=watch), raising=False)
    toy.install(monkeypatch.setattr, {"watch": "WATCH"})
    run(folder)
    assert set(seen) == {(3, 1, 3)}
    # One region under identity (visible and all are the same), three under occlusion, each in its look.
    assert len(seen) == len(PEOPLE) * 2 * (1 + 3)
    assert {row["value"] for row in rows_of(folder, protocol="occlude:right")} == {1.0, 2.0, 3.0}


def test_the_size_of_a_batch_changes_nothing(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many methods share a batch: memory is bounded by pixels, not by methods."""
    run(folder)
    written = folder.metrics.read_bytes()
    for pixels in (1, 2 * SIZE * SIZE):
        monkeypatch.setattr("metrics.measurement.PIXELS_AT_ONCE", pixels)
        assert run(folder, again=True).measured == RESULTS
        assert folder.metrics.read_bytes() == written


# What is measured, and when


def test_nothing_is_measured_twice(folder: RunFolder) -> None:
    first = run(folder)
    written = folder.metrics.read_bytes()
    second = run(folder)
    assert (first.measured, second.measured, second.values) == (RESULTS, 0, 0)
    assert first.rows == second.rows == len(read_rows(folder))
    assert folder.metrics.read_bytes() == written


def test_a_new_result_is_measured_anew_and_a_removed_one_forgotten(folder: RunFolder) -> None:
    run(folder)
    write_result(folder, FAR, photograph(0))
    shutil.rmtree(folder.result(ResultKey("far", "identity", "bert")))
    found = run(folder)
    assert found.measured == 1
    assert [(gap.method, gap.subject, gap.reason) for gap in found.gaps] == [("far", "bert", "not made yet")]
    assert found.failed
    rows = rows_of(folder, method="far", protocol="identity")
    assert {row["subject"] for row in rows} == {"anna", "carl"}
    (value,) = [row["value"] for row in rows if row["subject"] == "anna" and row["metric"] == "PSNR"
                and row["space"] == "uv" and row["region"] == "skin/all"]  # fmt: skip
    assert value == 100.0


@pytest.mark.parametrize("name", ["albedo.png", "mask.png"])
def test_a_file_that_was_replaced_by_hand_is_measured_anew(folder: RunFolder, name: str) -> None:
    """Its record still says what it said: a file that is newer is read."""
    run(folder, "psnr", "coverage")
    path = folder.result(FAR) / name
    array = read_png(path)
    write_png(path, array[::-1] if name == "albedo.png" else array & (np.arange(SIZE) > 30))
    os.utime(path, ns=(2**62, 2**62))
    assert run(folder, "psnr", "coverage").measured == 1
    row = rows_of(folder, method="far", protocol="identity", subject="anna", space="uv", metric="PSNR")[0]
    assert row["result_image"] == file_sha256(folder.result(FAR) / "albedo.png")
    assert run(folder, "psnr", "coverage").measured == 0


def test_a_reference_that_changed_is_measured_anew(folder: RunFolder) -> None:
    run(folder, "psnr")
    before = {row["value"] for row in rows_of(folder, subject="anna", protocol="identity", space="uv", method="exact")}
    place = folder.judged("anna", "identity")
    record = read_json(place / "reference.json")
    write_png(place / "albedo.png", photograph(0) * 0.5)
    record["files"]["albedo.png"] = file_sha256(place / "albedo.png")
    write_json(place / "reference.json", record)
    assert run(folder, "psnr").measured == len(ERRORS)
    after = {row["value"] for row in rows_of(folder, subject="anna", protocol="identity", space="uv", method="exact")}
    assert before == {100.0} and max(after) < 30


@pytest.mark.parametrize(
    "change",
    [{"version": "2"}, {"library": "other"}, {"parameters": {"window": 3}},
     {"weights": lambda: toy.Weights("net", "a" * 64, "file")}],
)  # fmt: skip
def test_a_metric_that_changed_is_measured_anew(
    folder: RunFolder, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    use(light="LIGHT", psnr="metrics.pixel:PSNR")
    monkeypatch.setattr(toy, "LIGHT", toy.metric("light", measure=toy.SLOW.measure), raising=False)
    run(folder)
    kept = rows_of(folder, family="psnr")
    changed = toy.metric("light", measure=lambda batch, device: [[7.0] for _ in batch], **change)
    monkeypatch.setattr(toy, "LIGHT", changed)
    found = run(folder)
    assert found.measured == RESULTS
    assert found.values == len(rows_of(folder, family="light"))
    assert {row["value"] for row in rows_of(folder, family="light")} == {7.0}
    assert rows_of(folder, family="psnr") == kept
    assert {row["weights"] for row in rows_of(folder, family="light")} == {"a" * 64 if "weights" in change else ""}


def test_a_metric_that_is_no_more_leaves_no_rows(folder: RunFolder, use: Callable[..., None]) -> None:
    run(folder)
    use(psnr="metrics.pixel:PSNR")
    assert run(folder).measured == 0
    assert {row["family"] for row in read_rows(folder)} == {"psnr"}


def test_only_what_is_asked_for(folder: RunFolder) -> None:
    assert run(folder, "psnr", methods=("far",), subjects=("anna", "carl"), protocols=("identity",)).measured == 2
    rows = read_rows(folder)
    assert {(row["metric"], row["method"], row["protocol"]) for row in rows} == {("PSNR", "far", "identity")}
    assert run(folder, "coverage", methods=("far",)).measured == len(PEOPLE) * len(PROTOCOLS)
    assert len(rows_of(folder, metric="PSNR")) == len(rows), "what was measured before stays"
    assert run(folder).measured == RESULTS
    with pytest.raises(UsageError, match="did you mean 'ssim'"):
        run(folder, "sim")
    with pytest.raises(UsageError, match="no method 'fare'; it has exact, near, far"):
        run(folder, methods=("fare",))


def test_again_measures_anew_what_was_chosen(folder: RunFolder) -> None:
    run(folder)
    rows, written = read_rows(folder), folder.metrics.read_bytes()
    write_rows(folder, [{**row, "value": 5.0} for row in rows])
    assert run(folder, "psnr", subjects=("anna",), again=True).measured == RESULTS // len(PEOPLE)
    right = {(row["subject"], row["metric"]) for row in read_rows(folder) if row["value"] != 5.0}
    assert right == {("anna", "PSNR")}
    folder.metrics.write_bytes(b"damaged")
    assert run(folder, again=True).measured == RESULTS
    assert folder.metrics.read_bytes() == written


def test_a_picture_by_another_renderer_is_a_view_of_its_own(folder: RunFolder) -> None:
    run(folder, "psnr")
    result, place = read_json(folder.result(FAR) / "result.json"), folder.result(FAR) / "views" / "mitsuba"
    write_png(place / "fitted.png", photograph(0))
    inputs = {name: result["files"].get(name) for name in ("albedo.png", "head.glb", "mask.png")}
    inputs["reference.json"] = file_sha256(folder.judged("anna", "identity") / "reference.json")
    record = {"inputs": inputs, "files": {"fitted.png": file_sha256(place / "fitted.png")}}
    write_json(place / "fitted.json", record)
    assert run(folder, "psnr").measured == 1
    rows = rows_of(folder, view="mitsuba/fitted")
    assert {(row["method"], row["subject"], row["space"], row["value"]) for row in rows} == {
        ("far", "anna", "image", 100.0)
    }
    write_png(place / "fitted.png", photograph(0) * 0.5)
    write_json(place / "fitted.json", {**record, "files": {"fitted.png": file_sha256(place / "fitted.png")}})
    assert run(folder, "psnr").measured == 1
    assert {row["value"] == 100.0 for row in rows_of(folder, view="mitsuba/fitted")} == {False}
    write_result(folder, FAR, photograph(1))
    found = run(folder, "psnr")
    assert "out of date" in found.notes[0] and "mesoface render" in found.notes[0]
    assert not rows_of(folder, view="mitsuba/fitted")


def test_the_order_of_files_and_names_changes_nothing(folder: RunFolder, tmp_path: Path) -> None:
    run(folder)
    config = read_json(folder.config)
    other = RunFolder(tmp_path / "other")
    for path in sorted(folder.path.rglob("*"), reverse=True):
        if path.is_file() and not path.name.startswith((".", "metrics", "run.json")):
            target = other.path / path.relative_to(folder.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    write_json(other.config, {**config, "methods": dict(reversed(config["methods"].items())),
                              **{name: config[name][::-1] for name in ("protocols", "subjects")}})  # fmt: skip
    run(other)
    assert other.metrics.read_bytes() == folder.metrics.read_bytes()


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


def test_absent_weights_are_said_once_and_tried_again(
    folder: RunFolder, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def weights() -> toy.Weights:
        calls.append(1)
        return toy.absent_weights()

    monkeypatch.setattr(toy, "WEIGHED", toy.metric("weighed", measure=toy.SLOW.measure, weights=weights), raising=False)
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
    here = toy.metric("weighed", measure=toy.SLOW.measure, weights=lambda: toy.Weights("n", "b" * 64, "f"))
    monkeypatch.setattr(toy, "WEIGHED", here)
    assert run(folder).measured == RESULTS
    assert {(row["reason"], row["net"]) for row in rows_of(folder, family="weighed")} == {("", "n")}


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


# Damaged files: each a reason in a row that names file and metric


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


# Metrics of sets


def test_values_of_a_set_and_of_its_members(folder: RunFolder, use: Callable[..., None]) -> None:
    """``far`` lies 0.1, 0.11 and 0.12 in each of three channels from its reference: √3 of it apart."""
    use({"colours": "COLOURS"}, psnr="metrics.pixel:PSNR")
    run(folder)
    place = {"method": "far", "protocol": "identity", "space": "uv", "region": "skin/all"}
    (whole,) = rows_of(folder, metric="set distance", **place)
    own = {row["subject"]: row["value"] for row in rows_of(folder, metric="own distance", **place)}
    assert own == pytest.approx({"anna": 0.1 * 3**0.5, "bert": 0.11 * 3**0.5, "carl": 0.12 * 3**0.5}, abs=0.004)
    assert (whole["subject"], whole["view"]) == ("*", "albedo")
    assert whole["value"] == pytest.approx(np.mean([*own.values()]), abs=1e-6)
    assert (whole["width"], whole["height"], whole["result_image"]) == (SIZE, SIZE, "")


def test_a_set_is_gathered_anew_when_a_member_changes(folder: RunFolder, use: Callable[..., None]) -> None:
    use({"colours": "COLOURS"})
    run(folder)
    written = contents(folder.path)
    assert run(folder).values == 0
    again = run(folder, again=True)
    assert (again.measured, again.problems, contents(folder.path)) == (RESULTS, (), written)
    write_result(folder, FAR, photograph(0))
    found = run(folder)
    assert found.measured == 1
    place = {"method": "far", "protocol": "identity", "region": "skin/all"}
    assert {row["subject"]: round(row["value"], 3) for row in rows_of(folder, metric="own distance", **place)}[
        "anna"
    ] == 0
    changed = {name for name, sha in contents(folder.path).items() if name.startswith("desc") and name not in written}
    assert len(changed) == 1, "one result was described again"
    shutil.rmtree(folder.result(FAR))
    assert run(folder).measured == 0
    assert {row["subject"] for row in rows_of(folder, metric="own distance", **place)} == {"bert", "carl"}
    assert not list((folder.path / "descriptors" / "far" / "identity" / "anna").glob("*"))


def test_a_set_that_cannot_be_gathered_or_described_says_why(
    folder: RunFolder, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use({"refuses": "REFUSES"})
    found = run(folder)
    rows = read_rows(folder)
    assert rows and {(row["subject"], row["reason"]) for row in rows} == {("*", "refuses: the set is no good.")}
    assert found.failed

    def describe(batch: Any, device: str) -> Any:
        if any(judged.subject == "anna" for judged in batch):
            raise ValueError("not her")
        return toy.mean_colours(batch, device)

    monkeypatch.setattr(toy, "PICKY", toy.replace(toy.COLOURS, describe=describe, version="p"), raising=False)
    use({"colours": "PICKY"})
    found = run(folder)
    assert len(found.problems) == RESULTS // 3
    assert all("anna" in line and "ValueError: not her" in line for line in found.problems)
    assert {row["subject"] for row in read_rows(folder)} == {"*", "bert", "carl"}


def test_absent_weights_of_a_set(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    needy = toy.replace(toy.COLOURS, weights=toy.absent_weights)
    monkeypatch.setattr(toy, "NEEDY_SET", needy, raising=False)
    toy.install(monkeypatch.setattr, {"psnr": "metrics.pixel:PSNR"}, {"needy": "NEEDY_SET"})
    found = run(folder)
    assert list(found.absent) == ["needy"]
    rows = rows_of(folder, family="needy")
    assert {(row["subject"], row["reason"][:13]) for row in rows} == {("*", "not computed:")}
    assert {row["region"] for row in rows} == {"skin/visible", "skin/withheld", "skin/all"}
    assert run(folder).values == 0


# Kills


def killed_after(parts: int) -> Callable[..., Iterator[Event]]:
    def work(tasks: Any, *rest: Any, **options: Any) -> Iterator[Event]:
        yield from in_this_process(tasks[:parts], *rest, **options)
        raise KeyboardInterrupt

    return work


@pytest.mark.parametrize("parts", [1, 4])
def test_a_stopped_evaluation_goes_on(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                      parts: int) -> None:  # fmt: skip
    whole = RunFolder(Path(shutil.copytree(folder.path, tmp_path / "whole")))
    run(whole)
    with monkeypatch.context() as patch:
        patch.setattr("metrics.evaluate.work_through", killed_after(parts))
        with pytest.raises(KeyboardInterrupt):
            run(folder)
    assert not folder.metrics.exists()
    assert run(folder).measured == RESULTS - parts * len(ERRORS)
    assert folder.metrics.read_bytes() == whole.metrics.read_bytes()
    assert not list((folder.path / ".metrics").iterdir())


def test_the_table_is_rewritten_now_and_then(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics.journal.MERGE_EVERY", 0.0)
    monkeypatch.setattr("metrics.evaluate.work_through", killed_after(2))
    with pytest.raises(KeyboardInterrupt):
        run(folder, "coverage")
    assert {(row["subject"], row["protocol"]) for row in read_rows(folder)} >= {("anna", "identity")}


def test_a_kill_in_the_middle_loses_nothing(made: Path, tmp_path: Path) -> None:
    """With real worker processes: SIGKILL once a part is there; then byte by byte what was never killed."""
    environment = {**os.environ, "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'tests'}"}

    def start(run: Path) -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, toy.__file__, str(run)], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip

    whole, torn = (Path(shutil.copytree(made, tmp_path / name)) for name in ("whole", "torn"))
    process = start(torn)
    wait_for(lambda: bool(list(torn.glob(".metrics/part-*.parquet"))), process)
    process.kill()
    process.communicate()
    done = len(list(torn.glob(".metrics/part-*.parquet")))
    assert not (torn / "metrics.parquet").exists()
    assert 0 < done < len(PEOPLE) * len(PROTOCOLS)
    for folder, left in ((torn, RESULTS - done * len(ERRORS)), (whole, RESULTS)):
        out, error = start(folder).communicate(timeout=120)
        assert out.startswith(f"measured {left} rows ") and out.endswith("problems 0\n"), error
    assert contents(torn) == contents(whole)
    assert "metrics.parquet" in contents(torn)


def test_a_worker_that_dies_is_named(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from recon.worker_pool import Died

    def dying(tasks: Any, *rest: Any, **options: Any) -> Iterator[Event]:
        yield Died(tasks[0], "the worker process was killed (SIGKILL)")
        yield from in_this_process(tasks[1:], *rest, **options)

    monkeypatch.setattr("metrics.evaluate.work_through", dying)
    found = run(folder, "coverage")
    assert found.problems == ("anna · identity: the worker process was killed (SIGKILL)",)
    assert found.measured == RESULTS - len(ERRORS)


# The command


def call(*arguments: str) -> tuple[int, str]:
    from metrics.evaluation_commands import metrics

    outcome = CliRunner().invoke(metrics, list(arguments), standalone_mode=False, catch_exceptions=False)
    return outcome.return_value or 0, outcome.stdout


def test_the_command_measures_and_says_what_is_missing(folder: RunFolder, use: Callable[..., None]) -> None:
    use(psnr="metrics.pixel:PSNR", needy="NEEDY")
    code, text = call(str(folder.path), "--device", "cpu", "--json")
    said = json.loads(text)
    assert code == 0
    assert (said["measured"], said["rows"]) == (RESULTS, len(read_rows(folder)))
    assert list(said["not_computed"]) == ["needy"]
    code, text = call(str(folder.path), "--metric", "psnr")
    assert code == 0 and "nothing to measure" in text
    shutil.rmtree(folder.result(FAR))
    code, text = call(str(folder.path))
    assert code == 5 and "anna · identity · far: not made yet" in " ".join(text.split())
    with pytest.raises(UsageError, match="mesoface metrics"):
        call()


def test_the_list_says_what_metrics_are_and_how_weights_are_got(
    folder: RunFolder, use: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    use({"colours": "COLOURS"}, psnr="metrics.pixel:PSNR", needy="NEEDY", gone="no_such_module:METRIC")
    monkeypatch.setenv("COLUMNS", "200")
    code, text = call("--list")
    assert code == 0
    for words in ("PSNR, dB ↑", "toy 1", "set distance ↓", "mesoface assets fetch dream", "cannot be loaded"):
        assert words in text
    rows = {row["metric"]: row for row in json.loads(call("--list", "--json")[1])}
    assert rows["psnr"]["components"] == [{"name": "PSNR", "unit": "dB", "direction": "higher"}]
    assert (rows["colours"]["of"], rows["needy"]["needs_weights"], rows["needy"]["weights"]) == ("sets", True, None)
    assert [row["metric"] for row in json.loads(call("--list", "--metric", "needy", "--json")[1])] == ["needy"]
