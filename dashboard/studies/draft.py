"""A new study as its form has it: the ready file, changed where the form says, as the same YAML as people write."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from dashboard.catalogue import Run
from dashboard.settings import current
from recon.storage import make_folder, write_text
from study.contract import PHOTOGRAPH
from study.ready_files import ready_files
from study.specification import Specification
from study.study_file import model_from_text

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
WIDTH = 110


@dataclass(frozen=True)
class Draft:
    """What the form says.

    Attributes:
        changes: of the ready file ``example``, by dotted field; None takes a field out.
    """

    example: str
    changes: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The study file."""
        return as_yaml(changed(ready(self.example), self.changes))


@lru_cache(maxsize=16)
def _ready(example: str) -> str:
    return ready_files()[example].read_text(encoding="utf-8")


def ready(example: str) -> dict[str, Any]:
    """What the ready file ``example`` says."""
    found: dict[str, Any] = yaml.safe_load(_ready(example))
    return found


def about(example: str) -> str:
    """The first sentence of the ready file's own comment."""
    lines = [line.lstrip("# ").strip() for line in _ready(example).splitlines() if line.startswith("#")]
    return " ".join(lines[: lines.index("")] if "" in lines else lines)


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


def validated(text: str, file: Path) -> Specification:
    """The study of ``text``, that is to become ``file``.

    Raises:
        InputError: it says something that no study can be; the file's own sentence, with the lines.
    """
    return model_from_text(text, file, Specification)


def name_for(run: Run, example: str, taken: set[str]) -> str:
    """A name that is free."""
    stem = _NOT_IN_NAMES.sub("-", f"{run.title}-{example}".lower()).strip("-")[:70] or "study"
    return next(name for name in (stem, *(f"{stem}-{n}" for n in range(2, 1000))) if name not in taken)


def conditions_for(run: Run, example: str) -> list[str]:
    """Those of the ready file that the run has, and at least three methods of the run where it has so many."""
    base = ready(example)
    wanted = base["conditions"]
    methods = [name for name in wanted if name in run.methods]
    methods += [name for name in run.methods if name not in methods][: max(0, min(3, len(run.methods)) - len(methods))]
    alone = len(methods) == 1 and base["design"] in ("pairwise", "ranking")  # what is compared needs another
    return [PHOTOGRAPH] * (PHOTOGRAPH in wanted or alone) + methods


def run_from(folder: Path, run: Run) -> str:
    """The run as a study file in ``folder`` names it."""
    return Path(os.path.relpath(run.folder.path.resolve(), folder.resolve())).as_posix()


def kept_draft(record_text: str, run: Run) -> Path:
    """The draft as a file in the cache folder, with its run named from there, for checks that need one."""
    record = yaml.safe_load(record_text)
    record["stimuli"]["runs"] = [str(run.folder.path.resolve())]
    text = as_yaml(record)
    folder = make_folder(current().cache / "drafts" / hashlib.sha256(text.encode()).hexdigest()[:24])
    file = folder / "study.yaml"
    if not file.is_file():
        write_text(file, text)
    return file
