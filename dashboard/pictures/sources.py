"""Where a picture comes from: the file in the run folder, and the part of it that is shown; or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from dashboard.catalogue import Run, runs
from dashboard.pictures.addresses import OF_VIEWS, Picture
from dashboard.pictures.differences import Difference
from dashboard.pictures.thumbnails import Drawable
from recon.errors import MesofaceError
from recon.runs.folder import ResultKey, complete_record, has_head

Box = tuple[int, int, int, int]
FITTED = "fitted"
MOST_SEEN = 50_000
"""So many pictures are remembered as there; looking costs four calls of the file system each."""

_seen: dict[tuple[Path, tuple[int, ...], Picture], None] = {}
_MAPS = {"albedo": "albedo.png", "mask": "mask.png", "head": "head.glb"}


@dataclass(frozen=True)
class Source:
    """A file, and the part of its picture that is shown: left, top, right, bottom in pixels; None for all of it."""

    path: Path
    box: Box | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is drawn from."""
        return (self.path,)

    @property
    def recipe(self) -> str:
        """Which part is shown."""
        return f"part {self.box}"

    def image(self) -> Image.Image:
        """The part that is shown."""
        with Image.open(self.path) as opened:
            return opened.crop(self.box) if self.box else opened.copy()


def source_of(picture: Picture) -> Drawable | None:
    """The source of ``picture``; None where the run has no such thing, or not yet.

    Nothing outside the run folder is ever opened, whatever ``run.json`` says or a link points to.
    """
    run = runs().get(picture.run)
    if run is None or run.problem or picture.subject not in run.subjects or picture.protocol not in run.protocols:
        return None
    try:
        found = _found(run, picture)
    # A record that another program wrote wrongly: there is no picture then.
    except (MesofaceError, KeyError, TypeError, ValueError, OSError):
        return None
    return found if found is not None and all(_inside(run, path) for path in found.files) else None


def _inside(run: Run, path: Path) -> bool:
    try:
        return path.resolve(strict=True).is_relative_to(_real(run.folder.path))
    except OSError:  # not there: nothing to show
        return False


@lru_cache(maxsize=256)  # asked for every picture of a page
def _real(folder: Path) -> Path:
    return folder.resolve(strict=True)


def _found(run: Run, picture: Picture) -> Drawable | None:
    if picture.kind in ("photograph", "given"):
        box = frame_of(run, picture.subject, picture.protocol)
        if box is None:
            return None
        photograph = run.folder.reference(picture.subject) / "photo.png"
        path = photograph if picture.kind == "photograph" else run.folder.given(picture.subject, picture.protocol)
        return Source(path, box) if path.is_file() else None
    if picture.method not in run.methods:
        return None
    key = ResultKey(picture.method, picture.protocol, picture.subject)
    record = run.folder.finished(key)
    if record is None:
        return None
    if picture.kind == "albedo" or picture.kind == "mask" or picture.kind == "head":
        name = _MAPS[picture.kind]
        return Source(run.folder.result(key) / name) if name in record["files"] else None
    view = view_path(run, key, record, picture.view)
    if view is not None and (picture.kind == "difference" or picture.kind == "flip"):
        of_photograph = picture.view.rpartition("/")[2] == FITTED
        return Difference(run.folder, key, view, picture.kind) if of_photograph else None
    return Source(view) if view else None


def view_path(run: Run, key: ResultKey, record: Mapping[str, Any], view: str) -> Path | None:
    """The file of a view: one of the result itself, or one that a renderer added (``mitsuba/studio-front``)."""
    folder = run.folder.result(key) / "views"
    if f"views/{view}.png" in record["files"]:
        return folder / f"{view}.png"
    renderer, slash, name = view.partition("/")
    if not slash or "/" in name or ".." in (renderer, name) or not name:
        return None
    added = complete_record(folder / renderer / f"{name}.json")
    return folder / renderer / f"{name}.png" if added is not None and f"{name}.png" in added["files"] else None


def frame_of(run: Run, subject: str, protocol: str) -> Box | None:
    """The part of the photograph that fitted views show; None where the reference is not complete."""
    reference = run.folder.reference_record(subject, protocol)
    if reference is None:
        return None
    left, top, right, bottom = (int(edge) for edge in reference["crop"])
    return left, top, right, bottom


def why_missing(run: Run, picture: Picture) -> str:
    """Why there is no such picture, in a sentence; empty where there is one, or was when it was last looked for.

    One that went since says so itself where it is shown: its address answers that it is not there.
    """
    seen = (run.folder.path, run.stamp, picture)
    if seen in _seen:
        return ""
    if source_of(picture) is not None:
        _seen[seen] = None
        if len(_seen) > MOST_SEEN:
            _seen.clear()
        return ""
    if not picture.method:
        return "the run has not got to this subject yet, or it failed: run the same command again."
    key = ResultKey(picture.method, picture.protocol, picture.subject)
    try:
        record = run.folder.finished(key)
        if record is None:
            failure = run.folder.failure(key)
            reason = str(failure["message"]) if failure else run.folder.not_applicable(key)
            return reason or "not made yet: run the same command again, and it goes on where it stopped."
        if picture.kind in _MAPS and not has_head(record):
            return "imported as views: pictures alone, without a head or an albedo."
    except (MesofaceError, KeyError, TypeError, ValueError):
        return "the record of this result cannot be read: delete its folder and run again."
    if picture.kind in OF_VIEWS and picture.view.rpartition("/")[2] != FITTED and picture.kind != "view":
        return "a difference from the photograph needs the photograph's own camera: choose the view 'fitted'."
    if picture.kind == "view" and "/" in picture.view:
        renderer, _, name = picture.view.partition("/")
        command = f"mesoface render {run.folder.path} --renderer {renderer} --views {name}"
        return f"not rendered: '{command}' makes it."
    return "this result has no such picture."
