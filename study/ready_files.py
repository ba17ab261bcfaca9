"""Ready study files, to copy and change."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

WIDTH = 110


def ready_files() -> dict[str, Path]:
    """Files by name, in the order of the alphabet."""
    return {path.stem: path for path in sorted((Path(__file__).parent / "examples").glob("*.yaml"))}


@lru_cache(maxsize=16)
def ready_text(example: str) -> str:
    """The ready file ``example``."""
    return ready_files()[example].read_text(encoding="utf-8")


def ready(example: str) -> dict[str, Any]:
    """What the ready file ``example`` says."""
    found: dict[str, Any] = yaml.safe_load(ready_text(example))
    return found


def changed(record: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """``record`` with dotted fields set, and those set to None taken out."""
    for name, value in changes.items():
        *blocks, last = name.split(".")
        place = record
        for block in blocks:
            place = place.setdefault(block, {})
        if value is None:
            place.pop(last, None)
        else:
            place[last] = value
    return record


class _Dumper(yaml.SafeDumper):
    """Texts of several lines stand as people write them."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)


def as_yaml(record: Mapping[str, Any]) -> str:
    """``record`` as a study file."""
    return yaml.dump(dict(record), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH)
