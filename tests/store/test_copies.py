"""Working copies: what is sent in which order, what of an earlier program's stays, and who may work in a store."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import run_fakes

from recon.data import load_test_set
from recon.errors import DatabaseError, InputError, StorageError, UsageError
from recon.parcel import pack, unpack
from recon.runs.folder import complete_record
from recon.store import brought, brought_here, made_in, modified, objects, said
from recon.store.claim import CLAIM, Claim, claimed
from recon.store.copies import WorkingCopy, rank
from recon.store.objects import Store
from recon.store.places import arrival, departure, own_copy, whole_database, work_folder, working_copy

RESULT = "results/meso/identity/a/"


@pytest.fixture
def store(memory: str) -> Store:
    """An empty one that holds a run's record."""
    found = Store.of(memory)
    found.write("run.json", b'{"format": 1}')
    return found


@pytest.fixture
def copy(store: Store) -> Iterator[WorkingCopy]:
    with working_copy(store) as opened:
        opened.look()
        opened.pull(lambda name: True)
        yield opened


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is sent and removed, in its order."""
    found: list[str] = []
    send, remove = Store.send, Store.remove

    def sending(self: Store, names: Any, folder: Path) -> None:
        found.extend(names)
        send(self, names, folder)

    def removing(self: Store, names: Any) -> None:
        found.extend(f"-{name}" for name in names)
        remove(self, names)

    monkeypatch.setattr(Store, "send", sending)
    monkeypatch.setattr(Store, "remove", removing)
    return found


def write(copy: WorkingCopy, **files: str) -> None:
    """``write(copy, **{"name": "content"})``"""
    for name, content in files.items():
        path = copy.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def test_a_record_is_sent_after_its_files_and_taken_away_before_they_change(
    copy: WorkingCopy, order: list[str]
) -> None:
    write(copy, **{f"{RESULT}result.json": "{}", f"{RESULT}albedo.png": "one", f"{RESULT}timings.json": "{}",
                   "reference/a/subject.json": "{}", "run.json": "{ }"})  # fmt: skip
    copy.push()
    assert order == [f"{RESULT}albedo.png", f"{RESULT}timings.json", "reference/a/subject.json",
                     f"{RESULT}result.json", "run.json"]  # fmt: skip
    order.clear()
    copy.push()
    assert order == [], "what the store has was sent again"
    write(copy, **{f"{RESULT}albedo.png": "two", f"{RESULT}result.json": "{ }"})
    copy.push()
    assert order == [f"-{RESULT}result.json", f"{RESULT}albedo.png", f"{RESULT}result.json"]
    order.clear()
    write(copy, **{f"{RESULT}albedo.png": "two"})  # the same bytes at another time
    copy.push()
    assert order == []


def test_an_interrupted_sending_leaves_no_record(copy: WorkingCopy, monkeypatch: pytest.MonkeyPatch) -> None:
    write(copy, **{f"{RESULT}result.json": "{}", f"{RESULT}albedo.png": "one"})
    send = Store.send

    def breaking(self: Store, names: Any, folder: Path) -> None:
        if any(map(rank, names)):
            raise StorageError("the network is gone")
        send(self, names, folder)

    with monkeypatch.context() as patch:
        patch.setattr(Store, "send", breaking)
        with pytest.raises(StorageError):
            copy.push()
    assert set(copy.store.listed()) == {"run.json", f"{RESULT}albedo.png"}
    copy.push()
    assert f"{RESULT}result.json" in copy.store.listed()


def test_what_is_made_anew_as_a_whole_leaves_nothing_of_the_old(copy: WorkingCopy) -> None:
    for name in ("failure.json", "views/old.png"):
        copy.store.write(f"{RESULT}{name}", b"old")
    copy.store.write("results/meso/identity/b/failure.json", b"another's")
    copy.look()
    write(copy, **{f"{RESULT}result.json": "{}", f"{RESULT}albedo.png": "one"})
    copy.push((RESULT,), (RESULT,))
    assert set(copy.store.listed(RESULT)) == {f"{RESULT}result.json", f"{RESULT}albedo.png"}
    assert "results/meso/identity/b/failure.json" in copy.store.listed()


def test_what_lies_in_the_store_alone_exists_and_can_be_brought(copy: WorkingCopy) -> None:
    copy.store.write(f"{RESULT}albedo.png", b"one")
    copy.store.write(f"{RESULT}result.json", b'{"files": {"albedo.png": ""}}')
    copy.look()
    copy.pull(lambda name: name.endswith(".json"))
    path = copy.folder / RESULT / "albedo.png"
    assert not path.exists() and modified(path) == copy.listed[f"{RESULT}albedo.png"].modified
    assert complete_record(path.with_name("result.json")) is not None
    assert brought_here(path).read_bytes() == b"one" and path.stat().st_mtime_ns == modified(path)
    copy.store.remove([f"{RESULT}albedo.png"])
    copy.look()
    assert modified(path) is None and not path.exists(), "what another machine removed is still taken for there"
    assert complete_record(path.with_name("result.json")) is None


def test_an_earlier_programs_files_stay_only_if_they_are_the_stores(store: Store) -> None:
    with working_copy(store) as copy:
        write(copy, **{"reference/a/subject.json": "{}", "metrics.parquet": "one"})
        copy.push()
        write(copy, **{".metrics/part-00000000.parquet": "rows", "reference/b/subject.json": "never sent"})
    with working_copy(store) as copy:
        copy.look()
        copy.settle()
        there = {path.name for path in copy.folder.rglob("*") if path.is_file()}
        assert there == {"run.json", "subject.json", "metrics.parquet", "part-00000000.parquet"} - {"run.json"}
        assert not (copy.folder / "reference" / "b" / "subject.json").exists()
        store.write("metrics.parquet", b"another machine measured")
        copy.look()
        copy.settle()
        assert not list(copy.folder.rglob("*.parquet")), "rows of a table that was replaced were kept"
    assert "reference/b/subject.json" not in store.listed()


def test_a_file_that_vanished_from_the_cache_is_not_removed_from_the_store(store: Store) -> None:
    with working_copy(store) as copy:
        write(copy, **{"reference/a/subject.json": "{}"})
        copy.push()
        folder = copy.folder
    (folder / "reference" / "a" / "subject.json").unlink()  # somebody clears the cache
    with made_in(store.address):
        pass
    assert "reference/a/subject.json" in store.listed()


def test_a_reader_beside_a_program_that_makes_something_has_its_own_copy(store: Store) -> None:
    with made_in(store.address) as folder:
        (folder / "reference").mkdir()
        (folder / "reference" / "new.json").write_text("not sent yet")
        with brought(store.address) as other:
            assert other != folder and other.name == folder.name
            assert (other / "run.json").is_file() and not (other / "reference").exists()
        assert not other.exists(), "the second copy was left behind"
        assert (folder / "reference" / "new.json").is_file()
    assert "reference/new.json" in store.listed()


def test_a_reader_sends_its_report_and_nothing_else(store: Store) -> None:
    with brought(store.address) as folder:
        (folder / "report").mkdir()
        (folder / "report" / "comparison.html").write_text("page")
        (folder / "run.json").write_text("spoilt")
        assert said(folder / "report") == f"{store.address}/report"
    assert store.read("report/comparison.html") == b"page"
    assert store.read("run.json") == b'{"format": 1}'


def test_what_was_finished_is_sent_though_the_command_fails_and_errors_speak_of_the_address(store: Store) -> None:
    def fail() -> None:
        with made_in(store.address) as folder:
            (folder / "metrics.parquet").write_text("rows")
            raise UsageError(f"'{folder / 'run.json'}' displeases.")

    with pytest.raises(UsageError, match=rf"^'{store.address}/run\.json' displeases\.$"):
        fail()
    assert set(store.listed()) == {"run.json", "metrics.parquet"}


def test_a_path_in_a_copy_is_one_in_the_receivers_own(copy: WorkingCopy, tmp_path: Path) -> None:
    path = copy.folder / "results" / "x.json"
    assert departure(path) == (copy.store.address, "results/x.json", False)
    parcel = pack({"out": path, "other": tmp_path / "y", "relative": Path("z")})
    assert str(copy.folder).encode() not in parcel
    assert unpack(parcel) == {"out": path, "other": tmp_path / "y", "relative": Path.cwd() / "z"}
    receiver = subprocess.run(
        [sys.executable, "-c", "import pickle, sys; print(pickle.loads(sys.stdin.buffer.read())['out'])"],
        input=parcel, capture_output=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    theirs = Path(receiver.stdout.decode().strip())
    assert theirs.name == "x.json" and theirs != path and "at-work" in theirs.parts
    assert pickle.loads(pickle.dumps(arrival(copy.store.address, "a", False))) == copy.folder / "a"


def test_copies_of_dead_processes_are_removed(store: Store) -> None:
    code = (
        "import os, sys; from recon.store.places import own_copy; copy = own_copy(sys.argv[1]); "
        "(copy.folder / 'big').write_text('x'); print(copy.folder, flush=True); os.kill(os.getpid(), 9)"
    )
    dead = subprocess.run(
        [sys.executable, "-c", code, store.address], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    left = Path(dead.stdout.strip())
    assert (left / "big").is_file()
    with working_copy(store) as copy:
        assert own_copy(store.address) is copy
    assert not left.exists() and not list(work_folder(store.address).glob("*/at-work/*"))


# Claims.


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signs of life, and their absence, in parts of a second."""
    monkeypatch.setattr("recon.store.claim.RENEWED", 0.02)
    monkeypatch.setattr("recon.store.claim._LOOKED_AT", 0.05)
    monkeypatch.setattr("recon.store.claim.VOID", 0.5)


