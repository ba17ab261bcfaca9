"""Stimuli on S3, or any store that speaks its protocol, so that raters everywhere load them from close by.

An object is called ``<prefix>/<sha256>.webp``, and nothing but pictures is sent: the catalogue names the methods. Each
upload carries its SHA-256, which the store checks before it keeps a byte; files above :data:`PART` go in parts, each
with its own (the store then reports the SHA-256 of the parts' digests, ``<base64>-<parts>``; Amazon S3 user guide,
"Checking object integrity"). What is there with the same checksum and headers is not sent again, so an upload that was
cut off continues. A name never means another picture: caches may keep it for ever.

``published.json`` in the study folder says where the pictures are; :class:`PublishedPictures` makes of it what pages
load.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote, urlsplit

import boto3
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from recon.errors import InputError, StorageError, UsageError
from recon.progress import Progress
from recon.storage import read_json, write_json
from study.contract import Stimulus
from study.stimuli.catalogue import check_pictures, file_name, picture_of, read_catalogue

Access = Literal["presigned", "public"]

FORMAT = 1
RECORD = "published.json"
PART = 8 * 1024 * 1024
CACHE_CONTROL = "public, max-age=31536000, immutable"
LONGEST = 7 * 24 * 3600
"""Seconds for which an address can be signed (Signature Version 4)."""
RENEWED = 3600
"""Seconds after which an address is signed anew for the next who asks."""

_AT_ONCE = 8
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


@dataclass(frozen=True)
class Destination:
    """Where pictures go.

    Attributes:
        bucket, prefix: of ``s3://bucket/prefix``; the prefix without slashes at its ends, or empty.
        endpoint: address of a store other than Amazon's, or None.
        access: ``presigned`` addresses expire and work with a private bucket; ``public`` ones need a bucket whose
            policy lets everybody read, which is its owner's to set.
        base: what public addresses begin with, for a content network in front of the bucket; or empty.
    """

    bucket: str
    prefix: str
    endpoint: str | None = None
    access: Access = "presigned"
    base: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine."""
        host = urlsplit(self.endpoint).hostname if self.endpoint else None
        if host is None:
            return False
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    def key(self, name: str) -> str:
        """The object's key for a file."""
        return f"{self.prefix}/{name}" if self.prefix else name


@dataclass(frozen=True)
class Published:
    """What publishing came to.

    Attributes:
        sent: files that were sent, or would be; ``kept``: those that were there.
        size: bytes sent.
        address: what public addresses begin with; empty where they are signed, and in a dry run.
    """

    sent: tuple[str, ...]
    kept: tuple[str, ...]
    size: int
    address: str = ""


