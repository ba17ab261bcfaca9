"""What the conformance tests of plugins share: findings, and the proofs that a plugin keeps its hands to itself."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recon.errors import AssetError

State = Literal["passed", "failed", "not checked"]


@dataclass(frozen=True)
class Finding:
    """What one conformance test found.

    Attributes:
        check: what a plugin must do, in words.
        message: what to mend, or why it was not checked; empty where it passed.
    """

    check: str
    state: State
    message: str = ""


class NotKept(Exception):
    """A plugin does not keep its contract; the message says what to mend."""


@dataclass
class Findings:
    """Collects findings; a test that depends on one that failed is not run."""

    found: list[Finding] = field(default_factory=list)

    def check(self, what: str, test: Callable[[], Any]) -> bool:
        """Runs ``test``, which raises :class:`NotKept` where the contract is broken; whether it passed.

        Weights or data that are not on this machine are no fault of the plugin: not checked, with the reason. Any other
        exception, also one that would end the program, is the plugin's.
        """
        try:
            test()
        except NotKept as broken:
            self.found.append(Finding(what, "failed", str(broken)))
        except AssetError as absent:
            self.found.append(Finding(what, "not checked", str(absent)))
        except (Exception, SystemExit) as error:
            self.found.append(Finding(what, "failed", f"it raised {type(error).__name__}: {error}"))
        else:
            self.found.append(Finding(what, "passed"))
        return self.found[-1].state == "passed"

    def skip(self, what: str, why: str) -> None:
        """Notes that ``what`` was not checked."""
        self.found.append(Finding(what, "not checked", why))

    @property
    def failed(self) -> bool:
        """Whether a test failed."""
        return any(finding.state == "failed" for finding in self.found)


def require(kept: bool, mend: str) -> None:
    """Raises :class:`NotKept` with ``mend`` unless ``kept``."""
    if not kept:
        raise NotKept(mend)


def require_json(value: Any, noun: str) -> None:
    """Raises :class:`NotKept` where JSON cannot write ``value``."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise NotKept(
            f"{noun} cannot be written as JSON ({error}): use text, numbers, lists and dictionaries."
        ) from error


def fingerprint(value: Any) -> str:
    """A hash of all arrays, numbers and texts in ``value``, dataclasses and mappings included."""
    digest = hashlib.sha256()
    for part in _parts(value):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape}".encode()
        yield np.ascontiguousarray(value).tobytes()
    elif is_dataclass(value) and not isinstance(value, type):
        for known in fields(value):
            yield known.name.encode()
            yield from _parts(getattr(value, known.name))
    elif isinstance(value, dict):
        for key in value:
            yield repr(key).encode()
            yield from _parts(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, (str, int, float, bool, bytes, type(None))):
        yield repr(value).encode()


@contextmanager
def other_global_seeds(seed: int) -> Iterator[None]:
    """Global random states differ with ``seed`` inside of the block: what depends on them differs too."""
    import torch

    kept = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.set_rng_state(kept[2])


_watching: list[list[str]] = []
_hooked: list[bool] = []
_CHANGES = {
    "os.mkdir": 0,
    "os.rename": 1,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.symlink": 1,
    "os.link": 1,
    "os.truncate": 0,
    "shutil.rmtree": 0,
}  # fmt: skip
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_TRUNC


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watching:
        return
    path: Any = None
    if event == "open":
        mode, flags = arguments[1], arguments[2]
        writes = any(sign in mode for sign in "wax+") if isinstance(mode, str) else bool((flags or 0) & _WRITING)
        path = arguments[0] if writes else None
    elif event in _CHANGES:
        path = arguments[_CHANGES[event]]
    if isinstance(path, (str, bytes, os.PathLike)):
        _watching[-1].append(os.path.abspath(os.fsdecode(path)))


@contextmanager
def watched_writes(allowed: Iterable[Path]) -> Iterator[list[str]]:
    """Files that Python code inside of the block writes, makes or removes outside of ``allowed``.

    The block runs in an empty folder of its own, so that a relative path shows whoever wrote it. Compiled modules and
    devices do not count.
    """
    if not _hooked:  # an audit hook stays for the life of the program
        sys.addaudithook(_hear)
        _hooked.append(True)
    outside: list[str] = []
    places = [os.path.abspath(place) for place in allowed]
    heard: list[str] = []
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        here = os.getcwd()
        _watching.append(heard)
        try:
            yield outside
        finally:
            _watching.pop()
            made = [os.path.join(here, name) for name in os.listdir(here)]
            for path in dict.fromkeys([*heard, *made]):
                free = "__pycache__" in path or path.startswith((os.devnull, "/dev/", "/proc/"))
                allowed_there = any(Path(path).is_relative_to(place) for place in places)
                if not free and (Path(path).is_relative_to(here) or not allowed_there):
                    outside.append(path)
