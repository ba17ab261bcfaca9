"""Publishing to S3, against moto's: pictures alone, checked, not twice, and nothing live by accident."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
import requests
import study_runs
from click.testing import CliRunner
from moto import mock_aws

from recon.errors import InputError, StorageError, UsageError
from recon.progress import no_progress
from recon.storage import read_json, write_json
from study.contract import PHOTOGRAPH
from study.publishing import PART, Destination, PublishedPictures, checksum, destination, publish
from study.stimuli import StimuliOrder, build_stimuli, read_catalogue
from study.stimuli.catalogue import PICTURES, picture_of

BUCKET = "pictures"
PLACE = destination(f"s3://{BUCKET}/study-7/faces/")


@pytest.fixture(autouse=True)
def no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the environment holds, these tests talk to no store but moto's."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "absent"))


@pytest.fixture
def store() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("publishing")
    run = study_runs.make_run(folder / "first")
    order = StimuliOrder((run.path,), (PHOTOGRAPH, "alpha", "beta"), width=96, height=120)
    build_stimuli(order, folder / "study", no_progress)
    return folder / "study"


@pytest.fixture
def study(built: Path, tmp_path: Path) -> Path:
    """A study folder of eight stimuli, of this test alone."""
    import shutil

    return Path(shutil.copytree(built, tmp_path / "study"))


def sent(folder: Path, **other: Any) -> tuple[int, int]:
    """Numbers of files sent and kept."""
    done = publish(folder, PLACE, no_progress, **{"live": True, **other})
    return len(done.sent), len(done.kept)


def keys(store: Any) -> set[str]:
    return {entry["Key"] for entry in store.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


def test_pictures_are_sent_and_nothing_else(store: Any, study: Path) -> None:
    assert sent(study) == (8, 0)
    files = {path.name: path for path in (study / PICTURES).iterdir()}
    assert keys(store) == {f"study-7/faces/{name}" for name in files}
    for name, path in files.items():
        head = store.head_object(Bucket=BUCKET, Key=f"study-7/faces/{name}", ChecksumMode="ENABLED")
        assert head["ContentType"] == "image/webp"
        assert head["CacheControl"] == "public, max-age=31536000, immutable"
        # The name is the SHA-256 in hexadecimal digits, what the store verified is the same in base 64.
        assert base64.b64decode(head["ChecksumSHA256"]).hex() == path.stem
        assert head["Metadata"] == {}


def test_what_is_there_is_not_sent_again(store: Any, study: Path) -> None:
    sent(study)
    key = sorted(keys(store))[0]
    before = store.head_object(Bucket=BUCKET, Key=key)["LastModified"]
    assert sent(study) == (0, 8)
    assert store.head_object(Bucket=BUCKET, Key=key)["LastModified"] == before


@pytest.mark.parametrize(
    "spoilt",
    [
        {"Body": b"another picture", "ContentType": "image/webp"},
        {"ContentType": "binary/octet-stream"},
        {"ContentType": "image/webp", "CacheControl": "no-store"},
    ],
)
def test_what_is_there_with_other_bytes_or_headers_is_sent_again(
    store: Any, study: Path, spoilt: dict[str, Any]
) -> None:
    sent(study)
    key = sorted(keys(store))[3]
    body = (study / PICTURES / key.rpartition("/")[2]).read_bytes()
    store.put_object(Bucket=BUCKET, Key=key, ChecksumAlgorithm="SHA256", **{"Body": body, **spoilt})
    assert sent(study) == (1, 7)
    assert sent(study) == (0, 8)
    assert store.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body


def test_an_upload_that_was_cut_off_continues(store: Any, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import study.publishing as module

    send, calls = module._send, itertools.count(1)

    def cut_off(*arguments: Any) -> None:
        if next(calls) > 3:  # several files go at once; a count's next is one step
            raise StorageError("the line is dead")
        send(*arguments)

    monkeypatch.setattr(module, "_send", cut_off)
    with pytest.raises(StorageError, match="the line is dead"):
        sent(study)
    assert len(keys(store)) == 3 and not (study / "published.json").exists()
    monkeypatch.setattr(module, "_send", send)
    assert sent(study) == (5, 3)


def test_large_files_go_in_parts(store: Any, study: Path) -> None:
    """Noise of three parts under the name of a stimulus; the checksum is that of the parts' digests."""
    content = np.random.default_rng(0).bytes(2 * PART + 1000)
    name = hashlib.sha256(content).hexdigest()
    (study / PICTURES / f"{name}.webp").write_bytes(content)
    record = read_json(study / "stimuli.json")
    record["stimuli"] = [{**record["stimuli"][0], "sha256": name}]
    write_json(study / "stimuli.json", record)
    assert sent(study) == (1, 0) and sent(study) == (0, 1)
    head = store.head_object(Bucket=BUCKET, Key=f"study-7/faces/{name}.webp", ChecksumMode="ENABLED", PartNumber=1)
    assert head["ContentLength"] == PART
    whole = store.get_object(Bucket=BUCKET, Key=f"study-7/faces/{name}.webp")
    assert whole["Body"].read() == content and whole["ContentType"] == "image/webp"
    assert checksum(content).endswith("-3")