def destination(url: str, endpoint: str | None = None, access: Access = "presigned", base: str = "") -> Destination:
    """The destination that ``s3://bucket/prefix`` names.

    Raises:
        UsageError: not such an address.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment:
        raise UsageError(f"'{url}' is no place for stimuli: write s3://BUCKET/PREFIX.")
    if endpoint and (urlsplit(endpoint).scheme not in ("http", "https") or not urlsplit(endpoint).hostname):
        raise UsageError(f"the endpoint '{endpoint}' is no address: write http://HOST:PORT or https://HOST.")
    if access not in get_args(Access):
        raise UsageError(f"unknown access '{access}': take {' or '.join(get_args(Access))}.")
    if base and (access != "public" or not base.startswith("https://")):
        raise UsageError(f"'{base}' cannot begin addresses: it must be https:// and goes with public access.")
    return Destination(parts.netloc, parts.path.strip("/"), endpoint, access, base.rstrip("/"))


def publish(
    folder: Path,
    place: Destination,
    progress: Progress,
    *,
    live: bool = False,
    dry_run: bool = False,
    allow_restricted: bool = False,
) -> Published:
    """Send the stimuli of a study folder that the store lacks; may be stopped and called again.

    Args:
        progress: called with files done and their number.
        live: whether a store beyond this machine may be talked to.
        dry_run: only find out what is missing; without ``live``, nothing beyond this machine is asked either, and all
            is taken to be missing.
        allow_restricted: whether pictures are sent whose licence does not allow passing them on; never to ``public``.

    Raises:
        UsageError: a store beyond this machine without ``live``, restricted pictures, or no credentials.
        InputError: no stimuli, or a damaged one.
        StorageError: the store cannot be reached or refuses; what it has taken stays.
    """
    catalogue = read_catalogue(folder)
    if catalogue.restricted and (place.access == "public" or not allow_restricted):
        raise UsageError(
            f"the licence of {', '.join(catalogue.restricted[:5])} does not allow passing pictures on: publish with "
            "--allow-restricted and presigned addresses if you have their consent, or leave them out."
        )
    check_pictures(folder, catalogue.stimuli)
    files = list({file_name(stimulus): stimulus for stimulus in catalogue.stimuli}.items())
    reachable = live or place.is_local
    if not reachable and not dry_run:
        raise UsageError(
            f"this would write {len(files)} pictures of faces to s3://{place.bucket}: add --live, or look first with "
            "--dry-run."
        )
    client = _client(place) if reachable else None
    progress(0, len(files))

    def carry_out(item: tuple[str, Stimulus]) -> bool:
        name, stimulus = item
        path = picture_of(folder, stimulus)
        if client is not None and _is_there(client, place, name, stimulus, path):
            return False
        if not dry_run:
            _send(client, place, name, stimulus, path)
        return True

    sent, kept = _all(carry_out, files, progress)
    if dry_run or client is None:
        return Published(tuple(sent), tuple(kept), 0)
    region = client.meta.region_name
    _write_record(folder, place, region, [name for name, _ in files])
    size = sum(picture_of(folder, stimulus).stat().st_size for name, stimulus in files if name in sent)
    return Published(tuple(sent), tuple(kept), size, _public(place, region) if place.access == "public" else "")


def _all(carry_out: Any, files: Sequence[tuple[str, Stimulus]], progress: Progress) -> tuple[list[str], list[str]]:
    """Several files at once; names of those that were sent and of those that were there."""
    sent: list[str] = []
    kept: list[str] = []
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            for (name, _), was_sent in zip(files, pool.map(carry_out, files), strict=True):
                (sent if was_sent else kept).append(name)
                progress(len(sent) + len(kept), len(files))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return sent, kept


class PublishedPictures:
    """Where pages load the pictures of a study that was published; safe to use from many threads.

    Presigned addresses are signed when they are asked for, and anew after :data:`RENEWED` seconds, so that every page
    gets addresses that outlast its session. They end early with credentials that do.

    Args:
        folder: of the study.
        seconds: for which an address is signed.
        clock: seconds of a steady clock.

    Attributes:
        files: names of the pictures that were published.
        origin: of all addresses, ``https://host``.

    Raises:
        InputError: nothing was published.
        UsageError: ``seconds`` out of range, or no credentials to sign with.
    """

    def __init__(self, folder: Path, seconds: int = LONGEST, clock: Callable[[], float] = time.monotonic) -> None:
        path = folder / RECORD
        if not path.is_file():
            raise InputError(f"'{folder}' was not published: 'mesoface study publish' does it.")
        if not 1 <= seconds <= LONGEST:
            raise UsageError(f"addresses cannot be signed for {seconds} seconds: at most {LONGEST}, a week.")
        record = read_json(path)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise InputError(f"'{path}' is not of the format that this mesoface reads ({FORMAT}): publish again.")
        self._place, self._region, self.files = _recorded(record, path)
        self._seconds, self._clock = seconds, clock
        self._client = _client(self._place, self._region) if self._place.access == "presigned" else None
        self._signed: dict[str, tuple[float, str]] = {}
        parts = urlsplit(self.address(min(self.files)))
        self.origin = f"{parts.scheme}://{parts.netloc}"

    def address(self, name: str) -> str:
        """What a page loads the picture called ``name`` from."""
        if self._client is None:
            return f"{_public(self._place, self._region)}{name}"
        at = self._clock()
        since, signed = self._signed.get(name, (-math.inf, ""))
        if at - since >= min(RENEWED, self._seconds / 2):
            signed = _signed(self._client, self._place, name, self._seconds)
            self._signed[name] = at, signed
        return signed


def _recorded(record: Mapping[str, Any], path: Path) -> tuple[Destination, str, frozenset[str]]:
    """Place, region and files of ``published.json``."""
    try:
        given = (record[name] for name in ("bucket", "prefix", "endpoint", "access", "base"))
        place, region, files = Destination(*given), str(record["region"]), frozenset(map(str, record["files"]))
        if not files or place.access not in get_args(Access):
            raise ValueError("it names no pictures, or no way to them")
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{path}' is damaged ({error}): publish again, which writes it anew.") from error
    return place, region, files


def _signed(client: Any, place: Destination, name: str, seconds: int) -> str:
    where = {"Bucket": place.bucket, "Key": place.key(name)}
    try:
        return str(client.generate_presigned_url("get_object", Params=where, ExpiresIn=seconds))
    except NoCredentialsError as error:
        raise _no_credentials() from error


def _public(place: Destination, region: str) -> str:
    """What public addresses begin with, up to the file's name."""
    if place.base:
        begin = place.base
    elif place.endpoint:
        begin = f"{place.endpoint.rstrip('/')}/{place.bucket}"
    elif "." in place.bucket:  # its certificate covers one level of names
        begin = f"https://s3.{region}.amazonaws.com/{place.bucket}"
    else:
        begin = f"https://{place.bucket}.s3.{region}.amazonaws.com"
    return f"{begin}/{quote(place.key(''))}"


