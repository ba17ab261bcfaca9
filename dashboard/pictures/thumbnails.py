"""Pictures in the sizes that pages show, made once and kept in the cache folder as WebP."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

from PIL import Image

from dashboard.pictures.sources import Source
from dashboard.settings import current
from recon.storage import atomic_path, make_folder

QUALITY = 82
_VERSION = 1  # a change of this code makes them anew


def stamp(source: Source, width: int) -> str:
    """Changes whenever the picture would."""
    state = source.path.stat()
    said = f"{_VERSION} {source.path.resolve()} {state.st_mtime_ns} {state.st_size} {source.box} {width}"
    return hashlib.sha256(said.encode()).hexdigest()


def thumbnail(source: Source, width: int, key: str) -> Path:
    """The file of ``source`` at most ``width`` pixels wide (0: as it is); ``key`` is its :func:`stamp`.

    Raises:
        InputError, StorageError: the picture cannot be read, or the thumbnail not be written.
    """
    place = current().cache / "thumbnails" / key[:2] / f"{key}.webp"
    if not place.is_file():
        make_folder(place.parent)
        with atomic_path(place) as partial:
            partial.write_bytes(_made(source, width))
    return place


def _made(source: Source, width: int) -> bytes:
    with Image.open(source.path) as opened:
        image = opened.crop(source.box) if source.box else opened.copy()
    if 0 < width < image.width:
        image = image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    # What is looked at pixel by pixel must not show the codec.
    image.save(
        stream, format="WEBP", **({"quality": QUALITY, "method": 4} if width else {"lossless": True, "method": 1})
    )
    return stream.getvalue()
