"""Many machines in place of this machine's worker processes, with Dask distributed.

:func:`on_cluster` connects to a scheduler or starts one here, and whatever calls :func:`recon.worker_pool.work_through`
inside its block is carried out there. Files stay the only place of results: workers write them atomically into a folder
that all machines share, so whatever is killed, what was finished is kept. Queueing, retries after a worker's death and
the dashboard are Dask's. How clusters are started: ``recipes/`` beside this file.
"""

from recon.cluster.connection import on_cluster

__all__ = ["on_cluster"]
