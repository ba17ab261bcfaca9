"""Image files of a capture, pixel values as they are stored: EXR, 16-bit and 8-bit PNG, TIFF, JPEG.

Photographs, which want colour management and upright display, are read by :mod:`recon.images`; here nothing is
interpreted. EXR goes through :mod:`recon.exr`, TIFF through ``tifffile``, and PNG and JPEG, of which Pillow would
give 8 bits a channel only, through Mitsuba's ``Bitmap``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recon.errors import ImageError
from recon.exr import read_exr
from recon.rendering.mitsuba_renderer import load_mitsuba

SUFFIXES = (".exr", ".png", ".tif", ".tiff", ".jpg", ".jpeg")
"""File name endings, lower case, that can be read."""


@dataclass(frozen=True, eq=False)
class StoredImage:
    """Pixels of a file.

    Attributes:
        values: ``(H, W, 3)`` or ``(H, W)`` float32; integers are divided by the greatest value of their type. An
            alpha channel is left out.
        bits: per channel of the file.
        floating: whether the file holds floating-point numbers.
    """

    values: NDArray[np.float32]
    bits: int
    floating: bool


def read_stored(path: Path) -> StoredImage:
    """The pixels of ``path``.

    Raises:
        ImageError: absent, damaged, of an unknown kind, or with values that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise ImageError(f"the image '{path}' does not exist: put it there, or correct its name in subject.toml.")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        kinds = ", ".join(ending[1:] for ending in SUFFIXES)
        raise ImageError(f"'{path}' is of a kind that captures are not read from; save it as one of {kinds}.")
    array = _READERS.get(suffix, _bitmap)(path)
    if array.ndim == 3 and array.shape[2] in {1, 2}:
        array = array[..., 0]
    elif array.ndim == 3 and array.shape[2] == 4:
        array = array[..., :3]
    if array.ndim not in {2, 3} or (array.ndim == 3 and array.shape[2] != 3):
        raise ImageError(f"'{path}' has the shape {array.shape}, not that of a grey or RGB image; save it as RGB.")
    floating = bool(np.issubdtype(array.dtype, np.floating))
    bits = 8 * array.dtype.itemsize
    if floating:
        values = array.astype(np.float32)
        _check_finite(values, path)
    else:
        values = np.asarray(array.astype(np.float32) / (2**bits - 1), np.float32)
    return StoredImage(values, bits, floating)


def _check_finite(values: NDArray[np.float32], path: Path) -> None:
    wrong = ~np.isfinite(values)
    if wrong.any():
        row, column = (int(place[0]) for place in np.nonzero(wrong)[:2])
        raise ImageError(
            f"'{path}' has {int(wrong.sum())} values that are not finite (NaN or infinite; the first in row {row}, "
            f"column {column}): export it again without them."
        )


def _bitmap(path: Path) -> NDArray[np.generic]:
    mi = load_mitsuba()
    try:
        array = np.array(mi.Bitmap(str(path)))
    except (RuntimeError, ValueError, MemoryError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ImageError(
            f"'{path}' cannot be read as {path.suffix[1:].upper()} ({reason}): the file is truncated or damaged; "
            "copy or export it again."
        ) from error
    return np.asarray(array)


def _tiff(path: Path) -> NDArray[np.generic]:
    import tifffile

    try:
        array = np.asarray(tifffile.imread(path))
    except (tifffile.TiffFileError, OSError, ValueError, RuntimeError, KeyError, IndexError) as error:
        raise ImageError(
            f"'{path}' cannot be read as TIFF ({error}): the file is truncated, damaged or compressed in an unusual "
            "way; save it again without compression."
        ) from error
    if not (np.issubdtype(array.dtype, np.unsignedinteger) or np.issubdtype(array.dtype, np.floating)):
        raise ImageError(f"'{path}' stores {array.dtype} values; save it with 8 or 16 bits unsigned, or as float.")
    return array


_READERS: dict[str, Callable[[Path], NDArray[np.generic]]] = {".exr": read_exr, ".tif": _tiff, ".tiff": _tiff}
