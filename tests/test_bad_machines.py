"""A GPU or a scheduler that is not there: one sentence with the mend, an exit code, and nothing changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from evaluation_toy import write_run
from run_programs import contents
from skimage import data

import mesoface
from recon import errors
from recon.images import write_png
from recon.runs.config import resolve_device

Outcome = tuple[int, str]


@pytest.fixture
def mesoface_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the command line in this process: exit code and what it said of errors."""

    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            mesoface.main([str(argument) for argument in arguments])
        assert isinstance(ended.value.code, int)
        return ended.value.code, capsys.readouterr().err

    return run


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


@pytest.mark.parametrize(
    ("device", "said"),
    [("cuda", "torch finds no GPU on this machine; use --device cpu."), ("gpu", "no such device; use cpu, cuda")],
)
def test_a_gpu_that_is_not_there(
    device: str, said: str, mesoface_command: Callable[..., Outcome], tmp_path: Path, no_gpu: None
) -> None:
    write_png(tmp_path / "people" / "eileen.png", data.astronaut() / 255.0)
    out = tmp_path / "run"
    asked = ["run", "--data", f"folder={tmp_path / 'people'}", "--methods", "mirror", "--out", out]
    code, text = mesoface_command(*asked, "--device", device)
    assert code == errors.EXIT_USAGE
    assert text.splitlines()[-1].startswith(f"mesoface: --device {device}: ") and said in text
    assert "Traceback" not in text
    assert not [path for path in out.rglob("*") if not path.name.startswith(".")]


def test_a_gpu_that_is_not_there_leaves_the_table_of_a_run_as_it_is(
    mesoface_command: Callable[..., Outcome], tmp_path: Path, no_gpu: None
) -> None:
    run = write_run(tmp_path / "run", {"near": 0.02}, ["anna"]).path
    assert mesoface_command("metrics", run, "--metrics", "psnr", "--jobs", "1", "--device", "cpu", "-q")[0] == 0
    before = contents(run)
    code, text = mesoface_command("metrics", run, "--again", "--device", "cuda", "-q")
    assert code == errors.EXIT_USAGE
    assert "torch finds no GPU" in text
    assert contents(run) == before


def test_the_device_of_a_machine_without_a_gpu(no_gpu: None) -> None:
    assert resolve_device("auto") == "cpu"
    with pytest.raises(errors.UsageError, match=r"--device cuda:1: torch finds no GPU .* --device cpu"):
        resolve_device("cuda:1")


@pytest.mark.parametrize("command", ["run", "metrics", "database"])
def test_a_scheduler_that_is_not_there(
    command: str, mesoface_command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="pip install 'mesoface[cluster]'")
    monkeypatch.setattr("recon.cluster.connection.CONNECT_SECONDS", 1)
    monkeypatch.setenv("MESOFACE_ASSET_DLIB_LANDMARKS", str(Path(__file__)))  # any file: nothing is detected here
    write_png(tmp_path / "people" / "eileen.png", data.astronaut() / 255.0)
    run, people, out = write_run(tmp_path / "made").path, f"folder={tmp_path / 'people'}", tmp_path / "out"
    before = contents(run)
    asked = {
        "run": ["run", "--data", people, "--methods", "mirror", "--out", out],
        "metrics": ["metrics", run],
        "database": ["database", "build", "--data", people, "--face-model", "anny", "--out", out],
    }[command]
    code, text = mesoface_command(*asked, "--scheduler", "tcp://127.0.0.1:9")
    assert code == errors.EXIT_INPUT
    assert text.startswith("mesoface: the scheduler tcp://127.0.0.1:9 cannot be reached")
    assert text.endswith("start one with 'dask scheduler', and give the address that it prints.\n")
    assert text.count("\n") == 1
    assert not out.exists() and contents(run) == before
