"""What is measured, and when: nothing twice, whatever changed anew, only what is asked for; kills; the command."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import evaluation_toy as toy
import numpy as np
import pytest
from click.testing import CliRunner
from evaluation_toy import (
    ERRORS,
    FAR,
    PEOPLE,
    PROTOCOLS,
    RESULTS,
    SIZE,
    photograph,
    rows_of,
    run,
    write_result,
)
from run_programs import CHECKOUT, contents, wait_for
from work_here import in_this_process

from metrics.rows import read_rows, write_rows
from recon.assets import file_sha256
from recon.errors import UsageError
from recon.images import read_photograph, read_png, write_png
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json, write_json
from recon.worker_pool import Event

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


def test_a_photograph_that_was_only_copied_is_not_measured_anew(folder: RunFolder) -> None:
    place = folder.reference("anna")
    write_json(place / "subject.json", {"sha256": read_photograph(place / "photo.png").sha256})
    run(folder, "psnr")
    os.utime(place / "photo.png", ns=(2**62, 2**62))
    assert run(folder, "psnr").measured == 0
    write_png(place / "photo.png", read_png(place / "photo.png")[::-1])
    os.utime(place / "photo.png", ns=(2**62, 2**62))
    assert run(folder, "psnr").measured == RESULTS // len(PEOPLE)


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
    monkeypatch.setattr(toy, "LIGHT", toy.metric("light", measure=toy.SHORT.measure), raising=False)
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


def test_metrics_of_sets_are_offered_as_well(folder: RunFolder, use: Callable[..., None]) -> None:
    use({"colours": "COLOURS"}, psnr="metrics.pixel:PSNR")
    with pytest.raises(UsageError, match=r"unknown metric 'colors': did you mean 'colours'\? Known: psnr, colours"):
        run(folder, "colors")


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
    for words in (
        "PSNR, dB ↑",
        "image, uv",
        "set distance ↓",
        "(set)",
        "mesoface assets fetch dream",
        "cannot be loaded",
    ):
        assert words in text
    rows = {row["metric"]: row for row in json.loads(call("--list", "--json")[1])}
    assert rows["psnr"]["components"] == [{"name": "PSNR", "unit": "dB", "direction": "higher"}]
    assert (rows["colours"]["of"], rows["needy"]["needs_weights"], rows["needy"]["weights"]) == ("sets", True, None)
    assert [row["metric"] for row in json.loads(call("--list", "--metric", "needy", "--json")[1])] == ["needy"]


def test_an_option_that_is_given_twice_adds_up(folder: RunFolder, use: Callable[..., None]) -> None:
    use({}, psnr="metrics.pixel:PSNR", ssim="metrics.pixel:SSIM", delta="metrics.pixel:DELTA_E")
    rows = json.loads(call("--list", "--metric", "psnr", "--metrics", "delta,ssim", "--json")[1])
    assert [row["metric"] for row in rows] == ["psnr", "delta", "ssim"]
