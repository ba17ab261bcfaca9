"""The contract of a metric: results and their references inside a region in, one number a component out.

A :class:`Metric` judges one result at a time and may share work between the results of a batch; a :class:`SetMetric`
judges all results of a method under a protocol together (a distance between sets of pictures, an error per group of
people). Both are named by a registry in ``metrics/__init__.py``, and an outside package adds one through the
entry-point groups ``mesoface.metrics`` and ``mesoface.set_metrics``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Direction = Literal["higher", "lower", "one", "none"]
Space = Literal["uv", "image", "shape"]
Reference = Literal["photograph", "truth"]

T = TypeVar("T")


class Memo:
    """What has been worked out from one side of a pair, so that several metrics, regions and methods share it.

    Whatever depends on a mask or a parameter names it in its key. A memo lives as long as its picture is in use, so it
    holds what is small or dear: colours in Lab, pyramids, features.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, Any] = {}

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under ``key``, made on first use."""
        if key not in self._kept:
            self._kept[key] = make()
        value: T = self._kept[key]
        return value


@dataclass(frozen=True, eq=False)
class Surface:
    """What a shape is measured with, beside its vertices.

    Attributes:
        triangles: ``(T, 3)`` int64 indices into the vertices.
        landmarks: ``(68,)`` int64 vertices of the landmarks, iBUG order.
        scan: ``(N, 3)`` float32 true points in millimetres, in the frame of the reference's vertices.
    """

    triangles: NDArray[np.int64]
    landmarks: NDArray[np.int64]
    scan: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Judged:
    """A result beside its reference, in one space and one region.

    Attributes:
        result: ``(H, W, 3)`` float32 in [0, 1], sRGB-encoded; in the space ``shape`` ``(V, 3)`` float32 vertices in
            millimetres.
        reference: the same, of the undegraded photograph (equal alignment and light) or of the truth.
        demanded: ``(H, W)`` bool (``shape``: ``(V,)``): the region that the protocol judges.
        region: the same: ``demanded`` where the method vouches for its result; metrics read nothing else
            (identity alone reads brows and lips around it, see ``metrics.identity``).
        whole: the same: ``region`` of all regions of the picture together, for what is fitted once a picture.
        subject: id of the person.
        landmarks: ``(68, 2)`` float32 pixels (x right, y down, centres at half) of the reference picture in the space
            ``image``; None elsewhere.
        surface: in the space ``shape``; None elsewhere.
        of_result, of_reference: what was worked out from either side. The reference's is shared by the results of all
            methods that are compared with it.
    """

    result: NDArray[np.float32]
    reference: NDArray[np.float32]
    demanded: NDArray[np.bool_]
    region: NDArray[np.bool_]
    whole: NDArray[np.bool_]
    subject: str = ""
    landmarks: NDArray[np.float32] | None = None
    surface: Surface | None = None
    of_result: Memo = field(default_factory=Memo, repr=False)
    of_reference: Memo = field(default_factory=Memo, repr=False)


@dataclass(frozen=True)
class Component:
    """One number of a metric.

    Attributes:
        name: as the tables show it; unique among all metrics.
        unit: an empty string where there is none.
        direction: ``higher`` or ``lower`` is better; ``one`` where 1 is ideal (a ratio, compared by its logarithm);
            ``none`` where the number only describes.
    """

    name: str
    unit: str = ""
    direction: Direction = "lower"


@dataclass(frozen=True)
class Weights:
    """A network that was really loaded.

    Attributes:
        net: for example ``vgg16``.
        sha256: of the loaded tensors, 64 hexadecimal digits.
        source: file or package that they came from, without a folder.
    """

    net: str
    sha256: str
    source: str


Batch = Sequence[Judged]
"""Results of one subject under one protocol, in one space, view and region, judged against one reference."""


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric of single results with its identity.

    Attributes:
        components: the numbers that ``measure`` returns, in order.
        library, version: whose implementation it is; ``version`` changes with every change of the numbers.
        parameters: all that changes a number besides (data range, window, size limit …), as JSON can write it.
        spaces: where it makes sense: ``uv``, ``image`` or both; against the truth ``uv`` or ``shape``.
        measure: pure; ``measure(batch, device)`` gives one sequence of numbers for each member of the batch, NaN
            where the region is too small. ``device`` is a torch device. A typed error counts for the whole batch.
        reference: what results are compared with; subjects without a truth have no row of a metric against it.
        weights: loads the network that the metric uses; None where it uses none.
            Raises AssetError where weights are absent: the rows then say *not computed*, and why.
    """

    components: tuple[Component, ...]
    library: str
    version: str
    parameters: Mapping[str, Any]
    spaces: frozenset[Space]
    measure: Callable[[Batch, str], Sequence[Sequence[float]]] = field(repr=False)
    reference: Reference = "photograph"
    weights: Callable[[], Weights] | None = field(default=None, repr=False)


@dataclass(frozen=True, eq=False)
class SetMetric:
    """A metric of all results of a method under one protocol, in one space, view and region.

    Attributes:
        components, library, version, parameters, spaces, reference, weights: as for a :class:`Metric`.
        describe: ``describe(batch, device)`` gives, for each member of the batch, the descriptors ``(D,)`` float32 of
            the result and of the reference; NaN where there is none. They are kept, so that adding a subject costs one.
        gather: ``gather(subjects, of_results (N, D), of_references (N, D))``, without rows of NaN: a number for each
            component, or ``(N,)`` numbers where a component is one of each subject; NaN where N is too small.
    """

    components: tuple[Component, ...]
    library: str
    version: str
    parameters: Mapping[str, Any]
    spaces: frozenset[Space]
    describe: Callable[[Batch, str], Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]]] = field(repr=False)
    gather: Callable[
        [Sequence[str], NDArray[np.float32], NDArray[np.float32]], Mapping[str, float | NDArray[np.floating]]
    ] = field(repr=False)
    reference: Reference = "photograph"
    weights: Callable[[], Weights] | None = field(default=None, repr=False)


def one_by_one(measure: Callable[[Judged], Sequence[float]]) -> Callable[[Batch, str], Sequence[Sequence[float]]]:
    """A metric of batches from one of single results, for what gains nothing from a batch or a device."""
    return lambda batch, device: [measure(judged) for judged in batch]


def coverage(judged: Judged) -> float:
    """Part of the demanded region that the method vouches for, in [0, 1]; NaN where nothing is demanded."""
    demanded = int(judged.demanded.sum())
    return int(judged.region.sum()) / demanded if demanded else float("nan")


COVERAGE = Metric(
    components=(Component("coverage", direction="higher"),),
    library="mesoface",
    version="1",
    parameters={},
    spaces=frozenset({"uv", "image"}),
    measure=one_by_one(lambda judged: [coverage(judged)]),
)
