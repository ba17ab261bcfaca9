"""The texture database of a run: opened, or built from a test set less the tested people, and kept in the cache.

``--database`` takes what ``mesoface database build`` made, a folder or an address; a test set (``london=PATH``); or
``synthetic``: made-up people, ``synthetic=48`` for that many.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon import assets
from recon.code_version import code_version
from recon.data.subject import Subject, TestSet
from recon.errors import DatabaseError, UsageError
from recon.face_model.model import MorphableModel
from recon.runs.lock import locked
from recon.runs.parts import database_parts
from recon.store import is_address, said
from recon.store.places import whole_database
from recon.texture.database import LEAST_ENTRIES, TextureDatabase, open_database
from recon.worker_pool import Needs, at_hand

Progress = Callable[[int, int], None]
Made = tuple[str, NDArray[np.float32], NDArray[np.bool_]]

SYNTHETIC = "synthetic"
SYNTHETIC_PEOPLE = 24


def run_database(
    specification: str,
    data: tuple[str, TestSet],
    tested: Sequence[str],
    model: MorphableModel,
    size: int,
    jobs: int,
    progress: Progress,
) -> TextureDatabase:
    """The database that ``specification`` names, without the tested people.

    Args:
        data: how the user named the test set, and the set, so that it is not read twice.
        tested: ids of all people of the run.
        jobs: worker processes for building.

    Raises:
        UsageError: unknown name, or a number of made-up people that is none.
        DatabaseError: no finished database, or too few people are left.
    """
    given = Path(specification).expanduser()
    if is_address(specification):
        database = open_database(whole_database(specification), model)
    elif (given / "database.json").is_file():
        database = open_database(given, model)
    elif specification.partition("=")[0] == SYNTHETIC:
        database = _synthetic(specification, model, size, progress)
    else:
        source = data[1] if specification == data[0] else _source(specification)
        database = _photographed(source, tested, model, size, jobs, progress)
    if database.size != size:
        raise UsageError(
            f"the texture database '{said(database.folder)}' has {database.size}×{database.size} texels, the run "
            f"{size}: use --size {database.size}, or build the database at {size}."
        )
    database = database.without(tested)
    database.require_enough()
    return database


def _source(specification: str) -> TestSet:
    from recon.data import DATASETS, load_test_set

    if specification.partition("=")[0] not in DATASETS and Path(specification).expanduser().exists():
        raise DatabaseError(
            f"'{specification}' is not a finished texture database (no database.json): build it with "
            "'mesoface database build', or name a test set such as london=PATH."
        )
    return load_test_set(specification)


def _photographed(
    source: TestSet, tested: Sequence[str], model: MorphableModel, size: int, jobs: int, progress: Progress
) -> TextureDatabase:
    """Built from the photographs of everybody who is not tested, or found in the cache."""
    rest = [subject for subject in source.subjects if subject.id not in set(tested)]
    if not rest:
        raise DatabaseError(
            f"all {len(source)} subjects of '{source.name}' are tested, so none is left for the database: "
            "test fewer (--limit or --subjects), or name another --database."
        )
    if len(rest) < LEAST_ENTRIES:  # before anybody is fitted in vain
        raise DatabaseError(
            f"'{source.name}' has {len(rest)} usable besides the tested, a texture database needs {LEAST_ENTRIES}: "
            "add photographs, test fewer subjects, or use --database synthetic."
        )
    from recon.texture.database_build import build_database

    folder = _place(source.name, content_key(rest, model, size), size)
    with locked(folder.with_name(f"{folder.name}.lock"), f"texture database '{folder.name}'"):
        if not (folder / "database.json").is_file():
            left_out = [subject.id for subject in source.subjects if subject.id in set(tested)]
            with at_hand(building_needs(folder, model, rest)):
                build_database(
                    source, model, folder, size, left_out, jobs, lambda done, total, _name: progress(done, total)
                )
    return open_database(folder, model)


def building_needs(folder: Path, model: MorphableModel, subjects: Sequence[Subject]) -> Needs:
    """What workers must have to build a database of ``subjects`` in ``folder``."""
    photographs = {subject.photograph.parent: subject.photograph for subject in subjects}
    files = tuple(photographs.values())
    return Needs(folder, face_model=model.name, assets=("dlib-landmarks",), files=files, parts=database_parts)


def _synthetic(specification: str, model: MorphableModel, size: int, progress: Progress) -> TextureDatabase:
    """Made-up people, or found in the cache."""
    count = _people(specification)
    painted = code_version("recon.data.synthetic")
    folder = _place(SYNTHETIC, f"{count}-{model.name}-{model.version}-{painted}", size)
    with locked(folder.with_name(f"{folder.name}.lock"), f"texture database '{folder.name}'"):
        if not (folder / "database.json").is_file():
            _make_synthetic(folder, count, model, size, progress)
    return open_database(folder, model)


def _make_synthetic(folder: Path, count: int, model: MorphableModel, size: int, progress: Progress) -> None:
    from recon.data.synthetic import LICENCE, synthetic_textures
    from recon.texture.database_build import database_from_textures
    from recon.texture.skin import face_mask, feature_mask
    from recon.texture.uv_map import uv_map

    if folder.exists():
        shutil.rmtree(folder)  # a build that was killed; it lies in our own cache
    layout = uv_map(model, size)
    skin = face_mask(model, layout) & ~feature_mask(model, layout)

    def counted() -> Iterator[Made]:
        for index, texture in enumerate(synthetic_textures(model, size, range(count))):
            progress(index, count)
            yield texture

    database_from_textures(counted(), model, folder, size, SYNTHETIC, LICENCE.name, skin)


def _people(specification: str) -> int:
    _, equals, text = specification.partition("=")
    if not equals:
        return SYNTHETIC_PEOPLE
    if not text.isdigit() or not 4 <= int(text) <= 1000:
        raise UsageError(f"--database {specification}: give the number of made-up people, 4 to 1000.")
    return int(text)


def _place(source: str, key: str, size: int) -> Path:
    return assets.cache_folder("databases") / f"{source}-{size}-{key}"


def content_key(subjects: Sequence[Subject], model: MorphableModel, size: int) -> str:
    """Names a database by what goes into it: people, the bytes of their photographs, face model, size, and the code.

    A changed fit or unwrapping makes another key: textures of two programs are never mixed.
    """
    from recon.texture.database import FORMAT
    from recon.texture.database_build import recipe_version

    digest = hashlib.sha256(f"{FORMAT} {model.name} {model.version} {size} {recipe_version()}".encode())
    for subject in subjects:
        digest.update(subject.id.encode())
        digest.update(hashlib.sha256(subject.photograph.read_bytes()).digest())
    return digest.hexdigest()[:12]
