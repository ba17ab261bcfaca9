"""Handing heads on: many heads of a run or a data set, in the formats of studios or as a texture database."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from recon.errors import DatabaseError, InputError, UsageError
from recon.face_model import load_face_model
from recon.release.attempts import attempt_all
from recon.release.heads import StoredHead, load_head
from recon.release.layout import ReleaseFolder
from recon.rendering.export.head import export_head, is_exported
from recon.storage import atomic_path, make_folder, read_json
from recon.texture.database import LEAST_ENTRIES, open_database, write_index

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Handover:
    """What became of an export.

    Attributes:
        out: the folder.
        made: names of heads that were written now; ``kept`` those that were there.
        failed: name and reason.
        restricted: names of heads whose licence does not allow redistribution.
    """

    out: Path
    made: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    restricted: tuple[str, ...]


@dataclass(frozen=True)
class _Order:
    out: Path
    formats: tuple[str, ...]
    mobile: bool


def hand_over(
    heads: Sequence[StoredHead],
    out: Path,
    formats: tuple[str, ...],
    mobile: bool,
    jobs: int,
    progress: Progress,
) -> Handover:
    """Writes heads to ``out/<name>/``. May be killed and called again: what is complete is kept.

    Args:
        formats: as :func:`recon.rendering.export.head.check_formats` gives them.
        mobile: GLB by the preset for small devices.
        jobs: worker processes.

    Raises:
        UsageError: ``out`` lies inside the run or data set.
        StorageError: the disk is full or cannot be written.
    """
    inside = next((head for head in heads if out.resolve().is_relative_to(head.folder.resolve())), None)
    if inside is not None:
        raise UsageError(f"--out {out} lies inside '{inside.folder}', which is to be exported: choose another folder.")
    make_folder(out)
    order = _Order(out, formats, mobile)
    pending = [head for head in heads if not _is_done(order, head)]
    waiting = {head.name for head in pending}
    kept = [head.name for head in heads if head.name not in waiting]
    made: list[str] = []
    failed: list[tuple[str, str]] = []
    progress(len(kept), len(heads))
    for head, reason in attempt_all(pending, prepare, order, jobs):
        if reason is None:
            made.append(head.name)
        else:
            failed.append((head.name, reason))
        progress(len(kept) + len(made) + len(failed), len(heads))
    restricted = tuple(head.name for head in heads if not head.provenance.licence.redistributable)
    return Handover(out, tuple(sorted(made)), tuple(kept), tuple(sorted(failed)), restricted)


def _is_done(order: _Order, head: StoredHead) -> bool:
    """Whether the head is there in these formats, made from what its folder holds now."""
    place = order.out / head.name
    expected = {**head.provenance.record(), "source_files": _source_files(head)}
    if not head.provenance.face_model_licence:  # of a run: known once the model is loaded
        del expected["face_model_licence"]
    try:
        return is_exported(place, expected, order.formats, order.mobile)
    except (InputError, KeyError):
        return False  # a damaged record: made again


def _source_files(head: StoredHead) -> dict[str, str]:
    """sha256 of the files that the head is read from, as its own record keeps them."""
    record = read_json(head.folder / ("result.json" if head.of_run else "subject.json"))
    names = ("albedo.png", "mask.png", "head.glb") if head.of_run else ("albedo.exr", "seen.png", "vertices.npy")
    return {name: record["files"][name] for name in names}


def prepare(order: _Order) -> Callable[[StoredHead], None]:
    """What a worker process calls once."""

    def work(stored: StoredHead) -> None:
        head = load_head(stored, load_face_model(stored.face_model))
        source = {"source_files": _source_files(stored)}
        export_head(order.out / stored.name, head, order.formats, order.mobile, source)

    return work


def export_database(source: Path, out: Path, names: Sequence[str]) -> int:
    """Writes the texture database of some people of a data set to ``out``; returns how many they are.

    Entries are linked where the file system can, else copied; nothing is fitted or unwrapped again.

    Raises:
        UsageError: ``source`` is no data set, or ``out`` holds a database of other people.
        DatabaseError: fewer than four people.
        StorageError: the disk is full or cannot be written.
    """
    release = ReleaseFolder(source)
    release.read_index()
    database = open_database(source)
    chosen = [entry for entry in database.entries if entry.id in set(names)]
    if len(chosen) < LEAST_ENTRIES:
        raise DatabaseError(
            f"{len(chosen)} people make no texture database, {LEAST_ENTRIES} are the least: name more --subjects, or "
            "leave --split out."
        )
    if out.resolve() == source.resolve():
        raise UsageError(f"--out {out} is the data set itself, which is a texture database already: use it as it is.")
    _check_others(out, {entry.id for entry in chosen})
    make_folder(out / "entries")
    for entry in chosen:
        for name in release.entry_files(entry.id):
            _link(source / name, out / name)
    plan = read_json(source / "build.json")
    with atomic_path(out / "build.json") as temporary:
        shutil.copyfile(source / "build.json", temporary)
    write_index(
        out, database.model, database.size, f"data set {source.name}", chosen, recipe=str(plan.get("recipe", ""))
    )
    return len(chosen)


def _check_others(out: Path, wanted: set[str]) -> None:
    index = out / "database.json"
    if not index.is_file():
        return
    others = {entry["id"] for entry in read_json(index)["entries"]} - wanted
    if others:
        raise UsageError(
            f"'{out}' holds a texture database of other people ({', '.join(sorted(others)[:4])}): choose another --out."
        )


def _link(source: Path, target: Path) -> None:
    """``target`` with the content of ``source``: a hard link, or a copy where there can be none."""
    with atomic_path(target) as temporary:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without links
            shutil.copyfile(source, temporary)
