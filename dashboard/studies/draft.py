"""A new study as its form has it: the ready file, changed where the form says, as the same YAML as people write."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from dashboard.catalogue import Run, modified
from dashboard.settings import current
from recon.storage import make_folder, write_text
from study.ready_files import as_yaml, changed, ready, ready_text
from study.specification import Specification
from study.study_file import model_from_text
from study.suggestions import Suggestion, suggestion

_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")
MOST_DRAFTS = 50
"""Drafts that are kept in the cache folder; a check of one that is gone writes it anew."""


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


def about(example: str) -> str:
    """The first sentence of the ready file's own comment."""
    lines = [line.lstrip("# ").strip() for line in ready_text(example).splitlines() if line.startswith("#")]
    return " ".join(lines[: lines.index("")] if "" in lines else lines)


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


def suggested(run: Run, example: str) -> Suggestion:
    """What the form starts with; worked out once for a state of the run."""
    return _suggested(run.folder.path, example, run.stamp)


@lru_cache(maxsize=64)
def _suggested(run: Path, example: str, stamp: tuple[int, ...]) -> Suggestion:
    return suggestion(run, example)


def run_from(folder: Path, run: Run) -> str:
    """The run as a study file in ``folder`` names it."""
    return Path(os.path.relpath(run.folder.path.resolve(), folder.resolve())).as_posix()


def kept_draft(record_text: str, run: Run) -> Path:
    """The draft as a file in the cache folder, with its run named from there, for checks that need one."""
    record = yaml.safe_load(record_text)
    record["stimuli"]["runs"] = [str(run.folder.path.resolve())]
    text = as_yaml(record)
    drafts = current().cache / "drafts"
    folder = make_folder(drafts / hashlib.sha256(text.encode()).hexdigest()[:24])
    file = folder / "study.yaml"
    if not file.is_file():
        write_text(file, text)
        _forget_old(drafts)
    return file


def _forget_old(drafts: Path) -> None:
    """Every change of the form is another draft: the newest :data:`MOST_DRAFTS` stay."""
    known = sorted(drafts.iterdir(), key=modified, reverse=True)
    for one in known[MOST_DRAFTS:]:
        shutil.rmtree(one, ignore_errors=True)  # another visitor may be at it as well
