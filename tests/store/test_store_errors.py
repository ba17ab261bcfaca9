"""What goes wrong with a store is one sentence with the mend, and never a secret."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from store_server import BUCKET, objects

from recon.errors import EXIT_STORAGE, EXIT_USAGE, DatabaseError, UsageError
from recon.storage import write_json
from recon.store.address import checked_address, is_address
from recon.store.objects import Store
from recon.store.places import whole_database

Mesoface = Callable[..., tuple[int, str]]
RUN = f"s3://{BUCKET}/lab/run"


def last(printed: str) -> str:
    """The error, the only one there is."""
    lines = [line for line in printed.splitlines() if line.startswith("mesoface: ")]
    assert len(lines) == 1 and "Traceback" not in printed, printed
    return lines[0]


@pytest.mark.parametrize("command", ["metrics", "compare", "sheet", "render"])
def test_a_bucket_that_is_not_there(s3: Any, mesoface: Mesoface, command: str) -> None:
    code, printed = mesoface(command, "s3://nobody-has-this/run")
    assert code == EXIT_USAGE
    assert last(printed) == (
        "mesoface: there is no bucket for 's3://nobody-has-this/run': make it first, it is not made for you."
    )


@pytest.mark.parametrize("command", ["metrics", "compare", "sheet", "render"])
def test_an_address_where_nothing_or_no_run_lies(s3: Any, mesoface: Mesoface, command: str) -> None:
    code, printed = mesoface(command, RUN)
    assert code == EXIT_USAGE and f"'{RUN}' holds nothing: look for a typing error" in last(printed)
    s3.put_object(Bucket=BUCKET, Key="lab/run/notes.txt", Body=b"mine")
    code, printed = mesoface(command, RUN)
    assert code == EXIT_USAGE and f"'{RUN}' is not empty and has no run.json" in last(printed)
    assert list(objects(s3, "lab/run")) == ["notes.txt"], "a command that was refused left something behind"


def test_no_credentials(s3: Any, mesoface: Mesoface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, printed = mesoface("compare", RUN)
    assert code == EXIT_USAGE
    assert "there are no credentials" in last(printed) and "set AWS_ACCESS_KEY_ID" in printed
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    code, printed = mesoface("compare", RUN)
    assert code == EXIT_USAGE and "AWS_PROFILE" in last(printed)


def test_credentials_that_may_not(s3: Any, mesoface: Mesoface, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of the store without any right, checked by the server."""
    import boto3

    iam = boto3.client("iam")
    iam.create_user(UserName="guest")
    key = iam.create_access_key(UserName="guest")["AccessKey"]
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    requests.post(f"{endpoint}/moto-api/reset-auth", data="0", timeout=10)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    try:
        for command in ("compare", "metrics"):
            code, printed = mesoface(command, RUN)
            assert code == EXIT_STORAGE
            assert "the credentials may not" in last(printed) and "its owner must allow them" in printed
            assert key["SecretAccessKey"] not in printed and key["AccessKeyId"] not in printed
    finally:
        requests.post(f"{endpoint}/moto-api/reset-auth", data="inf", timeout=10)


def test_a_store_that_cannot_be_reached(s3: Any, mesoface: Mesoface, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("recon.store.s3._ATTEMPTS", 1)
    code, printed = mesoface("metrics", RUN)
    assert code == EXIT_STORAGE
    assert f"'{RUN}' cannot be reached" in last(printed) and "AWS_ENDPOINT_URL" in printed


def test_addresses_that_are_none(mesoface: Mesoface, tmp_path: Path) -> None:
    for address in ("s3://", "s3:///run", "s3://bucket//run", "s3://bucket/../other"):
        code, printed = mesoface("compare", address)
        assert code == EXIT_USAGE and "write s3://BUCKET/PREFIX" in last(printed), address
    code, printed = mesoface("compare", "carrier-pigeon://loft/run")
    assert code == EXIT_USAGE and "nothing here knows addresses carrier-pigeon://" in last(printed)
    code, printed = mesoface("compare", "s3://AKIA123:geheim@bucket/run")
    assert code == EXIT_USAGE and "must not hold credentials" in last(printed)
    assert "geheim" not in printed and "AKIA123" not in printed
    assert is_address("s3://bucket") and not is_address("runs/first") and not is_address(Path("s3://bucket"))
    assert not is_address("C://runs") and checked_address("s3://bucket/run/") == "s3://bucket/run"


def test_a_driver_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(
        UsageError, match=r"'gs://bucket/run' needs a driver that is not installed .* pip install gcsfs"
    ):
        Store.of("gs://bucket/run")


def test_commands_that_work_on_folders_say_how_to_get_one(
    s3: Any, mesoface: Mesoface, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, printed = mesoface("dashboard", RUN)
    assert code == EXIT_USAGE and f"'mesoface fetch {RUN} FOLDER'" in last(printed)
    code, printed = mesoface("results", "import", tmp_path, "--run", RUN, "--method", "theirs", "--source", "x",
                             "--licence", "CC0")  # fmt: skip
    assert code == EXIT_USAGE and f"'mesoface fetch {RUN} FOLDER'" in last(printed)
    with pytest.raises(UsageError, match=f"'{RUN}' is an address, and this command writes into folders"):
        write_json(Path(RUN) / "dataset.json", {})
    assert not (tmp_path / "s3:").exists()


def test_a_database_that_is_none(s3: Any, mesoface: Mesoface, tmp_path: Path) -> None:
    s3.put_object(Bucket=BUCKET, Key="lab/database/build.json", Body=json.dumps({}).encode())
    with pytest.raises(DatabaseError, match="is not a finished texture database"):
        whole_database(f"s3://{BUCKET}/lab/database")
