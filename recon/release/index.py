"""What makes folders of subjects a data set: index, splits, card, licence, contact sheet, checksums."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from recon.release.card import Records, data_card
from recon.release.layout import DATABASE_FILES, FORMAT, RECORD, ReleaseFolder
from recon.release.split import TEST, TRAIN
from recon.storage import atomic_path, write_text

SUMS = "SHA256SUMS"
SHEET = "contact-sheet.jpg"

_COLUMNS = 6
# Rows of a contact sheet; more people than fit are left to their own previews.
_ROWS = 40
_CELL = (300, 188)
# Columns of the index that an attribute of the same name must not take.
_OWN = frozenset(
    ("id", "split", "source", "synthetic", "licence", "restricted", "seen_share", "skin_share", "fit_verdict")
).union(("landmark_error_px", "interocular_px", "photograph_sha256", "folder"))


def write_release(
    folder: ReleaseFolder, records: Records, settings: Mapping[str, Any], failed: Sequence[Sequence[str]]
) -> None:
    """Writes everything above the subjects' folders; ``dataset.json`` last.

    Args:
        records: ``subject.json`` of all subjects, in order of id.
        settings: what the data set was built from and how.
        failed: id and reason of everybody who was left out.

    Raises:
        StorageError: a file cannot be written.
    """
    folder.index.unlink(missing_ok=True)
    title = f"{settings['data']}: 3-D face models with albedo maps"
    table = index_table(records)
    with atomic_path(folder.path / "subjects.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    with atomic_path(folder.path / "subjects.parquet") as temporary:
        table.to_parquet(temporary, index=False)
    for side in (TRAIN, TEST):
        names = [f"{record['id']}\n" for record in records if record["split"] == side]
        write_text(folder.path / "splits" / f"{side}.txt", "".join(names))
    write_text(folder.path / "README.md", data_card(title, records, settings, failed))
    write_text(folder.path / "LICENCE.txt", _licences(records, settings))
    write_sheet(folder, records)
    index = {
        "format": FORMAT,
        "title": title,
        "settings": dict(settings),
        "subjects": [record["id"] for record in records],
        "left_out": [list(item) for item in failed],
    }
    text = json.dumps(index, indent=2, ensure_ascii=False) + "\n"
    _write_sums(folder, records, {folder.index.name: hashlib.sha256(text.encode()).hexdigest()})
    write_text(folder.index, text)


def index_table(records: Records) -> pd.DataFrame:
    """One row a subject: id, split, attributes, licence, shares, fit, and where its files lie."""
    names = sorted({name for record in records for name in record["attributes"]})
    rows = []
    for record in records:
        row: dict[str, Any] = {"id": record["id"], "split": record["split"]}
        # An attribute may be called like a column of ours.
        row |= {name if name not in _OWN else f"attribute_{name}": record["attributes"].get(name) for name in names}
        row |= {
            "source": record["source"],
            "synthetic": record["synthetic"],
            "licence": record["licence"]["name"],
            "restricted": record["restricted"],
            "seen_share": record["seen_share"],
            "skin_share": record["skin_share"],
            "fit_verdict": record["fit"]["verdict"],
            "landmark_error_px": round(record["fit"]["landmark_error"], 3),
            "interocular_px": round(record["fit"]["interocular"], 1),
            "photograph_sha256": record["photograph_sha256"],
            "folder": f"subjects/{record['id']}",
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _licences(records: Records, settings: Mapping[str, Any]) -> str:
    """The terms in words, and by whom they are to be observed."""
    groups: dict[tuple[str, str, bool, str], list[str]] = {}
    for record in records:
        licence = record["licence"]
        key = (licence["name"], licence["citation"], bool(record["restricted"]), licence["text"])
        groups.setdefault(key, []).append(record["id"])
    lines = ["Terms of the photographs that the models were made from, which hold for the models as well.", ""]
    for (name, citation, restricted, text), people in sorted(groups.items()):
        lines += [f"{name}{' - NOT TO BE REDISTRIBUTED' if restricted else ''}", f"  {text}" if text else ""]
        lines += [f"  cite: {citation}" if citation else "", f"  subjects: {', '.join(people)}", ""]
    model = settings["face_model"]
    lines.append(f"Face model {model['name']} (topology, UV layout): {model['licence']}")
    return "\n".join(line for index, line in enumerate(lines) if line or (index and lines[index - 1])) + "\n"


def write_sheet(folder: ReleaseFolder, records: Records) -> None:
    """The previews of all subjects (the first ``_ROWS · _COLUMNS``) in one picture, in order of id."""
    shown = [record["id"] for record in records][: _ROWS * _COLUMNS]
    rows = -(-len(shown) // _COLUMNS)
    sheet = np.full((rows * _CELL[1], _COLUMNS * _CELL[0], 3), 255, np.uint8)
    for place, name in enumerate(shown):
        with Image.open(folder.subject(name) / "preview.png") as picture:
            small = np.asarray(picture.convert("RGB").resize(_CELL, Image.Resampling.LANCZOS))
        top, left = place // _COLUMNS * _CELL[1], place % _COLUMNS * _CELL[0]
        sheet[top : top + _CELL[1], left : left + _CELL[0]] = small
    with atomic_path(folder.path / SHEET) as temporary:
        Image.fromarray(sheet).save(temporary, format="JPEG", quality=90)


def _write_sums(folder: ReleaseFolder, records: Records, known: Mapping[str, str]) -> None:
    """``SHA256SUMS`` as sha256sum writes it; the subjects' own sums are those of their records.

    Args:
        known: sums of files that are yet to be written.
    """
    sums = dict(known)
    for record in records:
        place = f"subjects/{record['id']}"
        sums |= {f"{place}/{name}": digest for name, digest in record["files"].items()}
        sums |= record["entries"]
        sums[f"{place}/{RECORD}"] = _sum(folder.path / place / RECORD)
    above = ("README.md", "LICENCE.txt", "subjects.csv", "subjects.parquet", SHEET, *DATABASE_FILES)
    for name in (*above, f"splits/{TRAIN}.txt", f"splits/{TEST}.txt"):
        sums[name] = _sum(folder.path / name)
    write_text(folder.path / SUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
