"""Measures what a run has not measured yet, and keeps the values in ``metrics.parquet``.

Result and reference pair by id: method, protocol, subject. The reference is the photograph, and the truth besides
where the subject has one; metrics against the truth give no row for the others. A row carries all that identifies its
value; where a value could not be had, ``value`` is empty and ``reason`` says why. Only what is missing or out of date
is measured (``metrics.freshness``), one subject under one protocol after the other (``metrics.measurement``), and a
killed evaluation goes on where it was (``metrics.journal``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from metrics import SET_METRICS
from metrics.comparison import Gap
from metrics.contract import SetMetric
from metrics.descriptors import identity_of, is_described, remove_vanished, set_rows
from metrics.freshness import Ledger, Present, applies_to, scan
from metrics.journal import Journal
from metrics.known import all_names, check_names, load_metrics
from metrics.measurement import Cell, Made, MeasureOrder, MeasureTask, prepare
from metrics.pairs import Look
from metrics.parts import measure_parts
from metrics.results_state import NOT_APPLICABLE
from recon.assets import ASSETS, locate
from recon.errors import AssetError, UsageError
from recon.gpu_memory import each_alone
from recon.runs.folder import ResultKey, RunFolder
from recon.runs.lock import locked
from recon.runs.parts import RECORDS
from recon.worker_pool import Died, Event, Needs, Reported, at_hand, current_cluster, work_through

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Choice:
    """What is to be measured; empty means all.

    Attributes:
        metrics: registry names.
        methods, protocols, subjects: of the run.
        again: measure anew what is up to date.
    """

    metrics: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    again: bool = False

    def takes(self, key: ResultKey) -> bool:
        """Whether a result is among those to be measured."""
        pairs = ((self.methods, key.method), (self.protocols, key.protocol), (self.subjects, key.subject))
        return all(not chosen or name in chosen for chosen, name in pairs)


@dataclass(frozen=True)
class Evaluation:
    """What measuring gave.

    Attributes:
        measured: results looked at now.
        values: rows made now.
        rows: rows of the table.
        problems: what could not be measured, in words, each naming its result.
        absent: metrics whose weights are absent, and why.
        gaps: results that are missing beside others of the same subject and protocol.
        notes: what else the user should know.
    """

    measured: int
    values: int
    rows: int
    problems: tuple[str, ...]
    absent: Mapping[str, str] = field(default_factory=dict)
    gaps: tuple[Gap, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether something is missing that should be there: a value, or a result that the method applies to."""
        return bool(self.problems) or any(not gap.reason.startswith(NOT_APPLICABLE) for gap in self.gaps)


def evaluate(
    folder: RunFolder,
    progress: Progress,
    metrics: Sequence[str] | None = None,
    jobs: int | None = None,
    device: str = "auto",
    choice: Choice | None = None,
) -> Evaluation:
    """Bring ``metrics.parquet`` up to date with the results.

    Args:
        metrics: registry names; all if None. A short form of ``choice``.
        jobs: worker processes; None for one on a GPU, else for as many as the machine allows.
        device: ``auto``, ``cpu`` or ``cuda``.
        choice: which results and metrics.

    Raises:
        UsageError: no run folder, an unknown name, or another process is measuring.
        InputError: the table is damaged.
        StorageError: the disk is full; what was measured is kept.
    """
    chosen = choice or Choice(metrics=tuple(metrics or ()))
    check_names(chosen.metrics)
    _check_choice(chosen, folder)
    with locked(folder.metrics_lock, f"'{folder.metrics}'"):
        return _Evaluator(folder, chosen, progress).carry_out(jobs, device)


def _check_choice(choice: Choice, folder: RunFolder) -> None:
    config = folder.read_config()
    for noun in ("methods", "protocols", "subjects"):
        for name in getattr(choice, noun):
            if name not in config[noun]:
                known = ", ".join(config[noun])
                raise UsageError(f"this run has no {noun.removesuffix('s')} '{name}'; it has {known}.")


GPU_GIGABYTES = 6
"""What a process that runs VGG-16 on four pictures of 512² takes of a GPU, with room to spare."""


