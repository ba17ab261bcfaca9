"""Carry out a run: settle what is asked, prepare the database, and work through the subjects in processes."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from recon import assets
from recon.data.subject import Subject, TestSet
from recon.errors import GpuMemoryError, UsageError
from recon.face_model.model import MorphableModel
from recon.gpu_memory import each_alone
from recon.methods.contract import Method
from recon.rendering import RENDERERS
from recon.runs.config import RunConfig, choose_subjects, default_jobs, load_method, made_with, resolve_device
from recon.runs.databases import run_database
from recon.runs.folder import FORMAT, ResultKey, RunFolder, merged_config, write_config
from recon.runs.lock import locked
from recon.runs.parts import RECORDS, subject_parts
from recon.runs.record import plain
from recon.runs.subject import Outcome, SubjectTask, WorkOrder, prepare_worker, write_failure
from recon.texture.database import TextureDatabase
from recon.worker_pool import Died, Event, Needs, Reported, at_hand, current_cluster, work_through

LANDMARKS = "dlib-landmarks"

Progress = Callable[[str, int, int], None]
"""Called with what is going on, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        folder: the run folder.
        subjects: ids of the tested subjects.
        kept: results that were there already.
        made: results made now.
        failed: what failed and why.
        not_applicable: methods that do not apply to a subject, with their reason.
        notes: what the user should know: the choice of subjects, pictures that were skipped, remarks on photographs.
    """

    folder: RunFolder
    subjects: tuple[str, ...]
    kept: int
    made: tuple[ResultKey, ...]
    failed: tuple[Outcome, ...]
    not_applicable: tuple[Outcome, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """A run whose every choice is settled."""

    config: RunConfig
    test_set: TestSet
    subjects: tuple[Subject, ...]
    order: WorkOrder
    record: dict[str, Any]
    notes: tuple[str, ...] = field(default=())


def execute(config: RunConfig, progress: Progress) -> Summary:
    """Make what the run folder lacks.

    Nothing that is finished is repeated, what failed is tried again, and one failing subject never stops the others.

    Raises:
        UsageError: settings that contradict each other or the run that exists.
        AssetError, InputError: what all subjects need is missing or unusable.
        DatabaseError: tested people are in the database, or too few are left.
        StorageError: the disk is full; everything finished is kept.
        KeyboardInterrupt: stopped by the user; everything finished is kept.
    """
    folder = RunFolder(config.out)
    if config.out.exists() and not config.out.is_dir():
        raise UsageError(f"--out '{config.out}' is a file: name a folder.")
    if config.out.is_dir() and not folder.config.is_file() and any(_foreign(config.out)):
        raise UsageError(f"--out '{config.out}' is not empty and no run: name a new folder.")
    with locked(folder.lock, f"run '{config.out}'"):
        plan = settle(config, progress)
        write_config(folder, plan.record)
        return _carry_out(plan, folder, progress)


def _foreign(path: Path) -> list[str]:
    return [entry.name for entry in path.iterdir() if not entry.name.startswith(".")]


def settle(config: RunConfig, progress: Progress) -> Plan:
    """Every ``auto`` resolved, subjects chosen, the database built or opened, and all checked against ``run.json``."""
    from recon.data import load_test_set
    from recon.face_model import load_face_model

    folder = RunFolder(config.out)
    present = folder.read_config() if folder.config.is_file() else None
    config = _auto_as_before(config, present)
    cluster = current_cluster()
    config = replace(config, device=cluster.device(config.device) if cluster else resolve_device(config.device))
    methods = {name: load_method(name) for name in config.methods}
    parameters = {name: {**method.defaults, **config.parameters.get(name, {})} for name, method in methods.items()}

    # Without the landmark regressor or the renderer every subject would fail one by one.
    assets.require(LANDMARKS)
    _ = RENDERERS.get(config.renderer)().version
    progress("reading the data set", 0, 0)
    test_set = load_test_set(config.data)
    subjects = choose_subjects(test_set, config.subjects, config.limit, config.seed)
    notes = [_choice_note(config, test_set, subjects)] if len(subjects) < len(test_set) else []
    notes += [f"{name} was skipped: {why}" for name, why in test_set.skipped]

    progress("loading the face model", 0, 0)
    model = load_face_model(config.face_model)
    tested = sorted({subject.id for subject in subjects} | set(present["subjects"] if present else ()))
    database = _database(config, test_set, tested, model, methods, progress)
    settings = {
        "data": test_set.name,
        "face_model": {"name": model.name, "version": model.version},
        "database": {"identity": database.identity, "people": len(database)} if database else None,
        "size": config.size,
        "seed": config.seed,
        "features": _features(config.features),
        "device": config.device,
        "renderer": config.renderer,
    }
    wanted = {
        "format": FORMAT,
        "settings": settings,
        "methods": _plain(parameters),
        "protocols": [protocol.name for protocol in config.protocols],
        "subjects": [subject.id for subject in subjects],
        "sources": {"data": config.data, "database": config.database},
        "notes": notes,
        "assets": {name: assets.file_sha256(path) for name, path in _weight_files(config.features).items()},
        "made_with": _made_with(config.device),
    }
    order = WorkOrder(
        out=config.out,
        methods=parameters,
        face_model=model.name,
        database=database.folder if database else None,
        tested=tuple(tested),
        size=config.size,
        seed=config.seed,
        features=config.features,
        device=config.device,
        renderer=config.renderer,
    )
    return Plan(config, test_set, subjects, order, merged_config(folder, wanted), tuple(notes))


def _made_with(device: str) -> list[dict[str, Any]]:
    """Versions and device, once for every kind of hardware that works on the run."""
    cluster = current_cluster()
    return [made_with(device)] if cluster is None else [made_with(device, on) for on in cluster.hardware(device)]


def _auto_as_before(config: RunConfig, present: Mapping[str, Any] | None) -> RunConfig:
    """``auto`` in a run that exists means what it meant when the run began, so that it can always be continued."""
    if present is None:
        return config
    before = present["settings"]
    return replace(
        config,
        features=before["features"]["asked"] if config.features == "auto" else config.features,
        device=before["device"] if config.device == "auto" else config.device,
        face_model=before["face_model"]["name"] if config.face_model == "auto" else config.face_model,
    )


def _choice_note(config: RunConfig, test_set: TestSet, subjects: tuple[Subject, ...]) -> str:
    how = "named by the user" if config.subjects else f"drawn with seed {config.seed}"
    return f"{len(subjects)} of the {len(test_set)} subjects of '{test_set.name}' are tested, {how}."


def _plain(parameters: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {name: plain(dict(values)) for name, values in parameters.items()}


def _features(name: str) -> dict[str, str]:
    """The extractor that was asked for, and the trained trunk that ``auto`` stands for on this machine today."""
    from recon.texture.extractor_choice import resolve_extractor

    return {"asked": name, "trunk": resolve_extractor(name, learned_first=True)}


def _weight_files(features: str) -> dict[str, Path]:
    """The weight files that this run reads, by name; the face model has its own version."""
    found = {}
    for name in (LANDMARKS, _features(features)["trunk"]):
        path = assets.locate(name) if name in assets.ASSETS else None
        if path is not None and path.is_file():
            found[name] = path
    return found


def _database(
    config: RunConfig,
    test_set: TestSet,
    tested: list[str],
    model: MorphableModel,
    methods: Mapping[str, Method],
    progress: Progress,
) -> TextureDatabase | None:
    """The run's database without the tested people; None where the run has none."""
    if config.database is None:
        needing = [name for name, method in methods.items() if method.needs_database]
        if needing:
            raise UsageError(
                f"{', '.join(needing)} cannot work without a texture database: add --database {config.data} "
                "(the subjects that are not tested), --database synthetic, or a folder made by "
                "'mesoface database build'."
            )
        return None
    stage = "building the texture database"
    progress(stage, 0, 0)
    cluster = current_cluster()
    jobs = cluster.slots if cluster else config.jobs or default_jobs(len(test_set))
    database = run_database(
        config.database,
        (config.data, test_set),
        tested,
        model,
        config.size,
        jobs,
        lambda done, total: progress(stage, done, total),
    )
    # Made here once, so that the workers find it instead of each making it.
    progress("preparing the texture database", 0, 0)
    _ = database.textures, database.skin_mask
    return database


