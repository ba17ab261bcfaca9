"""What a run is asked to do, what that comes to on this machine, and with which versions it is done."""

from __future__ import annotations

import ctypes
import difflib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.protocols import Protocol
from recon.data.subject import Subject, TestSet
from recon.errors import UsageError
from recon.methods.contract import Method

# The packages whose version can change a number or a picture.
_RECORDED = (
    "numpy",
    "scipy",
    "scikit-image",
    "pillow",
    "torch",
    "dlib",
    "embreex",
    "mitsuba",
    "trimesh",
    "pandas",
)


@dataclass(frozen=True)
class RunConfig:
    """A run as the user asks for it.

    Attributes:
        out: the run folder.
        data: test set, for example ``london=PATH``.
        methods: registry names.
        protocols: what the methods are given and judged on.
        database: texture database: a test set (``london=PATH``), a database folder, or None.
        limit: number of subjects to test, chosen by ``seed``; None for all.
        subjects: ids to test; empty for all (or for ``limit`` of them).
        size: side of the albedo maps in texels.
        seed: seeds the choice of subjects and every method.
        features, face_model, device: names, or ``auto``.
        renderer: registry name of the renderer that draws the views.
        views: sets and single views of :mod:`recon.rendering.view_sets` to draw; every result has ``fitted``.
        parameters: settings a method, ``{"deep": {"alpha": 500.0}}``.
        jobs: worker processes; None for as many as cores and memory allow.
    """

    out: Path
    data: str
    methods: tuple[str, ...]
    protocols: tuple[Protocol, ...]
    database: str | None = None
    limit: int | None = None
    subjects: tuple[str, ...] = ()
    size: int = 512
    seed: int = 0
    features: str = "auto"
    face_model: str = "auto"
    device: str = "auto"
    renderer: str = "gbuffer"
    views: tuple[str, ...] = ("fitted",)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    jobs: int | None = None


def choose_subjects(test_set: TestSet, ids: Sequence[str], limit: int | None, seed: int) -> tuple[Subject, ...]:
    """The subjects to test, in order of id: those named, else ``limit`` of all, drawn by ``seed``.

    A smaller limit gives a part of what a larger one gives, so a run can be extended.

    Raises:
        UsageError: an id that the test set does not have, or nothing is left to test.
    """
    known = {subject.id: subject for subject in test_set.subjects}
    for name in ids:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            hint = f"did you mean '{near[0]}'?" if near else "it has none."
            raise UsageError(f"data set '{test_set.name}' has no subject '{name}': {hint}")
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: test at least one subject.")
    chosen = sorted(set(ids)) or sorted(known)
    if limit is not None and limit < len(chosen):
        order = np.random.default_rng(seed).permutation(len(chosen))
        chosen = sorted(chosen[i] for i in order[:limit])
    if not chosen:
        reasons = "; ".join(f"{name}: {why}" for name, why in test_set.skipped[:3])
        raise UsageError(f"data set '{test_set.name}' has no usable subject{': ' + reasons if reasons else '.'}")
    return tuple(known[name] for name in chosen)


