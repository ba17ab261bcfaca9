"""A Dask cluster on SLURM: a scheduler here, a batch job for every worker.

On a login node, in the environment of mesoface, with ``pip install dask-jobqueue``::

    python slurm.py --workers 20 --partition gpu --gpu

It prints the scheduler's address and runs until it is interrupted (use ``tmux``, or submit it as a job of its own);
in another shell of the same node::

    mesoface run --scheduler ADDRESS --data london=/shared/london … --out /shared/runs/first

The run folder, the photographs and ``MESOFACE_HOME`` lie on the shared file system, with absolute paths. A job that is
preempted or reaches its time limit is submitted anew (``adapt``), and its task goes to another worker.

Results may go to a store instead, ``--out s3://BUCKET/first`` (and ``--database s3://BUCKET/base``): set credentials
and ``AWS_ENDPOINT_URL`` before this program starts, and jobs inherit them; each works on a node's own disk,
``--scratch``.
"""

from __future__ import annotations

import argparse
import os
import signal

import dask
from dask_jobqueue import SLURMCluster


def main() -> None:
    """Starts the cluster and waits."""
    asked = arguments()
    dask.config.set({"distributed.scheduler.worker-saturation": 1.0})  # no second task waits at a worker
    with make_cluster(asked) as cluster:
        cluster.adapt(minimum=asked.workers, maximum=asked.workers)  # jobs that end are replaced
        print(cluster.scheduler_address, flush=True)
        print(f"dashboard {cluster.dashboard_link}", flush=True)
        signal.pause()


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4, help="batch jobs, one worker each")
    parser.add_argument("--partition", help="SLURM partition")
    parser.add_argument("--account", help="SLURM account")
    parser.add_argument("--cores", type=int, default=4, help="cores of a job")
    parser.add_argument("--memory", default="16GB", help="memory of a job")
    parser.add_argument("--walltime", default="04:00:00", help="time limit of a job")
    parser.add_argument("--gpu", action="store_true", help="ask for one GPU a job")
    parser.add_argument("--interface", help="network interface, for example ib0")
    parser.add_argument("--scratch", default=os.environ.get("TMPDIR", "/tmp"), help="folder on a node's own disk")
    return parser.parse_args()


def make_cluster(asked: argparse.Namespace) -> SLURMCluster:
    """The scheduler, with the form of its batch jobs; none is submitted yet."""
    home = os.environ.get("MESOFACE_HOME")
    environment = [f"export {name}={asked.cores}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")]
    environment.append("export OPENBLAS_NUM_THREADS=1")  # small matrices: threads would only wait for each other
    environment.append(f"export MESOFACE_WORK={asked.scratch}/mesoface-$USER")  # copies of what lies in a store
    return SLURMCluster(
        queue=asked.partition,
        account=asked.account,
        cores=1,  # tasks at a time; each uses all cores of its job
        processes=1,
        job_cpu=asked.cores,
        memory=asked.memory,
        walltime=asked.walltime,
        interface=asked.interface,
        local_directory=asked.scratch,
        job_extra_directives=["--gres=gpu:1"] if asked.gpu else [],
        worker_extra_args=["--resources", "GPU=1"] if asked.gpu else [],
        job_script_prologue=environment + ([f"export MESOFACE_HOME={home}"] if home else []),
    )


if __name__ == "__main__":
    main()
