"""What the tests of runs share: orchestration on stand-ins, in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import run_fakes
from work_here import in_this_process, silent

from recon.data.protocols import parse_protocols
from recon.runs import RunConfig, Summary, execute

Run = Callable[..., Summary]


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    run_fakes.install(monkeypatch.setattr)
    monkeypatch.setattr("recon.runs.execution.work_through", in_this_process)
    monkeypatch.setattr("metrics.evaluate.work_through", in_this_process)
    monkeypatch.setattr("recon.runs.pictures.work_through", in_this_process)
    return run_fakes


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return run_fakes.write_people(tmp_path / "people", "abc")


@pytest.fixture
def run(fakes: ModuleType, people: Path, tmp_path: Path) -> Run:
    """``run(methods, protocols, **settings)`` carries out a run into ``tmp_path/run``."""

    def carry_out(methods: str = "quick", protocols: str = "identity", **settings: Any) -> Summary:
        config = RunConfig(
            out=tmp_path / "run",
            data=f"folder={people}",
            methods=tuple(methods.split(",")),
            protocols=parse_protocols(protocols),
            size=fakes.SIZE,
            jobs=1,
        )
        return execute(replace(config, **settings), silent)

    return carry_out
