"""What a worker does: look at all results of a subject under a protocol, and make the rows of the table.

Every picture is decoded once a look, and what metrics work out of it is shared in memos: those of the reference by all
methods, those of a result by all metrics and regions. All of it is dropped with the look, so memory does not grow with
the run. A metric may fail in any way, exit the process included: its row then says why, and the others go on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Judged, Memo, Metric, SetMetric
from metrics.descriptors import write_descriptors
from metrics.known import KnownMetric, find_metric, with_weights
from metrics.pairs import Look, ReferenceSide, ResultSide, open_reference, open_result
from metrics.regions import region_key
from metrics.rows import NOT_COMPUTED, NOT_DEFINED
from recon.errors import InputError, MesofaceError, StorageError
from recon.gpu_memory import ran_out, too_small
from recon.runs.folder import ResultKey, RunFolder
from recon.worker_pool import Report

PIXELS_AT_ONCE = 8_000_000
"""Pixels of all results of a batch together: what metrics keep of them takes some 60 bytes a pixel, half a gigabyte."""

Described = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Descriptors of a result and of its reference."""


@dataclass(frozen=True)
class Cell:
    """What is to be measured of one result in one look.

    Attributes:
        result, reference_record: as its rows say them.
        families: metrics of single results.
        describes: metrics of sets, with the identity under which each keeps its descriptors.
    """

    result: str
    reference_record: str
    families: tuple[str, ...] = ()
    describes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MeasureTask:
    """The cells of one subject under one protocol: by look, and by method."""

    subject: str
    protocol: str
    work: tuple[tuple[Look, Mapping[str, Cell]], ...]

    @property
    def results(self) -> int:
        """How many results it looks at."""
        return len({method for _, cells in self.work for method in cells})


@dataclass(frozen=True)
class MeasureOrder:
    """What all workers share.

    Attributes:
        run: the run folder.
        device: torch device.
        absent: metrics whose weights are known to be absent, and why.
    """

    run: Path
    device: str
    absent: Mapping[str, str]