def pending(plan: Plan, folder: RunFolder) -> tuple[list[SubjectTask], int, list[Outcome]]:
    """What is still to be made, how many results are there, and which methods said that they do not apply."""
    tasks, kept, set_aside = [], 0, []
    for subject in plan.subjects:
        work = []
        for protocol in plan.config.protocols:
            missing = []
            for method in plan.config.methods:
                key = ResultKey(method, protocol.name, subject.id)
                reason = folder.not_applicable(key)
                if reason is not None:
                    set_aside.append(Outcome(key, "not applicable", message=reason))
                elif folder.finished(key) is not None:
                    kept += 1
                else:
                    missing.append(method)
            if missing:
                work.append((protocol, tuple(missing)))
        if work:
            tasks.append(SubjectTask(subject, tuple(work)))
    return tasks, kept, set_aside


def _apart(tasks: list[SubjectTask]) -> list[SubjectTask]:
    """One task a subject and protocol: more machines find work, and a machine's death costs less.

    What is given up is that protocols which leave the photograph as it is share its landmarks.
    """
    return [replace(task, work=(one,)) for task in tasks for one in task.work]


def _needs(plan: Plan, tasks: list[SubjectTask]) -> Needs:
    """What workers must have to make the same results as this machine."""
    photographs = {task.subject.photograph.parent: task.subject.photograph for task in tasks}
    return Needs(
        folder=plan.order.out,
        face_model=plan.order.face_model,
        database=plan.order.database,
        assets=tuple(sorted(_weight_files(plan.order.features))),
        features=plan.order.features,
        files=tuple(photographs.values()),  # one of each folder
        device=plan.order.device,
        parts=subject_parts,
        records=RECORDS,
    )


