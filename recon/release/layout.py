"""The folder of a data set of face models.

::

    README.md                data card
    dataset.json             what it is, for programs: settings, subjects, what failed; written last
    subjects.csv, .parquet   the index: a row a subject
    splits/train.txt, splits/test.txt
    LICENCE.txt              the terms, and whom they concern
    SHA256SUMS               of every file of the data set, for `sha256sum -c`
    contact-sheet.jpg
    subjects/<id>/
        albedo.exr           complete albedo, linear, half float
        albedo.png           the same, sRGB-encoded, 8 bits
        seen.png, skin.png   masks: coloured by the photograph (the rest is completed), and of it skin
        vertices.npy         (V, 3) float32 positions in the face model's topology, frame and unit
        head.glb             textured head
        head.obj, head.mtl, textures/*.png
        preview.png
        LICENCE.txt
        subject.json         attributes, split, licence, provenance, fit, sha256 of each file; written last
        observed.json        what the fit found; written when the photograph has been unwrapped
    database.json, build.json, entries/     the texture database that `deep` reads: `mesoface run --database DIR`

``derived/`` and ``.build.lock`` are caches and no part of the data set. A subject without ``subject.json`` does not
exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon.errors import InputError, UsageError
from recon.runs.folder import complete_record
from recon.storage import read_json

FORMAT = 1

OBSERVED = "observed.json"
RECORD = "subject.json"
DATABASE_FILES = ("database.json", "build.json")


@dataclass(frozen=True)
class ReleaseFolder:
    """Paths and records of a data set."""

    path: Path

    @property
    def index(self) -> Path:
        """``dataset.json``."""
        return self.path / "dataset.json"

    @property
    def lock(self) -> Path:
        """Held by the process that builds."""
        return self.path / ".build.lock"

    def subject(self, name: str) -> Path:
        """Folder of a subject."""
        return self.path / "subjects" / name

    def entry_files(self, name: str) -> tuple[str, ...]:
        """Files of a subject in the texture database, relative to the data set."""
        return tuple(f"entries/{name}{ending}" for ending in (".npy", ".masks.npy", ".json"))

    def observed(self, name: str) -> dict[str, Any] | None:
        """What the fit of a subject found, if its observation is complete."""
        return complete_record(self.subject(name) / OBSERVED)

    def finished(self, name: str) -> dict[str, Any] | None:
        """The record of a subject whose files are all there, else None."""
        return complete_record(self.subject(name) / RECORD)

    def present(self) -> list[str]:
        """Ids of all subjects that this folder holds anything of."""
        folder = self.path / "subjects"
        return sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []

    def read_index(self) -> dict[str, Any]:
        """``dataset.json``.

        Raises:
            UsageError: the folder is no finished data set, or one of another format.
        """
        if not self.index.is_file():
            raise UsageError(
                f"'{self.path}' is not a finished data set: it has no dataset.json; make one, or finish it, with "
                "'mesoface dataset build'."
            )
        index = read_json(self.index)
        if not isinstance(index, dict) or index.get("format") != FORMAT:
            raise UsageError(
                f"'{self.index}' is not of the format that this mesoface reads ({FORMAT}): build it again into "
                "another folder."
            )
        return index

    def records(self) -> Iterator[dict[str, Any]]:
        """Records of all subjects of the index, in its order.

        Raises:
            InputError: a subject that the index names is incomplete.
        """
        for name in self.read_index()["subjects"]:
            record = self.finished(name)
            if record is None:
                raise InputError(
                    f"subject '{name}' of the data set '{self.path}' lacks files: run 'mesoface dataset build' again, "
                    "or copy the data set anew."
                )
            yield record
