"""What the tasks on a run read and make in its folder, for runs whose folder is a store: names, never paths."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from recon.runs.folder import ResultKey, RunFolder
from recon.worker_pool import Parts

if TYPE_CHECKING:
    from recon.data.subject import Subject
    from recon.runs.pictures import PictureTask
    from recon.runs.subject import SubjectTask

RECORDS = ("run.json",)
_ANYWHERE = RunFolder(Path())


def result_place(key: ResultKey) -> str:
    """Beginning of the names of a result's files."""
    return f"{_ANYWHERE.result(key).as_posix()}/"


def reference_place(subject: str) -> str:
    """Beginning of the names of all that a subject is judged against."""
    return f"{_ANYWHERE.reference(subject).as_posix()}/"


def judged_place(subject: str, protocol: str) -> str:
    """Beginning of the names of the reference maps of a subject under a protocol."""
    return f"{_ANYWHERE.judged(subject, protocol).as_posix()}/"


def subject_parts(task: SubjectTask) -> Parts:
    """A subject's reference, to which it adds, and the results that it makes anew."""
    results = tuple(result_place(key) for key in task.result_keys())
    places = (reference_place(task.subject.id), *results)
    return Parts(places, places, results)


def picture_parts(renderer: str, task: PictureTask) -> Parts:
    """A result with what it is judged against; pictures by ``renderer`` are added."""
    result, reference = result_place(task.key), reference_place(task.key.subject)
    views = f"{result}views/{renderer}/"
    given = _ANYWHERE.given(task.key.subject, task.key.protocol).as_posix()
    whole = [f"{result}{name}" for name in ("albedo.png", "mask.png", "head.glb", "result.json")]
    only = (*whole, f"{views}*.json", given, f"{judged_place(task.key.subject, task.key.protocol)}*")
    return Parts((result, reference), (views,), (), tuple(map(_literal, only)))


def _literal(pattern: str) -> str:
    """Brackets of ids are no sets of letters."""
    return pattern.replace("[", "[[]")


def database_parts(subject: Subject) -> Parts:
    """One person's entry."""
    return Parts(makes=(f"entries/{subject.id}.",))
