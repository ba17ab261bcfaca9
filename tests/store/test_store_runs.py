"""Runs in an object store: the same bytes as in a folder, and whatever is killed, what was finished is kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import run_fakes
import store_runs
from store_server import BUCKET, contents, objects
from work_here import in_this_process, silent

from recon.cluster import on_cluster
from recon.errors import UsageError
from recon.runs import ResultKey, RunConfig, RunFolder, Summary, execute
from recon.store import made_in
from recon.worker_pool import current_cluster
from tests.store.conftest import PROTOCOLS

ADDRESS = f"s3://{BUCKET}/lab/run"
PREFIX = "lab/run"


def made(s3: Any) -> dict[str, str]:
    """Hashes of what lies in the store, without ``run.json``."""
    found = contents(s3, PREFIX)
    assert found.pop("run.json")
    return found


def times(s3: Any) -> dict[str, Any]:
    """When each result's record was written."""
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/results/")
    entries = [entry for page in pages for entry in page.get("Contents", [])]
    return {entry["Key"]: entry["LastModified"] for entry in entries if entry["Key"].endswith("/result.json")}


def start(people: Path, methods: str = "quick,slow", jobs: int = 2) -> subprocess.Popen[str]:
    checkout = store_runs.FILE.parent.parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout), str(checkout / "tests")])}
    command = [sys.executable, str(store_runs.FILE), ADDRESS, str(people), methods, PROTOCOLS, str(jobs)]
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=180)
    assert process.returncode == 0, error
    return out.strip()


def here(config: RunConfig, progress: Callable[[str, int, int], None] = silent) -> Summary:
    """The run into the store, tasks in this process."""
    with pytest.MonkeyPatch.context() as patch, made_in(ADDRESS) as folder:
        patch.setattr("recon.runs.execution.work_through", in_this_process)
        return execute(replace(config, out=folder), progress)


@pytest.mark.slow
def test_a_killed_program_continues_and_does_only_what_was_missing(
    s3: Any, people: Path, plain: dict[str, str], tmp_path: Path
) -> None:
    process = start(people)
    limit = time.monotonic() + 120
    while len(times(s3)) < 4:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # its workers see that it is gone
    before = times(s3)
    assert 4 <= len(before) < 18, "the program was not killed in the middle"
    assert any(name.endswith(".claim") for name in objects(s3, PREFIX)), "a killed program cannot give its claim back"
    assert finish(start(people)) == f"made {18 - len(before)} kept {len(before)} failed 0"
    assert {key: at for key, at in times(s3).items() if key in before} == before, "finished results were sent again"
    assert made(s3) == plain
    assert not [name for name in objects(s3, PREFIX) if name.startswith(".")]
    assert not list((tmp_path / "work").rglob("at-work/*")), "workers' copies were left behind"


@pytest.mark.slow
def test_a_killed_worker_of_a_cluster_costs_nothing(s3: Any, asked: RunConfig, plain: dict[str, str]) -> None:
    dask = pytest.importorskip("dask", reason="pip install 'mesoface[cluster]'")
    struck: list[int] = []

    def strike(stage: str, done: int, total: int) -> None:
        if stage == "reconstructing" and done >= 2 and not struck:
            cluster: Any = current_cluster()
            struck.append(next(iter(cluster.client.run(os.getpid).values())))
            os.kill(struck[0], signal.SIGKILL)

    settings = {"distributed.worker.preload": [str(run_fakes.FILE)]}
    with dask.config.set(settings), on_cluster("local:2", quiet=True), made_in(ADDRESS) as folder:
        summary = execute(replace(asked, out=folder), strike)
    assert (len(summary.made), summary.kept, summary.failed) == (18, 0, ())
    assert struck and made(s3) == plain
    log = objects(s3, PREFIX)[".cluster.jsonl"].decode().splitlines()
    assert [json.loads(line)["event"] for line in log] == ["lost"]


def test_a_worker_that_dies_leaves_its_reason_and_the_next_run_tries_again(s3: Any, people: Path) -> None:
    assert finish(start(people, "dying", jobs=1)) == "made 6 kept 0 failed 3"
    found = objects(s3, PREFIX)
    failures = sorted(name for name in found if name.endswith("failure.json"))
    assert [name.split("/")[3] for name in failures] == ["b", "b", "b"]
    assert "memory" in json.loads(found[failures[0]])["message"]
    place = failures[0].rpartition("/")[0]
    assert [name for name in found if name.startswith(place)] == [failures[0]], "half a result was left beside it"


def test_the_files_are_those_of_a_run_into_a_folder(s3: Any, asked: RunConfig, plain: dict[str, str]) -> None:
    summary = here(asked)
    assert (len(summary.made), summary.kept) == (18, 0)
    assert made(s3) == plain
    summary = here(asked)
    assert (len(summary.made), summary.kept) == (0, 18), "another command did finished work again"
    (asked.out / "run.json").rename(asked.out / "as-run.json")
    mine, theirs = (json.loads(text) for text in ((asked.out / "as-run.json").read_bytes(),
                                                  objects(s3, PREFIX)["run.json"]))  # fmt: skip
    assert mine == theirs


@pytest.mark.slow
def test_files_without_their_record_are_not_taken_for_a_result(
    s3: Any, asked: RunConfig, plain: dict[str, str], people: Path
) -> None:
    here(replace(asked, methods=("slow",)))
    place = f"{PREFIX}/results/quick/identity/a"
    for name in ("albedo.png", "mask.png", "head.glb", "views/fitted.png", "views/old/front.png"):
        s3.put_object(Bucket=BUCKET, Key=f"{place}/{name}", Body=b"half")
    with made_in(ADDRESS) as folder:
        assert RunFolder(folder).finished(ResultKey("quick", "identity", "a")) is None
    assert finish(start(people, "quick")) == "made 9 kept 0 failed 0"
    assert made(s3) == plain, "what was left of the half result, or nothing of a whole one, lies in the store"


def test_a_prefix_that_holds_something_else_is_refused(s3: Any, asked: RunConfig) -> None:
    s3.put_object(Bucket=BUCKET, Key=f"{PREFIX}/holiday.jpg", Body=b"mine")
    with pytest.raises(UsageError, match=rf"'{ADDRESS}' is not empty and has no run\.json: name a new address"):
        here(asked)
    assert list(objects(s3, PREFIX)) == ["holiday.jpg"]
