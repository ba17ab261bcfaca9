"""What travels to workers, as bytes: opaque to the scheduler, and with paths that do not depend on a current folder."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any


class _Packer(pickle.Pickler):
    """Pickles relative paths as absolute ones: a worker was started in some other folder."""

    def reducer_override(self, item: Any) -> Any:
        if isinstance(item, Path) and not item.is_absolute():
            return type(item), (str(item.absolute()),)
        return NotImplemented


def pack(value: Any) -> bytes:
    """``value`` as bytes; functions of modules go by name."""
    stream = io.BytesIO()
    _Packer(stream, protocol=pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


def unpack(parcel: bytes) -> Any:
    """What :func:`pack` was given; the sender is this program on another machine of the same cluster."""
    return pickle.loads(parcel)
