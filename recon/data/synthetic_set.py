"""The data set ``synthetic``: as many computer-made people as asked for, whose albedo, shape and normals are known.

``synthetic`` makes 24 of them; ``synthetic=COUNT``, ``synthetic=COUNT:SEED`` and ``synthetic=COUNT:SEED:MODEL`` say how
many, from which seed and on which face model (else the one that runs take: ``ict`` where it is present, or ``anny``).
People are kept in the cache and made once; the same seed gives the same people everywhere.
``synthetic=FOLDER`` keeps them in a folder of yours, which remembers count, seed and model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recon.data.subject import TestSet
from recon.errors import InputError, UsageError
from recon.storage import make_folder, read_json, write_json

DEFAULT_COUNT = 24
MAP_SIZE = 1024
"""Side of the maps in texels."""
PHOTOGRAPH_SIZE = 512
"""Side of the photographs in pixels."""

_SETTINGS = "synthetic.json"
_FIRST_SEED = 10_000_000  # far from the seeds of the demo, of databases and of captures
_LONGEST = 1_000_000
_FORMS = "--data synthetic, synthetic=COUNT, synthetic=COUNT:SEED, synthetic=COUNT:SEED:MODEL, or synthetic=FOLDER"


@dataclass(frozen=True)
class SyntheticSet:
    """How many people, from which seed (0 and up), and on which face model; ``auto`` as in runs."""

    count: int = DEFAULT_COUNT
    seed: int = 0
    face_model: str = "auto"


def load_synthetic(path: Path | None) -> TestSet:
    """The set, in order of id; people that are not there yet are made (about ten seconds each), with progress.

    Raises:
        UsageError: the specification is none of the forms, or the face model is not known.
        InputError: the folder's settings are damaged.
        AssetError: the face model, or the package ``anny``, is not on this machine.
        StorageError: the place cannot be written.
    """
    from recon.assets import cache_folder

    folder = None if path is None else _folder(path)
    if folder is None:
        wanted = parse(str(path or ""))
        return make_set(cache_folder("synthetic"), wanted)
    settings = folder / _SETTINGS
    if not settings.is_file():
        make_folder(folder)
        write_json(settings, asdict(_settled(SyntheticSet())))
    return make_set(folder, _read(settings))


def parse(text: str) -> SyntheticSet:
    """The set that ``COUNT[:SEED[:MODEL]]`` names; empty for the usual one.

    Raises:
        UsageError: it is not of that form.
    """
    count, _, rest = text.strip().partition(":")
    seed, _, model = rest.partition(":")
    try:
        wanted = SyntheticSet(int(count or DEFAULT_COUNT), int(seed or 0), model or "auto")
    except ValueError as error:
        raise UsageError(f"'synthetic={text}' is not understood; write {_FORMS}.") from error
    return _checked(wanted)


def make_set(folder: Path, wanted: SyntheticSet) -> TestSet:
    """The people of ``wanted``, whose files in ``folder`` are kept or made; killed, the same call continues."""
    from recon.data.synthetic import synthetic_person
    from recon.data.synthetic_files import Recipe, made_subject
    from recon.progress import progress_bar

    settled = _settled(_checked(wanted))
    recipe = Recipe(settled.face_model, MAP_SIZE, PHOTOGRAPH_SIZE)
    first = _FIRST_SEED + settled.seed * _LONGEST
    subjects = []
    with progress_bar("making synthetic people") as progress:
        for index in range(settled.count):
            subjects.append(made_subject(folder, synthetic_person(index, first), recipe))
            progress(index + 1, settled.count)
    return TestSet("synthetic", tuple(sorted(subjects, key=lambda subject: subject.id)))


def _folder(path: Path) -> Path | None:
    """``path`` where it means a folder: one that exists, or a new one beside things that exist (``sets/mine``)."""
    if path.is_dir():
        return path
    if path.exists():
        raise InputError(f"'{path}' is a file; write {_FORMS}.")
    # A bare word is rather a slip of the pen than a folder to be made.
    return path if path.name != str(path) and path.parent.is_dir() else None


def _checked(wanted: SyntheticSet) -> SyntheticSet:
    if not 1 <= wanted.count < _LONGEST:
        raise UsageError(f"a synthetic set has 1 to {_LONGEST - 1} people, not {wanted.count}: synthetic=24.")
    if wanted.seed < 0:
        raise UsageError(f"the seed of a synthetic set is 0 or more, not {wanted.seed}: synthetic=24:7.")
    return wanted


def _settled(wanted: SyntheticSet) -> SyntheticSet:
    """The same with the face model's name in place of ``auto``."""
    from recon.face_model import FACE_MODELS, resolve_face_model

    name = resolve_face_model(wanted.face_model)
    FACE_MODELS.get(name)  # an unknown name is told before any work
    return SyntheticSet(wanted.count, wanted.seed, name)


def _read(settings: Path) -> SyntheticSet:
    found: Any = read_json(settings)
    try:
        return SyntheticSet(int(found["count"]), int(found["seed"]), str(found["face_model"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"'{settings}' lacks count, seed or face_model; remove it, and the folder becomes a set of "
            f"{DEFAULT_COUNT} people."
        ) from error
