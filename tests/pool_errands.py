"""Work for the tests of worker processes: says who does it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from recon.worker_pool import Report, Work


@dataclass(frozen=True)
class Errand:
    """What a worker is prepared for: ``word`` comes back with every task, ``fails`` keeps it from starting."""

    word: str
    fails: bool = False


def saying(errand: Errand) -> Work:
    """Work that reports its process, the errand's word, the task and the threads it may use."""
    if errand.fails:
        raise ValueError(f"no work for {errand.word}")

    def work(task: str, report: Report) -> None:
        if task == "die":
            os._exit(3)
        report((os.getpid(), errand.word, task, os.environ["OMP_NUM_THREADS"]))

    return work
