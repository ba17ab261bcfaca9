"""The front door: exit codes, one-sentence errors, quick help."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from PIL import Image

import mesoface
from recon import errors
from recon.commands import excluded_ids
from recon.data.subject import Licence, Subject, TestSet

ROOT = Path(__file__).resolve().parent.parent
Outcome = tuple[int, str, str]


@pytest.fixture
def mesoface_command(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the command line in this process: exit code, output, errors."""

    def run(*arguments: str) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            mesoface.main(list(arguments))
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, captured.out, captured.err

    return run


def in_new_process(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mesoface", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **variables}, timeout=60
    )


def test_help_answers_within_300_ms() -> None:
    """The issue's figure, met by the best of five, so that a busy machine does not decide."""
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        done = in_new_process("--help")
        taken.append(time.perf_counter() - start)
        assert done.returncode == 0
    assert min(taken) < 0.3
    for name in ("demo", "run", "compare", "sheet", "database", "assets"):
        assert re.search(rf"^  {name} ", done.stdout, re.MULTILINE)


def test_help_imports_no_room() -> None:
    program = (
        "import sys, mesoface\n"
        "try: mesoface.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'rich', 'PIL', 'recon.commands', 'metrics'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("name", list(mesoface.COMMANDS))
def test_every_command_has_help(name: str, mesoface_command: Callable[..., Outcome]) -> None:
    code, out, err = mesoface_command(name, "--help")
    assert code == 0
    assert err == ""
    assert out.startswith(f"Usage: mesoface {name}")
    assert len(out.splitlines()) > 6


def test_version(mesoface_command: Callable[..., Outcome]) -> None:
    from recon import __version__

    assert mesoface_command("--version") == (0, f"mesoface {__version__}\n", "")


def test_wrong_use(mesoface_command: Callable[..., Outcome]) -> None:
    code, _, err = mesoface_command("asets", "list")
    assert code == errors.EXIT_USAGE
    assert "did you mean 'assets'?" in err
    assert mesoface_command("assets", "list", "--nonsense")[0] == errors.EXIT_USAGE
    assert mesoface_command()[0] == errors.EXIT_USAGE


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Makes the command ``mesoface fail``, which raises what it is given."""

    def arrange(error: BaseException) -> None:
        def act() -> None:
            raise error

        module = type(sys)("failing_room")
        module.fail = click.Command("fail", callback=act)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "failing_room", module)
        monkeypatch.setitem(mesoface.COMMANDS, "fail", mesoface.Entry("failing_room", "fail", "Fails."))

    return arrange


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (errors.UsageError("no such method."), 2, "mesoface: no such method."),
        (errors.ImageError("'a.jpg' is broken."), 3, "mesoface: 'a.jpg' is broken."),
        (errors.AssetError("no weights."), 4, "mesoface: no weights."),
        (errors.StorageError("the disk is full."), 6, "mesoface: the disk is full."),
        (OSError(errno.ENOSPC, "No space left on device", "out.png"), 6, "mesoface: the disk is full: 'out.png'"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 6, "mesoface: 'out' cannot be written"),
        (KeyboardInterrupt(), 130, "Run the same command again to continue"),
        (ZeroDivisionError("division by zero"), 1, "unexpected failure: ZeroDivisionError: division by zero"),
        (FileNotFoundError(errno.ENOENT, "No such file", "x"), 1, "unexpected failure: FileNotFoundError"),
    ],
)
def test_failures_are_one_sentence_and_an_exit_code(
    failing: Callable[[BaseException], None],
    mesoface_command: Callable[..., Outcome],
    error: BaseException,
    code: int,
    said: str,
) -> None:
    failing(error)
    ended, out, err = mesoface_command("fail")
    assert ended == code
    assert out == ""
    assert said in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize("arguments", [("--debug", "fail"), ("fail", "--debug")])
def test_debug_shows_the_traceback(
    failing: Callable[[BaseException], None], mesoface_command: Callable[..., Outcome], arguments: tuple[str, ...]
) -> None:
    failing(errors.ImageError("'a.jpg' is broken."))
    code, _, err = mesoface_command(*arguments)
    assert code == errors.EXIT_INPUT
    assert "Traceback" in err
    assert "'a.jpg' is broken." in err


@pytest.mark.parametrize("room", ["recon.commands", "metrics.run_commands", "metrics.commands"])
def test_commands_import_their_libraries_late(room: str) -> None:
    program = f"import sys, {room}\nassert not {{'torch', 'scipy', 'PIL', 'rich', 'pandas'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


@pytest.mark.parametrize("form", [("--json",), ()])
def test_closed_pipe_is_no_failure(form: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as sink:
        done = subprocess.run(
            [sys.executable, "-m", "mesoface", "assets", "list", *form],
            cwd=ROOT,
            stdout=sink,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 0


def test_a_bare_locale_does_not_break_output() -> None:
    done = in_new_process("run", "--help", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_assets_list(mesoface_command: Callable[..., Outcome]) -> None:
    from recon.assets import ASSETS

    code, out, _ = mesoface_command("assets", "list", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert list(rows) == list(ASSETS)
    assert rows["dlib-landmarks"]["sha256"] == ASSETS["dlib-landmarks"].sha256
    assert "excludes commercial use" in rows["dlib-landmarks"]["licence"]
    code, out, _ = mesoface_command("assets", "list")
    assert code == 0
    assert all(name in out for name in ASSETS)


def test_assets_add_where_and_forget(
    mesoface_command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESOFACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MESOFACE_ASSET_LONDON", raising=False)
    assert mesoface_command("assets", "where")[1].strip() == str(tmp_path / "home")
    code, _, err = mesoface_command("assets", "where", "london")
    assert code == errors.EXIT_ASSET
    assert "mesoface assets fetch london" in err
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "x").touch()
    assert mesoface_command("assets", "add", "london", str(tmp_path / "set"))[0] == 0
    assert mesoface_command("assets", "where", "london")[1].strip() == str(tmp_path / "set")
    assert mesoface_command("assets", "verify", "london")[0] == 0
    assert "forgotten" in mesoface_command("assets", "add", "london", "--forget")[1]
    assert mesoface_command("assets", "verify", "london")[0] == errors.EXIT_ASSET
    assert mesoface_command("assets", "add", "london")[0] == errors.EXIT_USAGE
    assert mesoface_command("assets", "fetch")[0] == errors.EXIT_USAGE


def people(*ids: str) -> TestSet:
    return TestSet("set", tuple(Subject(name, "set", Path(f"{name}.jpg"), Licence("CC0")) for name in ids))


def test_excluded_ids_come_from_option_and_file(tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("# tested people\nc\n\n b \n")
    assert excluded_ids(people("a", "b", "c"), "a, b,", listed) == {"a", "b", "c"}
    assert excluded_ids(people("a"), "", None) == frozenset()


def test_misspelt_exclusion_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(errors.UsageError, match="'x' to exclude is not in the data set 'set'"):
        excluded_ids(people("a"), "a,x", None)
    with pytest.raises(errors.InputError, match=r"none\.txt"):
        excluded_ids(people("a"), "", tmp_path / "none.txt")


@pytest.mark.parametrize(("faulty", "code"), [((), errors.EXIT_DONE), (("b",), errors.EXIT_PARTIAL)])
def test_database_build_tells_who_was_left_out(
    mesoface_command: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    faulty: tuple[str, ...],
    code: int,
) -> None:
    """The command around the work: the work itself is the texture room's, and tested there."""
    from recon.storage import write_json

    for name in "abc":
        Image.new("RGB", (128, 128)).save(tmp_path / f"{name}.jpg")
    (tmp_path / "notes.txt").write_text("no photograph")
    asked: dict[str, object] = {}

    def build(
        test_set: TestSet, model: Any, folder: Path, size: int, exclude: frozenset[str], jobs: int, progress: object
    ) -> list[str]:
        asked.update(ids=[s.id for s in test_set.subjects], model=model.name, size=size, exclude=exclude, jobs=jobs)
        skipped = [*test_set.skipped, *((name, "no face") for name in faulty)]
        write_json(folder / "database.json", {"skipped": skipped})
        return [s.id for s in test_set.subjects if s.id not in {*exclude, *faulty}]

    monkeypatch.setattr("recon.texture.database_build.build_database", build)
    monkeypatch.setattr("recon.face_model.load_face_model", lambda name: SimpleNamespace(name=name))
    monkeypatch.setenv("MESOFACE_ASSET_DLIB_LANDMARKS", str(tmp_path / "a.jpg"))  # any file: nothing is detected here
    options = ["--data", f"folder={tmp_path}", "--out", str(tmp_path / "db"), "--exclude", "c", "--size", "256"]
    ended, out, err = mesoface_command("database", "build", *options, "--jobs", "2")
    assert ended == code
    assert asked == {"ids": ["a", "b", "c"], "model": "auto", "size": 256, "exclude": {"c"}, "jobs": 2}
    assert f"{2 - len(faulty)} textures of 256×256" in out
    assert ("left out: b: no face" in err) == bool(faulty)
    assert "not in the data set to begin with: 1" in err
    ended, out, _ = mesoface_command("database", "build", *options, "--json")
    assert ended == code
    assert json.loads(out)["people"] == 2 - len(faulty)


def test_database_build_needs_the_landmark_detector(
    mesoface_command: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESOFACE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MESOFACE_ASSET_DLIB_LANDMARKS", raising=False)
    code, _, err = mesoface_command("database", "build", "--data", f"folder={tmp_path}", "--out", str(tmp_path / "db"))
    assert code == errors.EXIT_ASSET
    assert "mesoface assets fetch dlib-landmarks" in err
