"""What methods load, they load once and beside the first photograph; one that cannot keeps nobody else from working."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from recon.runs import Summary
from recon.storage import read_json

Run = Callable[..., Summary]


def test_a_method_loads_once_in_a_thread_of_its_own(run: Run) -> None:
    summary = run("quick,loading")
    assert (len(summary.made), summary.failed) == (6, ())
    records = [read_json(path) for path in summary.folder.path.glob("results/loading/*/*/result.json")]
    assert len(records) == 3
    for record in records:
        (thread,) = record["record"]["loaded"]
        assert thread.startswith("mesoface-load")


def test_what_cannot_be_loaded_fails_its_own_results_alone(run: Run, fakes: ModuleType) -> None:
    summary = run("unloadable,quick,loading")
    assert sorted(key.method for key in summary.made) == ["loading"] * 3 + ["quick"] * 3
    assert [(outcome.key.method, outcome.kind) for outcome in summary.failed] == [
        ("unloadable", "ModuleNotFoundError")
    ] * 3
    assert all("No module named 'nothing'" in outcome.message for outcome in summary.failed)
