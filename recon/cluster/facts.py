"""What a machine has that decides results: versions, weights, face model, database; told apart by checksum.

The same function runs on this machine and on every worker, and the answers must be equal before any task is sent.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from functools import lru_cache
from pathlib import Path

from recon.errors import MesofaceError
from recon.storage import storage_errors, write_text
from recon.store.places import copy_at, said
from recon.worker_pool import Needs

ABSENT = "none"
_ROOMS = ("recon", "metrics")
_SESSION = ".cluster.session"


def session_file(folder: Path) -> Path:
    """Holds the token of the program whose work in ``folder`` goes on; workers of an earlier one stop when it changes.

    It shows as well whether a worker sees the folder at all. Of a store's working copy it is an object of the store.
    """
    return folder / _SESSION


def show(folder: Path, session: str) -> None:
    """Writes ``session`` where workers look for it.

    Raises:
        StorageError: it cannot be written.
    """
    copy = copy_at(folder)
    if copy is None:
        write_text(session_file(folder), session)
    else:
        copy.store.write(_SESSION, session.encode())


def hide(folder: Path) -> None:
    """Takes the session away.

    Raises:
        StorageError: it cannot be removed.
    """
    copy = copy_at(folder)
    if copy is not None:
        copy.store.remove([_SESSION])
        return
    mark = session_file(folder)
    with storage_errors(mark):
        mark.unlink(missing_ok=True)


def sees(folder: Path, session: str) -> bool:
    """Whether this machine reads ``session`` in the session file of ``folder``."""
    copy = copy_at(folder)
    try:
        if copy is not None:
            return copy.store.read(_SESSION) == session.encode()
        return session_file(folder).read_text(encoding="utf-8") == session
    except (OSError, MesofaceError):
        return False


def facts(needs: Needs) -> dict[str, str]:
    """By name, what this machine has of what ``needs`` names, and the versions of the programs."""
    found = dict(programs())
    if needs.device.startswith("cuda"):
        import torch

        found["GPU"] = "a GPU" if torch.cuda.is_available() else ABSENT
    for name in needs.assets:
        found[f"asset {name}"] = _asset(name)
    if needs.features is not None:
        from recon.texture.extractor_choice import resolve_extractor

        found[f"features {needs.features}"] = resolve_extractor(needs.features, learned_first=True)
    if needs.face_model is not None:
        found[f"face model {needs.face_model}"] = _face_model(needs.face_model)
    if needs.database is not None:
        found[f"database {said(needs.database)}"] = _database(needs.database, needs.face_model)
    for path in needs.files:
        found[f"file {said(path)}"] = _file(path)
    return found


@lru_cache(maxsize=1)
def programs() -> dict[str, str]:
    """Versions of mesoface with the hash of its source, of Python, of packages that decide numbers, and of plugins.

    Asked for once a process: a worker that has been running since before an update works with the old program.
    """
    from recon.runs.config import mesoface_version, package_versions

    root = Path(__file__).resolve().parents[2]
    digest = hashlib.sha256()
    for path in sorted(path for room in _ROOMS for path in (root / room).rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    found = {"mesoface": f"{mesoface_version()} ({digest.hexdigest()[:12]})", "Python": platform.python_version()}
    found.update({f"package {name}": version for name, version in package_versions().items()})
    for package in importlib.metadata.distributions():
        if any(entry.group.startswith("mesoface.") for entry in package.entry_points):
            found[f"package {package.name}"] = package.version
    return found


def _asset(name: str) -> str:
    from recon import assets

    try:
        path = assets.locate(name)
    except MesofaceError:  # a variable of the worker's names a place where nothing is
        return ABSENT
    return ABSENT if path is None else _file(path)


def _file(path: Path) -> str:
    try:
        return _hash(path)
    except OSError:
        return ABSENT


def _hash(path: Path) -> str:
    state = path.stat()
    return _hash_of_state(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _hash_of_state(path: Path, _modified: int, _size: int) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:12]


def _face_model(name: str) -> str:
    from recon.face_model import load_face_model

    try:
        return load_face_model(name).version
    except MesofaceError:
        return ABSENT


def _database(folder: Path, face_model: str | None) -> str:
    from recon.face_model import load_face_model
    from recon.texture.database import open_database

    try:
        return open_database(folder, load_face_model(face_model or "auto")).identity
    except MesofaceError:
        return ABSENT


def difference(mine: dict[str, str], theirs: dict[str, str], worker: str) -> str | None:
    """The first thing in which a worker differs from this machine, with the mend; None where they are alike."""
    for name in [*mine, *sorted(set(theirs) - set(mine))]:
        here, there = mine.get(name, ABSENT), theirs.get(name, ABSENT)
        if here != there:
            return f"worker {worker} has {_said(name, there)}, this machine {_said(name, here)}: {_mend(name, there)}."
    return None


def _said(name: str, value: str) -> str:
    """``asset x`` with its value in words."""
    kind, _, what = name.partition(" ")
    label = f"'{what}'" if kind == "file" else name.removeprefix("package ")
    return f"no {label}" if value == ABSENT else f"{label} {value}"


def _mend(name: str, there: str) -> str:
    kind, _, what = name.partition(" ")
    if kind in {"asset", "features"}:
        fetch = f"run 'mesoface assets fetch {what}' there, or " if kind == "asset" else ""
        return f"{fetch}let MESOFACE_HOME be the same shared folder on all machines, and restart the worker"
    if kind == "face":
        return "let MESOFACE_HOME be the same shared folder on all machines, and restart the worker"
    if kind in {"database", "file"}:
        return "put it on a file system that all machines share under the same path"
    if kind == "GPU":
        return "start the worker on a machine with a GPU, or without the resource GPU"
    return "install the same versions on both, and restart the worker"
