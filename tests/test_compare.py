"""Evaluation and comparison of a run: pairing by id, what is measured once, medians, best marks, formats."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

from metrics.compare import as_csv, as_json, as_markdown, compare, headline, missing_partners, print_tables, shown
from metrics.evaluate import COLUMNS, evaluate, read_rows
from recon.errors import InputError, UsageError
from recon.images import write_png
from recon.runs.folder import FORMAT, ResultKey, RunFolder, file_hashes
from recon.storage import write_json
from recon.worker_pool import Event, Finished, Reported

SIZE = 96
PEOPLE = {"anna": "female", "bert": "male", "carl": "male"}
ERRORS = {"exact": 0.0, "near": 0.02, "far": 0.1}


def silent(stage: str, done: int, total: int) -> None:
    """No progress."""


def in_this_process(tasks: Any, prepare: Any, argument: Any, *, jobs: int, threads: int) -> Iterator[Event]:
    work = prepare(argument)
    for task in tasks:
        reports: list[Any] = []
        work(task, reports.append)
        yield from (Reported(task, content) for content in reports)
        yield Finished(task)


def photograph(index: int) -> np.ndarray:
    return np.random.default_rng(index).uniform(0.3, 0.7, (SIZE, SIZE, 3)).astype(np.float32)


def write_result(folder: RunFolder, key: ResultKey, picture: np.ndarray, vouched: np.ndarray | None = None) -> None:
    place = folder.result(key)
    everywhere = np.ones((SIZE, SIZE), bool) if vouched is None else vouched
    write_png(place / "albedo.png", picture)
    write_png(place / "mask.png", everywhere)
    write_png(place / "views" / "fitted.png", picture)
    write_png(place / "views" / "fitted_mask.png", everywhere)
    files = ["albedo.png", "mask.png", "views/fitted.png", "views/fitted_mask.png"]
    write_json(place / "result.json", {"files": file_hashes(place, files)})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """Three people, two protocols, three methods whose error in every texel is known."""
    monkeypatch.setattr("metrics.evaluate.work_through", in_this_process)
    run = RunFolder(tmp_path / "run")
    protocols = ["identity", "occlude:right"]
    config = {"format": FORMAT, "methods": {key: {} for key in ERRORS}, "protocols": protocols, "subjects": [*PEOPLE]}
    write_json(run.config, config)
    skin = np.zeros((SIZE, SIZE), bool)
    skin[8:-8, 8:-8] = True
    right = np.zeros_like(skin)
    right[:, : SIZE // 2] = True
    for index, (name, gender) in enumerate(PEOPLE.items()):
        write_png(run.reference(name) / "photo.png", photograph(index))
        write_json(run.reference(name) / "subject.json", {"attributes": {"gender": gender}})
        for protocol in protocols:
            place = run.judged(name, protocol)
            withheld = right if protocol.startswith("occlude") else np.zeros_like(right)
            maps = {"skin": skin, "withheld": withheld, "image_skin": skin, "image_withheld": withheld}
            for stem, mask in maps.items():
                write_png(place / f"{stem}.png", mask)
            write_png(place / "albedo.png", photograph(index))
            files = ["albedo.png", *(f"{stem}.png" for stem in maps)]
            write_json(place / "reference.json", {"crop": [0, 0, SIZE, SIZE], "files": file_hashes(place, files)})
            for method, error in ERRORS.items():
                # Each person's error is a little larger than the one's before.
                picture = photograph(index) + np.float32(error * (1 + 0.1 * index))
                write_result(run, ResultKey(method, protocol, name), picture)
    return run


def rows_of(table: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


def test_a_value_carries_its_identity(folder: RunFolder) -> None:
    evaluate(folder, silent)
    rows = read_rows(folder)
    assert set(rows[0]) == set(COLUMNS)
    assert {(row["space"], row["metric"]) for row in rows} >= {("uv", "PSNR"), ("image", "SSIM"), ("uv", "ΔE2000")}
    assert not [row for row in rows if row["space"] == "image" and "detail" in row["metric"]]
    for row in rows:
        assert row["library"]
        assert row["version"]
        assert row["direction"] in {"higher", "lower", "one"}
        assert isinstance(json.loads(row["parameters"]), dict)
        assert row["size"] == SIZE


def test_medians_are_those_of_the_known_errors(folder: RunFolder) -> None:
    """The error of the middle person of ``near`` is 0.022 in every texel: PSNR = −20 log10 of it."""
    evaluate(folder, silent)
    table = compare(folder)
    (row,) = rows_of(table, method="near", protocol="identity", metric="PSNR", space="uv", region="skin/all")
    assert row["n"] == 3
    # Rounding to 8 bits moves each texel by up to 0.002.
    assert row["value"] == pytest.approx(-20 * math.log10(0.022), abs=0.15)
    assert row["q25"] < row["value"] < row["q75"]
    (exact,) = rows_of(table, method="exact", protocol="identity", metric="SSIM", space="uv", region="skin/all")
    assert exact["value"] == pytest.approx(1.0)


def test_visible_and_withheld_are_told_apart(folder: RunFolder) -> None:
    spoiled = photograph(0)
    spoiled[:, : SIZE // 2] = 0.9
    write_result(folder, ResultKey("near", "occlude:right", "anna"), spoiled)
    evaluate(folder, silent)
    values = {
        row["region"]: row["value"]
        for row in read_rows(folder)
        if (row["method"], row["protocol"], row["subject"]) == ("near", "occlude:right", "anna")
        and row["metric"] == "PSNR" and row["space"] == "uv"
    }  # fmt: skip
    assert values["skin/visible"] == 100.0
    assert values["skin/withheld"] < 12
    assert values["skin/withheld"] < values["skin/all"] < values["skin/visible"]


def test_the_best_is_marked_and_ties_are_not(folder: RunFolder) -> None:
    evaluate(folder, silent)
    table = compare(folder)
    psnr = rows_of(table, protocol="identity", metric="PSNR", space="uv", region="skin/all")
    assert [row["method"] for row in psnr if row["best"]] == ["exact"]
    coverage = rows_of(table, metric="coverage")
    assert coverage
    assert not [row for row in coverage if row["best"]]
    for name in PEOPLE:
        for protocol in ("identity", "occlude:right"):
            shutil.copytree(folder.result(ResultKey("exact", protocol, name)),
                            folder.result(ResultKey("near", protocol, name)), dirs_exist_ok=True)  # fmt: skip
            shutil.rmtree(folder.result(ResultKey("far", protocol, name)))
    evaluate(folder, silent)
    assert not [row for row in compare(folder) if row["best"]], "all equal: nobody is best"


def test_a_method_is_judged_only_where_it_vouches_and_coverage_says_so(folder: RunFolder) -> None:
    picture, vouched = photograph(0), np.ones((SIZE, SIZE), bool)
    picture[20:60, 20:60] = 0
    vouched[20:60, 20:60] = False
    write_result(folder, ResultKey("exact", "identity", "anna"), picture, vouched)
    evaluate(folder, silent)
    rows = [r for r in read_rows(folder) if (r["method"], r["protocol"], r["subject"]) == ("exact", "identity", "anna")]
    found = {(r["metric"], r["space"]): r["value"] for r in rows if r["region"] == "skin/all"}
    assert found["PSNR", "uv"] == 100.0
    assert found["coverage", "uv"] == pytest.approx(1 - 40 * 40 / (SIZE - 16) ** 2)


def test_nothing_is_measured_twice(folder: RunFolder) -> None:
    first = evaluate(folder, silent)
    written = folder.metrics.read_bytes()
    second = evaluate(folder, silent)
    assert (first.measured, second.measured) == (18, 0)
    assert folder.metrics.read_bytes() == written


def test_a_new_result_is_measured_anew_and_a_removed_one_forgotten(folder: RunFolder) -> None:
    evaluate(folder, silent)
    write_result(folder, ResultKey("far", "identity", "anna"), photograph(0))
    shutil.rmtree(folder.result(ResultKey("far", "identity", "bert")))
    assert evaluate(folder, silent).measured == 1
    rows = [r for r in read_rows(folder) if r["method"] == "far" and r["protocol"] == "identity"]
    assert {row["subject"] for row in rows} == {"anna", "carl"}
    (value,) = [r["value"] for r in rows if r["subject"] == "anna" and r["metric"] == "PSNR" and r["space"] == "uv"
                and r["region"] == "skin/all"]  # fmt: skip
    assert value == 100.0


def test_a_killed_evaluation_goes_on(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(tasks: Any, *rest: Any, **options: Any) -> Iterator[Event]:
        yield from in_this_process(tasks[:1], *rest, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("metrics.evaluate.work_through", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(folder, silent)
    assert {row["subject"] for row in read_rows(folder)} == {"anna"}
    assert evaluate(folder, silent).measured == 12
    assert {row["subject"] for row in read_rows(folder)} == set(PEOPLE)


def test_only_the_metrics_that_are_asked_for(folder: RunFolder) -> None:
    evaluate(folder, silent, ["psnr"])
    assert {row["metric"] for row in read_rows(folder)} == {"PSNR"}
    evaluate(folder, silent)
    assert "SSIM" in {row["metric"] for row in read_rows(folder)}
    with pytest.raises(UsageError, match="did you mean 'ssim'"):
        evaluate(folder, silent, ["sim"])


def test_a_missing_reference_is_named_and_retried(folder: RunFolder, tmp_path: Path) -> None:
    away = tmp_path / "away"
    folder.judged("bert", "identity").rename(away)
    evaluation = evaluate(folder, silent)
    assert len(evaluation.problems) == 3
    assert all("bert" in line and "identity" in line and "no complete reference" in line
               for line in evaluation.problems)  # fmt: skip
    (row,) = rows_of(compare(folder), method="near", protocol="identity", metric="PSNR", space="uv", region="skin/all")
    assert row["n"] == 2
    away.rename(folder.judged("bert", "identity"))
    assert evaluate(folder, silent).problems == ()
    (row,) = rows_of(compare(folder), method="near", protocol="identity", metric="PSNR", space="uv", region="skin/all")
    assert row["n"] == 3


def test_a_result_of_another_size_is_not_compared(folder: RunFolder) -> None:
    write_png(folder.result(ResultKey("far", "identity", "anna")) / "albedo.png", photograph(0)[:50])
    assert any("96×50" in line and "anna" in line for line in evaluate(folder, silent).problems)


def test_missing_results_are_listed_with_their_reason(folder: RunFolder) -> None:
    key = ResultKey("far", "identity", "carl")
    shutil.rmtree(folder.result(key))
    write_json(folder.result(key) / "failure.json", {"error": "FitError", "message": "the fit failed"})
    assert missing_partners(folder) == [f"{key}: the fit failed"]


def test_groups_by_attribute(folder: RunFolder) -> None:
    evaluate(folder, silent)
    table = compare(folder, metrics=["psnr"], spaces=["uv"], regions=["all"], by="gender")
    counts = {(row["group"], row["n"]) for row in table}
    assert counts == {("gender=female", 1), ("gender=male", 2)}
    with pytest.raises(UsageError, match="known: gender"):
        compare(folder, by="height")


def test_filters_that_match_nothing_are_refused(folder: RunFolder) -> None:
    evaluate(folder, silent)
    assert {row["metric"] for row in compare(folder, metrics=["detail"])} == {
        f"detail-energy ratio ({band})" for band in ("fine", "mid", "coarse")
    }
    with pytest.raises(UsageError, match="beauty"):
        compare(folder, metrics=["beauty"])
    with pytest.raises(UsageError, match="skin/withheld"):
        compare(folder, regions=["ear"])


def test_every_format_says_the_same(folder: RunFolder) -> None:
    evaluate(folder, silent)
    table = compare(folder)
    assert json.loads(as_json(table)) == table
    assert {"method", "protocol", "metric", "region", "value", "n"} <= set(table[0])
    read_back = list(csv.DictReader(io.StringIO(as_csv(table))))
    assert [float(row["value"]) for row in read_back] == [row["value"] for row in table]
    markdown = as_markdown(table)
    assert "| exact | **100.00** |" in markdown
    stream = io.StringIO()
    print_tables(table, Console(file=stream, width=200, no_color=True))
    assert "occlude:right · albedo · skin/withheld" in stream.getvalue()
    assert "100.00 ★" in stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_printed_table_cuts_nothing_off(folder: RunFolder, width: int) -> None:
    """Every heading, value and count is there in full, on one line or broken between words; no line is too long."""
    checked = np.indices((SIZE, SIZE)).sum(axis=0) % 2 == 0  # a method that vouches for half of the skin
    for name in PEOPLE:
        write_result(folder, ResultKey("exact", "identity", name), photograph(0), checked)
    evaluate(folder, silent)
    table = compare(folder, spaces=["uv"])
    headed = {"PSNR", "SSIM", "ΔE2000", "detail", "fine", "mid", "coarse", "coverage", "n"}
    assert any(row["metric"] == "coverage" for row in headline(table)), "the widest table was wanted"
    stream = io.StringIO()
    print_tables(table, Console(file=stream, width=width, no_color=True))
    assert "…" not in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= width
    words = stream.getvalue().replace(",", " ").split()
    assert headed <= set(words)
    shown_values = [shown(row["value"]) for row in headline(table)]
    assert all(words.count(text) >= shown_values.count(text) for text in shown_values)


def test_a_damaged_table_says_how_to_mend_it(folder: RunFolder) -> None:
    evaluate(folder, silent)
    folder.metrics.write_bytes(folder.metrics.read_bytes()[:100])
    with pytest.raises(InputError, match="delete it"):
        evaluate(folder, silent)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="mesoface run"):
        compare(RunFolder(tmp_path))


def test_an_outside_metric_joins_by_entry_point(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    from metrics import METRICS
    from metrics.contract import Metric

    def brightness(judged: Any) -> list[float]:
        return [float(judged.result[judged.region].mean() - judged.reference[judged.region].mean())]

    brighter = Metric(("brightness",), "", "lower", "mine", "1", {}, frozenset({"uv"}), brightness)
    monkeypatch.setitem(sys.modules, "my_metrics", SimpleNamespace(BRIGHTNESS=brighter))
    entry = SimpleNamespace(name="brightness", value="my_metrics:BRIGHTNESS")
    monkeypatch.setattr("recon.registry.entry_points", lambda group: [entry])
    monkeypatch.setattr(METRICS, "_discovered", False)
    monkeypatch.setattr(METRICS, "_targets", dict(METRICS._targets))
    evaluate(folder, silent)
    (row,) = rows_of(compare(folder, metrics=["brightness"]), method="far", protocol="identity", region="skin/all")
    assert row["value"] == pytest.approx(0.11, abs=0.002)


def call(*arguments: str) -> tuple[int, str]:
    from metrics.commands import compare as command

    outcome = CliRunner().invoke(command, list(arguments), standalone_mode=False, catch_exceptions=False)
    return outcome.return_value or 0, outcome.stdout


def test_the_command_measures_and_prints(folder: RunFolder) -> None:
    code, text = call(str(folder.path), "--format", "json", "--metric", "psnr", "--jobs", "1")
    rows = json.loads(text)
    assert code == 0
    assert {row["metric"] for row in rows} == {"PSNR"}
    assert len(rows) == 2 * (3 * 2 + 3 * 3)
    assert "PSNR" in call(str(folder.path))[1]
    assert call(str(folder.path), "--format", "csv")[1].startswith("method,protocol,metric")
