"""The process of a study's server that the dashboard started: ``mesoface study serve``, as long as the dashboard runs.

What is served comes on the first line of the standard input, because the address of the database may hold a password,
which a command line would show to everybody. The end of that input, which is the end of the dashboard however it came,
ends the server as Ctrl-C would.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading


def _end_with_the_input() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> int:
    """Serve until told to end; a sentence on the standard error where it cannot be."""
    from recon.errors import MesofaceError
    from study.server.process import Serving, serve

    given = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_the_input, daemon=True).start()
    try:
        serve(Serving(**given["serving"]), given["host"], given["port"], None, "")
    except MesofaceError as error:
        sys.stderr.write(f"mesoface: {error}\n")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
