"""Pictures in the sizes that pages show, made once and kept as WebP (:mod:`dashboard.pictures.kept`)."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import Protocol

from PIL import Image

from dashboard.pictures.kept import kept
from recon.errors import ImageError

QUALITY = 82
_VERSION = 2  # a change of this code makes them anew


class Drawable(Protocol):
    """Something that can be drawn from files.

    Attributes:
        files: what it is drawn from, each of which exists.
        recipe: what else the picture follows from, in words.
    """

    @property
    def files(self) -> tuple[Path, ...]: ...

    @property
    def recipe(self) -> str: ...

    def image(self) -> Image.Image:
        """The picture, 8 bit.

        Raises:
            MesofaceError, OSError, SyntaxError, ValueError: a file cannot be read.
        """
        ...


def stamp(source: Drawable, width: int) -> str:
    """Changes whenever the picture would.

    Raises:
        OSError: a file is not there any more.
    """
    said = [f"{_VERSION} {source.recipe} {width}"]
    for path in source.files:
        state = path.stat()
        said.append(f"{path.resolve()} {state.st_mtime_ns} {state.st_size}")
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def thumbnail(source: Drawable, width: int, key: str) -> Path:
    """The file of ``source`` at most ``width`` pixels wide (0: as it is); ``key`` is its :func:`stamp`.

    Raises:
        ImageError: the picture cannot be read.
        StorageError: the thumbnail cannot be written.
    """
    return kept(key, ".webp", lambda: _made(source, width))


def _made(source: Drawable, width: int) -> bytes:
    try:
        image = source.image()
    # Pillow answers a damaged PNG with SyntaxError, and one with impossible sizes with ValueError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        names = ", ".join(f"'{path.name}'" for path in source.files)
        raise ImageError(f"{names} cannot be read: run the same command again, it makes what is damaged.") from error
    if 0 < width < image.width:
        if image.mode in ("1", "P"):
            image = image.convert("L" if image.mode == "1" else "RGB")
        image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    # What is looked at pixel by pixel must not show the codec.
    options: dict[str, object] = (
        {"quality": QUALITY, "method": 2} if width else {"lossless": True, "method": 0, "quality": 0}
    )
    image.save(stream, format="WEBP", **options)
    return stream.getvalue()
