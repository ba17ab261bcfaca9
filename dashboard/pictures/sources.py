"""Where a picture comes from: the file in the run folder, and the part of it that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dashboard.catalogue import runs
from dashboard.pictures.addresses import Picture
from recon.runs.folder import ResultKey

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Source:
    """A file, and the part of its picture that is shown: left, top, right, bottom in pixels; None for all of it."""

    path: Path
    box: Box | None = None


def source_of(picture: Picture) -> Source | None:
    """The source of ``picture``; None where the run has no such thing, or not yet."""
    run = runs().get(picture.run)
    if run is None or picture.subject not in run.subjects or picture.protocol not in run.protocols:
        return None
    if picture.kind in ("photograph", "given"):
        reference = run.folder.reference_record(picture.subject, picture.protocol)
        if reference is None:
            return None
        photograph = run.folder.reference(picture.subject) / "photo.png"
        path = photograph if picture.kind == "photograph" else run.folder.given(picture.subject, picture.protocol)
        left, top, right, bottom = (int(edge) for edge in reference["crop"])
        return Source(path, (left, top, right, bottom)) if path.is_file() else None
    if picture.method not in run.methods:
        return None
    key = ResultKey(picture.method, picture.protocol, picture.subject)
    record = run.folder.finished(key)
    name = {"albedo": "albedo.png", "mask": "mask.png", "head": "head.glb"}.get(
        picture.kind, f"views/{picture.view}.png"
    )
    if record is None or name not in record["files"]:
        return None
    return Source(run.folder.result(key) / name)
