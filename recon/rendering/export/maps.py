"""The albedo map by itself, as studios pass maps on: OpenEXR (linear, half float) and PNG (sRGB-encoded, 16 bits).

Outside the UV island both continue with the nearest texel of it, so that filtering at its border mixes nothing in.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb
from recon.errors import ImageError
from recon.exr import REC_709, write_exr
from recon.rendering.export.provenance import Provenance
from recon.rendering.export.surfaces import png_text
from recon.storage import atomic_path

# PNG (ISO/IEC 15948): colour type, filter type and rendering intent.
_RGB, _UP, _RELATIVE_COLORIMETRIC = 2, 2, 1


def write_albedo_exr(path: Path, albedo: NDArray[np.floating], provenance: Provenance) -> None:
    """Writes linear RGB ``(S, S, 3)`` as OpenEXR, half float, with primaries, licence and provenance in its header.

    Raises:
        AssetError: the package OpenEXR is missing.
        ImageError: a value is not finite.
        StorageError: the file cannot be written.
    """
    _check(path, albedo)
    said = {
        "owner": provenance.copyright,
        "comments": "; ".join(provenance.lines()),
        "software": provenance.record()["made_by"],
    }
    write_exr(path, albedo, half=True, header={**REC_709, **said})


def write_png16(path: Path, albedo: NDArray[np.floating], provenance: Provenance) -> None:
    """Writes linear RGB ``(S, S, 3)`` as PNG of 16 bits a channel, sRGB-encoded, with the licence in its text chunks.

    (Pillow writes 8 bits a channel.) Every row is filtered by ``Up``, which suits smooth maps.

    Raises:
        ImageError: a value is not finite.
        StorageError: the file cannot be written.
    """
    _check(path, albedo)
    height, width = albedo.shape[:2]
    values = (linear_to_srgb(albedo).astype(np.float64) * 65535 + 0.5).astype(">u2")
    rows = np.ascontiguousarray(values).view(np.uint8).reshape(height, width * 6)
    filtered = np.empty((height, width * 6 + 1), np.uint8)
    filtered[:, 0] = _UP
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    chunks = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _RGB, 0, 0, 0)),
        _chunk(b"sRGB", bytes([_RELATIVE_COLORIMETRIC])),
        *(_text_chunk(keyword, text) for keyword, text in png_text(provenance).items()),
        _chunk(b"IDAT", zlib.compress(filtered.tobytes(), 4)),
        _chunk(b"IEND", b""),
    ]
    with atomic_path(path) as temporary:
        temporary.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def _chunk(kind: bytes, data: bytes) -> bytes:
    """PNG specification, 5.3: length, type, data, CRC of type and data."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _text_chunk(keyword: str, text: str) -> bytes:
    """An ``iTXt`` chunk, not compressed, of no particular language (PNG specification, 11.3.3.4)."""
    return _chunk(b"iTXt", keyword.encode("latin-1") + b"\0\0\0\0\0" + text.encode())


def _check(path: Path, albedo: NDArray[np.floating]) -> None:
    if albedo.ndim != 3 or albedo.shape[2] != 3:
        raise ImageError(f"'{path}' was not written: a map has three channels, this one is {albedo.shape}.")
    if not np.isfinite(albedo).all():
        raise ImageError(f"'{path}' was not written: the albedo holds values that are not finite.")