def claim_of_another(store: Store, **other: Any) -> None:
    """As a program of another machine would write it; it gives no sign of life."""
    claim = json.loads(Claim(store)._text())
    store.write(CLAIM, json.dumps({**claim, "token": "theirs", "machine": "elsewhere", **other}).encode())


@pytest.mark.usefixtures("impatient")
def test_two_programs_cannot_make_something_in_one_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with made_in(store.address):
        monkeypatch.setattr("recon.store.claim._lives", lambda process: True)  # our own number is of an earlier program
        with pytest.raises(UsageError, match=rf"is being worked on by process {os.getpid()} on .* wait until it ends"):
            made_in(store.address).__enter__()
        assert store.read(CLAIM) is not None
    assert set(store.listed()) == {"run.json"}, "the claim was not given back"


@pytest.mark.usefixtures("impatient")
def test_a_claim_is_void_when_its_program_is_dead_or_silent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    machine = json.loads(Claim(store)._text())["machine"]
    claim_of_another(store, machine=machine, process=dead.pid)
    with monkeypatch.context() as patch:
        patch.setattr("recon.store.claim.VOID", 1000.0)
        with claimed(store):  # seen to be dead, not waited for
            pass
    claim_of_another(store)
    started = time.monotonic()
    with claimed(store):
        assert time.monotonic() - started >= 0.5
        assert json.loads(store.read(CLAIM) or b"")["token"] != "theirs"
    assert set(store.listed()) == {"run.json"}, "a claim was left behind"