@dataclass
class Made:
    """Rows, in words what could not be measured, and whether the GPU's memory was too small for a part of it."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    ran_out: bool = False


def prepare(order: MeasureOrder) -> Measurer:
    """What a worker process calls once."""
    return Measurer(order)


class Measurer:
    """Holds what all tasks share: the metrics with their networks; called with a :class:`MeasureTask`.

    Attributes:
        ran_out: whether the GPU's memory was too small for a part of the task at hand.
    """

    def __init__(self, order: MeasureOrder) -> None:
        self.order = order
        self.folder = RunFolder(order.run)
        self.ran_out = False
        self._known: dict[str, KnownMetric] = {}

    def __call__(self, task: MeasureTask, report: Report) -> None:
        """Reports a :class:`Made`.

        Raises:
            StorageError: the disk is full or cannot be written.
        """
        made, self.ran_out = Made(), False
        for look, cells in task.work:
            self._look(task, look, dict(sorted(cells.items())), made)
        made.problems, made.ran_out = list(dict.fromkeys(made.problems)), self.ran_out
        report(made)

    def known(self, name: str) -> KnownMetric:
        """The metric ``name`` with its network, loaded on first use."""
        if name not in self._known:
            found = find_metric(name)
            absent = self.order.absent.get(name)
            if absent:
                self._known[name] = KnownMetric(found.name, found.metric, found.parameters, absent=absent)
            else:
                self._known[name] = with_weights(found)
        return self._known[name]

    def _look(self, task: MeasureTask, look: Look, cells: Mapping[str, Cell], made: Made) -> None:
        keys = {method: ResultKey(method, task.protocol, task.subject) for method in cells}
        try:
            against = open_reference(self.folder, task.subject, task.protocol, look)
        except StorageError:
            raise
        except Exception as error:
            for method, key in keys.items():
                self._refuse(key, None, cells[method], None, self.said(error), made)
            return
        of_reference, methods = Memo(), list(cells)
        most = max(1, PIXELS_AT_ONCE // math.prod(against.picture.shape[:2]))
        for first in range(0, len(methods), most):
            sides: dict[str, ResultSide] = {}
            for method in methods[first : first + most]:
                try:
                    sides[method] = open_result(self.folder, keys[method], look, against)
                except StorageError:
                    raise
                except Exception as error:
                    self._refuse(keys[method], look, cells[method], against, self.said(error), made)
            if sides:
                _Looked(self, task, look, cells, against, sides, of_reference).measure(made)

    def _refuse(
        self, key: ResultKey, look: Look | None, cell: Cell, against: ReferenceSide | None, why: str, made: Made
    ) -> None:
        """Rows of a result that cannot be looked at: every region of every metric says why.

        Args:
            look, against: None where there is no reference, and so no region.
        """
        made.problems.append(f"{key}: {why}")
        for name in cell.families:
            known = self.known(name)
            rows = _Rows(known, key, look, cell, against=against)
            made.rows += [
                rows.row(region, component, f"{name}: {why}")
                for region in (against.regions if against else [""])
                for component in known.metric.components
            ]

    def said(self, error: BaseException) -> str:
        """An error in words, without the place of the run folder on this machine."""
        text = str(error) if isinstance(error, MesofaceError) else f"{type(error).__name__}: {error}"
        return text.replace(f"{self.folder.path}/", "")


@dataclass(frozen=True, eq=False)
class _Rows:
    """Makes the rows of one metric for one result in one look; ``look`` is None where nothing could be paired."""

    known: KnownMetric
    key: ResultKey
    look: Look | None
    cell: Cell
    side: ResultSide | None = None
    against: ReferenceSide | None = None

    def row(self, region: str, component: Component, reason: str = "", value: float = math.nan) -> dict[str, Any]:
        """One row; a reason leaves the value empty."""
        space, view = (self.look.space, self.look.view) if self.look else ("", "")
        shape = self.against.picture.shape if self.against else (0, 0)
        return {
            "method": self.key.method,
            "protocol": self.key.protocol,
            "subject": self.key.subject,
            "space": space,
            "view": view,
            "region": region,
            **self.known.columns(space, component, value, reason),
            "width": shape[0] if space == "shape" else shape[1],
            "height": 1 if space == "shape" else shape[0],
            "result": self.cell.result,
            "reference_record": self.cell.reference_record,
            "result_image": self.side.sha256 if self.side else "",
            "reference_image": self.against.sha256 if self.against else "",
        }


class _Looked:
    """Results of a subject under a protocol in one look, opened: measures and describes them as one batch."""

    def __init__(
        self,
        measurer: Measurer,
        task: MeasureTask,
        look: Look,
        cells: Mapping[str, Cell],
        against: ReferenceSide,
        sides: Mapping[str, ResultSide],
        of_reference: Memo,
    ) -> None:
        self.measurer, self.task, self.look = measurer, task, look
        self.cells, self.against, self.sides = cells, against, sides
        self.keys = {method: ResultKey(method, task.protocol, task.subject) for method in sides}
        # Where nothing is withheld, "visible" and "all" are the same texels: measured once.
        self.same = {region: region_key(mask) for region, mask in against.regions.items()}
        of_result = {method: Memo() for method in sides}
        whole = np.logical_or.reduce(list(against.regions.values()))
        self.judged = {
            region: {
                method: Judged(
                    result=side.picture,
                    reference=against.picture,
                    demanded=demanded,
                    region=demanded & side.vouched,
                    whole=whole & side.vouched,
                    subject=task.subject,
                    landmarks=against.landmarks,
                    surface=against.surface,
                    of_result=of_result[method],
                    of_reference=of_reference,
                )
                for method, side in sides.items()
            }
            for region, demanded in against.regions.items()
        }

    def measure(self, made: Made) -> None:
        """Rows and descriptors of all cells."""
        families = dict.fromkeys(name for method in self.sides for name in self.cells[method].families)
        for name in families:
            methods = [method for method in self.sides if name in self.cells[method].families]
            made.rows += self._rows(self.measurer.known(name), methods, made.problems)
        described = dict.fromkeys(name for method in self.sides for name in self.cells[method].describes)
        for name in described:
            methods = [method for method in self.sides if name in self.cells[method].describes]
            self._describe(self.measurer.known(name), methods, made.problems)

    def _rows(self, known: KnownMetric, methods: Sequence[str], problems: list[str]) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        measured: dict[str, dict[str, Sequence[float] | str]] = {}
        for region in self.against.regions:
            same = self.same[region]
            if same not in measured:
                found: Sequence[Sequence[float] | str] = [NOT_COMPUTED + known.absent] * len(methods)
                if not known.absent:
                    found = self._numbers(known, [self.judged[region][method] for method in methods])
                measured[same] = dict(zip(methods, found, strict=True))
            for method in methods:
                maker = _Rows(known, self.keys[method], self.look, self.cells[method], self.sides[method], self.against)
                numbers = measured[same][method]
                if isinstance(numbers, str):
                    if not known.absent:
                        problems.append(f"{self.keys[method]}: {numbers}")
                    rows += [maker.row(region, component, numbers) for component in known.metric.components]
                    continue
                for component, value in zip(known.metric.components, numbers, strict=True):
                    reason = "" if math.isfinite(value) else self._not_defined(value, region, method)
                    rows.append(maker.row(region, component, reason, value))
        return rows

    def _not_defined(self, value: float, region: str, method: str) -> str:
        judged, noun = self.judged[region][method], "vertices" if self.look.space == "shape" else "pixels"
        left, of = int(judged.region.sum()), int(judged.demanded.sum())
        why = f"on this region of {of} {noun}, of which the method vouches for {left}"
        return f"{NOT_DEFINED} {why}" + (f" ({value})" if math.isinf(value) else "")

    def _numbers(self, known: KnownMetric, batch: Sequence[Judged]) -> list[Sequence[float] | str]:
        """Numbers of each member of the batch, or why there are none."""
        metric = known.metric
        assert isinstance(metric, Metric)
        try:
            found = [[float(number) for number in numbers] for numbers in metric.measure(batch, self._device)]
            if len(found) != len(batch) or any(len(numbers) != len(metric.components) for numbers in found):
                raise InputError(
                    f"it gave {[len(numbers) for numbers in found]} numbers for {len(batch)} results with "
                    f"{len(metric.components)} components each: mend the metric."
                )
        except StorageError:
            raise
        except (Exception, SystemExit) as error:
            spent = ran_out(error)
            if len(batch) == 1:
                return [self._why(known, error, spent)]
            # One bad member must not take the numbers of the others with it; memory may suffice for half of them.
            step = (len(batch) + 1) // 2 if spent else 1
            parts = [batch[first : first + step] for first in range(0, len(batch), step)]
            return [number for part in parts for number in self._numbers(known, part)]
        return list(found)

    def _describe(self, known: KnownMetric, methods: Sequence[str], problems: list[str]) -> None:
        """Descriptors of every region of a result go into one file; one that fails has none, and is tried again."""
        found: dict[str, dict[str, Described]] = {}
        failed: dict[str, str] = {}
        measured: dict[str, list[Described | str]] = {}
        for region in self.against.regions:
            same = self.same[region]
            if same not in measured:
                measured[same] = self._descriptors(known, [self.judged[region][method] for method in methods])
            for method, one in zip(methods, measured[same], strict=True):
                if isinstance(one, str):
                    failed.setdefault(method, one)
                else:
                    found.setdefault(method, {})[region] = one
        shape = self.against.picture.shape
        size = (shape[0], 1) if self.look.space == "shape" else (shape[1], shape[0])
        for method in methods:
            if method not in failed and method in found:
                identity = self.cells[method].describes[known.name]
                folder, key = self.measurer.folder, self.keys[method]
                try:
                    write_descriptors(folder, key, known, self.look, identity, found[method], size)
                except InputError as error:
                    failed[method] = f"{known.name}: {error}"
        problems += [f"{self.keys[method]}: {why}" for method, why in failed.items()]

    def _descriptors(self, known: KnownMetric, batch: Sequence[Judged]) -> list[Described | str]:
        """Descriptors of each member of the batch and of its reference, or why there are none."""
        metric = known.metric
        assert isinstance(metric, SetMetric)
        try:
            found = list(metric.describe(batch, self._device))
            if len(found) != len(batch):
                raise InputError(f"it described {len(found)} of {len(batch)} results: mend the metric.")
        except StorageError:
            raise
        except (Exception, SystemExit) as error:
            spent = ran_out(error)
            if len(batch) == 1:
                return [self._why(known, error, spent)]
            return [one for judged in batch for one in self._descriptors(known, [judged])]
        return list(found)

    def _why(self, known: KnownMetric, error: BaseException, spent: bool) -> str:
        """Why a metric has no number of one result; ``spent``: the GPU's memory was too small."""
        self.measurer.ran_out |= spent
        return f"{known.name}: {self.measurer.said(too_small('this picture') if spent else error)}"

    @property
    def _device(self) -> str:
        return self.measurer.order.device
