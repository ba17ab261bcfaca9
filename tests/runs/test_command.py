"""The command ``mesoface run``: what it prints for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

from click.testing import CliRunner

from recon.storage import read_json


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
