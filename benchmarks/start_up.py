"""Seconds until a command answers: the help of every one, and those that look at what is there and find nothing to do.

    python benchmarks/start_up.py --run runs/first

Each is a fresh process, start of Python included; the best of ``--rounds``, so that other work on the machine does not
decide. The goal for whatever comes before a command's real work is half a second. What a process loads in that time is
held by ``tests/test_start_up.py``, without a clock.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parent.parent
# The checkout first, where `import metrics` looks, then this folder, whose `metrics.py` is another benchmark.
sys.path[:1] = [str(ROOT), str(ROOT / "benchmarks")]

GOAL = 0.5


def paths(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command and group below ``command``."""
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from paths(below, (*path, name))


def seconds(arguments: tuple[str, ...], rounds: int) -> tuple[float, int]:
    """The shortest wall time of ``mesoface`` with ``arguments``, and its exit code."""
    taken, code = [], 0
    for _ in range(rounds):
        started = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "mesoface", *arguments], capture_output=True, check=False, cwd=ROOT
        )
        taken.append(time.perf_counter() - started)
        code = done.returncode
    return min(taken), code


def main() -> None:
    import mesoface

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run", type=Path, help="a run that is measured: commands that read it are timed as well")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    helps = {(*path, "--help"): 0.0 for path in paths(mesoface.cli)}
    for path in helps:
        helps[path], _ = seconds(path, asked.rounds)
    slowest = sorted(helps, key=lambda path: -helps[path])[:3]
    looks = [("assets", "list"), ("assets", "where"), ("metrics", "--list"), ("study", "check", "absent.yaml"),
             ("run", "--data", "folder=absent", "--methods", "none", "--out", "absent")]  # fmt: skip
    if asked.run is not None:
        looks += [("metrics", str(asked.run.absolute())), ("compare", str(asked.run.absolute()))]
    table = Table(title=f"seconds until the answer, best of {asked.rounds}; load {os.getloadavg()[0]:.1f}",
                  title_justify="left")  # fmt: skip
    for heading in ("command", "seconds", "goal", "exit code"):
        table.add_column(heading, justify="left" if heading == "command" else "right")
    for path in slowest:
        table.add_row(f"mesoface {' '.join(path)}", marked(helps[path]), f"{GOAL:g}", "0")
    table.add_row(f"… and {len(helps) - len(slowest)} more helps", "less", "", "")
    table.add_section()
    for arguments in looks:
        spent, code = seconds(arguments, asked.rounds)
        table.add_row(f"mesoface {' '.join(arguments)}", marked(spent), f"{GOAL:g}", str(code))
    Console(width=120).print(table)


def marked(spent: float) -> str:
    """Seconds, green where they meet the goal."""
    return f"[{'green' if spent <= GOAL else 'bold red'}]{spent:.2f}[/]"


if __name__ == "__main__":
    main()
