"""Building a texture database: from photographs of a test set, or from textures that something else made."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.code_version import code_version
from recon.data.protocols import parse_protocol
from recon.data.subject import Photograph, Subject, TestSet
from recon.errors import DatabaseError, InputError, MesofaceError, StorageError
from recon.face_model.model import MorphableModel
from recon.storage import read_json, write_json
from recon.store.exchange import current_exchange
from recon.texture.database import (
    FORMAT,
    LEAST_ENTRIES,
    Entry,
    TextureDatabase,
    open_database,
    write_entry,
    write_index,
)
from recon.texture.observation import Observation
from recon.worker_pool import Died, Report, Reported, work_through

# Called with the number of subjects done, of all, and the id of the last one.
Progress = Callable[[int, int, str], None]
# Called in the worker with each observation that becomes an entry, before the entry counts as made.
Keep = Callable[[Path, Subject, Photograph, Observation], None]


def build_database(
    test_set: TestSet,
    model: MorphableModel,
    folder: Path,
    size: int,
    exclude: Iterable[str] = (),
    jobs: int = 1,
    progress: Progress | None = None,
    keep: Keep | None = None,
) -> TextureDatabase:
    """Fits and unwraps every subject, and writes a database folder.

    May be killed and called again: people that are done are not done again, unless their photograph was replaced;
    whoever cannot be used is skipped and named in ``database.json``.

    Args:
        exclude: ids that must not be in it (test subjects).
        jobs: worker processes.
        keep: module-level function that keeps more of each observation than the entry does (``folder``, subject,
            photograph, observation).

    Raises:
        DatabaseError: fewer than four people could be used, or the folder holds a database of another kind.
    """
    left_out = set(exclude)
    unknown = left_out - {subject.id for subject in test_set.subjects}
    if unknown:
        raise DatabaseError(f"cannot exclude {', '.join(sorted(unknown))}: no such subject in '{test_set.name}'.")
    subjects = [subject for subject in test_set.subjects if subject.id not in left_out]
    recipe = recipe_version()
    _check_folder(folder, model, size, recipe)
    skipped: list[tuple[str, str]] = list(test_set.skipped)
    done, pending = _made_before(subjects, folder)

    def finished(subject: Subject, outcome: str | MesofaceError) -> None:
        if isinstance(outcome, StorageError):
            raise outcome
        if isinstance(outcome, MesofaceError):
            skipped.append((subject.id, str(outcome)))
        else:
            done.append(_entry(subject, outcome))
        if progress is not None:
            progress(len(done) + len(skipped) - len(test_set.skipped), len(subjects), subject.id)

    if (jobs <= 1 or len(pending) <= 1) and current_exchange() is None:  # into a store every entry is sent when made
        for subject in pending:
            finished(subject, _make_entry(subject, model, folder, size, keep))
    else:
        plan = _Plan(model.name, folder, size, keep)
        for event in work_through(pending, _prepare, plan, jobs=max(1, min(jobs, len(pending))), threads=1):
            if isinstance(event, Reported):
                finished(*event.content)
            elif isinstance(event, Died):
                finished(event.task, InputError(f"{event.task.photograph.name}: {event.reason}"))
    if len(done) < LEAST_ENTRIES:
        reasons = "; ".join(f"{name}: {why}" for name, why in skipped[:3])
        raise DatabaseError(
            f"only {len(done)} of {len(subjects)} people of '{test_set.name}' can be used, {LEAST_ENTRIES} are the "
            f"least for a texture database{' (' + reasons + ')' if reasons else ''}: add photographs of more people, "
            "replace those that failed, or exclude fewer, and run the same command again; people that are done are "
            "kept."
        )
    write_index(folder, model, size, test_set.name, done, sorted(skipped), recipe)
    return open_database(folder, model)


def database_from_textures(
    textures: Iterable[tuple[str, NDArray[np.float32], NDArray[np.bool_]]],
    model: MorphableModel,
    folder: Path,
    size: int,
    source: str,
    licence: str,
    skin: NDArray[np.bool_],
) -> TextureDatabase:
    """A database of complete textures ``(id, albedo (S, S, 3) linear, known (S, S))``, for example synthetic ones.

    Args:
        skin: ``(S, S)`` bool, texels of the UV square that are skin (no features); the same for everybody.
    """
    entries = []
    recipe = recipe_version()
    _check_folder(folder, model, size, recipe)
    for name, albedo, known in textures:
        if albedo.shape != (size, size, 3):
            raise DatabaseError(f"texture '{name}' is {albedo.shape}, the database holds {size}×{size} texels.")
        write_entry(folder, name, albedo, known, known & skin)
        digest = hashlib.sha256(np.ascontiguousarray(albedo, np.float32).tobytes()).hexdigest()
        entries.append(Entry(name, digest, {}, licence))
    write_index(folder, model, size, source, entries, recipe=recipe)
    return open_database(folder, model)


def _entry(subject: Subject, sha256: str) -> Entry:
    return Entry(subject.id, sha256, dict(subject.attributes), subject.licence.name)


def recipe_version() -> str:
    """Version of the code that turns photographs into entries: reading, fit, unwrapping, skin."""
    return code_version("recon.texture.database_build")


def _made_before(subjects: list[Subject], folder: Path) -> tuple[list[Entry], list[Subject]]:
    """Entries that an earlier build made of these very photographs, and the subjects that are still to be done."""
    done, pending, replaced = [], [], False
    for subject in subjects:
        note = _note(folder, subject)
        made = read_json(note) if note.exists() else None
        if made is None:
            pending.append(subject)
        elif made["file"] == _file_hash(subject):
            done.append(_entry(subject, made["sha256"]))
        else:
            pending.append(subject)
            replaced = True
    if replaced:
        # From here until it is written anew the index would name another photograph than the entry shows.
        (folder / "database.json").unlink(missing_ok=True)
    return done, pending


def _note(folder: Path, subject: Subject) -> Path:
    """Says that the subject's entry is complete, and of which photograph it was made."""
    return folder / "entries" / f"{subject.id}.json"


