"""``stimuli.json``: what every picture of a study is, what is missing and why, and whom one must credit.

::

    stimuli.json                       format, order, encoder, stimuli, gaps, notes, restricted; written last
    stimuli/<sha256>.webp|png          what raters see; the name says nothing, and is the sha256 of the bytes
    .stimuli/<recipe>.json             what was made already, so that a build that was stopped continues

Only ``stimuli/`` is for raters: the other two name the methods.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from recon.errors import InputError
from recon.storage import read_json, write_json
from study.contract import Stimulus

FORMAT = 1
CATALOGUE = "stimuli.json"
PICTURES = "stimuli"
MADE = ".stimuli"
SUFFIXES = {"image/webp": ".webp", "image/png": ".png"}


@dataclass(frozen=True)
class Gap:
    """A stimulus that was asked for and is not there."""

    subject: str
    condition: str
    reason: str

    def __str__(self) -> str:
        return f"{self.subject} · {self.condition}: {self.reason}"


@dataclass(frozen=True)
class Catalogue:
    """The stimuli of a study.

    Attributes:
        order: what was asked for, as JSON.
        encoder: format, parameters and library versions.
        stimuli: by subject, then condition as ordered, degraded copies last.
        gaps: what is missing and why.
        notes: what the researcher should know of those that are there.
        restricted: ids of subjects whose licence does not allow passing pictures on.
    """

    order: Mapping[str, Any]
    encoder: Mapping[str, Any]
    stimuli: tuple[Stimulus, ...]
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...]
    restricted: tuple[str, ...]


def file_name(stimulus: Stimulus) -> str:
    """``<sha256>.webp`` or ``<sha256>.png``."""
    return stimulus.sha256 + SUFFIXES[stimulus.media_type]


def picture_of(folder: Path, stimulus: Stimulus) -> Path:
    """The stimulus's file in a study folder."""
    return folder / PICTURES / file_name(stimulus)


def write_catalogue(folder: Path, catalogue: Catalogue) -> None:
    """Write ``stimuli.json``, atomically; equal catalogues give equal bytes."""
    write_json(folder / CATALOGUE, {"format": FORMAT, **asdict(catalogue)})


def read_catalogue(folder: Path) -> Catalogue:
    """The catalogue of a study folder; its pictures are there, which :func:`check_pictures` proves byte by byte.

    Raises:
        InputError: absent, damaged, of another format, or a picture is missing.
    """
    path = folder / CATALOGUE
    if not path.is_file():
        raise InputError(f"'{folder}' has no {CATALOGUE}: make the stimuli with 'mesoface study stimuli'.")
    record = read_json(path)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"'{path}' is not of the format that this mesoface reads ({FORMAT}): make the stimuli again.")
    try:
        catalogue = Catalogue(
            order=dict(record["order"]),
            encoder=dict(record["encoder"]),
            stimuli=tuple(stimulus_from(entry) for entry in record["stimuli"]),
            gaps=tuple(Gap(**entry) for entry in record["gaps"]),
            notes=tuple(map(str, record["notes"])),
            restricted=tuple(map(str, record["restricted"])),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"'{path}' is damaged ({error}): make the stimuli again.") from error
    for stimulus in catalogue.stimuli:
        if not picture_of(folder, stimulus).is_file():
            raise InputError(f"'{picture_of(folder, stimulus)}' is missing: make the stimuli again.")
    return catalogue


def stimulus_from(record: Mapping[str, Any]) -> Stimulus:
    """A stimulus from its JSON.

    Raises:
        ValueError, KeyError, TypeError: a field is missing, unknown, of another type, or a name that is not a sha256.
    """
    types = {"width": int, "height": int, "degraded": bool}
    for one in fields(Stimulus):
        if one.name in record and not isinstance(record[one.name], types.get(one.name, str)):
            raise ValueError(f"'{one.name}' is {record[one.name]!r}")
    stimulus = Stimulus(**record)
    if len(stimulus.sha256) != 64 or set(stimulus.sha256) - set("0123456789abcdef"):
        raise ValueError(f"'{stimulus.sha256}' is no sha256")
    if stimulus.media_type not in SUFFIXES:
        raise ValueError(f"unknown media type '{stimulus.media_type}'")
    return stimulus


def is_whole(folder: Path, stimulus: Stimulus) -> bool:
    """Whether the stimulus's file is there and its bytes are those that its name says."""
    try:
        content = picture_of(folder, stimulus).read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content).hexdigest() == stimulus.sha256


def check_pictures(folder: Path, stimuli: Sequence[Stimulus]) -> None:
    """Read every picture.

    Raises:
        InputError: the bytes of one are not those that its name says.
    """
    for stimulus in stimuli:
        if not is_whole(folder, stimulus):
            raise InputError(f"'{picture_of(folder, stimulus)}' is missing or damaged: make the stimuli again.")