def test_checksum_of_parts() -> None:
    """By hand: base 64 of SHA-256 of the concatenated digests of the parts, and their number."""
    digests = hashlib.sha256(b"aaaa").digest() + hashlib.sha256(b"bb").digest()
    assert checksum(b"aaaabb", part=4) == base64.b64encode(hashlib.sha256(digests).digest()).decode() + "-2"
    assert base64.b64decode(checksum(b"")).hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def addresses(study: Path, seconds: int = 600) -> dict[str, str]:
    """sha256 → address, of every picture."""
    pictures = PublishedPictures(study, seconds)
    return {name.partition(".")[0]: pictures.address(name) for name in pictures.files}


@pytest.mark.parametrize(
    "wrong", [{"files": []}, {"files": None}, {"access": "open"}, {"bucket": ...}, {"region": ...}]
)
def test_a_damaged_record_is_said_with_the_mend(tmp_path: Path, wrong: dict[str, Any]) -> None:
    whole = {"format": 1, "bucket": "faces", "prefix": "", "endpoint": None, "region": "eu-west-1", "access": "public",
             "base": "", "files": ["a.webp"]}  # fmt: skip
    write_json(tmp_path / "published.json", whole)
    assert PublishedPictures(tmp_path).origin == "https://faces.s3.eu-west-1.amazonaws.com"
    record = {name: value for name, value in {**whole, **wrong}.items() if value is not ...}
    write_json(tmp_path / "published.json", record)
    with pytest.raises(InputError, match=r"published\.json' is damaged .*: publish again"):
        PublishedPictures(tmp_path)


def test_signed_addresses_give_the_pictures(store: Any, study: Path) -> None:
    sent(study)
    found = addresses(study)
    for stimulus in read_catalogue(study).stimuli:
        address = found[stimulus.sha256]
        assert "X-Amz-Expires=600" in address and "X-Amz-Signature=" in address
        assert not any(word in address for word in ("alpha", "beta", PHOTOGRAPH, stimulus.subject))
        answer = requests.get(address, timeout=10)
        assert answer.content == picture_of(study, stimulus).read_bytes()
        assert answer.headers["Content-Type"] == "image/webp"
    with pytest.raises(UsageError, match="at most 604800, a week"):
        addresses(study, 604801)


def test_addresses_are_signed_anew_long_before_they_end(store: Any, study: Path) -> None:
    """Each page gets addresses of at least six days, and a session ends after two."""
    from botocore.auth import SigV4QueryAuth

    sent(study)
    clock = itertools.count(0, 1500)  # 25 minutes between requests
    pictures = PublishedPictures(study, clock=lambda: next(clock))
    signed = 0
    inner = SigV4QueryAuth.add_auth

    def counting(self: Any, request: Any) -> None:
        nonlocal signed
        signed += 1
        inner(self, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SigV4QueryAuth, "add_auth", counting)
        name = max(pictures.files)
        found = [pictures.address(name) for _ in range(7)]
    assert signed == 3  # at the first request, and whenever an hour is over
    assert all("X-Amz-Expires=604800" in address for address in found)
    assert pictures.origin == f"https://{BUCKET}.s3.amazonaws.com" and found[0].startswith(pictures.origin + "/")


@pytest.mark.parametrize(
    ("place", "begin"),
    [
        (destination(f"s3://{BUCKET}/a b", access="public"), f"https://{BUCKET}.s3.us-east-1.amazonaws.com/a%20b/"),
        (destination(f"s3://{BUCKET}", access="public", base="https://cdn.example/x/"), "https://cdn.example/x/"),
        (destination(f"s3://{BUCKET}/y/z", access="public", base="https://cdn.example"), "https://cdn.example/y/z/"),
    ],
)
def test_public_addresses(store: Any, study: Path, place: Destination, begin: str) -> None:
    assert publish(study, place, no_progress, live=True).address == begin
    found = addresses(study)
    assert set(found.values()) == {f"{begin}{path.name}" for path in (study / PICTURES).iterdir()}


