"""Commands answer before they load what only their real work needs: told by which libraries are in memory, not by time.

A fresh process imports torch in two to three seconds; whatever loads it for a help text, a typing error or a look at
files that are there breaks a test here, on machines fast and slow.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from evaluation_toy import RESULTS, write_run

ROOT = Path(__file__).resolve().parent.parent

# What takes a tenth of a second or more to import.
HEAVY = (
    "PIL", "alembic", "altair", "anny", "boto3", "dask", "distributed", "dlib", "drjit", "embreex", "fastapi", "h5py",
    "lpips", "mitsuba", "numpy", "pandas", "pyarrow", "pydantic", "requests", "rich", "scipy", "skimage", "sqlalchemy",
    "streamlit", "torch", "torch_fidelity", "torchmetrics", "torchvision", "trimesh", "uvicorn",
)  # fmt: skip
NETWORKS = ("torch", "torchvision", "torchmetrics", "torch_fidelity", "lpips", "h5py", "dlib")
# What neither a look at a run that is up to date needs, nor a comparison of what was measured.
FOR_WORK_ALONE = {*HEAVY, "pyarrow.compute", "pyarrow.dataset"} - {"numpy", "pyarrow", "rich"}
PAGES = ("streamlit", "altair", "fastapi", "uvicorn", "dask", "distributed", "mitsuba", "boto3")

# Calls every command below one group with --help and with an option that there is none of, and prints what was loaded.
WALK = """
import contextlib, io, json, sys
import click, mesoface

def paths(command, path):
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from paths(command.get_command(context, name), [*path, name])

found, walked, said = {}, 0, io.StringIO()
for path in paths(mesoface.cli, []):
    for last in ("--help", "--no-such-option"):
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), contextlib.suppress(SystemExit):
            mesoface.main([*path, last])
        walked += 1
        new = sorted(set(HEAVY) & set(sys.modules) - {name for names in found.values() for name in names})
        if new:
            found[" ".join([*path, last])] = new
print(json.dumps([walked, found]))
"""

CALL = """
import contextlib, json, sys
import mesoface
code = 0
with contextlib.redirect_stdout(sys.stderr):
    try:
        mesoface.main(sys.argv[1:])
    except SystemExit as ended:
        code = ended.code
print(json.dumps([code, sorted(sys.modules)]))
"""


def test_no_help_and_no_wrong_option_waits_for_a_library() -> None:
    program = f"HEAVY = {HEAVY!r}\n{WALK}"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    walked, found = json.loads(done.stdout)
    assert walked > 80, "the walk did not reach the commands"
    assert found == {}


def loaded(*arguments: str | Path, home: Path) -> tuple[int, set[str], str]:
    """Exit code, libraries in memory at the end, and what was said."""
    environment = {**os.environ, "MESOFACE_HOME": str(home), "COLUMNS": "300", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", CALL, *map(str, arguments)]
    done = subprocess.run(
        command, cwd=home.parent, check=True, capture_output=True, text=True, env=environment, timeout=120
    )
    code, names = json.loads(done.stdout.splitlines()[-1])
    return code, set(names), done.stderr


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty cache."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("arguments", "code", "said", "unneeded"),
    [
        ("metrics", 2, "say which run folder", HEAVY[:1] + NETWORKS),
        ("metrics absent", 2, "is not a run folder", ("scipy", "pandas", *NETWORKS)),
        ("compare absent", 2, "is not a run folder", ("scipy", "pandas", "PIL", *NETWORKS)),
        ("sheet absent", 2, "is not a run folder", ("scipy", "pandas", *NETWORKS)),
        ("render absent", 2, "is not a run folder", ("pandas", "mitsuba", *NETWORKS)),
        ("run --data folder=x --methods nonsense --out run", 2, "unknown method", ("scipy", *NETWORKS)),
        ("run --data folder=x --methods pca --protocols nonsense --out run", 2, "unknown protocol", NETWORKS),
        ("run --data folder=x --methods pca --scheduler nonsense --out run", 2, "give local:N", (*PAGES, *NETWORKS)),
        ("database build --data folder=absent --out base", 4, "dlib-landmarks", (*PAGES, *NETWORKS)),
        ("study check absent.yaml", 3, "does not exist", ("scipy", "pandas", "sqlalchemy", *PAGES, *NETWORKS)),
        ("study status absent", 3, "study database upgrade", ("scipy.stats", "pandas", *PAGES, *NETWORKS)),
        ("study report absent", 3, "study database upgrade", ("scipy.stats", *PAGES, *NETWORKS)),
        ("assets list", 0, "vgg16-hed", ("scipy", "PIL", "pandas", *NETWORKS)),
        ("assets where", 0, "home", ("scipy", "PIL", "pandas", "rich", *NETWORKS)),
        ("metrics --list", 0, "lpips-alex", tuple(set(HEAVY) - {"numpy", "rich"})),
    ],
)
def test_what_ends_before_its_work_loads_nothing_for_it(
    home: Path, arguments: str, code: int, said: str, unneeded: tuple[str, ...]
) -> None:
    ended, names, text = loaded(*arguments.split(), home=home)
    assert (ended, names & set(unneeded)) == (code, set()), text
    assert said in text


def test_a_run_that_is_up_to_date_is_read_and_compared_without_a_library(home: Path, tmp_path: Path) -> None:
    run = write_run(tmp_path / "run").path
    ended, names, text = loaded("metrics", run, "--metrics", "psnr,coverage,gram,ms-ssim", "--jobs", "1", "--device",
                                "cpu", home=home)  # fmt: skip
    assert ended == 0, text
    # Intervals over several people take their quantiles from SciPy: that is a comparison's work.
    for arguments, at_work in (
        (["metrics", run, "--metrics", "psnr,coverage,gram,ms-ssim"], set()),
        (["compare", run], {"scipy"}),
        (["compare", run, "--format", "json"], {"scipy"}),
    ):
        ended, names, text = loaded(*arguments, home=home)  # fmt: skip
        assert (ended, names & FOR_WORK_ALONE) == (0, at_work), text
        assert "pyarrow.parquet" in names, "the table was not read"


def test_what_there_is_to_do_is_seen_by_a_look_without_pandas(home: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    asked = ("metrics", folder.path, "--metrics", "coverage", "--jobs", "1", "--device", "cpu", "--json")
    for measured in (RESULTS, 0):
        ended, names, text = loaded(*asked, home=home)
        assert (ended, "pandas" in names) == (0, measured > 0) and f'"measured": {measured},' in text
    changed = folder.result(next(key for key, _ in folder.results())) / "albedo.png"
    changed.write_bytes(changed.read_bytes() + b" ")
    os.utime(changed, (2e9, 2e9))
    ended, names, text = loaded(*asked, home=home)
    assert (ended, "pandas" in names) == (0, True) and '"measured": 1,' in text
