"""What the tests of stores share: an S3 server of their own, and a run on stand-ins that is made into it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import run_fakes
import store_server
from work_here import in_this_process, silent

from recon.data.protocols import parse_protocols
from recon.runs import RunConfig, execute

PROTOCOLS = "identity,occlude:right,blur:2"


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """A client of the store; working copies lie in this test's folder."""
    monkeypatch.setenv("MESOFACE_WORK", str(tmp_path / "work"))
    monkeypatch.setattr("recon.store.places._whole", {})
    yield from store_server.served(monkeypatch, str(tmp_path / "absent"))


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The address of an empty store in this process."""
    import fsspec

    monkeypatch.setenv("MESOFACE_WORK", str(tmp_path / "work"))
    store = fsspec.filesystem("memory").store
    store.clear()
    monkeypatch.setattr("recon.store.places._whole", {})
    yield "memory://bucket/run"
    store.clear()


@pytest.fixture
def people(tmp_path: Path) -> Path:
    return run_fakes.write_people(tmp_path / "people", "abc")


@pytest.fixture
def asked(people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Two methods, three protocols, three people, on stand-ins."""
    run_fakes.install(monkeypatch.setattr)
    return RunConfig(
        out=tmp_path / "plain" / "run",
        data=f"folder={people}",
        methods=("quick", "slow"),
        protocols=parse_protocols(PROTOCOLS),
        size=run_fakes.SIZE,
        jobs=1,
    )


@pytest.fixture
def plain(asked: RunConfig) -> dict[str, str]:
    """Hashes of the files of the same run made into a folder, without ``run.json``, which names the commit."""
    from run_programs import contents

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recon.runs.execution.work_through", in_this_process)
        execute(asked, silent)
    found = contents(asked.out)
    assert found.pop("run.json")
    return found


@pytest.fixture
def mesoface(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """``mesoface(*arguments)`` gives the exit code and all that was printed."""
    from mesoface import _guarded

    def call(*arguments: str | Path) -> tuple[int, str]:
        code = _guarded([str(argument) for argument in arguments], {"debug": False})
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return call
