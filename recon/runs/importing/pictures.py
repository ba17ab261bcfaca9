"""Pictures and masks that another system wrote: decoded whole, with everything said that was not as expected.

A result is kept as 8 bits a channel of sRGB, so that is what comes out. A picture that would have to be interpreted
(another colour profile, CMYK, floating point, a turn in its EXIF data) is refused instead: a measured picture must be
the one that the other system meant.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from recon.errors import ImageError

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp")
"""File name endings, lower case, under which pictures are looked for, the first that is there before the others."""

MOST_PIXELS = 100_000_000
"""More than this is no picture of a face: 100 million pixels take 1.2 GB as float32."""

_FAULTS = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError)  # what Pillow's decoders raise
_UPRIGHT = 1  # EXIF 2.32, tag 0x0112
_ORIENTATION = 0x0112
_KNOWN = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "I;16", "I;16B", "I;16L", "I")


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture.

    Attributes:
        srgb: ``(H, W, 3)`` float32 sRGB-encoded in [0, 1].
        alpha: ``(H, W)`` float32 in [0, 1], where the file has one that is not 1 everywhere; else None.
        notes: what is unusual about it: 16 bits, grey, transparency, lossy compression.
    """

    srgb: NDArray[np.float32]
    alpha: NDArray[np.float32] | None
    notes: tuple[str, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.srgb.shape[1], self.srgb.shape[0]


def read_picture(path: Path) -> Picture:
    """The picture in ``path``.

    Raises:
        ImageError: absent, truncated, no picture, or one that would have to be interpreted; with the mend.
    """
    image = _loaded(path)
    notes = []
    if image.format not in {"PNG", "TIFF"} and not image.info.get("lossless"):
        notes.append(f"{image.format}: what its compression lost counts as the method's error")
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.float32)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(f"'{path}' holds grey values beyond 16 bits: save it as 8- or 16-bit sRGB.")
        notes.append("16 bits, kept as 8; grey")
        return Picture(np.repeat((values / np.float32(65535))[..., None], 3, axis=2), None, tuple(notes))
    if _is_deep(image):
        notes.append("16 bits, kept as 8")
    if image.mode in {"P", "PA"} or "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in {"1", "L", "LA"}:
        notes.append("grey")
    alpha = None
    if image.mode in {"RGBA", "LA"}:
        alpha = np.asarray(image.getchannel("A"), np.float32) / np.float32(255)
        notes.append("has an alpha channel" if alpha.min() < 1 else "its alpha channel is opaque and is left out")
        alpha = alpha if alpha.min() < 1 else None
    srgb = np.asarray(image.convert("RGB"), np.float32) / np.float32(255)
    return Picture(srgb, alpha, tuple(notes))


def read_mask(path: Path) -> NDArray[np.bool_]:
    """``(H, W)`` bool: where the picture in ``path`` is brighter than half.

    Raises:
        ImageError: as :func:`read_picture`, or the picture has an alpha channel, of which nobody knows what it means.
    """
    picture = read_picture(path)
    if picture.alpha is not None:
        raise ImageError(f"'{path}' has an alpha channel, so it is no plain mask: save it as grey or 1-bit PNG.")
    return np.asarray(picture.srgb.mean(axis=2) > 0.5)


def picture_size(path: Path) -> tuple[int, int]:
    """Width and height that the header of ``path`` states.

    Raises:
        ImageError: absent, or no picture.
    """
    with _opened(path) as image:
        return image.size


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError as error:
        raise ImageError(f"'{path}' does not exist.") from error
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        empty = path.stat().st_size == 0
        reason = "is an empty file: copy it again." if empty else "is no picture that can be read: save it as PNG."
        raise ImageError(f"'{path}' {reason}") from error
    except _FAULTS as error:
        raise ImageError(f"'{path}' is truncated or damaged ({error}): copy it again.") from error


def _loaded(path: Path) -> Image.Image:
    """The image with its pixels read, refused where it would have to be interpreted."""
    with _opened(path) as image:
        if image.width * image.height > MOST_PIXELS:
            raise ImageError(
                f"'{path}' is too large ({image.width}×{image.height} pixels): save it at the photograph's size."
            )
        image.load()
        orientation = image.getexif().get(_ORIENTATION, _UPRIGHT)
    if orientation != _UPRIGHT:
        raise ImageError(f"'{path}' is to be turned after its EXIF data: save it upright.")
    if image.mode not in _KNOWN:
        raise ImageError(f"'{path}' has the colour mode {image.mode}: save it as 8- or 16-bit sRGB.")
    _check_profile(image, path)
    return image


def _check_profile(image: Image.Image, path: Path) -> None:
    profile = image.info.get("icc_profile")
    if not profile or image.mode.startswith("I"):
        return
    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).strip()
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise ImageError(f"'{path}' has a damaged colour profile ({error}): save it as sRGB without one.") from error
    if "srgb" not in name.lower() and image.mode not in {"1", "L", "LA"}:
        raise ImageError(f"'{path}' has the colour profile '{name}': convert it to sRGB and save it again.")


def _is_deep(image: Image.Image) -> bool:
    """Whether the file has 16 bits a channel, of which Pillow gives the upper 8.

    A PNG states its bits in byte 24 of the file (ISO/IEC 15948, IHDR), a TIFF in tag 258.
    """
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(258, (8,))
        return max(bits if isinstance(bits, tuple) else (bits,)) > 8
    if image.format != "PNG":
        return False
    with open(str(getattr(image, "filename", "")), "rb") as file:
        return file.read(25)[24] == 16
