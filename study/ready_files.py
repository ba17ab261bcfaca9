"""Ready study files, to copy and change."""

from __future__ import annotations

from pathlib import Path


def ready_files() -> dict[str, Path]:
    """Files by name, in the order of the alphabet."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "examples").glob("*.yaml"))}
