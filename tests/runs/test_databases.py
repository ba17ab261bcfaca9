"""The database of a run never holds a tested person, and another database is another run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import run_fakes

from recon.errors import DatabaseError, UsageError
from recon.runs import ResultKey, Summary

Run = Callable[..., Summary]


def write_database(folder: Path, people: dict[str, str]) -> Path:
    """A database of flat textures: ``{id: sha256 of the photograph}``."""
    from recon.texture.database import Entry, write_entry, write_index

    everywhere = np.ones((run_fakes.SIZE, run_fakes.SIZE), bool)
    for index, name in enumerate(people):
        albedo = np.full((run_fakes.SIZE, run_fakes.SIZE, 3), 0.2 + 0.05 * index, np.float32)
        write_entry(folder, name, albedo, everywhere, everywhere)
    entries = [Entry(name, digest) for name, digest in people.items()]
    write_index(folder, run_fakes.face_model(), run_fakes.SIZE, "made", entries)
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
