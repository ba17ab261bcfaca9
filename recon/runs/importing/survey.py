"""What a folder of another system's results holds, set beside what a run asks for, before anything is written.

::

    <folder>/<protocol>/<subject>.png             kind ``views`` or ``albedo``
    <folder>/<protocol>/<subject>.mask.png        optional: where the method vouches for it (white)
    <folder>/<protocol>/<subject>.glb             kind ``mesh``: with its texture inside
    <folder>/<protocol>/<subject>/                kind ``mesh``: OBJ, PLY, glTF or GLB with its texture

A protocol's folder is called as in the run folder (``blur-8``) or on the command line (``blur:8``); where only one
protocol is wanted it may be left out. A subject is named by its id or by the stem of its photograph's file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from recon.assets import file_sha256
from recon.capture.scan import MESH_SUFFIXES
from recon.data.protocols import Protocol, parse_protocol
from recon.errors import ImageError, InputError, MesofaceError, UsageError
from recon.runs.folder import ResultKey, RunFolder
from recon.runs.importing.pictures import PICTURE_SUFFIXES, picture_size, read_mask, read_picture
from recon.runs.importing.scan_folder import described_scan
from recon.storage import read_json

Kind = Literal["views", "albedo", "mesh"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LEAST_ALBEDO = 64
"""Texels a side below which an albedo map is refused; the smallest that a run can have."""

_MASK = ".mask"


@dataclass(frozen=True)
class Found:
    """What the folder holds for one result.

    Attributes:
        key: the result it becomes.
        kind: what it is taken for.
        source: picture, GLB file, or folder with a mesh.
        mask: picture, or None.
        files: sha256 of each file that takes part, by its path below the folder.
        described: size and colour mode in words.
        notes: what the user should know of it.
        problem: why it cannot be used; empty where it can.
    """

    key: ResultKey
    kind: Kind
    source: Path
    mask: Path | None
    files: Mapping[str, str]
    described: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Survey:
    """A folder beside a run.

    Attributes:
        kind: of all results.
        guessed: whether nobody stated the kind.
        found: in the order of the run's protocols and subjects, usable or not.
        missing: results that the run asks for and the folder lacks.
        strangers: what lies in the folder and belongs to no result, with the reason.
    """

    kind: Kind
    guessed: bool
    found: tuple[Found, ...]
    missing: tuple[ResultKey, ...]
    strangers: tuple[tuple[str, str], ...]

    @property
    def usable(self) -> tuple[Found, ...]:
        """Those that can be imported."""
        return tuple(found for found in self.found if not found.problem)


def survey(
    folder: Path,
    run: RunFolder,
    method: str,
    kind: Kind | None = None,
    protocols: Sequence[str] = (),
    progress: Any = None,
) -> Survey:
    """Reads every file of ``folder`` that a result could be made of, and writes nothing.

    Args:
        kind: what the folder holds; None tells it from the files.
        protocols: of the run; empty for all.
        progress: called with what is done and the total.

    Raises:
        UsageError: not a run, a protocol that it does not have, or files that may be of two kinds.
        InputError: the folder does not exist, or holds nothing for this run.
    """
    if not folder.is_dir():
        raise InputError(f"'{folder}' is no folder: name the folder that holds the other system's results.")
    config = run.read_config()
    wanted = _wanted(config["protocols"], protocols, run)
    people = _People.of(run, config["subjects"])
    places, strangers = _protocol_folders(folder, wanted, config["protocols"])
    entries: dict[tuple[str, str], Path] = {}
    for protocol in wanted:
        if protocol.name in places:
            strangers += _collect(folder, places[protocol.name], protocol.name, people, entries)
    order = [(protocol.name, subject) for protocol in wanted for subject in config["subjects"]]
    chosen = kind or _guessed_kind(run, entries)
    entries = {place: path for place, path in entries.items() if _is_of(path, chosen)}
    if not entries:
        raise InputError(
            f"'{folder}' holds nothing of the kind '{chosen}' for run '{run.path}': results lie there as "
            f"<protocol>/<subject>{'.glb or a folder' if chosen == 'mesh' else '.png'}, for example "
            f"{wanted[0].folder}/{config['subjects'][0]}." + _first(strangers)
        )
    found = []
    for index, place in enumerate(name for name in order if name in entries):
        found.append(_inspected(folder, run, ResultKey(method, *place), chosen, entries[place]))
        if progress is not None:
            progress(index + 1, len(entries))
    missing = tuple(ResultKey(method, *place) for place in order if place not in entries)
    return Survey(chosen, kind is None, tuple(found), missing, tuple(strangers))


def _first(strangers: Sequence[tuple[str, str]]) -> str:
    return f" Found instead: {strangers[0][0]} ({strangers[0][1]})." if strangers else ""


def _wanted(known: Sequence[str], chosen: Sequence[str], run: RunFolder) -> list[Protocol]:
    names = [parse_protocol(name).name for name in chosen]
    for name in names:
        if name not in known:
            raise UsageError(f"run '{run.path}' has no protocol '{name}': {nearest(name, known)}.")
    return [parse_protocol(name) for name in known if not names or name in names]


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the known name that is most like ``name``."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean '{near[0]}'?" if near else f"it has {', '.join(known)}"


@dataclass(frozen=True)
class _People:
    """Subjects by every name under which files may know them."""

    names: Mapping[str, str]
    ids: tuple[str, ...]

    @staticmethod
    def of(run: RunFolder, subjects: Sequence[str]) -> _People:
        names = {}
        for subject in subjects:
            path = run.reference(subject) / "subject.json"
            if path.is_file():
                names[Path(read_json(path)["photograph"]).stem] = subject
        return _People({**names, **{subject: subject for subject in subjects}}, tuple(subjects))


def _protocol_folders(
    folder: Path, wanted: Sequence[Protocol], all_of_run: Sequence[str]
) -> tuple[dict[str, Path], list[tuple[str, str]]]:
    """The folder of each wanted protocol that there is, and folders that belong to none of the run's."""
    spellings = {name: protocol.name for protocol in wanted for name in (protocol.folder, protocol.name)}
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    places = {spellings[path.name]: path for path in below if path.name in spellings}
    if not places and len(wanted) == 1:
        return {wanted[0].name: folder}, []
    known = {parse_protocol(name).folder for name in all_of_run} | set(all_of_run)
    strangers = [
        (f"{path.name}/", f"the run has no such protocol, {nearest(path.name, sorted(known))}")
        for path in below
        if path.name not in known
    ]
    return places, strangers


