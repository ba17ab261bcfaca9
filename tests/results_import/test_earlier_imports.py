"""``mesoface results import``: what was imported before is kept, added to, or replaced by force alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from import_toy import Outcome, everyone, tree
from PIL import Image

import mesoface
from recon.runs.folder import ResultKey, RunFolder


@pytest.mark.parametrize("name", ["pca", "own", "external", "a/b", "", "-x"])
def test_a_name_of_mesoface_is_refused(run: RunFolder, views: Path, command: Callable[..., Outcome], name: str) -> None:
    before = tree(run.path)
    code, _, error = command(views, "--method", name, "--force")
    assert code == 2
    assert "--method" in error or "is a method of mesoface" in error
    assert tree(run.path) == before


def test_other_results_under_the_name_need_force(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    assert command(views)[0] == 0
    before = tree(run.path)
    assert command(views)[1]["imported"] == {"made": 0, "kept": 4, "removed": [], "failed": []}
    assert tree(run.path) == before
    Image.new("RGB", Image.open(views / "identity" / "anna.png").size, (9, 9, 9)).save(views / "identity" / "anna.png")
    (views / "blur-3" / "bert.png").unlink()
    code, _, error = command(views)
    assert code == 2
    assert "1 would change" in error and "--force" in error
    assert tree(run.path) == before
    code, said, _ = command(views, "--force")
    assert code == 5
    assert (said["imported"]["made"], said["imported"]["kept"]) == (1, 2)
    assert said["imported"]["removed"] == [{"protocol": "blur:3", "subject": "bert"}]
    assert run.finished(ResultKey("theirs", "blur:3", "bert")) is None


def test_what_comes_later_is_added_without_force(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    """In two steps the run says the same as in one."""
    assert command(views, "--protocols", "identity")[0] == 0
    code, said, _ = command(views)
    assert (code, said["imported"]["made"], said["imported"]["kept"]) == (0, 2, 2)
    in_two = run.read_config()["methods"]["theirs"]
    shutil.rmtree(run.path / "results" / "theirs")
    assert command(views)[0] == 0
    assert run.read_config()["methods"]["theirs"] == in_two


def test_folders_of_one_source_add_up_and_another_licence_needs_force(
    run: RunFolder, views: Path, tmp_path: Path, command: Callable[..., Outcome]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (views / "blur-3").rename(other / "blur-3")
    assert command(views, "--source", "a paper")[0] == 5
    code, said, _ = command(other, "--source", "a paper")
    assert (code, said["imported"]["made"], said["imported"]["removed"]) == (5, 2, [])
    assert run.read_config()["methods"]["theirs"]["files"] == 8
    before = tree(run.path)
    code, _, error = command(other, "--source", "a paper", "--licence", "CC0")
    assert (code, "from 'a paper' under 'unknown'" in error) == (2, True)
    assert tree(run.path) == before
    code, said, _ = command(other, "--source", "a paper", "--licence", "CC0", "--protocols", "blur:3", "--force")
    assert code == 0
    assert [gone["protocol"] for gone in said["imported"]["removed"]] == ["identity", "identity"], "of other terms"
    assert run.read_config()["methods"]["theirs"]["licence"] == "CC0"


def test_a_killed_import_goes_on(run: RunFolder, views: Path, command: Callable[..., Outcome]) -> None:
    """Killed by the system between two results; the second call gives what an undisturbed one gives."""
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from recon.runs.importing import making, survey\n"
        "real, calls = making.write_json, []\n"
        "def slow(path, value):\n"
        "    calls.append(path)\n"
        "    if len(calls) == 2: print('ready', flush=True); time.sleep(60)\n"
        "    real(path, value)\n"
        "making.write_json = slow\n"
        "from recon.runs.folder import RunFolder\n"
        "run = RunFolder(Path(sys.argv[1]))\n"
        "found = survey(Path(sys.argv[2]), run, 'theirs')\n"
        "making.import_results(found, run, 'theirs', making.Terms('views'))\n"
    )
    root = Path(mesoface.__file__).parent
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(run.path), str(views)],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert sum(run.finished(ResultKey("theirs", *place)) is not None for place in everyone()) == 1
    code, said, _ = command(views)
    assert (code, said["imported"]["made"], said["imported"]["kept"]) == (0, 3, 1)
    interrupted = tree(run.path / "results" / "theirs")
    shutil.rmtree(run.path / "results" / "theirs")
    assert command(views)[0] == 0
    assert tree(run.path / "results" / "theirs") == interrupted