@pytest.mark.usefixtures("impatient")
def test_who_lost_the_claim_sends_nothing_more_and_leaves_the_other_alone(store: Store) -> None:
    def lose() -> None:
        with made_in(store.address) as folder:
            claim_of_another(store)
            for thread in threading.enumerate():
                if thread.name == "mesoface-claim":
                    thread.join(timeout=20)
            (folder / "metrics.parquet").write_text("rows")

    with pytest.raises(StorageError, match=r"another program has taken .* everything finished is kept"):
        lose()
    assert set(store.listed()) == {"run.json", CLAIM}
    assert json.loads(store.read(CLAIM) or b"")["token"] == "theirs"


# Databases.


def test_a_database_is_brought_once_and_anew_when_it_changed(memory: str, order: list[str]) -> None:
    store = Store.of(memory)
    with pytest.raises(UsageError, match=rf"'{memory}' holds nothing: look for a typing error"):
        whole_database(memory)
    store.write("build.json", b"begun")
    with pytest.raises(DatabaseError, match=rf"'{memory}' is not a finished .* --out {memory}"):
        whole_database(memory)
    forget_whole()
    for name in ("entries/a.npy", "entries/a.masks.npy", "derived/x.npy", "database.json"):
        store.write(name, name.encode())
    store.write(".mesoface.claim", b"{}")
    folder = whole_database(memory)
    assert {path.name for path in folder.rglob("*") if path.is_file()} == {"a.npy", "a.masks.npy", "database.json"}
    assert whole_database(f"{memory}/") == folder and said(folder / "entries") == f"{memory}/entries"
    assert departure(folder / "entries") == (memory, "entries", True)
    receiver = unpack(pack(folder))
    assert receiver == folder
    store.write("database.json", b"another build")
    forget_whole()
    assert whole_database(memory) != folder and folder.is_dir(), "the old one may still be read by others"


def test_a_data_set_is_brought_whole_and_goes_on_where_it_broke_off(
    memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = run_fakes.write_people(tmp_path / "people", "ab")
    store = Store.of("memory://bucket/people")
    with pytest.raises(UsageError, match=r"'memory://bucket/people' holds nothing"):
        load_test_set("folder=memory://bucket/people")
    store.send(["a.png", "b.png"], people)
    put = objects._put_in_place

    def breaking(path: Path, target: Path, *rest: Any) -> None:
        if target.name == "b.png":
            raise StorageError("the network is gone")
        put(path, target, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("recon.store.objects._put_in_place", breaking)
        with pytest.raises(StorageError):
            load_test_set("folder=memory://bucket/people")
    asked: list[str] = []
    bring = Store.bring
    monkeypatch.setattr(Store, "bring", lambda self, wanted, *rest: (asked.extend(wanted), bring(self, wanted, *rest)))
    test_set = load_test_set("folder=memory://bucket/people/")
    assert asked == ["b.png"]
    assert [subject.photograph.read_bytes() for subject in test_set.subjects] == [
        (people / name).read_bytes() for name in ("a.png", "b.png")
    ]
    assert b"memory://bucket/people" in pack(test_set.subjects) and str(tmp_path).encode() not in pack(
        test_set.subjects
    )
    assert unpack(pack(test_set.subjects)) == test_set.subjects
    forget_whole()
    store.remove(["a.png", "b.png"])
    store.write("notes.txt", b"no photograph")
    with pytest.raises(InputError, match="the folder 'memory://bucket/people' holds no usable photograph"):
        load_test_set("folder=memory://bucket/people")


def forget_whole() -> None:
    """As in another process."""
    from recon.store import places

    places._whole.clear()
