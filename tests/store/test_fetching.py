"""A run out of a store into a folder: whole, continued where it broke off, and never over a user's work."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from store_server import BUCKET, contents

from recon.errors import StorageError, UsageError
from recon.store.fetching import Fetched, fetch_store
from recon.store.objects import Store

ADDRESS = f"s3://{BUCKET}/lab/run"
FILES = {
    "run.json": b"{}",
    "metrics.parquet": b"numbers",
    "reference/a/photo.png": b"photograph",
    "reference/a/subject.json": b"{}",
    "results/quick/identity/a/albedo.png": b"albedo",
    "results/quick/identity/a/result.json": b"{}",
    ".mesoface.claim": b"{}",
}


def nothing(done: int, total: int | None) -> None:
    """No progress."""


@pytest.fixture
def filled(s3: Any) -> Any:
    for name, content in FILES.items():
        s3.put_object(Bucket=BUCKET, Key=f"lab/run/{name}", Body=content)
    return s3


def files(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(".fetched")}


def visible() -> dict[str, bytes]:
    return {name: content for name, content in FILES.items() if not name.startswith(".")}


def test_all_is_brought_once(filled: Any, tmp_path: Path) -> None:
    moved: list[tuple[int, int | None]] = []
    folder = tmp_path / "fetched"
    size = sum(map(len, visible().values()))
    assert fetch_store(ADDRESS, folder, lambda *one: moved.append(one)) == Fetched(6, 0, size)
    assert files(folder) == visible()
    assert moved[-1] == (size, size)
    before = {path: path.stat().st_ino for path in folder.rglob("*") if not path.name.startswith(".fetched")}
    assert fetch_store(ADDRESS + "/", folder, nothing) == Fetched(0, 6, 0)
    assert {path: path.stat().st_ino for path in before} == before, "what was there was brought again"


def test_a_fetch_that_broke_off_continues(filled: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, brought = tmp_path / "fetched", []
    real = Store.bring

    def bring(self: Store, wanted: Any, *rest: Any) -> None:
        if brought:
            raise StorageError("the network is gone")
        brought.extend(wanted)
        real(self, wanted, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "bring", bring)
        with pytest.raises(StorageError, match="network"):
            fetch_store(ADDRESS, folder, nothing)
    assert not any(name.endswith(".json") for name in brought), "a record came before the files that it vouches for"
    assert set(files(folder)) == set(brought) and len(brought) == 3
    (folder / ".incoming-killed").mkdir()  # what a killed program leaves behind
    os.utime(folder / ".incoming-killed", (0, 0))
    assert not (folder / "run.json").exists(), "half a run passes for one"
    assert fetch_store(ADDRESS, folder, nothing).kept == 3
    assert files(folder) == visible() and not (folder / ".incoming-killed").exists()


def test_what_changed_in_the_store_is_brought_anew(filled: Any, tmp_path: Path) -> None:
    folder = tmp_path / "fetched"
    fetch_store(ADDRESS, folder, nothing)
    place = "results/quick/identity/a"
    filled.delete_object(Bucket=BUCKET, Key=f"lab/run/{place}/result.json")
    filled.put_object(Bucket=BUCKET, Key=f"lab/run/{place}/failure.json", Body=b'{"error": "it failed now"}')
    assert fetch_store(ADDRESS, folder, nothing).fetched == 1
    assert not (folder / place / "result.json").exists(), "a record that the store has no more still vouches"
    assert (folder / place / "failure.json").exists()


def test_nothing_of_the_users_is_overwritten(filled: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("all of it")
    with pytest.raises(UsageError, match=r"mine' is not empty: name a new folder"):
        fetch_store(ADDRESS, mine, nothing)
    assert os.listdir(mine) == ["thesis.tex"]
    folder = tmp_path / "fetched"
    fetch_store(ADDRESS, folder, nothing)
    filled.put_object(Bucket=BUCKET, Key="lab/other/run.json", Body=b"{}")
    with pytest.raises(UsageError, match="holds what was fetched from"):
        fetch_store(f"s3://{BUCKET}/lab/other", folder, nothing)
    (folder / "metrics.parquet").write_bytes(b"measured more")
    with pytest.raises(UsageError, match="was worked in since"):
        fetch_store(ADDRESS, folder, nothing)
    assert (folder / "metrics.parquet").read_bytes() == b"measured more"


def test_the_command_says_what_it_did(filled: Any, tmp_path: Path, mesoface: Callable[..., tuple[int, str]]) -> None:
    code, printed = mesoface("fetch", ADDRESS, tmp_path / "first", "--json", "--quiet")
    assert code == 0
    assert json.loads(printed)["fetched"] == 6
    code, printed = mesoface("fetch", ADDRESS, tmp_path / "whole")
    assert code == 0 and "6 files fetched" in printed and "0 were there" in printed
    code, printed = mesoface("fetch", f"s3://{BUCKET}/lab", tmp_path / "none")
    assert code == 2 and "is no run and no database" in printed
    assert contents(filled, "lab/run"), "fetching took something away"