def _carry_out(plan: Plan, folder: RunFolder, progress: Progress) -> Summary:
    tasks, kept, set_aside = pending(plan, folder)
    with at_hand(_needs(plan, tasks)):
        outcomes, notes = _work_off(plan, _apart(tasks) if current_cluster() else tasks, folder, progress)
    return _summary(plan, folder, kept, [*set_aside, *outcomes], notes)


def _work_off(
    plan: Plan, tasks: list[SubjectTask], folder: RunFolder, progress: Progress
) -> tuple[list[Outcome], list[str]]:
    """What became of every result of ``tasks``, and what the user should know of how."""
    total = sum(len(task.result_keys()) for task in tasks)
    jobs = min(plan.config.jobs or default_jobs(len(tasks), plan.config.size), max(1, len(tasks)))
    threads = max(1, (os.cpu_count() or 1) // jobs)
    outcomes: dict[ResultKey, Outcome] = {}
    progress("reconstructing", 0, total)
    for event in work_through(tasks, prepare_worker, plan.order, jobs=jobs, threads=threads):
        _enter(event, outcomes, folder)
        progress("reconstructing", len(outcomes), total)
    shared = jobs > 1 or current_cluster() is not None
    notes = _again_alone(plan, tasks, folder, outcomes, threads, progress) if shared else []
    return list(outcomes.values()), notes


def _enter(event: Event, outcomes: dict[ResultKey, Outcome], folder: RunFolder) -> None:
    """Enters what ``event`` says of results into ``outcomes``."""
    if isinstance(event, Reported):
        outcomes[event.content.key] = event.content
    elif isinstance(event, Died):
        for key in event.task.result_keys():
            if key in outcomes:
                continue
            if folder.finished(key) is not None:  # a cluster's worker reports when a task is done, this one never
                outcomes[key] = Outcome(key, "made")
            else:
                outcomes[key] = write_failure(folder, key, "WorkerDied", event.reason)


def _again_alone(
    plan: Plan,
    tasks: list[SubjectTask],
    folder: RunFolder,
    outcomes: dict[ResultKey, Outcome],
    threads: int,
    progress: Progress,
) -> list[str]:
    """Tries what found no room in the GPU's memory beside other processes once more, one subject at a time."""

    def short(task: SubjectTask) -> list[ResultKey]:
        mine = (key for key in task.result_keys() if key in outcomes)
        return [key for key in mine if outcomes[key].kind == GpuMemoryError.__name__]

    again = [task for task in tasks if short(task)]
    if not again:
        return []
    wanting = [key for task in again for key in short(task)]
    stage = "again, each alone on the GPU"
    progress(stage, 0, len(wanting))
    events = each_alone(
        work_through, again, prepare_worker, plan.order, threads=threads, ran_out_again=lambda task: bool(short(task))
    )
    for event in events:
        _enter(event, outcomes, folder)
        progress(stage, sum(outcomes[key].state == "made" for key in wanting), len(wanting))
    made = sum(outcomes[key].state == "made" for key in wanting)
    return [
        f"the GPU's memory did not suffice for {len(wanting)} of the results beside those of other processes; tried "
        f"again without company, {made} of them were made: fewer --jobs, or workers of a cluster, save the second try."
    ]


def _summary(plan: Plan, folder: RunFolder, kept: int, outcomes: list[Outcome], notes: Sequence[str]) -> Summary:
    by_state: dict[str, list[Outcome]] = {"made": [], "failed": [], "not applicable": []}
    for outcome in outcomes:
        by_state[outcome.state].append(outcome)
    remarks = dict.fromkeys(o.message for o in sorted(by_state["made"], key=lambda o: str(o.key)) if o.message)
    return Summary(
        folder=folder,
        subjects=tuple(subject.id for subject in plan.subjects),
        kept=kept,
        made=tuple(sorted((o.key for o in by_state["made"]), key=str)),
        failed=tuple(sorted(by_state["failed"], key=lambda o: str(o.key))),
        not_applicable=tuple(sorted(by_state["not applicable"], key=lambda o: str(o.key))),
        notes=(*plan.notes, *notes, *remarks),
    )