def test_nothing_is_live_by_accident(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("a store was talked to")

    monkeypatch.setattr("study.publishing._client", never)
    with pytest.raises(UsageError, match=r"would write 8 pictures of faces to s3://pictures: add --live"):
        publish(study, PLACE, no_progress)
    assert sent(study, live=False, dry_run=True) == (8, 0)
    assert not (study / "published.json").exists()


def test_a_dry_run_writes_nothing(store: Any, study: Path) -> None:
    assert sent(study, dry_run=True) == (8, 0)
    assert keys(store) == set() and not (study / "published.json").exists()
    sent(study)
    store.delete_object(Bucket=BUCKET, Key=sorted(keys(store))[0])
    assert sent(study, dry_run=True) == (1, 7) and len(keys(store)) == 7


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [
        (None, False),
        ("http://127.0.0.1:9000", True),
        ("http://[::1]:9000", True),
        ("http://localhost:9000", True),
        ("https://localhost.example.org", False),
        ("https://127.0.0.1.example.org", False),
        ("https://s3.eu-central-1.amazonaws.com", False),
        ("http://10.0.0.7:9000", False),
    ],
)
def test_what_counts_as_this_machine(endpoint: str | None, local: bool) -> None:
    assert destination("s3://pictures/x", endpoint).is_local is local


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("http://pictures/x",), "write s3://BUCKET/PREFIX"),
        (("s3:///x",), "write s3://BUCKET/PREFIX"),
        (("s3://Pictures/x",), "write s3://BUCKET/PREFIX"),
        (("s3://pictures/x?y",), "write s3://BUCKET/PREFIX"),
        (("s3://pictures", "localhost:9000"), "is no address"),
        (("s3://pictures", None, "secret"), "unknown access 'secret'"),
        (("s3://pictures", None, "presigned", "https://cdn.example"), "goes with public access"),
    ],
)
def test_places_that_are_none(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        destination(*arguments)


def test_restricted_pictures_stay_here(store: Any, study: Path) -> None:
    record = read_json(study / "stimuli.json")
    write_json(study / "stimuli.json", {**record, "restricted": ["s1"]})
    with pytest.raises(UsageError, match="the licence of s1 does not allow"):
        sent(study)
    public = destination(f"s3://{BUCKET}/x", access="public")
    with pytest.raises(UsageError, match="the licence of s1 does not allow"):
        publish(study, public, no_progress, live=True, allow_restricted=True)
    assert keys(store) == set()
    assert sent(study, allow_restricted=True) == (8, 0)


def test_a_damaged_picture_is_not_sent(store: Any, study: Path) -> None:
    picture_of(study, read_catalogue(study).stimuli[4]).write_bytes(b"half")
    with pytest.raises(InputError, match="missing or damaged: make the stimuli again"):
        sent(study)
    assert keys(store) == set()


def test_a_bucket_that_is_not_there(store: Any, study: Path) -> None:
    with pytest.raises(StorageError, match="there is no bucket 'elsewhere'"):
        publish(study, destination("s3://elsewhere/x"), no_progress, live=True)


def test_a_store_that_does_not_answer(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # between retries
    nobody = destination("s3://pictures/x", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be reached"):
        publish(study, nobody, no_progress)


def test_no_credentials(store: Any, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(study)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match="no credentials for the store: set AWS_ACCESS_KEY_ID"):
        sent(study)
    with pytest.raises(UsageError, match="no credentials for the store"):
        addresses(study)


def test_addresses_of_what_was_not_published(study: Path) -> None:
    with pytest.raises(InputError, match="'mesoface study publish' does it"):
        addresses(study)


def test_the_command(store: Any, study: Path) -> None:
    from study.stimuli_commands import publish as command

    def said(*words: str) -> str:
        done = CliRunner().invoke(command, [str(study), f"s3://{BUCKET}/x", *words], standalone_mode=False)
        assert done.exception is None
        return done.stdout

    assert "8 would be sent at most (the store was not asked: --live does)" in said("--dry-run")
    assert "8 sent (0.1 MB), 0 were there already" in said("--live")
    done = json.loads(said("--live", "--json"))
    assert (done["sent"], len(done["kept"]), done["bytes"], done["address"]) == ([], 8, 0, "")
    words = said("--live", "--access", "public", "--base", "https://cdn.example")
    assert "public addresses begin with https://cdn.example/x/\n" in words


STUDY_FILE = """
name: trial
title: Which?
design: ranking
conditions: [photograph, alpha, beta]
raters: 2
seed: 1
stimuli: {{runs: [{run}], width: 96, height: 120}}
trials: {{main: 1}}
consent: {{version: "1", text: I agree}}
payment: {{reward: 0, cap: 0}}
"""


def test_stimuli_can_be_published_as_they_are_made(store: Any, tmp_path: Path) -> None:
    from study.stimuli_commands import stimuli as command

    run = study_runs.make_run(tmp_path / "first")
    (tmp_path / "study.yaml").write_text(STUDY_FILE.format(run=run.path))

    def done(*words: str) -> Any:
        return CliRunner().invoke(command, [str(tmp_path), "--quiet", "--publish", *words], standalone_mode=False)

    for mistake in (("s3://Pictures/x", "--live"), (f"s3://{BUCKET}/x",)):
        assert isinstance(done(*mistake).exception, UsageError)
        assert not (tmp_path / "stimuli.json").exists() and keys(store) == set()  # said before the work
    first = done(f"s3://{BUCKET}/x", "--live", "--json")
    assert first.exception is None
    made = json.loads(first.stdout)
    assert (made["stimuli"], len(made["published"]["sent"]), made["published"]["kept"]) == (8, 8, [])
    pictures = PublishedPictures(tmp_path)
    assert pictures.files == {path.name for path in (tmp_path / PICTURES).iterdir()} and len(keys(store)) == 8
    again = json.loads(done(f"s3://{BUCKET}/x", "--live", "--json").stdout)["published"]
    assert (again["sent"], len(again["kept"])) == ([], 8)
