"""What the dashboard was started with: where runs and studies lie, and who may change things.

Set once by the command before the application starts; the script and the picture routes, which live in the same
process, read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """How the dashboard was started.

    Attributes:
        runs: folder whose run folders are shown, or one run folder.
        database: address of the study database; None for the default one.
        read_only: nobody may change anything.
        cache: folder for thumbnails and difference pictures.
        studies: folder of study folders; None for ``studies`` beside ``runs``.
    """

    runs: Path
    database: str | None
    read_only: bool
    cache: Path
    studies: Path | None = None


_settings: list[Settings] = []


def use(settings: Settings) -> None:
    """Make ``settings`` those of this process."""
    _settings[:] = [settings]


def current() -> Settings:
    """The settings of this process."""
    if not _settings:
        raise RuntimeError("the dashboard's script runs without its server: start it with 'mesoface dashboard'.")
    return _settings[0]
