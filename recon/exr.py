"""OpenEXR files: linear light, albedo and geometry maps, as half or 32-bit floats, with what is said of them.

All EXR files of this program pass through the package OpenEXR, the format's reference implementation. (Mitsuba's
``Bitmap`` would do as well, but with one thread it waits for another without end, reading and writing.)
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.errors import AssetError, ImageError
from recon.storage import atomic_path

REC_709: Mapping[str, Any] = MappingProxyType(
    {
        # Red, green, blue and the white D65, each x and y (ITU-R BT.709, 1.3).
        "chromaticities": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290),
        "colorInteropID": "lin_rec709_scene",
    }
)
"""Header of pictures and maps whose values are linear RGB of the primaries that sRGB has."""

PLAIN = ("RGB", "RGBA", "Y")
"""Channels of an image that has one meaning: colour, colour and coverage, or grey."""

HALF_MAX = 65504.0
"""The greatest half float."""

_CHANNELS = {3: "RGB", 4: "RGBA"}
_SYSTEM_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS)


def write_exr(
    path: Path, values: NDArray[np.floating], *, half: bool = False, header: Mapping[str, Any] | None = None
) -> None:
    """Writes ``(H, W)`` as channel Y, ``(H, W, 3)`` as R, G, B, ``(H, W, 4)`` as R, G, B, A; atomically, compressed.

    Args:
        values: any floats. Where there is an alpha, colour is multiplied by it already, as the format has it.
        half: 16 bits, of which 11 are significant; what exceeds ±65504 is cut. Else 32 bits.
        header: attributes of the file, for example :data:`REC_709`, ``owner`` and ``comments``.

    Raises:
        ImageError: values that are not finite, or of another shape.
        AssetError: the package OpenEXR is missing.
        StorageError: the file cannot be written.
    """
    path, values = Path(path), np.asarray(values)
    if not values.size or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in _CHANNELS)):
        raise ImageError(f"'{path}' was not written: {values.shape} is not the shape of a grey, RGB or RGBA image.")
    wrong = int(values.size - np.isfinite(values).sum())
    if wrong:
        raise ImageError(
            f"'{path}' was not written: {wrong} of its values are not finite (NaN or infinite); mend what it is made "
            "from and make it again."
        )
    openexr = _openexr()
    pixels = np.clip(values, -HALF_MAX, HALF_MAX).astype(np.float16) if half else values.astype(np.float32)
    about = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage, **(header or {})}
    channels = {"Y" if pixels.ndim == 2 else _CHANNELS[pixels.shape[2]]: np.ascontiguousarray(pixels)}
    with atomic_path(path) as temporary:
        try:
            openexr.File(about, channels).write(str(temporary))
        except RuntimeError as error:
            # The library passes on the system's words alone; its number says whether the disk is full.
            number = next((code for code in _SYSTEM_ERRORS if os.strerror(code) in str(error)), None)
            raise OSError(number, str(error), str(temporary)) from error


def read_exr(path: Path, channels: Sequence[str] = PLAIN) -> NDArray[np.generic]:
    """Pixels of the file's first part as they are stored: ``(H, W)`` or ``(H, W, C)``, half, float or unsigned.

    Args:
        channels: which to read; of several the first that the file has. Grey (``Y``) may have any name where it is
            the only channel.

    Raises:
        ImageError: absent, damaged, cropped, or without these channels.
        AssetError: the package OpenEXR is missing.
    """
    path = Path(path)
    openexr = _openexr()
    if not path.is_file():
        raise ImageError(f"'{path}' does not exist: put it there, or make it again.")
    try:
        with openexr.File(str(path)) as file:
            header = file.header()
            whole = np.array_equal(header["dataWindow"], header["displayWindow"])
            found = {name: np.asarray(channel.pixels) for name, channel in file.channels().items()}
    except (RuntimeError, ValueError, TypeError, KeyError, MemoryError) as error:
        raise ImageError(
            f"'{path}' cannot be read as EXR ({str(error).rstrip('. ')}): the file is truncated or damaged; copy, "
            "export or make it again."
        ) from error
    if not whole:
        raise ImageError(f"'{path}' holds another window than the whole image: export it without crop or overscan.")
    for name in channels:
        if name in found:
            return found[name]
    if "Y" in channels and len(found) == 1:
        return next(iter(found.values()))
    raise ImageError(
        f"'{path}' has the channels {', '.join(sorted(found))}, not {' or '.join(channels)}: export the layer that is "
        "meant as a plain image."
    )


def _openexr() -> Any:
    try:
        import OpenEXR
    except ImportError as error:
        raise AssetError(
            f"EXR files need the package OpenEXR, which cannot be imported here ({error}): install it with "
            "'pip install OpenEXR'."
        ) from error
    return OpenEXR
