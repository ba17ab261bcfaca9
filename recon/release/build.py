"""Building a data set of face models from a folder of standardised photographs.

Two passes over the people. The first fits and unwraps every photograph and keeps what it shows as an entry of a texture
database (:func:`recon.texture.database_build.build_database`), which is so made on the way; the second completes each
map by the mean face of the training people and writes the subject's files. Both may be killed and called again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recon import __version__
from recon.data.subject import Subject, TestSet
from recon.errors import InputError, UsageError
from recon.face_model import load_face_model, resolve_face_model
from recon.face_model.model import MorphableModel
from recon.release.attempts import attempt_all
from recon.release.index import write_release
from recon.release.layout import ReleaseFolder
from recon.release.licences import allows_release, why_not
from recon.release.split import TRAIN, split_subjects
from recon.release.subject import FinishOrder, FinishTask, finish_inputs, keep_observation, prepare_finisher
from recon.runs.config import choose_subjects
from recon.runs.lock import locked
from recon.storage import make_folder, read_json
from recon.texture.database import LEAST_ENTRIES, TextureDatabase
from recon.texture.database_build import build_database

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and of how much (0: not known)."""


@dataclass(frozen=True)
class ReleaseConfig:
    """A data set as the user asks for it.

    Attributes:
        out: its folder.
        data: the photographs, for example ``london=PATH``.
        size: side of the maps in texels.
        face_model: registry name, or ``auto``.
        test_fraction: share of the people in the test split.
        seed: of the split, and of the choice of subjects under ``limit``.
        limit: number of subjects, drawn by ``seed``; None for all.
        subjects: ids; empty for all.
        allow_restricted: whether people whose licence does not allow redistribution are taken in, marked.
        jobs: worker processes.
    """

    out: Path
    data: str
    size: int = 1024
    face_model: str = "auto"
    test_fraction: float = 0.2
    seed: int = 0
    limit: int | None = None
    subjects: tuple[str, ...] = ()
    allow_restricted: bool = False
    jobs: int = 1


@dataclass(frozen=True)
class ReleaseSummary:
    """What became of a build.

    Attributes:
        folder: the data set.
        made: ids of subjects finished now; ``kept`` those that were there.
        failed: id and reason; tried again by the same command.
        refused: id and reason: licences.
        restricted: ids that are in it although they may not be redistributed.
        absent: what the data set itself had to leave aside: name and reason.
    """

    folder: ReleaseFolder
    made: tuple[str, ...]
    kept: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]
    restricted: tuple[str, ...]
    absent: tuple[tuple[str, str], ...]


def build_release(config: ReleaseConfig, progress: Progress) -> ReleaseSummary:
    """Builds the data set, or goes on with it; see the module.

    Raises:
        UsageError: unknown names, another process builds here, or the folder holds people whom this build leaves out.
        InputError: nobody's licence allows it, or too few are left to train with.
        DatabaseError: fewer than four people can be used, or the folder was begun with other settings.
        StorageError: the disk is full or cannot be written.
    """
    from recon.data import load_test_set

    if not 0 <= config.test_fraction < 1:
        raise UsageError(
            f"--test-fraction {config.test_fraction:g}: give a share of the people, at least 0 and below 1."
        )
    test_set = load_test_set(config.data)
    chosen = choose_subjects(test_set, config.subjects, config.limit, config.seed)
    taken, refused = _permitted(chosen, config.allow_restricted)
    if not taken:
        raise InputError(f"nobody of '{config.data}' can be released: of '{refused[0][0]}', {refused[0][1]}.")
    splits = split_subjects(taken, config.test_fraction, config.seed)
    _check_training(splits)
    folder = ReleaseFolder(config.out)
    make_folder(config.out)
    with locked(folder.lock, f"the data set '{config.out}'"):
        return _build(config, folder, test_set, taken, splits, refused, progress)


def _permitted(subjects: Sequence[Subject], allow_restricted: bool) -> tuple[list[Subject], list[tuple[str, str]]]:
    """Those who may be in the data set, and id and reason of those who may not."""
    taken = [one for one in subjects if allow_restricted or allows_release(one.licence)]
    refused = [(one.id, why_not(one.licence)) for one in subjects if one not in taken]
    return taken, refused


