"""Which people are tested and which settings a run takes: drawn, checked, refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recon.data.subject import Licence, Subject, TestSet
from recon.errors import AssetError, InputError, UsageError
from recon.runs import Summary
from recon.runs.config import choose_subjects, default_jobs, parse_settings

Run = Callable[..., Summary]
DEFAULTS = {"deep": {"alpha": 2000.0, "layers": ("a", "b"), "note": "", "steps": 10, "extra": None}}


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


@pytest.mark.parametrize(
    ("tasks", "size", "memory", "jobs"),
    [(99, 512, 64.0, 8), (3, 512, 64.0, 3), (99, 512, 16.0, 4), (99, 1024, 16.0, 3), (99, 2048, 64.0, 3),
     (99, 4096, 16.0, 1)],
)  # fmt: skip
def test_there_are_as_many_workers_as_cores_and_memory_allow(
    monkeypatch: pytest.MonkeyPatch, tasks: int, size: int, memory: float, jobs: int
) -> None:
    monkeypatch.setattr("recon.runs.config.os.sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr("recon.runs.config.memory_gigabytes", lambda: memory)
    assert default_jobs(tasks, size) == jobs


def test_settings_take_the_type_of_the_default() -> None:
    given = ["deep.alpha=500", 'deep.layers=["a", "c"]', "deep.note=x y", "deep.steps=3", "deep.extra=1.5"]
    assert parse_settings(given, DEFAULTS) == {
        "deep": {"alpha": 500.0, "layers": ("a", "c"), "note": "x y", "steps": 3, "extra": 1.5}
    }


@pytest.mark.parametrize("text", ["40/12", "40,12", "[40, 12]", "(40, 12)"])
def test_several_numbers_are_written_in_any_usual_way(text: str) -> None:
    assert parse_settings([f"deep.iterations={text}"], {"deep": {"iterations": (1, 2)}}) == {
        "deep": {"iterations": (40, 12)}
    }


@pytest.mark.parametrize("text", ["40", "40/12/3", "40/many", "40/1.5", "", "40/12/"])
def test_several_numbers_are_as_many_and_of_the_kind_of_the_default(text: str) -> None:
    with pytest.raises(UsageError, match="expected a value like 1/2"):
        parse_settings([f"deep.iterations={text}"], {"deep": {"iterations": (1, 2)}})


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


@pytest.mark.parametrize(
    "wrong",
    [
        {"renderer": "gbufer"},
        {"features": "vgg99"},
        {"device": "tpu9"},
        {"device": "cuda"},
        {"data": "folder=absent"},
        {"data": "londen=absent"},
        {"subjects": ("nobody",)},
        {"database": "absent"},
        {"database": "synthetic=2"},
        {"methods": "needy"},
    ],
    ids=str,
)
def test_what_no_subject_could_use_is_refused_at_once_and_leaves_nothing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = sorted(tmp_path.iterdir())
    with pytest.raises((UsageError, InputError)):
        run(**wrong)
    assert sorted(tmp_path.iterdir()) == before


def test_a_renderer_whose_package_is_missing_fails_once(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recon.rendering.cycles_renderer import INTERPRETER, blender_version

    monkeypatch.setenv(INTERPRETER, str(tmp_path / "no-python"))
    blender_version.cache_clear()
    with pytest.raises(AssetError, match="no-python', which is no file"):
        run(renderer="cycles")
    assert not (tmp_path / "run").exists()
