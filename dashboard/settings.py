"""What the dashboard was started with: where runs and studies lie, and who may come in and change things.

Set once by the command before the application starts; the script and the routes, which live in the same process, read
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from dashboard.passwords import Passwords

PORT = 8501


@dataclass(frozen=True)
class Door:
    """Who may come in, and by which name of the machine.

    Attributes:
        host: address that is listened at.
        port: where.
        names: names under which a proxy shows the dashboard; empty for its own address alone.
        passwords: None where no password is asked for.
        oidc: whether visitors log in at an OpenID Connect provider.
        editors: mail addresses, or ``@domain``, of those who may change things; of OpenID Connect alone.
        viewers: of those who may look; empty for everyone whom the provider lets in.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    names: tuple[str, ...] = ()
    passwords: Passwords | None = None
    oidc: bool = False
    editors: tuple[str, ...] = ()
    viewers: tuple[str, ...] = ()

    @property
    def is_guarded(self) -> bool:
        """Whether a visitor must say who he is."""
        return self.passwords is not None or self.oidc


@dataclass(frozen=True)
class Settings:
    """How the dashboard was started.

    Attributes:
        runs: folder whose run folders are shown, or one run folder.
        database: address of the study database; None for the default one.
        read_only: nobody may change anything.
        cache: folder for thumbnails and difference pictures.
        door: who may come in.
        studies: folder of study folders; None for ``studies`` beside ``runs``.
    """

    runs: Path
    database: str | None
    read_only: bool
    cache: Path
    door: Door = field(default_factory=Door)
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
