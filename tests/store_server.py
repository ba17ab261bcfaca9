"""An S3 store of the tests' own: moto's server, which processes reach over HTTP as they would Amazon's."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import requests

BUCKET = "mesoface-tests"


def served(monkeypatch: pytest.MonkeyPatch, absent: str) -> Iterator[Any]:
    """A client of a store with an empty :data:`BUCKET`; the environment leads every program there.

    Args:
        absent: a path at which nothing is, in place of the user's own configuration.
    """
    server_module = pytest.importorskip("moto.server", reason="pip install 'mesoface[test]'")
    import boto3

    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": absent,
        "AWS_SHARED_CREDENTIALS_FILE": absent,
    }.items():
        monkeypatch.setenv(name, value)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    requests.post(f"http://{host}:{port}/moto-api/reset", timeout=10)  # of an earlier test's server in this process
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    try:
        yield client
    finally:
        server.stop()


def objects(client: Any, prefix: str) -> dict[str, bytes]:
    """Names behind ``prefix/`` with their bytes."""
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{prefix}/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
    return {key[len(prefix) + 1 :]: client.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}


def contents(client: Any, prefix: str) -> dict[str, str]:
    """Hashes of the objects, as ``run_programs.contents`` has them of a folder: without times and hidden ones."""
    return {
        name: hashlib.sha256(content).hexdigest()
        for name, content in objects(client, prefix).items()
        if not name.endswith("timings.json") and not name.startswith(".")
    }
