"""S3, and every store that speaks its protocol, by boto3, in the few words of fsspec that this room uses.

Not fsspec's own driver: it stands on aiobotocore, which holds botocore to versions that the boto3 of everything else
here excludes, and installers cannot settle on a pair. Credentials, region and endpoint are found as boto3 finds them:
environment (``AWS_ACCESS_KEY_ID``, ``AWS_PROFILE``, ``AWS_ENDPOINT_URL`` …), configuration files, the machine's role.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

One = TypeVar("One")

AT_ONCE = 32
"""Requests that are under way at the same time."""

_ATTEMPTS = 5
_CHUNK = 1 << 20
# What one request may delete.
_DELETED_TOGETHER = 1000
_REFUSED = {"AccessDenied", "AllAccessDisabled", "ExpiredToken", "Forbidden", "InvalidAccessKeyId", "InvalidToken",
            "SignatureDoesNotMatch", "403", "401"}  # fmt: skip
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict", "412"}


class S3Driver:
    """Objects by ``bucket/key``; errors are those of files: absent, there already, not permitted.

    Transfers stream, many at a time; boto3 repeats requests that fail for a moment.
    """

    @cached_property
    def client(self) -> Any:
        """boto3's, made when it is first needed; safe to use from many threads."""
        import boto3
        from botocore.config import Config

        settings = Config(
            retries={"mode": "standard", "max_attempts": _ATTEMPTS},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=AT_ONCE,
        )
        session = boto3.session.Session()
        return session.client("s3", config=settings, region_name=session.region_name or "us-east-1")

    def each(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """All objects in the folder ``path``, with size and time; a page of a thousand in memory at a time."""
        bucket, key = _apart(path)
        with _of_files(path):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=bucket, Prefix=f"{key}/" if key else ""
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    known = {"type": "file", "size": entry["Size"], "LastModified": entry["LastModified"]}
                    yield f"{bucket}/{entry['Key']}", known

    def info(self, path: str) -> dict[str, Any]:
        """Size and time of one object."""
        bucket, key = _apart(path)
        with _of_files(path):
            head = self.client.head_object(Bucket=bucket, Key=key)
        return {"type": "file", "size": head["ContentLength"], "LastModified": head["LastModified"]}

    def cat_file(self, path: str) -> bytes:
        """The bytes of one object."""
        bucket, key = _apart(path)
        with _of_files(path):
            return bytes(self.client.get_object(Bucket=bucket, Key=key)["Body"].read())

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite") -> None:
        """Writes one object; with ``mode="create"`` only where there is none."""
        bucket, key = _apart(path)
        condition = {"IfNoneMatch": "*"} if mode == "create" else {}
        with _of_files(path):
            self.client.put_object(Bucket=bucket, Key=key, Body=value, **condition)

    def put(self, lpath: Sequence[str], rpath: Sequence[str], batch_size: int = AT_ONCE) -> None:
        """Sends files."""
        _all(self._put, zip(lpath, rpath, strict=True), batch_size)

    def _put(self, pair: tuple[str, str]) -> None:
        from boto3.s3.transfer import TransferConfig

        (bucket, key), settings = _apart(pair[1]), TransferConfig(use_threads=False)
        with _of_files(pair[1]):
            self.client.upload_file(pair[0], bucket, key, Config=settings)

    def get(self, rpath: Sequence[str], lpath: Sequence[str], batch_size: int = AT_ONCE) -> None:
        """Brings files."""
        _all(self._get, zip(rpath, lpath, strict=True), batch_size)

    def _get(self, pair: tuple[str, str]) -> None:
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        bucket, key = _apart(pair[0])
        with _of_files(pair[0]):
            for attempt in range(_ATTEMPTS):  # boto3 repeats requests, not bodies that broke off
                try:
                    body = self.client.get_object(Bucket=bucket, Key=key)["Body"]
                    with Path(pair[1]).open("wb") as stream:
                        for chunk in body.iter_chunks(_CHUNK):
                            stream.write(chunk)
                    return
                except (HTTPClientError, IncompleteReadError):
                    if attempt + 1 == _ATTEMPTS:
                        raise

    def rm(self, path: Sequence[str]) -> None:
        """Deletes objects; those that are not there do no harm."""
        by_bucket: dict[str, list[str]] = {}
        for one in path:
            bucket, key = _apart(one)
            by_bucket.setdefault(bucket, []).append(key)
        for bucket, keys in by_bucket.items():
            for first in range(0, len(keys), _DELETED_TOGETHER):
                listed = [{"Key": key} for key in keys[first : first + _DELETED_TOGETHER]]
                with _of_files(bucket):
                    answer = self.client.delete_objects(Bucket=bucket, Delete={"Objects": listed, "Quiet": True})
                for failed in answer.get("Errors", ()):
                    raise _as_file_error(str(failed.get("Code")), str(failed.get("Message")), failed.get("Key", bucket))

    def rm_file(self, path: str) -> None:
        """Deletes one object."""
        self.rm([path])


def _apart(path: str) -> tuple[str, str]:
    bucket, _, key = path.partition("/")
    return bucket, key


def _all(work: Callable[[One], None], items: Iterable[One], at_once: int) -> None:
    with ThreadPoolExecutor(at_once) as pool:
        try:
            for _ in pool.map(work, items):
                pass
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _of_files(path: str) -> Iterator[None]:
    """What the store refuses, as errors of files; what keeps it from being reached stays boto3's."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import ClientError

    try:
        yield
    except S3UploadFailedError as error:
        cause = error.__context__
        if isinstance(cause, ClientError):
            raise _refusal(cause, path) from error
        raise OSError(str(error)) from error
    except ClientError as error:
        raise _refusal(error, path) from error


def _refusal(error: Any, path: str) -> OSError:
    said = error.response.get("Error", {})
    return _as_file_error(str(said.get("Code", "")), str(said.get("Message", "")), path)


def _as_file_error(code: str, message: str, path: str) -> OSError:
    if code == "NoSuchBucket":
        return FileNotFoundError("the bucket does not exist")
    if code in {"NoSuchKey", "404", "NotFound"}:
        return FileNotFoundError(path)
    if code in _TAKEN:
        return FileExistsError(path)
    if code in _REFUSED:
        return PermissionError(message or code)
    return OSError(f"{code}: {message}")
