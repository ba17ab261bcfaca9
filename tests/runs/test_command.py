"""The command ``mesoface run``: what it prints for people and for programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner

from recon.errors import UsageError
from recon.images import read_png
from recon.storage import read_json
from tests.rendering_scenes import ball


def call(arguments: list[str]) -> tuple[int, str]:
    from metrics.run_commands import run as command

    outcome = CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False)
    return outcome.return_value or 0, outcome.stdout


def test_run_ends_with_the_comparison_and_a_summary_for_programs(
    fakes: ModuleType, people: Path, tmp_path: Path
) -> None:
    arguments = ["--data", f"folder={people}", "--methods", "quick,failing", "--size", str(fakes.SIZE)]
    arguments += ["--protocols", "identity,occlude:right", "--out", str(tmp_path / "run")]
    code, text = call([*arguments, "--json"])
    summary = json.loads(text)
    assert code == 5
    assert {failure["subject"] for failure in summary["failed"]} == {"b"}
    assert len(summary["failed"]) == 2
    assert summary["made"] == 10
    keys = {"method", "protocol", "metric", "region", "value", "n"}
    assert summary["comparison"]
    assert all(keys <= set(row) for row in summary["comparison"])
    assert (tmp_path / "run" / "metrics.parquet").is_file()

    code, text = call(arguments)
    assert code == 5
    assert "seven is not eight" in text
    assert "PSNR" in text
    assert "there already" in text
    code, text = call(["--quiet", *arguments])
    assert "PSNR" not in text
    assert read_json(tmp_path / "run" / "run.json")["subjects"] == ["a", "b", "c"]


def test_views_that_are_asked_for_are_drawn_once(
    fakes: ModuleType, people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recon.runs import views

    # A head that can be drawn, written as it is outside of tests.
    still = np.zeros((1, *ball().mean.shape), np.float32)
    face = ball().mean[:, 2] > 0
    head = replace(ball(), regions={"face": face}, identity_basis=still, expression_basis=still)
    monkeypatch.setattr("recon.face_model.load_face_model", lambda name="auto": head)
    for name in ("scene_of", "write_head"):
        monkeypatch.setattr(f"recon.runs.subject.{name}", getattr(views, name))
    arguments = ["--data", f"folder={people}", "--methods", "quick", "--size", str(fakes.SIZE)]
    arguments += ["--out", str(tmp_path / "run"), "--jobs", "1"]
    code, text = call([*arguments, "--subjects", "a,b", "--json"])
    assert code == 0 and json.loads(text)["pictures"] is None
    assert not list(tmp_path.rglob("front.png"))

    code, text = call([*arguments, "--subjects", "b", "--views", "front", "--json"])
    pictures = json.loads(text)["pictures"]
    assert (code, pictures["made"], pictures["kept"], pictures["failed"]) == (0, 1, 0, [])
    (drawn,) = tmp_path.rglob("front.png")
    assert drawn.parent.parent.parent.name == "b" and drawn.parent.name == "gbuffer"
    assert read_png(drawn).shape == (640, 512, 3) and np.asarray(read_png(drawn)).std() > 0.05

    code, text = call([*arguments, "--subjects", "a,b", "--views", "front"])
    assert code == 0 and "1 pictures made" in text and "1 were there already" in text


def test_views_that_fail_or_are_unknown_are_said(fakes: ModuleType, people: Path, tmp_path: Path) -> None:
    arguments = ["--data", f"folder={people}", "--methods", "quick", "--size", str(fakes.SIZE), "--subjects", "a"]
    arguments += ["--out", str(tmp_path / "run"), "--jobs", "1"]
    with pytest.raises(UsageError, match="did you mean 'studio'"):
        call([*arguments, "--views", "studo"])
    assert not (tmp_path / "run").exists()
    code, text = call([*arguments, "--views", "front", "--json"])  # the stand-in's head.glb is none
    assert code == 5
    summary = json.loads(text)
    assert summary["made"] == 1 and not summary["failed"]
    (failure,) = summary["pictures"]["failed"]
    assert failure["view"] == "front" and "head.glb" in failure["message"]
