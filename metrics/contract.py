"""The contract of a metric: a result and its reference inside a region in, one number a component out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Direction = Literal["higher", "lower", "one"]
Space = Literal["uv", "image", "shape"]
Reference = Literal["photograph", "truth"]


@dataclass(frozen=True, eq=False)
class Judged:
    """A result beside its reference, in one space and one region.

    Attributes:
        result: ``(H, W, 3)`` float32 in [0, 1], sRGB-encoded; in the space ``shape`` ``(V, 3)`` float32 vertices in
            millimetres.
        reference: the same, of the undegraded photograph (equal alignment and light) or of the truth.
        demanded: ``(H, W)`` bool (``shape``: ``(V,)``): the region that the protocol judges.
        region: the same: ``demanded`` where the method vouches for its result; metrics read nothing else.
        whole: the same: ``region`` of all regions of the picture together, for what is fitted once a picture.
    """

    result: NDArray[np.float32]
    reference: NDArray[np.float32]
    demanded: NDArray[np.bool_]
    region: NDArray[np.bool_]
    whole: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric with its identity; registered under the entry-point group ``mesoface.metrics``.

    Attributes:
        components: names of the numbers that ``measure`` returns, as the tables show them.
        unit: of the numbers, an empty string where there is none.
        direction: ``higher`` or ``lower`` is better, or ``one`` where 1 is ideal.
        library, version: whose implementation it is.
        parameters: all that changes the number (data range, window, weights …).
        spaces: where it makes sense: ``uv``, ``image`` or both; against the truth ``uv`` or ``shape``.
        measure: pure; one number a component, NaN where the region is too small for it.
        reference: what results are compared with; subjects without a truth have no row of a metric against it.
    """

    components: tuple[str, ...]
    unit: str
    direction: Direction
    library: str
    version: str
    parameters: Mapping[str, Any]
    spaces: frozenset[str]
    measure: Callable[[Judged], Sequence[float]] = field(repr=False)
    reference: Reference = "photograph"


def coverage(judged: Judged) -> float:
    """Part of the demanded region that the method vouches for, in [0, 1]; NaN where nothing is demanded."""
    demanded = int(judged.demanded.sum())
    return int(judged.region.sum()) / demanded if demanded else float("nan")


COVERAGE = Metric(
    components=("coverage",),
    unit="",
    direction="higher",
    library="mesoface",
    version="1",
    parameters={},
    spaces=frozenset({"uv", "image"}),
    measure=lambda judged: [coverage(judged)],
)
