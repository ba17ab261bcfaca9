"""What measuring a subject under a protocol reads and makes in the folder of a run, for runs that lie in a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metrics.descriptors import descriptors_place
from metrics.pairs import picture_name
from recon.runs.folder import ResultKey
from recon.runs.parts import judged_place, reference_place, result_place
from recon.worker_pool import Parts

if TYPE_CHECKING:
    from metrics.measurement import MeasureTask

_OF_REFERENCE = ("photo.png", "subject.json", "truth.png", "truth_mask.png", "truth_vertices.npy")
_OF_RESULT = ("result.json", "mask.png", "views/fitted_mask.png")


def measure_parts(task: MeasureTask) -> Parts:
    """The pictures that are looked at; what metrics of sets keep of them is added."""
    keys = {ResultKey(method, task.protocol, task.subject) for _, cells in task.work for method in cells}
    results = tuple(sorted(map(result_place, keys)))
    kept = tuple(sorted(map(descriptors_place, keys)))
    pictures = sorted({picture_name(look) for look, _ in task.work})
    reference = reference_place(task.subject)
    only = (
        *(f"{reference}{name}" for name in _OF_REFERENCE),
        f"{judged_place(task.subject, task.protocol)}*",
        *(f"{result}{name}" for result in results for name in (*_OF_RESULT, *pictures)),
        *(f"{place}*" for place in kept),
    )
    return Parts((reference, *results, *kept), kept, (), tuple(name.replace("[", "[[]") for name in only))
