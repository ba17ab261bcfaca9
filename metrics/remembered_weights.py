"""The weights of our own metrics' networks, remembered from when they were last loaded.

Whether a table is up to date, and what can be measured, depends on the hash of the tensors that each network would
hold; loading them all to learn that takes seconds. What loading gave is kept in the cache beside the state of every
file and the version of every program that decides it, and holds as long as those are the same. Who measures loads the
network all the same: a row says the hash of tensors that were in memory.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metrics import METRICS, SET_METRICS
from metrics.contract import Weights
from recon.assets import ASSETS, home, locate
from recon.errors import AssetError, InputError, StorageError
from recon.storage import make_folder, read_json, write_json

# Programs beside our own that decide which tensors a network holds.
_PACKAGES = ("torch", "torchvision", "torchmetrics", "torch-fidelity", "lpips", "h5py", "dlib-bin")


def remembered(name: str, load: Callable[[], Weights]) -> Weights:
    """What ``load`` would give for the metric ``name``; loads where nothing is remembered, or it no longer holds.

    Metrics of other packages are always loaded: what decides their weights nobody here knows.

    Raises:
        AssetError, or whatever ``load`` raises; nothing is remembered then.
    """
    if name not in {*METRICS.built_in, *SET_METRICS.built_in}:
        return load()
    place, state = home() / "networks" / f"{name}.json", _state()
    kept = _kept(place)
    if kept.get("state") == state:
        return Weights(**kept["weights"])
    found = load()
    # A cache that cannot be written makes nothing wrong: the network is loaded again next time.
    with suppress(StorageError):
        make_folder(place.parent)
        write_json(place, {"state": state, "weights": vars(found)})
    return found


def _kept(place: Path) -> Mapping[str, Any]:
    """What lies at ``place``; nothing where that is absent or no such note."""
    try:
        kept = read_json(place)
    except InputError:
        return {}
    whole = isinstance(kept, dict) and isinstance(kept.get("weights"), dict)
    return kept if whole and set(kept["weights"]) == set(Weights.__dataclass_fields__) else {}


def _state() -> str:
    """Names the state of all weight files on this machine and of the programs that read them."""
    files = [_file_state(name) for name, asset in ASSETS.items() if asset.kind == "weights"]
    return hashlib.sha256(json.dumps([files, _programs()]).encode()).hexdigest()[:32]


def _file_state(name: str) -> tuple[str, int, int] | None:
    try:
        path = locate(name)
        state = path.stat() if path else None
    except (AssetError, OSError):  # named, and gone
        return None
    return (str(path), state.st_mtime_ns, state.st_size) if state else None


@lru_cache(maxsize=1)
def _programs() -> tuple[str, ...]:
    """The sources of the two rooms that read weights, and the packages."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(path for room in ("metrics", "recon") for path in (root / room).rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return (digest.hexdigest(), *(_version(package) for package in _PACKAGES))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