def most_on_gpu(device: str) -> int:
    """Processes that fit beside each other into the memory of ``device``; at least one."""
    import torch

    return max(1, int(torch.cuda.get_device_properties(device).total_memory // (GPU_GIGABYTES * 2**30)))


def _weight_files() -> tuple[str, ...]:
    """Names of the weight files that are on this machine."""
    return tuple(name for name, asset in ASSETS.items() if asset.kind == "weights" and _is_here(name))


def _is_here(name: str) -> bool:
    try:
        return locate(name) is not None
    except AssetError:  # what the user named is gone: a metric that needs it says so, the others need not care
        return False


class _Evaluator:
    """One evaluation of one run."""

    def __init__(self, folder: RunFolder, choice: Choice, progress: Progress) -> None:
        self.folder, self.choice, self.progress = folder, choice, progress
        self.known, self.problems = load_metrics(choice.metrics or all_names())
        self.sets = {name: one for name, one in self.known.items() if isinstance(one.metric, SetMetric)}
        self.scan = scan(folder)
        everything = choice.again and choice == Choice(again=True)
        self.journal = Journal(folder, start_anew=everything)
        self.values = self.measured = 0
        self.notes: list[str] = []

    def carry_out(self, jobs: int | None, device: str) -> Evaluation:
        """Drops what is out of date, measures what is missing, gathers the sets."""
        tasks = self._tasks()
        if tasks:  # or a program that only reads would be told of work that there is not
            self._work(tasks, jobs, device)
        self._gather()
        self.journal.merge()
        return Evaluation(
            measured=self.measured,
            values=self.values,
            rows=len(self.journal),
            problems=tuple(dict.fromkeys(self.problems)),
            absent={name: one.absent for name, one in self.known.items() if one.absent},
            gaps=tuple(gap for gap in self.scan.gaps
                       if self.choice.takes(ResultKey(gap.method, gap.protocol, gap.subject))),
            notes=(*self.journal.notes, *self.scan.notes, *self.notes),
        )  # fmt: skip

    def _tasks(self) -> list[MeasureTask]:
        present, columns = self.scan.present, self.journal.columns
        others = set(all_names()) - set(self.known)
        broken = set(self.choice.metrics or all_names()) - set(self.known)
        ledger = Ledger(columns, present, self.known, trusted=others - broken)
        missing = ledger.missing(self.known, self.choice.takes, self.choice.again)
        keep = ledger.valid.copy()
        own = keep & (ledger.family >= 0)
        keep[own] = ~missing[ledger.place[own], ledger.family[own]]
        # Whether rows of sets are up to date shows when everything is described.
        sets = [*self.sets, *(name for name in others - broken if name in SET_METRICS)]
        keep |= columns.text("family").among(sets)
        self.journal.keep(keep)
        return _grouped(present, ledger.families, missing, self._to_describe())

    def _to_describe(self) -> dict[int, dict[str, str]]:
        """By index into the present results: the metrics of sets that lack descriptors, with their identity."""
        present = [(number, one) for number, one in enumerate(self.scan.present) if self.choice.takes(one.key)]
        found: dict[int, dict[str, str]] = {}
        for name, known in self.sets.items():
            if known.absent:
                continue
            for number, one in present:
                if applies_to(known, one.look) and (self.choice.again or not is_described(self.folder, one, known)):
                    found.setdefault(number, {})[name] = identity_of(one, known)
        return found

    def _work(self, tasks: Sequence[MeasureTask], jobs: int | None, device: str) -> None:
        from recon.runs.config import default_jobs, resolve_device

        cluster = current_cluster()
        if device != "cpu":  # or torch would be loaded for a few colours
            device = cluster.device(device) if cluster else resolve_device(device)
        most = default_jobs(len(tasks))
        # Most metrics work on the processor all the same; networks of all processes share the GPU.
        if device != "cpu" and not cluster:
            most = min(most, most_on_gpu(device))
        workers = min(jobs or most, len(tasks))
        threads = max(1, (os.cpu_count() or 1) // workers)
        absent = {name: one.absent for name, one in self.known.items() if one.absent}
        order = MeasureOrder(self.folder.path, device, absent)
        with at_hand(self._needs(device)):
            self._work_off(tasks, order, workers, threads)
        self.journal.merge()

    def _needs(self, device: str) -> Needs:
        """What workers must have to give the same numbers as this machine: networks of metrics are told by file."""
        networks = any(one.weights for one in self.known.values())
        assets = _weight_files() if networks else ()
        return Needs(self.folder.path, assets=assets, device=device, parts=measure_parts, records=RECORDS)

    def _work_off(self, tasks: Sequence[MeasureTask], order: MeasureOrder, workers: int, threads: int) -> None:
        total = sum(task.results for task in tasks)
        shared = workers > 1 or current_cluster() is not None
        short: dict[tuple[str, str], tuple[MeasureTask, Made]] = {}
        self.progress("measuring", 0, total)
        for event in work_through(tasks, prepare, order, jobs=workers, threads=threads):
            if shared and isinstance(event, Reported) and event.content.ran_out:
                short[event.task.subject, event.task.protocol] = event.task, event.content
            else:
                self._enter(event, total)
        if short:
            self._again_alone(short, order, threads, total)

    def _again_alone(
        self, short: dict[tuple[str, str], tuple[MeasureTask, Made]], order: MeasureOrder, threads: int, total: int
    ) -> None:
        """Measures what found no room in the GPU's memory beside other processes once more, one task at a time.

        Args:
            short: by subject and protocol: the task, and what it came to.
        """
        tasks, left = [task for task, _ in short.values()], dict(short)
        in_vain: set[tuple[str, str]] = set()
        events = each_alone(
            work_through, tasks, prepare, order, threads=threads,
            ran_out_again=lambda task: (task.subject, task.protocol) in in_vain,
        )  # fmt: skip
        for event in events:
            if isinstance(event, Reported):
                place = event.task.subject, event.task.protocol
                left.pop(place, None)
                if event.content.ran_out:
                    in_vain.add(place)
            self._enter(event, total)
        for task, made in left.values():  # given up: the others had shown that a whole GPU is too small
            self._enter(Reported(task, made), total)
        self.notes.append(
            f"the GPU's memory did not suffice for {len(short)} of the tasks beside those of other processes; tried "
            f"again without company, {len(short) - len(in_vain) - len(left)} of them were measured: fewer --jobs, or "
            "workers of a cluster, save the second try."
        )

    def _enter(self, event: Event, total: int) -> None:
        if isinstance(event, Died):
            self.problems.append(f"{event.task.subject} · {event.task.protocol}: {event.reason}")
        if isinstance(event, Reported):
            made: Made = event.content
            self.journal.add(made.rows)
            self.problems += made.problems
            self.values += len(made.rows)
            self.measured += event.task.results
            self.progress("measuring", self.measured, total)

    def _gather(self) -> None:
        present, columns = self.scan.present, self.journal.columns
        remove_vanished(self.folder, present)
        if not self.sets:
            return
        # A set of which only some members were asked for has no value yet.
        partial = bool(self.choice.methods or self.choice.protocols or self.choice.subjects)
        stay, rows, problems = set_rows(self.folder, columns, present, self.sets, self.choice.again, not partial)
        self.journal.keep(stay | ~columns.text("family").among(self.sets))
        self.journal.add(rows)
        self.values += len(rows)
        self.problems += problems


def _grouped(
    present: Sequence[Present],
    families: Sequence[str],
    missing: NDArray[np.bool_],
    describes: Mapping[int, Mapping[str, str]],
) -> list[MeasureTask]:
    """What is missing by subject and protocol, then by look, then by method."""
    tasks: dict[tuple[str, str], dict[Look, dict[str, Cell]]] = {}
    for index in sorted({*np.flatnonzero(missing.any(axis=1)).tolist(), *describes}):
        one = present[index]
        names = tuple(name for name, lacks in zip(families, missing[index], strict=True) if lacks)
        cell = Cell(one.result, one.reference_record, names, describes.get(index, {}))
        looks = tasks.setdefault((one.key.subject, one.key.protocol), {})
        looks.setdefault(one.look, {})[one.key.method] = cell
    return [
        MeasureTask(subject, protocol, tuple(sorted(looks.items(), key=lambda item: item[0])))
        for (subject, protocol), looks in sorted(tasks.items())
    ]