def _client(place: Destination, region: str | None = None) -> Any:
    settings = Config(
        signature_version="s3v4",
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=_AT_ONCE,
    )
    try:
        session = boto3.session.Session()
        wanted = region or session.region_name or "us-east-1"
        return session.client("s3", endpoint_url=place.endpoint, config=settings, region_name=wanted)
    except BotoCoreError as error:
        raise UsageError(f"the store cannot be used: {error}.") from error


def _no_credentials() -> UsageError:
    return UsageError(
        "there are no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE."
    )


def checksum(content: bytes, part: int = PART) -> str:
    """What the store reports as ``ChecksumSHA256`` of a file: of its bytes, or of its parts' digests."""
    if len(content) < part:
        return base64.b64encode(hashlib.sha256(content).digest()).decode()
    digests = [hashlib.sha256(content[start : start + part]).digest() for start in range(0, len(content), part)]
    return f"{base64.b64encode(hashlib.sha256(b''.join(digests)).digest()).decode()}-{len(digests)}"


def _is_there(client: Any, place: Destination, name: str, stimulus: Stimulus, path: Path) -> bool:
    """Whether the store has the file with its checksum and headers."""
    try:
        head: Mapping[str, Any] = client.head_object(Bucket=place.bucket, Key=place.key(name), ChecksumMode="ENABLED")
    except ClientError as error:
        # 403 is also the answer to who may write but not list, where the object does not exist.
        if error.response["ResponseMetadata"]["HTTPStatusCode"] in (403, 404):
            return False
        raise _refused(error, place) from error
    except BotoCoreError as error:
        raise _unreachable(error, place) from error
    content = path.read_bytes()
    # Some stores leave the number of parts out. Base 64 has no hyphen.
    digest, wanted = (text.partition("-")[0] for text in (head.get("ChecksumSHA256", ""), checksum(content)))
    return (
        head["ContentLength"] == len(content)
        and digest == wanted
        and head.get("ContentType") == stimulus.media_type
        and head.get("CacheControl") == CACHE_CONTROL
    )


def _send(client: Any, place: Destination, name: str, stimulus: Stimulus, path: Path) -> None:
    """Upload one file; the store verifies its checksum, or those of its parts."""
    headers = {"ContentType": stimulus.media_type, "CacheControl": CACHE_CONTROL, "ChecksumAlgorithm": "SHA256"}
    transfer = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=2)
    try:
        client.upload_file(str(path), place.bucket, place.key(name), ExtraArgs=headers, Config=transfer)
    except (ClientError, S3UploadFailedError) as error:
        raise _refused(error, place) from error
    except BotoCoreError as error:
        raise _unreachable(error, place) from error
    if not _is_there(client, place, name, stimulus, path):
        raise StorageError(
            f"s3://{place.bucket} did not keep '{name}' with its checksum and headers: it may not support SHA-256 "
            "checksums, or the credentials may not read what they write."
        )


def _unreachable(error: Exception, place: Destination) -> UsageError | StorageError:
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return _no_credentials()
    return StorageError(f"s3://{place.bucket} cannot be reached ({error}): run the same command again to continue.")


def _refused(error: Exception, place: Destination) -> StorageError:
    text = str(error)
    if "NoSuchBucket" in text:
        return StorageError(f"there is no bucket '{place.bucket}': make it first, it is not made for you.")
    if "AccessDenied" in text or "Forbidden" in text:
        return StorageError(f"the credentials may not write to s3://{place.bucket}/{place.prefix}.")
    return StorageError(f"s3://{place.bucket} refused ({text}); what it has taken stays.")


def _write_record(folder: Path, place: Destination, region: str, files: Sequence[str]) -> None:
    write_json(
        folder / RECORD,
        {
            "format": FORMAT,
            "bucket": place.bucket,
            "prefix": place.prefix,
            "endpoint": place.endpoint,
            "region": region,
            "access": place.access,
            "base": place.base,
            "files": sorted(files),
        },
    )
