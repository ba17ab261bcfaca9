"""What the tests of evaluation share: a made-up run of their own, measured in this process, with a few metrics."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import evaluation_toy as toy
import pytest
from evaluation_toy import BUILT_IN
from work_here import in_this_process

from recon.runs.folder import RunFolder


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up run; copied by who changes it."""
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
