"""Decoding photographs and reading and writing maps.

A photograph comes out upright, in sRGB, as float32 RGB in [0, 1], whatever the file holds; whatever was done to it on
the way is noted. Colour management follows the embedded ICC profile (ICC.1:2022), orientation the EXIF tag 0x0112.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile, UnidentifiedImageError

from recon.data.subject import Photograph
from recon.errors import ImageError
from recon.storage import atomic_path

MIN_SIDE = 96
"""Shorter side in pixels below which no face has texture: at 96, the eyes of a face that fills it are 40 px apart."""

MAX_SIDE = 4096
"""Longer side in pixels to which larger photographs are reduced: beyond the texel density of a 4096² albedo map."""

MAX_PIXELS = 250_000_000
"""More pixels than this are refused before anything is decoded: 250 million take 750 MB as 8-bit RGB."""

ALPHA_BACKGROUND = 0.5
"""sRGB grey under transparent pixels: neither black nor white, so that a cut-out head keeps a contour on every side."""

PHOTOGRAPH_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".webp", ".bmp", ".jp2", ".avif"})
"""File name endings, lower case, under which photographs are looked for in folders."""

_DECODE_FAULTS = (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError)  # what Pillow's decoders raise
# EXIF 2.32, tag 0x0112 → what brings the stored picture upright.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_guard = threading.Lock()


def read_photograph(path: Path) -> Photograph:
    """Decodes a photograph: EXIF orientation applied, converted to sRGB, alpha composited on mid grey.

    Photographs with a longer side above ``MAX_SIDE`` are reduced to it (JPEG already while decoding, so that memory
    stays bounded). A file with several frames gives the first.

    Raises:
        ImageError: the file is absent, not an image, truncated, too small, too large, or of a kind that has no
            agreed meaning as a photograph (floating-point pixels).
    """
    path = Path(path)
    notes: list[str] = []
    with _opened(path) as image:
        _check_size(image, path)
        notes += _notes_on_depth_and_frames(image)
        try:
            srgb = _decode(image, notes)
        except MemoryError as error:
            raise ImageError(f"'{path}' does not fit into memory ({image.width}×{image.height} pixels).") from error
        except _DECODE_FAULTS as error:
            raise ImageError(
                f"'{path}' cannot be decoded ({error}): the file is truncated or damaged; copy it again."
            ) from error
    if not np.isfinite(srgb).all():
        raise ImageError(f"'{path}' contains values that are not numbers; save it as 8- or 16-bit sRGB.")
    digest = hashlib.sha256(f"{srgb.shape}".encode())
    digest.update(srgb.data)
    return Photograph(srgb=srgb, name=path.name, sha256=digest.hexdigest(), notes=tuple(notes))


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image, its header read; Pillow's own limit on pixels is replaced by ``MAX_PIXELS``."""
    if path.is_dir():
        raise ImageError(f"'{path}' is a folder, not a photograph; read folders with --data folder={path}.")
    try:
        with _guard:  # the limit is a global of Pillow's
            limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                image = Image.open(path)
            finally:
                Image.MAX_IMAGE_PIXELS = limit
    except FileNotFoundError as error:
        raise ImageError(f"the photograph '{path}' does not exist.") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"'{path}' is not an image that can be read; save it as JPEG, PNG, TIFF or WebP."
            if path.stat().st_size
            else f"'{path}' is an empty file; copy it again."
        ) from error
    except PermissionError as error:
        raise ImageError(f"'{path}' cannot be read: permission denied.") from error
    except _DECODE_FAULTS as error:
        raise ImageError(f"'{path}' has a damaged header ({error}); copy it again.") from error
    with image:
        yield image


def _check_size(image: Image.Image, path: Path) -> None:
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"'{path}' is too small ({width}×{height} pixels): the shorter side needs at least {MIN_SIDE}, and a face "
            "about 120 between the outer corners of its eyes."
        )
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"'{path}' is too large ({width}×{height} pixels, at most {MAX_PIXELS // 1_000_000} million): "
            f"reduce it to {MAX_SIDE} pixels on the longer side."
        )
    if image.mode == "F":
        raise ImageError(f"'{path}' has floating-point pixels, which say nothing of their range; save it as sRGB.")


def _notes_on_depth_and_frames(image: Image.Image) -> list[str]:
    notes = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"first of {getattr(image, 'n_frames', 1)} frames")
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []
    if image.mode == "RGB" and any(";16" in str(tile.args) for tile in tiles):
        notes.append("16-bit colour reduced to 8 bits")
    return notes


