"""The data set of face models: two passes, continuing, who is refused, what is written, and handing it on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from texture_toy import PEOPLE, face, known_fit, photograph_of, skin_texture

from recon.colour import linear_to_srgb
from recon.data.subject import Photograph
from recon.errors import DatabaseError, FaceNotFoundError, InputError, UsageError
from recon.exr import read_exr
from recon.images import read_png, write_png
from recon.release import build as release_build
from recon.release.build import ReleaseConfig, ReleaseSummary, build_release
from recon.release.handover import export_database, hand_over
from recon.release.heads import load_head, stored_heads
from recon.release.layout import ReleaseFolder
from recon.release.split import TEST, TRAIN
from recon.release.subject import Finisher
from recon.texture import observe
from recon.texture.database import open_database

SIZE = 64
LICENCE, CITATION = "CC BY 4.0", "Toy, A. (2020): Faces"


def quiet(_stage: str, _done: int, _total: int) -> None:
    """No progress."""


# --- building ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six made-up people under an open licence, with their table."""
    folder = tmp_path_factory.mktemp("photographs")
    rows = ["file,licence,citation,age,gender"]
    for index, name in enumerate(PEOPLE):
        write_png(folder / f"{name}.png", photograph_of(skin_texture(index, 64), known_fit(), samples=1).srgb)
        rows.append(f'{name}.png,{LICENCE},"{CITATION}",{20 + index},{"female" if index % 2 else "male"}')
    (folder / "subjects.csv").write_text("\n".join(rows))
    return folder


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The toy face model instead of a real one, its fit known; photographs in the order in which they are unwrapped."""
    return stand_in(monkeypatch)


def stand_in(patch: pytest.MonkeyPatch) -> list[str]:
    """See :func:`observed`."""
    names: list[str] = []
    real = observe.observe

    def with_known_fit(photograph: Photograph, *rest: Any) -> Any:
        names.append(photograph.name.removesuffix(".png"))
        return real(photograph, *rest, fit=known_fit())

    patch.setattr(observe, "observe", with_known_fit)
    for place in ("recon.face_model", "recon.release.build", "recon.release.handover"):
        patch.setattr(f"{place}.load_face_model", lambda name="auto": face())
    patch.setattr(release_build, "resolve_face_model", lambda name: "toy")
    patch.setattr("recon.release.subject.PREVIEW", (60, 75))
    return names


def built(out: Path, photographs: Path, **settings: Any) -> ReleaseSummary:
    return build_release(ReleaseConfig(out, f"folder={photographs}", SIZE, **settings), quiet)


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a data set, caches and locks left aside."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "derived" not in path.parts and path.name != ".build.lock"
    }


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory, photographs: Path) -> Path:
    """The six people as a data set, built in one go."""
    out = tmp_path_factory.mktemp("original") / "set"
    with pytest.MonkeyPatch.context() as patch:
        stand_in(patch)
        summary = built(out, photographs)
    assert len(summary.made) == 6 and not summary.failed and not summary.refused
    return out


@pytest.fixture
def whole(original: Path, observed: list[str], tmp_path: Path) -> Path:
    """A copy of it, to be spoilt."""
    return shutil.copytree(original, tmp_path / "whole")


def test_a_data_set_holds_what_its_checksums_name(whole: Path) -> None:
    files = contents(whole)
    sums = dict(line.split("  ")[::-1] for line in files.pop("SHA256SUMS").decode().splitlines())
    assert sums == {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    for name in ("albedo.exr", "albedo.png", "seen.png", "skin.png", "vertices.npy", "head.glb", "head.obj"):
        assert f"subjects/eva/{name}" in files
    index = json.loads(files["dataset.json"])
    assert index["subjects"] == sorted(PEOPLE) and index["settings"]["size"] == SIZE


def test_the_index_and_the_splits_agree(whole: Path) -> None:
    table = pd.read_csv(whole / "subjects.csv", dtype=str)
    assert table["id"].tolist() == sorted(PEOPLE)
    assert table["age"].tolist() == [str(20 + PEOPLE.index(name)) for name in sorted(PEOPLE)]
    assert pd.read_parquet(whole / "subjects.parquet")["id"].tolist() == table["id"].tolist()
    for side in (TRAIN, TEST):
        listed = (whole / "splits" / f"{side}.txt").read_text().split()
        assert listed == table["id"][table["split"] == side].tolist() and listed
    card = (whole / "README.md").read_text()
    assert CITATION in card and f"[{LICENCE}](https://creativecommons.org/licenses/by/4.0/)" in card
    assert "| gender | female |" in card and "| age | range |" in card and "## Known limits" in card


def test_maps_keep_what_was_seen(whole: Path) -> None:
    """Inside the mask the map has the colours of the person (those of the texture that was photographed)."""
    place = whole / "subjects" / "eva"
    albedo = read_exr(place / "albedo.exr").astype(np.float32)
    seen = np.asarray(read_png(place / "seen.png"))
    assert albedo.shape == (SIZE, SIZE, 3) and np.isfinite(albedo).all() and 0.2 < seen.mean() < 1
    difference = linear_to_srgb(albedo) - linear_to_srgb(skin_texture(PEOPLE.index("eva"), SIZE))
    assert np.abs(difference[seen].mean(axis=0)).max() < 0.01
    eight_bits = np.asarray(read_png(place / "albedo.png"))
    np.testing.assert_allclose(eight_bits, linear_to_srgb(albedo), atol=0.5 / 255 + 2e-3)  # and half precision
    np.testing.assert_array_equal(np.load(place / "vertices.npy"), known_fit().vertices)


def test_the_data_set_is_the_database_that_methods_read(whole: Path) -> None:
    database = open_database(whole, face())
    assert database.ids == tuple(sorted(PEOPLE)) and database.size == SIZE
    place = whole / "subjects" / "ada"
    assert np.array_equal(database.trusted("ada"), read_png(place / "seen.png"))


def test_nobody_tested_has_a_part_in_anybody_elses_map(
    whole: Path, photographs: Path, observed: list[str], tmp_path: Path
) -> None:
    """With another picture of the test person, the training people's maps are the same to the byte."""
    tested = (whole / "splits" / "test.txt").read_text().split()
    other = shutil.copytree(photographs, tmp_path / "other")
    for name in tested:
        write_png(other / f"{name}.png", photograph_of(skin_texture(77, 64), known_fit(), samples=1).srgb)
    built(tmp_path / "second", other)
    for name in PEOPLE:
        first, second = (folder / "subjects" / name / "albedo.exr" for folder in (whole, tmp_path / "second"))
        assert (first.read_bytes() == second.read_bytes()) is (name not in tested)


