"""Reaches a running scheduler, or starts one with workers on this machine: the option ``--scheduler``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from recon.errors import ClusterError, UsageError
from recon.worker_pool import working_on

_LOCAL = "local"
CONNECT_SECONDS = 10
_HOW = "give local:N for N workers on this machine, or the address of a running scheduler such as tcp://node1:8786"


@contextmanager
def on_cluster(scheduler: str | None, *, jobs: int | None = None, quiet: bool = False) -> Iterator[None]:
    """For the time of the block, work goes to ``scheduler`` instead of this machine's worker processes.

    Args:
        scheduler: ``local:N``, or the address of a scheduler; None for this machine as ever.
        jobs: the option ``--jobs``, which speaks of this machine alone.
        quiet: print nothing.

    Raises:
        UsageError: not an address, or ``--jobs`` beside it.
        ClusterError: Dask is not installed, or the scheduler cannot be reached.
    """
    if scheduler is None:
        yield
        return
    if jobs is not None:
        raise UsageError("--jobs is for this machine's own processes: leave it out beside --scheduler.")
    local = _local_workers(scheduler)
    try:
        import distributed
    except ImportError as error:
        raise ClusterError(
            "--scheduler needs Dask, which is not installed: pip install 'mesoface[cluster]'."
        ) from error
    from recon.cluster.pool import DaskCluster

    def say(text: str) -> None:
        if not quiet:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    with ExitStack() as stack:
        target: Any = scheduler if local is None else stack.enter_context(_started(local))
        client = stack.enter_context(_connected(distributed, target, scheduler))
        threads = None if local is None else max(1, (os.cpu_count() or 1) // local)
        cluster = DaskCluster(client, say, threads)
        say(f"cluster {cluster.address}; dashboard {client.dashboard_link}")
        with working_on(cluster):
            yield


def _local_workers(scheduler: str) -> int | None:
    """N of ``local:N``; None for an address."""
    kind, colon, text = scheduler.partition(":")
    if kind != _LOCAL:
        if "://" not in scheduler:
            raise UsageError(f"--scheduler {scheduler}: {_HOW}.")
        return None
    if not colon or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise UsageError(f"--scheduler {scheduler}: {_HOW}.")
    return int(text)


@contextmanager
def _started(workers: int) -> Iterator[Any]:
    """A scheduler in this process and workers as processes of their own, all on this machine."""
    import logging

    import dask
    import torch
    from distributed import LocalCluster

    # No second task waits at a worker: when it dies, only the task that it was at is under suspicion.
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": 1.0}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            # The system decides when memory runs out, as for worker processes without a cluster.
            memory_limit=0,
            resources={"GPU": 1} if torch.cuda.is_available() else None,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


@contextmanager
def _connected(distributed: Any, target: Any, scheduler: str) -> Iterator[Any]:
    import logging

    # What it says of a lost connection, with tracebacks, we say in a sentence.
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    try:
        client = distributed.Client(target, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, TimeoutError, ValueError, ImportError) as error:
        raise ClusterError(
            f"the scheduler {scheduler} cannot be reached ({error}): start one with 'dask scheduler', and give the "
            "address that it prints."
        ) from error
    with client:
        yield client
