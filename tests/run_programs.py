"""Runs as programs of their own, on stand-ins: started, watched, killed, and compared file by file."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import run_fakes

FAKES = Path(run_fakes.__file__)
CHECKOUT = FAKES.parent.parent


def start(out: Path, people: Path, methods: str, protocols: str = "identity", jobs: int = 2) -> subprocess.Popen[str]:
    """The run as a program of its own, with real worker processes."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    command = [sys.executable, str(FAKES), str(out), str(people), methods, protocols, str(jobs)]
    return subprocess.Popen(
        command,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A test session in the background of a script is deaf to Ctrl-C, and its children would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out.strip()


def contents(folder: Path) -> dict[str, str]:
    """Hash of every file of a run, but for times and lock."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timings.json" and not path.name.startswith(".")
    }


def results(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/*/*/*/result.json"))


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.stderr.read() if process.stderr else "ended early"
        assert time.monotonic() < limit, "nothing happened for a minute"
        time.sleep(0.01)
