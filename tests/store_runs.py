"""A run on stand-ins into a store, as a program of its own with worker processes.

``python store_runs.py ADDRESS DATA METHODS PROTOCOLS JOBS``; started and watched by ``tests/store``.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import run_fakes

FILE = Path(__file__)

# Worker processes import the script as __mp_main__.
if __name__ in {"__main__", "__mp_main__"}:
    run_fakes.install(run_fakes._patch_for_good)

if __name__ == "__main__":
    from recon.data.protocols import parse_protocols
    from recon.errors import MesofaceError
    from recon.runs import RunConfig, execute
    from recon.store import made_in

    address, data, methods, protocols, jobs = sys.argv[1:6]
    config = RunConfig(
        out=Path(),
        data=f"folder={data}",
        methods=tuple(methods.split(",")),
        protocols=parse_protocols(protocols),
        size=run_fakes.SIZE,
        jobs=int(jobs),
    )
    try:
        with made_in(address) as folder:
            summary = execute(replace(config, out=folder), lambda stage, done, total: None)
    except MesofaceError as error:
        sys.exit(f"mesoface: {error}")
    sys.stdout.write(f"made {len(summary.made)} kept {summary.kept} failed {len(summary.failed)}\n")
