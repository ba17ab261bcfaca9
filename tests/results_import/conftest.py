"""A finished run of two people, the command ``mesoface results import``, and folders that it may be given."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from import_toy import PEOPLE, PROTOCOLS, SIZE, Outcome, everyone, write_reference, write_result
from texture_toy import face
from work_here import in_this_process

import mesoface
from recon.runs.folder import FORMAT, ResultKey, RunFolder
from recon.storage import write_json


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two people, two protocols and one method, made once."""
    run = RunFolder(tmp_path_factory.mktemp("finished") / "run")
    write_json(
        run.config,
        {
            "format": FORMAT,
            "settings": {"face_model": {"name": "toy", "version": "1"}, "size": SIZE, "renderer": "gbuffer"},
            "methods": {"own": {}},
            "protocols": list(PROTOCOLS),
            "subjects": list(PEOPLE),
        },
    )
    for name in PEOPLE:
        write_json(run.reference(name) / "subject.json", {"photograph": f"{name}_front.jpg", "sha256": f"of {name}"})
        for protocol in PROTOCOLS:
            write_reference(run, name, protocol)
            write_result(run, ResultKey("own", protocol, name))
    return run.path


@pytest.fixture
def run(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    monkeypatch.setattr("recon.runs.importing.making.work_through", in_this_process)
    monkeypatch.setattr("recon.face_model.load_face_model", lambda name: {"toy": face()}[name])
    shutil.copytree(finished, tmp_path / "run")
    return RunFolder(tmp_path / "run")


@pytest.fixture
def command(run: RunFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs ``mesoface results import … --json``: exit code, what it printed, errors."""
    entry = mesoface.Entry("metrics.import_commands", "results", "")
    monkeypatch.setitem(mesoface.COMMANDS, "results", entry)

    def call(folder: Path, *more: str) -> Outcome:
        arguments = ["results", "import", str(folder), "--run", str(run.path), "--method", "theirs", "--json", *more]
        with pytest.raises(SystemExit) as ended:
            mesoface.main(arguments)
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, json.loads(captured.out) if captured.out else {}, captured.err

    return call


@pytest.fixture
def views(run: RunFolder, tmp_path: Path) -> Path:
    """The pictures of ``own``, as if another system had written them; named by protocol and id."""
    folder = tmp_path / "views"
    for protocol, name in everyone():
        own, place = run.result(ResultKey("own", protocol, name)) / "views", folder / protocol.replace(":", "-")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(own / "fitted.png", place / f"{name}.png")
        shutil.copy(own / "fitted_mask.png", place / f"{name}.mask.png")
    return folder


@pytest.fixture
def albedos(run: RunFolder, tmp_path: Path) -> Path:
    """The maps of ``own``, named by the protocol as the command line has it and the photograph's file."""
    folder = tmp_path / "albedos"
    for protocol, name in everyone():
        (folder / protocol).mkdir(parents=True, exist_ok=True)
        shutil.copy(
            run.result(ResultKey("own", protocol, name)) / "albedo.png", folder / protocol / f"{name}_front.png"
        )
    return folder