def _collect(
    top: Path, place: Path, protocol: str, people: _People, entries: dict[tuple[str, str], Path]
) -> list[tuple[str, str]]:
    """Adds what ``place`` holds of each subject to ``entries``; gives what belongs to nobody, with the reason."""
    strangers = []
    for path in sorted(place.iterdir(), key=_rank):
        if path.name.startswith(".") or not (path.is_dir() or path.suffix.lower() in _SUFFIXES):
            continue
        stem = path.name if path.is_dir() else path.stem
        relative = str(path.relative_to(top))
        if not path.is_dir() and stem.endswith(_MASK) and stem not in people.names:
            if stem.removesuffix(_MASK) not in people.names:
                strangers.append((relative, _unknown(stem.removesuffix(_MASK), people)))
        elif stem not in people.names:
            strangers.append((relative, _unknown(stem, people)))
        elif (protocol, people.names[stem]) in entries:
            taken = entries[protocol, people.names[stem]]
            strangers.append((relative, f"'{taken.name}' is taken for this subject"))
        else:
            entries[protocol, people.names[stem]] = path
    return strangers


_SUFFIXES = (*PICTURE_SUFFIXES, ".glb")


def _rank(path: Path) -> tuple[int, str]:
    """Folders, then files in the order of their suffixes, so that a double is always the same one."""
    suffix = path.suffix.lower()
    return (-1 if path.is_dir() else _SUFFIXES.index(suffix) if suffix in _SUFFIXES else 99, path.name)


def _unknown(name: str, people: _People) -> str:
    near = difflib.get_close_matches(name, people.names, n=1, cutoff=0.5)
    return f"the run has no such subject{f', did you mean {near[0]!r}?' if near else ''}"


def _is_of(path: Path, kind: Kind) -> bool:
    is_mesh = path.is_dir() or path.suffix.lower() in MESH_SUFFIXES
    return is_mesh == (kind == "mesh")


