"""What travels to workers, as bytes: opaque to a scheduler, and with paths that mean the same where they arrive.

They do not depend on a current folder, and a path in the working copy of a store becomes one in the receiver's own.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

from recon.store.places import arrival, departure


class _Packer(pickle.Pickler):
    """Pickles relative paths as absolute ones, for a worker was started in some other folder; others by address."""

    def reducer_override(self, item: Any) -> Any:
        if not isinstance(item, Path):
            return NotImplemented
        left = departure(item)
        if left is not None:
            return arrival, left
        return NotImplemented if item.is_absolute() else (type(item), (str(item.absolute()),))


def pack(value: Any) -> bytes:
    """``value`` as bytes; functions of modules go by name."""
    stream = io.BytesIO()
    _Packer(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


def unpack(parcel: bytes) -> Any:
    """What :func:`pack` was given; the sender is this program on another machine of the same cluster."""
    return pickle.loads(parcel)
