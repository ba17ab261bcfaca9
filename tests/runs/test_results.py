"""What a run makes and records; what fails stays with its subject, and nothing leaks or is mixed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from run_programs import contents

from recon.errors import UsageError
from recon.images import read_png
from recon.runs import ResultKey, Summary

Run = Callable[..., Summary]


def test_a_gpu_without_memory_is_said_with_what_helps(
    run: Run, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch import OutOfMemoryError

    def greedy(self: Any, photograph: Any, context: Any) -> Any:
        raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(fakes.Picky, "applies", lambda self, context: None)
    monkeypatch.setattr(fakes.Picky, "reconstruct", greedy)
    summary = run("quick,picky")
    assert len(summary.made) == 3
    words = "the GPU's memory is too small for 'picky' at 64×64 texels: .*--jobs.*--size.*--device cpu"
    assert all(re.search(words, outcome.message) for outcome in summary.failed) and len(summary.failed) == 3


def test_one_failing_subject_never_stops_a_run_and_is_tried_again(
    run: Run, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run("failing,quick")
    key = ResultKey("failing", "identity", "b")
    assert [outcome.key for outcome in first.failed] == [key]
    assert len(first.made) == 5
    failure = first.folder.failure(key)
    assert failure is not None
    assert failure["message"] == "ValueError: seven is not eight"
    assert failure["traceback"]
    monkeypatch.setitem(fakes.METHODS, "failing", type("Mended", (fakes.Quick,), {"name": "failing"}))
    second = run("failing,quick")
    assert second.made == (key,)
    assert second.kept == 5
    assert not second.failed
    assert first.folder.failure(key) is None


def test_a_photograph_without_a_face_fails_alone(run: Run, fakes: ModuleType, people: Path) -> None:
    fakes.write_people(people, "Z")
    summary = run("quick,failing", "identity,blur:2")
    assert {o.key.subject for o in summary.failed if o.kind == "FaceNotFoundError"} == {"z"}
    assert sum(o.key.subject == "z" for o in summary.failed) == 4


def test_a_damaged_photograph_fails_alone(run: Run, people: Path) -> None:
    (people / "d.png").write_bytes((people / "a.png").read_bytes()[:700])
    summary = run()
    assert [(o.key.subject, o.kind) for o in summary.failed] == [("d", "ImageError")]
    assert "d.png" in summary.failed[0].message


def test_the_run_folder_says_what_was_made_from_what(run: Run) -> None:
    summary = run("quick", "occlude:right", parameters={"quick": {"strength": 0.5}})
    folder = summary.folder
    record = folder.finished(ResultKey("quick", "occlude:right", "a"))
    assert record is not None
    assert record["inputs"]["parameters"] == {"strength": 0.5, "steps": 3}
    assert record["record"] == {"losses": [0.0, 1.0, 2.0], "extractor": "none"}, "times belong into timings.json"
    place = folder.result(ResultKey("quick", "occlude:right", "a"))
    assert {p.name for p in place.iterdir()} == {"albedo.png", "mask.png", "head.glb", "views", "result.json",
                                                "timings.json"}  # fmt: skip
    for name, digest in record["files"].items():
        assert hashlib.sha256((place / name).read_bytes()).hexdigest() == digest
    config = folder.read_config()
    assert config["settings"]["seed"] == 0
    assert config["made_with"][0]["packages"]["numpy"] == np.__version__
    assert json.loads((place / "timings.json").read_text())["seconds"]["method"] > 0


def test_no_method_sees_the_withheld_half(run: Run, people: Path, fakes: ModuleType, monkeypatch: Any) -> None:
    seen: list[np.ndarray] = []
    reconstruct = fakes.Quick.reconstruct

    def watching(self: Any, photograph: Any, context: Any) -> Any:
        seen.append(photograph.srgb)
        return reconstruct(self, photograph, context)

    monkeypatch.setattr(fakes.Quick, "reconstruct", watching)
    summary = run("quick", "occlude:right", subjects=("a",))
    original = read_png(people / "a.png")
    (given,) = seen
    # The stand-in's subject faces the camera: the right half of the face is the left half of the picture.
    assert (given[:, :64] == 0.5).all()
    assert (given[:, 68:] == original[:, 68:]).all()
    assert (read_png(summary.folder.reference("a") / "photo.png") == original).all()
    withheld = read_png(summary.folder.judged("a", "occlude:right") / "withheld.png")
    reference = read_png(summary.folder.judged("a", "occlude:right") / "albedo.png")
    assert reference[withheld].std() > 0.05, "the reference keeps what was withheld"


def test_methods_protocols_and_subjects_can_be_added(run: Run) -> None:
    run("quick", "identity", subjects=("a",))
    summary = run("quick,failing", "identity,blur:2", subjects=("a", "c"))
    assert (len(summary.made), summary.kept) == (7, 1)
    config = summary.folder.read_config()
    assert list(config["methods"]) == ["quick", "failing"]
    assert config["subjects"] == ["a", "c"]
    again = run("quick", "identity", subjects=("a",))
    assert (len(again.made), again.kept) == (0, 1)
    assert list(again.folder.read_config()["methods"]) == ["quick", "failing"], "asking for less forgets nothing"


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed"), ({"size": 128}, "size"), ({"parameters": {"quick": {"steps": 4}}}, "quick.steps")],
)
def test_a_changed_setting_is_refused_by_name(run: Run, change: dict[str, Any], named: str) -> None:
    before = contents(run().folder.path)
    with pytest.raises(UsageError, match=named) as caught:
        run(**change)
    assert "--out" in str(caught.value)
    assert contents(run().folder.path) == before


def test_a_photograph_that_changed_is_not_mixed_in(run: Run, people: Path) -> None:
    run()
    (people / "a.png").write_bytes((people / "b.png").read_bytes())
    summary = run("quick,failing")
    assert ("a", "InputError") in {(o.key.subject, o.kind) for o in summary.failed}


def test_a_result_that_lost_a_file_is_made_again(run: Run) -> None:
    folder = run().folder
    before = contents(folder.path)
    (folder.result(ResultKey("quick", "identity", "a")) / "mask.png").unlink()
    assert run().made == (ResultKey("quick", "identity", "a"),)
    assert contents(folder.path) == before


def test_not_applicable_is_no_failure_and_is_not_asked_twice(run: Run) -> None:
    first, second = run("picky,quick"), run("picky,quick")
    assert [o.message for o in first.not_applicable] == ["no captured albedo"] * 3
    assert not first.failed
    assert len(second.not_applicable) == 3
    assert not second.made


def test_a_folder_with_other_things_in_it_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no run"):
        run()
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]