def _build(
    config: ReleaseConfig,
    folder: ReleaseFolder,
    test_set: TestSet,
    taken: Sequence[Subject],
    splits: Mapping[str, str],
    refused: Sequence[tuple[str, str]],
    progress: Progress,
) -> ReleaseSummary:
    model = load_face_model(resolve_face_model(config.face_model))
    _check_people(folder, taken)
    database, failed = _observe(config, folder, model, TestSet(test_set.name, tuple(taken)), progress)
    observed = set(database.ids)
    _check_training({name: splits[name] for name in database.ids})
    training = tuple(name for name in database.ids if splits[name] == TRAIN)
    progress("averaging the training people", 0, 0)
    train = database.without(observed - set(training))
    _ = train.mean_texture  # made here once, so that the workers find it
    tasks = [
        FinishTask(one, splits[one.id], finish_inputs(folder, one, splits[one.id], train))
        for one in taken
        if one.id in observed
    ]
    made, kept, unfinished = _finish(config, folder, model, training, tasks, progress)
    failed = sorted([*failed, *unfinished])
    progress("writing index, card and checksums", 0, 0)
    records = [record for name in sorted((*made, *kept)) if (record := folder.finished(name)) is not None]
    if not records:
        raise InputError(f"nobody of '{config.data}' could be finished: {failed[0][0]}: {failed[0][1]}")
    left_out = [*failed, *refused]
    write_release(folder, records, _settings(config, model), left_out)
    return ReleaseSummary(
        folder=folder,
        made=tuple(made),
        kept=tuple(kept),
        failed=tuple(failed),
        refused=tuple(refused),
        restricted=tuple(record["id"] for record in records if record["restricted"]),
        absent=test_set.skipped,
    )


def _check_people(folder: ReleaseFolder, taken: Sequence[Subject]) -> None:
    """Nobody may lie in the folder whom this build leaves out: the folder is passed on as it is."""
    others = sorted(set(folder.present()) - {one.id for one in taken})
    if others:
        raise UsageError(
            f"'{folder.path}' holds {', '.join(others[:4])}{' …' if len(others) > 4 else ''} from an earlier build, "
            "whom this one leaves out: use another --out, or delete that folder and build again."
        )


def _check_training(splits: Mapping[str, str]) -> None:
    count = sum(side == TRAIN for side in splits.values())
    if len(splits) < LEAST_ENTRIES or count < 2:
        raise InputError(
            f"{len(splits)} people, {count} of them to train, make no data set: {LEAST_ENTRIES} and 2 are the least, "
            "because hidden skin is completed by the mean of the training people; add photographs, or lower "
            "--test-fraction."
        )


def _observe(
    config: ReleaseConfig, folder: ReleaseFolder, model: MorphableModel, people: TestSet, progress: Progress
) -> tuple[TextureDatabase, list[tuple[str, str]]]:
    """The first pass: fit and unwrap; the database of all who succeeded, and who did not with the reason."""
    for one in people.subjects:
        if folder.observed(one.id) is None:
            # An entry without its observation is of a database that was begun here, or of a folder that lost files.
            (folder.path / "entries" / f"{one.id}.json").unlink(missing_ok=True)
    stage = "fitting and unwrapping"
    progress(stage, 0, len(people))
    database = build_database(
        people,
        model,
        folder.path,
        config.size,
        jobs=config.jobs,
        progress=lambda done, total, _name: progress(stage, done, total),
        keep=keep_observation,
    )
    skipped = read_json(folder.path / "database.json")["skipped"]
    for name, _ in skipped:
        _remove(folder, str(name))  # made of a photograph that has since been replaced by one that cannot be used
    return database, [(str(name), str(why)) for name, why in skipped]


def _remove(folder: ReleaseFolder, name: str) -> None:
    """Takes everything of one subject out of the data set."""
    for file in folder.entry_files(name):
        (folder.path / file).unlink(missing_ok=True)
    if folder.subject(name).is_dir():
        shutil.rmtree(folder.subject(name))


def _finish(
    config: ReleaseConfig,
    folder: ReleaseFolder,
    model: MorphableModel,
    training: tuple[str, ...],
    tasks: Sequence[FinishTask],
    progress: Progress,
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """The second pass: ids that were finished now, ids that were finished before, id and reason of failures."""
    pending = [task for task in tasks if not _is_finished(folder, task)]
    waiting = {task.subject.id for task in pending}
    kept = [task.subject.id for task in tasks if task.subject.id not in waiting]
    order = FinishOrder(folder.path, model.name, training)
    made: list[str] = []
    failed: list[tuple[str, str]] = []
    stage = "completing and writing"
    progress(stage, len(kept), len(tasks))
    for task, reason in attempt_all(pending, prepare_finisher, order, config.jobs):
        if reason is None:
            made.append(task.subject.id)
        else:
            failed.append((task.subject.id, reason))
        progress(stage, len(kept) + len(made) + len(failed), len(tasks))
    return sorted(made), kept, failed


def _is_finished(folder: ReleaseFolder, task: FinishTask) -> bool:
    record = folder.finished(task.subject.id)
    return record is not None and record.get("inputs") == dict(task.inputs)


def _settings(config: ReleaseConfig, model: MorphableModel) -> dict[str, Any]:
    return {
        "data": config.data.partition("=")[0],
        "size": config.size,
        "test_fraction": config.test_fraction,
        "seed": config.seed,
        "allow_restricted": config.allow_restricted,
        "face_model": {"name": model.name, "version": model.version, "unit": model.unit, "licence": model.licence},
        "mesoface": __version__,
    }
