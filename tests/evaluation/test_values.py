"""Rows of an evaluation: what identifies a value, pairing by id, regions, batches, metrics of sets."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any

import evaluation_toy as toy
import numpy as np
import pytest
from evaluation_toy import (
    CROP,
    FAR,
    PEOPLE,
    RESULTS,
    SIZE,
    photograph,
    rows_of,
    run,
    write_result,
)
from run_programs import contents

from metrics.rows import COLUMNS, read_rows
from recon.assets import file_sha256
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json

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


@pytest.mark.parametrize("text", [b"", b"damaged", None])
def test_damaged_descriptors_are_named_and_made_again_once_deleted(
    folder: RunFolder, use: Callable[..., None], text: bytes | None
) -> None:
    """``None``: cut in the middle, as a copy that broke off leaves it."""
    use({"colours": "COLOURS"})
    run(folder)
    written = contents(folder.path)
    (kept,) = (folder.path / "descriptors" / "far" / "identity" / "anna").glob("*albedo*")
    kept.write_bytes(kept.read_bytes()[:500] if text is None else text)
    (problem,) = run(folder, again=True, methods=("near",)).problems
    assert kept.name in problem and "delete it" in problem
    kept.unlink()
    assert run(folder).problems == ()
    assert contents(folder.path) == written


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