def _decode(image: Image.Image, notes: list[str]) -> NDArray[np.float32]:
    """``(H, W, 3)`` float32 sRGB in [0, 1] of an opened image; appends to ``notes`` what was done."""
    original = image.size
    profile = image.info.get("icc_profile")
    if image.format == "JPEG" and max(original) > MAX_SIDE:
        # The decoder drops to the next half, quarter or eighth that is not below the target.
        scale = MAX_SIDE / max(original)
        image.draft(None, (round(original[0] * scale), round(original[1] * scale)))
    image.load()
    turn = _UPRIGHT.get(image.getexif().get(0x0112, 1))  # after loading: TIFF's decoder turns the picture itself
    reduced = _reduced(image)  # before turning, so that no second copy of a huge picture is made
    if reduced.size not in {original, original[::-1]}:
        notes.append(f"reduced from {original[0]}×{original[1]} to {reduced.width}×{reduced.height} pixels")
    if turn is not None:
        reduced = reduced.transpose(turn)
        notes.append("turned upright after its EXIF orientation")
    if reduced.mode.startswith("I"):
        return _deep_grey(reduced, notes)
    colour, alpha = _split_alpha(reduced)
    rgb = _to_srgb(colour, profile, notes)
    srgb = np.asarray(rgb, dtype=np.uint8).astype(np.float32) / np.float32(255)
    if alpha is not None:
        weight = np.asarray(alpha, dtype=np.float32)[..., None] / np.float32(255)
        if weight.min() < 1:
            notes.append("transparent pixels laid over mid grey")
            srgb = srgb * weight + np.float32(ALPHA_BACKGROUND) * (1 - weight)
    return np.ascontiguousarray(srgb, dtype=np.float32)


def _reduced(image: Image.Image) -> Image.Image:
    longest = max(image.size)
    if longest <= MAX_SIDE:
        return image
    size = (max(1, round(image.width * MAX_SIDE / longest)), max(1, round(image.height * MAX_SIDE / longest)))
    if image.mode in {"P", "1", "PA"}:  # indices cannot be averaged
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    if image.mode.startswith("I"):
        image = Image.fromarray(np.asarray(image).astype(np.float32)).resize(size, Image.Resampling.BOX)
        return Image.fromarray(np.asarray(image).astype(np.int32))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _deep_grey(image: Image.Image, notes: list[str]) -> NDArray[np.float32]:
    """A 16-bit grey image, which Pillow gives as integers; keeps its 16 bits."""
    value = np.asarray(image).astype(np.float32)
    if value.min() < 0 or value.max() > 65535:
        raise ValueError("grey values beyond 16 bits")
    notes.append("16-bit grey photograph")
    return np.repeat((value / np.float32(65535))[..., None], 3, axis=2)


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours and, where the image has one, its alpha channel (8 bits)."""
    if image.mode in {"P", "PA"} or "transparency" in image.info:
        transparent = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if transparent else "RGB")
    if image.mode in {"RGBa", "La"}:  # premultiplied
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    if image.mode in {"RGBA", "LA"}:
        return image.convert("RGB" if image.mode == "RGBA" else "L"), image.getchannel("A")
    return image, None


def _to_srgb(image: Image.Image, profile: bytes | None, notes: list[str]) -> Image.Image:
    """8-bit sRGB of an image without alpha, through its ICC profile where it has one that fits."""
    if image.mode in {"1", "L"}:
        notes.append("grey photograph")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            name = ImageCms.getProfileDescription(source).strip()
            if image.mode == "RGB" and "srgb" in name.lower():
                return image
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                notes.append(f"converted from the colour profile '{name}' to sRGB")
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("its colour profile does not fit its pixels and was left aside")
    if image.mode in {"CMYK", "YCCK"}:
        notes.append("CMYK without a usable colour profile converted by the simple rule; colours are approximate")
    return image if image.mode == "RGB" else image.convert("RGB")


def write_png(path: Path, values: NDArray[np.floating] | NDArray[np.bool_]) -> None:
    """Writes a map as PNG, atomically: ``(H, W, 3)`` or ``(H, W)`` sRGB-encoded floats in [0, 1] as 8 bits a channel,
    clipped and rounded; ``(H, W)`` bool as 1 bit.

    Raises:
        ImageError: a value is not a number, or the shape is none of these.
        StorageError: the file cannot be written.
    """
    array = np.asarray(values)
    if array.dtype == np.bool_ and array.ndim == 2:
        image = Image.fromarray(array)
    elif np.issubdtype(array.dtype, np.floating) and (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)):
        if not np.isfinite(array).all():
            raise ImageError(f"'{path}' was not written: the map contains values that are not numbers.")
        # Half up, as quantisation is usually written; exact for the n/255 that read_png gives.
        image = Image.fromarray((np.clip(array, 0, 1) * 255 + 0.5).astype(np.uint8))
    else:
        raise ImageError(f"'{path}' was not written: a map of shape {array.shape} and {array.dtype} has no PNG form.")
    with atomic_path(Path(path)) as temporary:
        image.save(temporary, format="PNG", compress_level=4)


def read_png(path: Path) -> NDArray[np.float32] | NDArray[np.bool_]:
    """A map that :func:`write_png` wrote: ``(H, W, 3)`` or ``(H, W)`` float32 in [0, 1], or ``(H, W)`` bool.

    Raises:
        ImageError: absent, damaged, or not such a map.
    """
    path = Path(path)
    with _opened(path) as image:
        if image.format != "PNG" or image.mode not in {"RGB", "L", "1"}:
            raise ImageError(f"'{path}' is not a map that mesoface wrote ({image.format}, {image.mode}).")
        try:
            array = np.asarray(image)
        except _DECODE_FAULTS as error:
            raise ImageError(f"'{path}' is truncated or damaged ({error}); make it again.") from error
    if array.dtype == np.bool_:
        return array
    return (array / np.float32(255)).astype(np.float32)