def _file_hash(subject: Subject) -> str | None:
    """sha256 of the photograph's file, without decoding it; None where it cannot be read, which is said later."""
    try:
        with subject.photograph.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _check_folder(folder: Path, model: MorphableModel, size: int, recipe: str) -> None:
    """Refuses to continue a folder that was begun for something else; notes what this one is for."""
    plan = folder / "build.json"
    mine = {"format": FORMAT, "face_model": model.name, "version": model.version, "size": size, "recipe": recipe}
    if plan.exists() and read_json(plan) != mine:
        raise DatabaseError(
            f"{folder} was begun with another size, face model or version of mesoface: choose another --out folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_json(plan, mine)


def _make_entry(
    subject: Subject, model: MorphableModel, folder: Path, size: int, keep: Keep | None = None
) -> str | MesofaceError:
    """Writes one person's entry; returns the photograph's sha256, or the reason why the person is left out."""
    from recon.images import read_photograph
    from recon.texture.observe import observe

    try:
        file_hash = _file_hash(subject)  # before it is read: a photograph that changes meanwhile is done again
        photograph = read_photograph(subject.photograph)
        observation = observe(photograph, parse_protocol("identity"), model, size)
        if observation.fit.verdict == "fail":
            raise InputError(f"{photograph.name}: the fit failed ({'; '.join(observation.fit.reasons)})")
        _note(folder, subject).unlink(missing_ok=True)  # of a photograph that was replaced
        write_entry(folder, subject.id, observation.albedo, observation.visible, observation.skin)
        if keep is not None:
            keep(folder, subject, photograph, observation)
        write_json(_note(folder, subject), {"sha256": photograph.sha256, "file": file_hash})
        return photograph.sha256
    except MesofaceError as error:
        return error


@dataclass(frozen=True)
class _Plan:
    """What every worker of a build needs."""

    model: str
    folder: Path
    size: int
    keep: Keep | None


def _prepare(plan: _Plan) -> Callable[[Subject, Report], None]:
    """Loads the face model once per worker."""
    from recon.face_model import load_face_model

    model = load_face_model(plan.model)

    def work(subject: Subject, report: Report) -> None:
        report((subject, _make_entry(subject, model, plan.folder, plan.size, plan.keep)))

    return work