def test_a_build_that_is_killed_twice_ends_alike(
    whole: Path, photographs: Path, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "killed"
    before = observe.observe
    finish = Finisher.__call__

    def dies_at_dov(photograph: Photograph, *rest: Any) -> Any:
        if photograph.name == "dov.png":
            raise KeyboardInterrupt
        return before(photograph, *rest)

    def dies_at_cyd(self: Finisher, task: Any) -> None:
        if task.subject.id == "cyd":
            raise KeyboardInterrupt
        finish(self, task)

    with monkeypatch.context() as patch:
        patch.setattr(observe, "observe", dies_at_dov)
        with pytest.raises(KeyboardInterrupt):
            built(out, photographs)
    assert observed == ["ada", "ben", "cyd"]
    with pytest.raises(UsageError, match="not a finished data set"):
        ReleaseFolder(out).read_index()
    with monkeypatch.context() as patch:
        patch.setattr(Finisher, "__call__", dies_at_cyd)
        with pytest.raises(KeyboardInterrupt):
            built(out, photographs)
    assert observed == sorted(PEOPLE)
    summary = built(out, photographs)
    assert observed == sorted(PEOPLE) and summary.kept == ("ada", "ben") and len(summary.made) == 4
    assert contents(out) == contents(whole)
    assert built(out, photographs).made == ()


def test_whoever_fails_is_listed_and_tried_again(
    photographs: Path, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = observe.observe

    def failing(photograph: Photograph, *rest: Any) -> Any:
        if photograph.name == "ben.png":
            raise FaceNotFoundError("no face was found in 'ben.png'")
        return before(photograph, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(observe, "observe", failing)
        summary = built(tmp_path, photographs)
    assert summary.failed == (("ben", "no face was found in 'ben.png'"),) and len(summary.made) == 5
    assert "- ben: no face was found" in (tmp_path / "README.md").read_text()
    assert not (tmp_path / "subjects" / "ben").exists()
    again = built(tmp_path, photographs)
    assert not again.failed and "ben" in again.made


def test_a_defect_in_one_finish_stops_nobody_else(
    photographs: Path, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Finisher.__call__

    def failing(self: Finisher, task: Any) -> None:
        if task.subject.id == "fay":
            raise ZeroDivisionError("seven by nothing")
        finish(self, task)

    monkeypatch.setattr(Finisher, "__call__", failing)
    summary = built(tmp_path, photographs)
    assert summary.failed == (("fay", "unexpected failure: ZeroDivisionError: seven by nothing"),)
    assert json.loads((tmp_path / "dataset.json").read_text())["subjects"] == ["ada", "ben", "cyd", "dov", "eva"]


def test_restricted_people_are_refused_or_marked(photographs: Path, observed: list[str], tmp_path: Path) -> None:
    mixed = shutil.copytree(photographs, tmp_path / "mixed")
    table = (mixed / "subjects.csv").read_text()
    (mixed / "subjects.csv").write_text(table.replace(f"ada.png,{LICENCE}", "ada.png,").replace("CC BY", "CC BY", 1))
    summary = built(tmp_path / "open", mixed)
    assert [name for name, _ in summary.refused] == ["ada"] and "unknown" in summary.refused[0][1]
    assert not any("ada" in name for name in contents(tmp_path / "open"))
    marked = built(tmp_path / "own", mixed, allow_restricted=True)
    assert marked.restricted == ("ada",) and not marked.refused
    assert "NOT TO BE REDISTRIBUTED" in (tmp_path / "own" / "LICENCE.txt").read_text()
    assert "may not be redistributed" in (tmp_path / "own" / "README.md").read_text()
    table_own = pd.read_csv(tmp_path / "own" / "subjects.csv")
    assert table_own["restricted"].tolist() == [True, False, False, False, False, False]
    # The folder of those who hold the photographs does not become the one that is passed on.
    with pytest.raises(UsageError, match=r"holds ada from an earlier build"):
        built(tmp_path / "own", mixed)


def test_a_set_nobody_of_which_may_be_released_says_how(photographs: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(photographs, tmp_path / "bare", ignore=shutil.ignore_patterns("*.csv"))
    with pytest.raises(InputError, match=r"nobody of .* licence is unknown: name it in the column 'licence'"):
        built(tmp_path / "out", bare)
    assert not (tmp_path / "out").exists()


def test_what_makes_no_data_set_is_said_before_the_work(photographs: Path, observed: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 people, 2 of them to train, make no data set"):
        built(tmp_path / "few", photographs, subjects=("ada", "ben", "cyd"), test_fraction=1 / 3)
    with pytest.raises(UsageError, match=r"--test-fraction 1"):
        built(tmp_path / "all", photographs, test_fraction=1.0)
    with pytest.raises(UsageError, match="has no subject 'adda': did you mean 'ada'"):
        built(tmp_path / "misspelt", photographs, subjects=("adda",))
    assert not observed and not list(tmp_path.iterdir())


def test_a_folder_begun_at_another_size_is_refused(whole: Path, photographs: Path, observed: list[str]) -> None:
    before = contents(whole)
    with pytest.raises(DatabaseError, match="begun with another size"):
        build_release(ReleaseConfig(whole, f"folder={photographs}", 128), quiet)
    assert contents(whole) == before


# --- handing on -------------------------------------------------------------------------------------------------------


def test_a_data_set_is_handed_on_in_formats(whole: Path, tmp_path: Path) -> None:
    chosen = stored_heads(whole, subjects=("ada", "eva"))
    done = hand_over(chosen, tmp_path / "out", ("glb", "exr"), False, 1, lambda _done, _total: None)
    assert done.made == ("ada", "eva") and not done.failed and not done.restricted
    exported = read_exr(tmp_path / "out" / "ada" / "albedo.exr")
    np.testing.assert_array_equal(exported, read_exr(whole / "subjects" / "ada" / "albedo.exr"))
    again = hand_over(chosen, tmp_path / "out", ("glb", "exr"), False, 1, lambda _done, _total: None)
    assert again.kept == ("ada", "eva") and not again.made
    more = hand_over(chosen, tmp_path / "out", ("glb", "exr", "png"), False, 1, lambda _done, _total: None)
    assert more.made == ("ada", "eva")


def test_one_damaged_head_stops_no_other(whole: Path, tmp_path: Path) -> None:
    (whole / "subjects" / "ben" / "albedo.exr").write_bytes(b"half a file")
    done = hand_over(stored_heads(whole), tmp_path / "out", ("glb",), False, 1, lambda _done, _total: None)
    assert [name for name, _ in done.failed] == ["ben"] and "albedo.exr' cannot be read" in done.failed[0][1]
    assert len(done.made) == 5 and not (tmp_path / "out" / "ben" / "export.json").exists()


def test_the_training_people_become_a_database_of_their_own(whole: Path, tmp_path: Path) -> None:
    train = [head.name for head in stored_heads(whole, splits=(TRAIN,))]
    assert export_database(whole, tmp_path / "db", train) == len(train) == 5
    database, source = open_database(tmp_path / "db", face()), open_database(whole, face())
    assert database.ids == tuple(sorted(train))
    assert database.identity == source.without(set(PEOPLE) - set(train)).identity
    assert np.array_equal(database.seen_texture("ada"), source.seen_texture("ada"))
    with pytest.raises(DatabaseError, match="1 people make no texture database"):
        export_database(whole, tmp_path / "few", ["ada"])
    with pytest.raises(UsageError, match="is the data set itself"):
        export_database(whole, whole, train)
    with pytest.raises(UsageError, match="holds a texture database of other people"):
        export_database(whole, tmp_path / "db", sorted(PEOPLE)[:4])


def test_what_is_no_source_is_said(whole: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing' does not exist"):
        stored_heads(tmp_path / "nothing")
    with pytest.raises(UsageError, match=r"is no run folder .* and no data set"):
        stored_heads(tmp_path)
    with pytest.raises(UsageError, match="has no subject 'adda': did you mean 'ada'"):
        stored_heads(whole, subjects=("adda",))
    with pytest.raises(UsageError, match="leave --methods/--protocols out"):
        stored_heads(whole, methods=("meso",))
    first = stored_heads(whole)[0]
    with pytest.raises(UsageError, match="lies inside"):
        hand_over([first], first.folder / "out", ("glb",), False, 1, lambda _done, _total: None)


def run_of(folder: Path, vertices: np.ndarray, licence: str = "unknown") -> Path:
    """A run folder with one result whose mesh is not the fit's."""
    from recon.rendering import Scene, write_glb
    from recon.runs.folder import file_hashes
    from recon.runs.record import plain
    from recon.storage import write_json

    fit, model = known_fit(), face()
    write_json(
        folder / "run.json", {"format": 1, "methods": {"meso": {}}, "protocols": ["blur:8"], "subjects": ["ada"]}
    )
    person = {"id": "ada", "source": "folder", "sha256": "ab12", "synthetic": False, "attributes": {"age": "36"}}
    terms = {"name": licence, "citation": "", "redistributable": False}
    write_json(folder / "reference" / "ada" / "subject.json", {**person, "licence": terms})
    camera = {
        key: getattr(fit.camera, key) for key in ("rotation", "translation", "focal", "principal", "width", "height")
    }
    record = {
        "identity": fit.identity,
        "expression": fit.expression,
        "camera": camera,
        "lighting": fit.lighting.coefficients,
    }
    write_json(
        folder / "reference" / "ada" / "blur-8" / "reference.json",
        plain({"fit": record, "crop": [0, 0, 240, 290], "files": {}}),
    )
    place = folder / "results" / "meso" / "blur-8" / "ada"
    albedo = skin_texture(0, SIZE)
    write_png(place / "albedo.png", linear_to_srgb(albedo))
    write_png(place / "mask.png", np.ones((SIZE, SIZE), bool))
    write_glb(place / "head.glb", Scene(model, vertices, albedo, fit.camera, fit.lighting))
    inputs = {"face_model": f"toy {model.version}", "database": None, "parameters": {}}
    files = file_hashes(place, ["albedo.png", "mask.png", "head.glb"])
    key = {"method": "meso", "protocol": "blur:8", "subject": "ada"}
    write_json(place / "result.json", {**key, "inputs": inputs, "fit": {"verdict": "pass"}, "files": files})
    return folder


def test_a_run_is_exported_with_the_mesh_that_the_method_gave(observed: list[str], tmp_path: Path) -> None:
    vertices = (face().mean + np.float32([0.3, 0.0, 0.1])).astype(np.float32)
    run = run_of(tmp_path / "run", vertices)
    (stored,) = stored_heads(run, methods=("meso",), protocols=("blur:8",))
    assert stored.name == "meso/blur-8/ada" and not stored.provenance.licence.redistributable
    head = load_head(stored, face())
    np.testing.assert_allclose(head.scene.vertices, vertices, atol=1e-5)
    np.testing.assert_allclose(linear_to_srgb(head.scene.albedo), linear_to_srgb(skin_texture(0, SIZE)), atol=0.6 / 255)
    assert stored_heads(run / "results" / "meso" / "blur-8" / "ada") == [stored]
    with pytest.raises(UsageError, match="has no method 'mesa': did you mean 'meso'"):
        stored_heads(run, methods=("mesa",))


def test_a_head_of_another_face_model_is_refused(observed: list[str], tmp_path: Path) -> None:
    from dataclasses import replace

    (stored,) = stored_heads(run_of(tmp_path / "run", face().mean))
    with pytest.raises(InputError, match=r"version 1 of the face model 'toy', here is 2"):
        load_head(stored, replace(face(), version="2"))


# --- on the command line ----------------------------------------------------------------------------------------------


def test_the_command_exports_and_says_what_may_not_leave(observed: list[str], tmp_path: Path) -> None:
    from recon.export_commands import export

    run = run_of(tmp_path / "run", face().mean)
    arguments = [str(run), "--format", "glb,png", "--out", str(tmp_path / "out"), "--jobs", "1", "-q"]
    done = CliRunner().invoke(export, arguments, standalone_mode=False, catch_exceptions=False)
    assert done.return_value == 0
    assert "does not allow redistribution (meso/blur-8/ada)" in done.stderr
    assert (tmp_path / "out" / "meso" / "blur-8" / "ada" / "albedo-16bit.png").is_file()
    again = CliRunner().invoke(export, [*arguments, "--json"], standalone_mode=False, catch_exceptions=False)
    assert json.loads(again.stdout)["kept"] == ["meso/blur-8/ada"]


def test_the_command_builds_and_hands_on(
    photographs: Path, observed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recon.dataset_commands import dataset

    monkeypatch.setattr("recon.assets.require", lambda name: Path(__file__))

    def called(*arguments: str) -> Any:
        return CliRunner().invoke(dataset, list(arguments), standalone_mode=False, catch_exceptions=False)

    out = str(tmp_path / "set")
    done = called("build", "--data", f"folder={photographs}", "--size", "128", "--out", out, "--jobs", "1", "--json")
    assert done.return_value == 0 and json.loads(done.stdout)["made"] == sorted(PEOPLE)
    done = called("export", out, "--format", "database", "--split", "train", "--out", str(tmp_path / "db"))
    assert done.return_value == 0 and "texture database of 5 people" in done.stdout
    with pytest.raises(UsageError, match="a folder of its own"):
        called("export", out, "--format", "database,glb", "--out", str(tmp_path / "db"))
    with pytest.raises(UsageError, match=r"not a finished data set: it has no dataset\.json"):
        called("export", str(tmp_path), "--format", "glb", "--out", str(tmp_path / "x"))
    (tmp_path / "set" / "subjects" / "ada" / "head.glb").unlink()
    with pytest.raises(InputError, match=r"subject 'ada' .* lacks files"):
        called("export", out, "--format", "glb", "--out", str(tmp_path / "x"))


@pytest.mark.slow
def test_london_becomes_a_data_set(london_folder: Path, asset: Callable[[str], Path], tmp_path: Path) -> None:
    """Four people end to end, in worker processes."""
    asset("dlib-landmarks")
    config = ReleaseConfig(
        tmp_path / "set", f"london={london_folder}", 128, face_model="anny", limit=4, test_fraction=0.25, jobs=2
    )
    summary = build_release(config, quiet)
    assert len(summary.made) == 4 and not summary.failed
    records = list(ReleaseFolder(tmp_path / "set").records())
    assert Counter(record["split"] for record in records) == {TRAIN: 3, TEST: 1}
    assert all(record["licence"]["name"] == "CC BY 4.0" and not record["restricted"] for record in records)
    for record in records:
        preview = np.asarray(read_png(tmp_path / "set" / "subjects" / record["id"] / "preview.png"))
        # Skin before grey: redder than blue over a good part of the picture.
        assert (preview[..., 0] - preview[..., 2] > 0.02).mean() > 0.15
    assert len(stored_heads(tmp_path / "set")) == 4
