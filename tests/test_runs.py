"""Runs: what is finished is kept, what fails stays with its subject, nothing leaks; orchestration on stand-ins."""

from __future__ import annotations

import errno
import hashlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from recon.data.protocols import parse_protocols
from recon.data.subject import Licence, Subject, TestSet
from recon.errors import DatabaseError, StorageError, UsageError
from recon.images import read_png
from recon.runs import ResultKey, RunConfig, RunFolder, Summary, execute
from recon.runs.config import choose_subjects, parse_settings
from recon.runs.lock import locked
from recon.storage import read_json
from recon.worker_pool import Event, Finished, Reported

FAKES = Path(__file__).with_name("run_fakes.py")
CHECKOUT = FAKES.parent.parent


def silent(stage: str, done: int, total: int) -> None:
    """No progress."""


def in_this_process(tasks: Any, prepare: Any, argument: Any, *, jobs: int, threads: int) -> Iterator[Event]:
    """What the worker processes do, without them."""
    work = prepare(argument)
    for task in tasks:
        reports: list[Any] = []
        work(task, reports.append)
        yield from (Reported(task, content) for content in reports)
        yield Finished(task)


@pytest.fixture(scope="module")
def module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("run_fakes", FAKES)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules["run_fakes"] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture
def fakes(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module.install(monkeypatch.setattr)
    monkeypatch.setattr("recon.runs.execution.work_through", in_this_process)
    monkeypatch.setattr("metrics.evaluate.work_through", in_this_process)
    return module


@pytest.fixture
def people(module: ModuleType, tmp_path: Path) -> Path:
    return module.write_people(tmp_path / "people", "abc")


Run = Callable[..., Summary]


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


def start(out: Path, people: Path, methods: str, protocols: str = "identity", jobs: int = 2) -> subprocess.Popen[str]:
    """The run as a program of its own, with real worker processes."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, str(FAKES), str(out), str(people), methods, protocols, str(jobs)]
    return subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test session in the background of a script is deaf to Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out.strip()


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file of a run, but for times and lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timings.json" and not path.name.startswith(".")
    }


def results(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/*/*/*/result.json"))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else "ended early"
        assert time.monotonic() < limit, "nothing happened for a minute"
        time.sleep(0.01)


def test_a_killed_run_continues_to_byte_identical_results(people: Path, tmp_path: Path) -> None:
    asked = ("quick,slow", "identity,occlude:right,blur:2")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert finish(start(whole, people, *asked)) == "made 18 kept 0 failed 0"

    process = start(cut, people, *asked)
    wait_for(lambda: len(results(cut)) >= 3, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in results(cut)}
    assert 3 <= len(before) < 18, "the run was not killed in the middle"

    out = finish(start(cut, people, *asked))
    assert out.startswith("made ")
    assert out.endswith(" failed 0")
    assert int(out.split()[3]) >= len(before)
    assert {path: path.stat().st_mtime_ns for path in before} == before, "finished results were made again"
    assert contents(cut) == contents(whole)
    assert len(results(whole)) == 18


def test_ctrl_c_ends_a_run_cleanly_and_it_goes_on_later(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = start(out, people, "slow", "identity,blur:2,blur:3")
    wait_for(lambda: len(results(out)) >= 1, process)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in error
    count = len(results(out))
    assert not (out / ".run.pid").exists()
    time.sleep(0.5)
    assert len(results(out)) == count, "a worker went on after the run had ended"
    kept = finish(start(out, people, "slow", "identity,blur:2,blur:3"))
    assert kept == f"made {9 - count} kept {count} failed 0"


def test_a_dying_worker_costs_one_subject_only(people: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert finish(start(out, people, "quick,dying", jobs=1)) == "made 5 kept 0 failed 1"
    failure = RunFolder(out).failure(ResultKey("dying", "identity", "b"))
    assert failure is not None
    assert failure["error"] == "WorkerDied"
    assert "memory" in failure["message"]
    assert RunFolder(out).finished(ResultKey("dying", "identity", "c")) is not None


def test_one_failing_subject_never_stops_a_run_and_is_tried_again(
    run: Run, fakes: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run("failing,quick")
    key = ResultKey("failing", "identity", "b")
    assert [outcome.key for outcome in first.failed] == [key]
    assert len(first.made) == 5
    failure = first.folder.failure(key)
    assert failure is not None
    assert failure["message"] == "ValueError: seven is not eight"
    assert failure["traceback"]
    monkeypatch.setitem(fakes.METHODS, "failing", type("Mended", (fakes.Quick,), {"name": "failing"}))
    second = run("failing,quick")
    assert second.made == (key,)
    assert second.kept == 5
    assert not second.failed
    assert first.folder.failure(key) is None


def test_a_photograph_without_a_face_fails_alone(run: Run, fakes: ModuleType, people: Path) -> None:
    fakes.write_people(people, "Z")
    summary = run("quick,failing", "identity,blur:2")
    assert {o.key.subject for o in summary.failed if o.kind == "FaceNotFoundError"} == {"z"}
    assert sum(o.key.subject == "z" for o in summary.failed) == 4


def test_a_damaged_photograph_fails_alone(run: Run, people: Path) -> None:
    (people / "d.png").write_bytes((people / "a.png").read_bytes()[:700])
    summary = run()
    assert [(o.key.subject, o.kind) for o in summary.failed] == [("d", "ImageError")]
    assert "d.png" in summary.failed[0].message


def test_the_run_folder_says_what_was_made_from_what(run: Run) -> None:
    summary = run("quick", "occlude:right", parameters={"quick": {"strength": 0.5}})
    folder = summary.folder
    record = folder.finished(ResultKey("quick", "occlude:right", "a"))
    assert record is not None
    assert record["inputs"]["parameters"] == {"strength": 0.5, "steps": 3}
    assert record["record"] == {"losses": [0.0, 1.0, 2.0], "extractor": "none"}, "times belong into timings.json"
    place = folder.result(ResultKey("quick", "occlude:right", "a"))
    assert {p.name for p in place.iterdir()} == {"albedo.png", "mask.png", "head.glb", "views", "result.json",
                                                "timings.json"}  # fmt: skip
    for name, digest in record["files"].items():
        assert hashlib.sha256((place / name).read_bytes()).hexdigest() == digest
    config = folder.read_config()
    assert config["settings"]["seed"] == 0
    assert config["made_with"][0]["packages"]["numpy"] == np.__version__
    assert json.loads((place / "timings.json").read_text())["seconds"]["method"] > 0


def test_no_method_sees_the_withheld_half(run: Run, people: Path, fakes: ModuleType, monkeypatch: Any) -> None:
    seen: list[np.ndarray] = []
    reconstruct = fakes.Quick.reconstruct

    def watching(self: Any, photograph: Any, context: Any) -> Any:
        seen.append(photograph.srgb)
        return reconstruct(self, photograph, context)

    monkeypatch.setattr(fakes.Quick, "reconstruct", watching)
    summary = run("quick", "occlude:right", subjects=("a",))
    original = read_png(people / "a.png")
    (given,) = seen
    # The stand-in's subject faces the camera: the right half of the face is the left half of the picture.
    assert (given[:, :64] == 0.5).all()
    assert (given[:, 68:] == original[:, 68:]).all()
    assert (read_png(summary.folder.reference("a") / "photo.png") == original).all()
    withheld = read_png(summary.folder.judged("a", "occlude:right") / "withheld.png")
    reference = read_png(summary.folder.judged("a", "occlude:right") / "albedo.png")
    assert reference[withheld].std() > 0.05, "the reference keeps what was withheld"


def test_methods_protocols_and_subjects_can_be_added(run: Run) -> None:
    run("quick", "identity", subjects=("a",))
    summary = run("quick,failing", "identity,blur:2", subjects=("a", "c"))
    assert (len(summary.made), summary.kept) == (7, 1)
    config = summary.folder.read_config()
    assert list(config["methods"]) == ["quick", "failing"]
    assert config["subjects"] == ["a", "c"]
    again = run("quick", "identity", subjects=("a",))
    assert (len(again.made), again.kept) == (0, 1)
    assert list(again.folder.read_config()["methods"]) == ["quick", "failing"], "asking for less forgets nothing"


@pytest.mark.parametrize(
    ("change", "named"),
    [({"seed": 1}, "seed"), ({"size": 128}, "size"), ({"parameters": {"quick": {"steps": 4}}}, "quick.steps")],
)
def test_a_changed_setting_is_refused_by_name(run: Run, change: dict[str, Any], named: str) -> None:
    before = contents(run().folder.path)
    with pytest.raises(UsageError, match=named) as caught:
        run(**change)
    assert "--out" in str(caught.value)
    assert contents(run().folder.path) == before


def test_a_photograph_that_changed_is_not_mixed_in(run: Run, people: Path) -> None:
    run()
    (people / "a.png").write_bytes((people / "b.png").read_bytes())
    summary = run("quick,failing")
    assert ("a", "InputError") in {(o.key.subject, o.kind) for o in summary.failed}


def test_a_result_that_lost_a_file_is_made_again(run: Run) -> None:
    folder = run().folder
    before = contents(folder.path)
    (folder.result(ResultKey("quick", "identity", "a")) / "mask.png").unlink()
    assert run().made == (ResultKey("quick", "identity", "a"),)
    assert contents(folder.path) == before


def test_not_applicable_is_no_failure_and_is_not_asked_twice(run: Run) -> None:
    first, second = run("picky,quick"), run("picky,quick")
    assert [o.message for o in first.not_applicable] == ["no captured albedo"] * 3
    assert not first.failed
    assert len(second.not_applicable) == 3
    assert not second.made


def test_a_full_disk_keeps_what_is_finished(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.replace, []

    def full(source: Any, target: Any) -> None:
        calls.append(target)
        if str(target).endswith("albedo.png") and "results" in str(target) and "/b/" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("recon.storage.os.replace", full)
        with pytest.raises(StorageError, match="disk is full"):
            run()
    folder = RunFolder(tmp_path / "run")
    assert len(results(folder.path)) == 1
    assert not list(folder.path.rglob("*.partial*"))
    summary = run()
    assert (len(summary.made), summary.kept) == (2, 1)


def test_two_processes_cannot_work_on_one_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys, filelock; l = filelock.FileLock(sys.argv[1]); l.acquire(); print('held', "
         "flush=True); input()", str(tmp_path / "run" / ".run.lock")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    (tmp_path / "run" / ".run.pid").write_text(str(holder.pid))
    with pytest.raises(UsageError, match=f"process {holder.pid}"):
        run()
    holder.kill()
    holder.communicate()
    # The killed holder left both files behind; its lock is free all the same.
    assert len(run().made) == 3


def test_the_lock_names_its_holder_while_it_is_held(tmp_path: Path) -> None:
    with locked(tmp_path / "x.lock", "x"):
        assert (tmp_path / "x.pid").read_text() == str(os.getpid())
    assert not (tmp_path / "x.pid").exists()


def test_a_folder_with_other_things_in_it_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    with pytest.raises(UsageError, match="no run"):
        run()
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["thesis.tex"]


# Databases


def write_database(folder: Path, people: dict[str, str]) -> Path:
    """A database of flat textures: ``{id: sha256 of the photograph}``."""
    from recon.texture.database import Entry, write_entry, write_index

    fakes = sys.modules["run_fakes"]
    everywhere = np.ones((fakes.SIZE, fakes.SIZE), bool)
    for index, name in enumerate(people):
        albedo = np.full((fakes.SIZE, fakes.SIZE, 3), 0.2 + 0.05 * index, np.float32)
        write_entry(folder, name, albedo, everywhere, everywhere)
    entries = [Entry(name, digest) for name, digest in people.items()]
    write_index(folder, fakes.face_model(), fakes.SIZE, "made", entries)
    return folder


def test_a_method_that_needs_a_database_says_so_at_once(run: Run) -> None:
    with pytest.raises(UsageError, match="--database"):
        run("needy")


def test_tested_people_are_taken_out_of_the_database(run: Run, people: Path, tmp_path: Path) -> None:
    from recon.images import read_photograph

    twin = read_photograph(people / "b.png").sha256
    database = write_database(tmp_path / "db", {"a": "0", "twin": twin, "p": "1", "q": "2", "r": "3", "s": "4"})
    summary = run("needy", database=str(database))
    assert not summary.failed

    def held(subject: str) -> list[str]:
        record = summary.folder.finished(ResultKey("needy", "identity", subject))
        assert record is not None
        return list(record["record"]["people"])

    assert held("c") == ["p", "q", "r", "s", "twin"]
    assert held("b") == ["p", "q", "r", "s"], "the same photograph under another name"


def test_a_leak_is_refused_not_trusted(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = write_database(tmp_path / "db", {"a": "0", "p": "1", "q": "2", "r": "3", "s": "4"})
    monkeypatch.setattr("recon.texture.database.TextureDatabase.without", lambda self, ids=(), hashes=(): self)
    summary = run("needy", database=str(database))
    assert not summary.made
    assert {outcome.kind for outcome in summary.failed} == {"DatabaseError"}


def test_a_database_left_with_too_few_people_is_refused(run: Run, tmp_path: Path) -> None:
    database = write_database(tmp_path / "db", {"a": "0", "b": "1", "p": "2", "q": "3", "r": "4"})
    with pytest.raises(DatabaseError, match="3 usable people"):
        run("needy", database=str(database))


def test_testing_everybody_leaves_nobody_for_the_database(run: Run, people: Path) -> None:
    with pytest.raises(DatabaseError, match="--limit"):
        run("needy", database=f"folder={people}")


def test_another_database_is_another_run(run: Run, tmp_path: Path) -> None:
    first = write_database(tmp_path / "db1", dict.fromkeys("pqrs", "1"))
    second = write_database(tmp_path / "db2", dict.fromkeys("pqrst", "1"))
    run("needy", database=str(first))
    with pytest.raises(UsageError, match="database"):
        run("needy", database=str(second))


# Choices and settings


def people_named(*ids: str) -> TestSet:
    licence = Licence("CC0")
    return TestSet("made", tuple(Subject(name, "made", Path(f"{name}.png"), licence) for name in sorted(ids)))


def test_a_larger_limit_extends_a_smaller_one() -> None:
    everybody = people_named(*(f"{i:03d}" for i in range(40)))
    chosen = [{s.id for s in choose_subjects(everybody, (), limit, seed=3)} for limit in (5, 12, 40, 99)]
    assert [len(ids) for ids in chosen] == [5, 12, 40, 40]
    assert chosen[0] < chosen[1] < chosen[2]
    assert {s.id for s in choose_subjects(everybody, (), 5, seed=4)} != chosen[0]


def test_an_unknown_subject_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"'anne'.*'anna'"):
        choose_subjects(people_named("anna", "bert"), ("anne",), None, 0)


DEFAULTS = {"deep": {"alpha": 2000.0, "layers": ("a", "b"), "note": "", "steps": 10, "extra": None}}


def test_settings_take_the_type_of_the_default() -> None:
    given = ["deep.alpha=500", 'deep.layers=["a"]', "deep.note=x y", "deep.steps=3", "deep.extra=1.5"]
    assert parse_settings(given, DEFAULTS) == {
        "deep": {"alpha": 500.0, "layers": ("a",), "note": "x y", "steps": 3, "extra": 1.5}
    }


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("alpha=3", "method.parameter=value"),
        ("deep.alpha", "method.parameter=value"),
        ("pca.alpha=3", "not among"),
        ("deep.alhpa=3", "did you mean 'alpha'"),
        ("deep.steps=many", "expected a value like 10"),
        ("deep.steps=true", "expected a value like 10"),
    ],
)
def test_wrong_settings_are_refused(setting: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_settings([setting], DEFAULTS)


def test_a_name_that_no_subject_could_use_is_refused_at_once(run: Run, tmp_path: Path) -> None:
    for wrong in ({"renderer": "gbufer"}, {"features": "vgg99"}, {"device": "tpu9"}):
        with pytest.raises(UsageError):
            run(**wrong)
    assert not (tmp_path / "run" / "run.json").exists()


# The command line


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


def test_a_worker_has_its_share_of_threads_but_one_for_small_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spinning BLAS threads made a fit thirty times slower beside another program."""
    from recon.worker_pool import _threads_in_environment

    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with _threads_in_environment(4):
        assert (os.environ["OMP_NUM_THREADS"], os.environ["OPENBLAS_NUM_THREADS"]) == ("4", "1")
    assert os.environ["OPENBLAS_NUM_THREADS"] == "7"
    assert "OMP_NUM_THREADS" not in os.environ
