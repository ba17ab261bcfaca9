"""A GPU whose memory runs out: told from other failures, tried again without company, and said with what helps.

Processes that share a GPU know nothing of each other, so what found no room beside them may well have it alone. Work
that ran out is therefore done once more when all other work is done, one task at a time. Nothing is made smaller for
it: maps of another size could not be compared with the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from recon.errors import GpuMemoryError
from recon.worker_pool import Event, Finished, Prepare, current_cluster

# So many tasks in a row for which a whole GPU is too small: the others are alike.
HOPELESS = 3


def ran_out(error: BaseException) -> bool:
    """Whether ``error`` is PyTorch's for a GPU without memory left; then what it keeps in reserve is given back."""
    torch = sys.modules.get("torch")  # who has not loaded it has no such error
    if torch is None or not isinstance(error, torch.OutOfMemoryError):
        return False
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return True


def too_small(what: str) -> GpuMemoryError:
    """The error of a GPU that is too small for ``what``."""
    return GpuMemoryError(
        f"the GPU's memory is too small for {what}: let fewer processes share it (--jobs, or workers of a cluster), "
        "make smaller maps (--size), or use --device cpu."
    )


def each_alone(
    work_through: Callable[..., Iterator[Event]],
    tasks: Sequence[Any],
    prepare: Prepare,
    argument: Any,
    *,
    threads: int,
    ran_out_again: Callable[[Any], bool],
) -> Iterator[Event]:
    """Works on ``tasks`` one at a time, so that each has the GPU for itself; gives up where that is no help.

    Args:
        work_through: :func:`recon.worker_pool.work_through`.
        threads: as in the first try, or the results would differ in their last digits.
        ran_out_again: asked of every task that is finished.
    """
    # A cluster deals out at once what it is given; worker processes of this machine stay for the next task.
    rounds = [[task] for task in tasks] if current_cluster() else [tasks]
    in_vain = 0
    for some in rounds:
        for event in work_through(some, prepare, argument, jobs=1, threads=threads):
            yield event
            if isinstance(event, Finished):
                in_vain = in_vain + 1 if ran_out_again(event.task) else 0
            if in_vain == HOPELESS:
                return