def _guessed_kind(run: RunFolder, entries: Mapping[tuple[str, str], Path]) -> Kind:
    """From the files alone: meshes; pictures as large as the photograph or its crop; other square pictures.

    Raises:
        UsageError: it may be one or the other.
    """
    if not entries:
        return "views"
    if all(_is_of(path, "mesh") for path in entries.values()):
        return "mesh"
    texels = run.read_config()["settings"]["size"]
    of_pictures = {place: path for place, path in entries.items() if not _is_of(path, "mesh")}
    views = square = 0
    for (protocol, subject), path in of_pictures.items():
        try:
            size = picture_size(path)
        except ImageError:
            continue  # said of this very file when it is inspected
        fits = size in view_sizes(run, subject, protocol)
        views += fits
        # Photographs may be square as well, but seldom as large as the run's own maps.
        square += size[0] == size[1] and (not fits or size[0] == texels)
    if len(of_pictures) == len(entries) and views and not square:
        return "views"
    if len(of_pictures) == len(entries) and square and not views:
        return "albedo"
    raise UsageError(
        "it cannot be told from the files whether they are views, albedo maps or meshes: say so with --kind views, "
        "--kind albedo or --kind mesh."
    )


def view_sizes(run: RunFolder, subject: str, protocol: str) -> dict[tuple[int, int], str]:
    """Width and height that a view of ``subject`` may have: the whole photograph's, and its crop's; with their names.

    Empty where the run has no complete reference.
    """
    reference = run.reference_record(subject, protocol)
    if reference is None:
        return {}
    camera = reference["fit"]["camera"]
    left, top, right, bottom = reference["crop"]
    return {
        (right - left, bottom - top): "run's crop",
        (int(camera["width"]), int(camera["height"])): "whole photograph",
    }


def _inspected(folder: Path, run: RunFolder, key: ResultKey, kind: Kind, source: Path) -> Found:
    """One result's files, read to the end."""
    mask = None if kind == "mesh" else _mask_beside(source)
    used = sorted(p for p in source.rglob("*") if p.is_file()) if source.is_dir() else [source]
    used += [mask] if mask else []
    files: dict[str, str] = {}
    try:
        files = {path.relative_to(folder).as_posix(): file_sha256(path) for path in used}
        if run.reference_record(key.subject, key.protocol) is None:
            raise InputError("the run has no complete reference for it: finish the run with 'mesoface run' first.")
        if kind == "mesh":
            described, notes = described_scan(source)
        else:
            described, notes = _described(run, key, kind, source, mask)
    except (MesofaceError, OSError) as error:
        return Found(key, kind, source, mask, files, problem=str(error))
    return Found(key, kind, source, mask, files, described, notes)


def _mask_beside(source: Path) -> Path | None:
    found = [source.with_name(f"{source.stem}{_MASK}{suffix}") for suffix in PICTURE_SUFFIXES]
    return next((path for path in found if path.is_file()), None)


def _described(
    run: RunFolder, key: ResultKey, kind: Kind, source: Path, mask: Path | None
) -> tuple[str, tuple[str, ...]]:
    """Size and mode of a picture in words, checked, and what the user should know."""
    picture = read_picture(source)
    size = f"{picture.size[0]}×{picture.size[1]}"
    if kind == "views":
        sizes = view_sizes(run, key.subject, key.protocol)
        if picture.size not in sizes:
            allowed = " or ".join(f"{width}×{height} (the {name})" for (width, height), name in sizes.items())
            raise InputError(f"'{source}' is {size}, a view of it has {allowed}: render it in the photograph's frame.")
        size = f"the {sizes[picture.size]}"
    elif picture.size[0] != picture.size[1] or picture.size[0] < LEAST_ALBEDO:
        raise InputError(
            f"'{source}' is {size}; an albedo map is a square of at least {LEAST_ALBEDO} texels in the UV layout of "
            "the run's face model."
        )
    if mask is not None:
        marked = read_mask(mask)
        if marked.shape != picture.srgb.shape[:2]:
            raise InputError(f"the mask '{mask}' is not as large as '{source.name}' ({size}): save them alike.")
        if not marked.any():
            raise InputError(f"the mask '{mask}' is black everywhere: white marks what the method vouches for.")
    return size + (", mask" if mask else ""), picture.notes


__all__ = ["KINDS", "Found", "Kind", "Survey", "nearest", "survey", "view_sizes"]
