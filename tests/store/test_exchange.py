"""Tasks whose results go to a store: workers have their own copies, bring what they read, send what they made."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import evaluation_toy as toy
import pytest
import store_runs
from store_server import BUCKET, objects

from recon.cluster.station import unseen
from recon.errors import InputError
from recon.runs import ResultKey, RunFolder
from recon.store import brought, made_in
from recon.store.objects import Store
from recon.store.places import whole_database
from recon.worker_pool import Finished, Needs, Reported, at_hand, work_through

ADDRESS = f"s3://{BUCKET}/lab/run"
PREFIX = "lab/run"


@pytest.fixture
def people(s3: Any) -> Any:
    """Four, each with a note that is read and a picture that is not, and an old result."""
    for name in "abcd":
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/reference/{name}/note.txt", Body=name.encode())
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/reference/{name}/photo.png", Body=b"large")
        s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/results/{name}/old.json", Body=b"{}")
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/run.json", Body=b"{}")
    s3.put_object(Bucket=BUCKET, Key="lab/base/database.json", Body=b"!")
    return s3


def work(tasks: str, jobs: int) -> list[Any]:
    """What workers report of each task."""
    base = whole_database(f"s3://{BUCKET}/lab/base")
    with made_in(ADDRESS) as folder:
        needs = Needs(folder, parts=store_runs.copying_parts, records=("run.json",))
        order = store_runs.Order(folder, base)
        with at_hand(needs):
            events = list(work_through(tasks, store_runs.copying, order, jobs=jobs, threads=1))
        assert (folder / "entries" / "a.json").is_file() and not (folder / "entries" / "a.npy").exists(), (
            "of what workers made, records come back, and nothing else"
        )
    assert sorted(event.task for event in events if isinstance(event, Finished)) == list(tasks)
    return [event.content for event in events if isinstance(event, Reported)]


@pytest.mark.slow
def test_workers_bring_what_they_read_and_send_what_they_made(people: Any, tmp_path: Path) -> None:
    before = objects(people, PREFIX)
    reports = work("abc", jobs=2)
    assert sorted(seen for _, seen in reports) == [[f"reference/{name}/note.txt", "run.json"] for name in "abc"]
    assert os.getpid() not in {process for process, _ in reports}
    made = {name: content for name, content in objects(people, PREFIX).items() if name not in before}
    assert made == {f"entries/{name}.json": b"{}" for name in "abc"} | {
        f"entries/{name}.npy": f"{name}!".encode() for name in "abc"
    }
    assert "results/a/old.json" in objects(people, PREFIX), "a result was replaced by nothing"
    assert not list((tmp_path / "work").rglob("at-work/*"))


@pytest.mark.slow
def test_an_error_of_a_worker_speaks_of_the_address_and_what_was_made_stays(people: Any) -> None:
    with pytest.raises(InputError, match=rf"^'{ADDRESS}/reference/d/note\.txt' displeases\.$"):
        work("ad", jobs=1)
    assert objects(people, PREFIX)["entries/a.npy"] == b"a!"
    assert not [name for name in objects(people, PREFIX) if name.startswith((".", "entries/d"))]


def test_work_that_does_not_say_what_it_reads_is_a_defect(people: Any) -> None:
    with made_in(ADDRESS) as folder, pytest.raises(RuntimeError, match="does not say what its tasks read and make"):
        at_hand(Needs(folder)).__enter__()


def test_a_worker_that_cannot_read_the_store_is_told_what_it_lacks(people: Any, tmp_path: Path) -> None:
    with brought(ADDRESS) as folder:
        said = unseen("tcp://w", Needs(folder))
    assert f"tcp://w does not read what this machine writes into '{ADDRESS}'" in said and "AWS_ENDPOINT_URL" in said
    assert "share under the same path" in unseen("tcp://w", Needs(tmp_path))


@pytest.mark.slow
def test_measuring_gives_the_table_of_a_folder(
    s3: Any, tmp_path: Path, mesoface: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = toy.write_run(tmp_path / "run")
    names = sorted(path.relative_to(plain.path).as_posix() for path in plain.path.rglob("*") if path.is_file())
    Store.of(ADDRESS).send([name for name in names if not name.endswith("result.json")], plain.path)
    Store.of(ADDRESS).send([name for name in names if name.endswith("result.json")], plain.path)
    monkeypatch.setattr("recon.store.exchange.SEND_EVERY", 0.0)
    sent: list[str] = []
    send = Store.send
    monkeypatch.setattr(Store, "send", lambda self, names, folder: (sent.extend(names), send(self, names, folder)))
    options = ("--metrics", "psnr,detail,skin-tone-groups", "--device", "cpu", "--jobs", "1")
    assert mesoface("metrics", plain.path, *options)[0] == 0
    code, printed = mesoface("metrics", ADDRESS, *options)
    assert code == 0 and f"{ADDRESS}/metrics.parquet: " in printed
    parts = [number for number, name in enumerate(sent) if name.startswith(".metrics/part-")]
    assert len(parts) > 1 and parts[-1] < sent.index("metrics.parquet"), "rows were not safe before the table was"
    found = objects(s3, PREFIX)
    assert found["metrics.parquet"] == plain.metrics.read_bytes()
    kept = {name for name in found if name.startswith("descriptors/")}
    assert kept == {path.relative_to(plain.path).as_posix() for path in plain.path.rglob("descriptors/**/*.npz")}
    assert kept and not [name for name in found if name.startswith(".")]

    monkeypatch.setenv("MESOFACE_WORK", str(tmp_path / "another-machine"))
    assert "nothing to measure" in mesoface("metrics", ADDRESS, *options)[1]
    assert f"'{ADDRESS}'" not in mesoface("compare", ADDRESS)[1], "a table that is up to date is called out of date"
    tables = [mesoface("compare", place, "--format", "csv")[1] for place in (ADDRESS, plain.path)]
    assert _values(tables[0]) == _values(tables[1])

    # Somebody puts another picture into the store.
    picture = RunFolder(Path(PREFIX)).result(ResultKey("near", "identity", "anna")) / "albedo.png"
    s3.put_object(Bucket=BUCKET, Key=picture.as_posix(), Body=(plain.result(toy.FAR) / "albedo.png").read_bytes())
    code, printed = mesoface("metrics", ADDRESS, *options)
    assert "nothing to measure" not in printed and f"{ADDRESS}/metrics.parquet: " in printed


def _values(table: str) -> list[str]:
    """Lines of a table, without what was said of reading."""
    return [line for line in table.splitlines() if "," in line and "reading" not in line]