def parse_settings(settings: Sequence[str], defaults: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """``["deep.alpha=500"]`` → ``{"deep": {"alpha": 500}}``, checked against the parameters of the chosen methods.

    Args:
        settings: ``method.parameter=value``; the value is read as JSON, else as text.
        defaults: parameters of each chosen method with their default values.

    Raises:
        UsageError: malformed, a method that is not in the run, an unknown parameter, or a value of another type.
    """
    found: dict[str, dict[str, Any]] = {}
    for setting in settings:
        target, equals, text = setting.partition("=")
        method, dot, parameter = target.partition(".")
        if not (equals and dot and parameter):
            raise UsageError(f"--set {setting}: write method.parameter=value, for example deep.alpha=500.")
        if method not in defaults:
            raise UsageError(f"--set {setting}: '{method}' is not among this run's methods ({', '.join(defaults)}).")
        if parameter not in defaults[method]:
            near = difflib.get_close_matches(parameter, defaults[method], n=1, cutoff=0.0)
            hint = f"did you mean '{near[0]}'?" if near else "it has no parameters."
            raise UsageError(f"--set {setting}: '{method}' has no parameter '{parameter}'; {hint}")
        found.setdefault(method, {})[parameter] = _typed(setting, text, defaults[method][parameter])
    return found


def _typed(setting: str, text: str, default: Any) -> Any:
    """The value in ``text``, of the type of ``default`` where that has one; several numbers as ``40/30/15``."""
    if isinstance(default, tuple):
        parts = text.strip("()[] ").replace("/", ",").split(",")
        value = tuple(_like(default[0], part.strip()) for part in parts)
        fits = len(value) == len(default) and all(type(part) is type(default[0]) for part in value)
    else:
        value = _like(default, text)
        fits = default is None or type(value) is type(default)
    if not fits:
        example = "/".join(map(str, default)) if isinstance(default, tuple) else repr(default)
        raise UsageError(f"--set {setting}: expected a value like {example} ({type(default).__name__}).")
    return value


def _like(default: Any, text: str) -> Any:
    """What ``text`` is in JSON, or itself; a whole number is a float where ``default`` is one."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return text
    whole = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if whole and isinstance(default, float) else value


def load_method(name: str) -> Method:
    """The method called ``name``; a registered class is instantiated.

    Raises:
        UsageError: unknown name.
    """
    from recon.methods import METHODS

    piece: Any = METHODS.get(name)
    method: Method = piece() if isinstance(piece, type) else piece
    return method


def default_jobs(tasks: int, size: int = 512) -> int:
    """Worker processes that fit this machine: one a core, and memory for each; never more than there are tasks.

    Args:
        size: side of the albedo maps in texels. ``deep`` takes 1.8 GB at 512², 4.3 GB at 1024², and four times as much
            for every doubling after that.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    each = max(4.0, 5.0 * (size / 1024) ** 2)
    return max(1, min(cores, int(memory_gigabytes() // each), tasks))


def memory_gigabytes() -> float:
    """Physical memory, or the control group's limit where that is smaller; 8 where the system does not say."""
    found: list[float] = []
    try:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, ValueError, OSError):
        found.append(8.0)
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(limit).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text) / 2**30)
    return min(found)


def resolve_device(name: str) -> str:
    """``auto`` → ``cuda`` where a GPU answers, else ``cpu``; other names as they are.

    Raises:
        UsageError: a GPU was asked for and there is none.
    """
    if name == "cpu" or (name == "auto" and not _gpu_driver_is_here()):
        return "cpu"
    import torch  # it takes seconds, so only where there may be a GPU

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(name).type
    except RuntimeError as error:
        raise UsageError(f"--device {name}: no such device; use cpu, cuda or cuda:0.") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageError(f"--device {name}: torch finds no GPU on this machine; use --device cpu.")
    return name


def _gpu_driver_is_here() -> bool:
    """Whether NVIDIA's or AMD's driver is installed: without one PyTorch has no ``cuda``, and need not be asked."""
    if Path("/dev/kfd").exists():
        return True
    try:
        ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return False
    return True


def mesoface_version() -> str:
    """The installed version; ``source`` where mesoface runs from an uninstalled checkout."""
    return _version("mesoface") or "source"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """The commit of the checkout that this code runs from, ``+`` appended if it is modified; None outside of git."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()
        changed = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+" if changed else "")


def package_versions() -> dict[str, str]:
    """Versions of the installed packages that can change a number or a picture, by name."""
    return {name: found for name in _RECORDED if (found := _version(name))}


def hardware(device: str) -> str:
    """What ``device`` is on this machine: the name of a GPU, or the kind of processor."""
    if not device.startswith("cuda"):
        return platform.machine()
    import torch

    return torch.cuda.get_device_name(device)


def made_with(device: str, on: str | None = None) -> dict[str, Any]:
    """Versions, commit and device, for ``run.json``; ``on`` is the hardware, where it is not this machine's."""
    return {
        "mesoface": mesoface_version(),
        "commit": git_commit(),
        "python": platform.python_version(),
        "system": platform.system(),
        "device": f"{device} ({hardware(device) if on is None else on})",
        "packages": package_versions(),
    }
