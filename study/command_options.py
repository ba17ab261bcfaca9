"""How commands are told which study they are about, the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def study_name(given: str) -> str:
    """The name of the study that ``given`` names: by name, by its folder or by its file.

    Raises:
        InputError: a study file that cannot be read.
    """
    from study.specification import read_specification

    path = Path(given)
    file = path / "study.yaml" if path.is_dir() else path
    return read_specification(file).name if file.is_file() else given


def _named(_context: click.Context, _parameter: click.Parameter, given: str | None) -> str | None:
    return None if given is None else study_name(given)


def study_argument(required: bool = True) -> Callable[[Command], Command]:
    """The argument STUDY, a name or a folder; the command gets ``name``."""
    return click.argument("name", metavar="STUDY", required=required, callback=_named)
