"""PNG of 16 bits a channel (ISO/IEC 15948): Pillow writes colour with 8 bits only.

Every row is filtered by ``Up``, which suits smooth maps. Files are written through :mod:`recon.storage`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.errors import ImageError
from recon.storage import atomic_path

# Colour type by number of channels, filter type, rendering intent.
_COLOUR_TYPES = {1: 0, 3: 2}
_UP, _RELATIVE_COLORIMETRIC = 2, 1


def write_png16(
    path: Path, values: NDArray[np.floating], text: Mapping[str, str] | None = None, srgb: bool = False
) -> None:
    """Writes ``(H, W)`` or ``(H, W, 3)`` values in [0, 1], as they are encoded, clipped and rounded to 16 bits.

    Args:
        text: keyword and text of chunks that travel with the picture, for example its licence.
        srgb: says in the file that the values are sRGB-encoded.

    Raises:
        ImageError: the shape is another, or a value is not finite.
        StorageError: the file cannot be written.
    """
    channels = 1 if values.ndim == 2 else values.shape[-1]
    if values.ndim not in (2, 3) or channels not in _COLOUR_TYPES:
        raise ImageError(f"'{path}' was not written: a map has one or three channels, this one is {values.shape}.")
    if not np.isfinite(values).all():
        raise ImageError(f"'{path}' was not written: the map contains values that are not finite.")
    height, width = values.shape[:2]
    stored = (np.clip(values, 0, 1).astype(np.float64) * 65535 + 0.5).astype(">u2")
    rows = np.ascontiguousarray(stored).view(np.uint8).reshape(height, width * 2 * channels)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    chunks = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)),
        *([_chunk(b"sRGB", bytes([_RELATIVE_COLORIMETRIC]))] if srgb else []),
        *(_text_chunk(keyword, said) for keyword, said in (text or {}).items()),
        _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 4)),
        _chunk(b"IEND", b""),
    ]
    with atomic_path(Path(path)) as temporary:
        Path(temporary).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    """PNG specification, 5.3: length, type, data, CRC of type and data."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _text_chunk(keyword: str, text: str) -> bytes:
    """An ``iTXt`` chunk, not compressed, of no particular language (PNG specification, 11.3.3.4)."""
    return _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode())
