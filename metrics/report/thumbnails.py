"""Small pictures of people for a report: the photograph, what a method was given, what it made; each inside the page.

A picture is read from the run folder, cropped to the face or to a piece of skin, reduced and written as WebP into a
data URI. What cannot be read becomes words that say so, never a missing report.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recon.errors import MesofaceError
from recon.images import read_png
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json

SIDE = 144
"""Longer side of a thumbnail in pixels."""
SKIN_SHARE = 0.19
"""Side of the piece of skin in parts of the albedo map: a cheek without nose and mouth; 97 texels of 512."""
UNSEEN = np.float32(0.5)
"""Grey that stands for texels which the photograph did not see."""
QUALITY = 80

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Thumbnail:
    """A picture as a page holds it, or why there is none.

    Attributes:
        uri: ``data:image/webp;base64,…``; empty where there is no picture.
        width, height: in pixels.
        words: what it shows; where there is no picture, why.
    """

    uri: str
    width: int
    height: int
    words: str


def absent(words: str) -> Thumbnail:
    """The place of a picture that is not there."""
    return Thumbnail("", SIDE, SIDE, words)


def encoded(picture: NDArray[np.float32], words: str, side: int = SIDE) -> Thumbnail:
    """``picture`` ``(H, W, 3)`` float32 sRGB-encoded in [0, 1], its longer side brought to ``side`` pixels."""
    image = Image.fromarray((np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8))
    factor = side / max(image.size)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    if size != image.size:
        image = image.resize(size, Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=QUALITY, method=4)
    return Thumbnail("data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode(), *size, words)


@dataclass
class Pictures:
    """Thumbnails of one run; what several rows show is read once.

    Attributes:
        folder: the run.
        size: bytes of all pictures handed out so far.
    """

    folder: RunFolder
    size: int = 0
    _kept: dict[tuple[Path, Box | None], Thumbnail] = field(default_factory=dict, repr=False)
    _places: dict[tuple[str, str], Box | str] = field(default_factory=dict, repr=False)

    def photograph(self, subject: str, protocol: str) -> Thumbnail:
        """The undegraded photograph, cropped to the face."""
        return self._face(self.folder.reference(subject) / "photo.png", subject, protocol, f"photograph of {subject}")

    def given(self, subject: str, protocol: str) -> Thumbnail:
        """What the methods saw under ``protocol``, cropped to the face."""
        path = self.folder.given(subject, protocol)
        return self._face(path, subject, protocol, f"{subject} as given under {protocol}")

    def fitted(self, key: ResultKey) -> Thumbnail:
        """The result from the photograph's camera, in its light."""
        missing = self._missing(key)
        if missing:
            return absent(missing)
        path = self.folder.result(key) / "views" / "fitted.png"
        return self._shown(path, None, f"{key.subject} by {key.method} under {key.protocol}")

    def skin_of_reference(self, subject: str, protocol: str) -> Thumbnail:
        """A piece of the photograph's albedo: of the withheld skin where some is withheld."""
        path = self.folder.judged(subject, protocol) / "albedo.png"
        return self._skin(path, subject, protocol, f"skin of {subject} in the photograph")

    def skin(self, key: ResultKey) -> Thumbnail:
        """The same piece of the albedo that a method made."""
        missing = self._missing(key)
        if missing:
            return absent(missing)
        words = f"skin of {key.subject} by {key.method} under {key.protocol}"
        return self._skin(self.folder.result(key) / "albedo.png", key.subject, key.protocol, words)

    def _missing(self, key: ResultKey) -> str:
        if self.folder.finished(key) is not None:
            return ""
        try:
            failure = self.folder.failure(key)
            return failure["message"] if failure else self.folder.not_applicable(key) or "no complete result"
        except (MesofaceError, KeyError, TypeError, ValueError):
            return "no complete result"

    def _face(self, path: Path, subject: str, protocol: str, words: str) -> Thumbnail:
        try:
            left, top, right, bottom = map(int, read_json(self._reference(subject, protocol))["crop"])
        except (MesofaceError, KeyError, TypeError, ValueError):
            return absent(f"the face's place in the photograph of {subject} cannot be read")
        return self._shown(path, (left, top, right, bottom), words)

    def _skin(self, path: Path, subject: str, protocol: str, words: str) -> Thumbnail:
        place = self._places.get((subject, protocol))
        if place is None:
            place = self._places[subject, protocol] = self._piece_of_skin(subject, protocol)
        return absent(place) if isinstance(place, str) else self._shown(path, place, words)

    def _piece_of_skin(self, subject: str, protocol: str) -> Box | str:
        """Where the judged skin fills a square best; or why it is not known."""
        folder = self.folder.judged(subject, protocol)
        try:
            skin, withheld = read_png(folder / "skin.png") > 0, read_png(folder / "withheld.png") > 0
            judged = skin & withheld if (skin & withheld).any() else skin
        except (MesofaceError, ValueError):
            return f"the mask of the skin of {subject} cannot be read"
        return fullest_square(judged, max(1, round(SKIN_SHARE * min(judged.shape))))

    def _reference(self, subject: str, protocol: str) -> Path:
        return self.folder.judged(subject, protocol) / "reference.json"

    def _shown(self, path: Path, box: Box | None, words: str) -> Thumbnail:
        key = (path, box)
        if key not in self._kept:
            self._kept[key] = self._read(path, box, words)
            self.size += len(self._kept[key].uri)
        return self._kept[key]

    def _read(self, path: Path, box: Box | None, words: str) -> Thumbnail:
        try:
            picture = read_png(path)
        except MesofaceError:
            # Without the folder's own path: a report is passed on.
            return absent(f"'{path.relative_to(self.folder.path)}' is missing or cannot be read")
        if picture.ndim == 2:
            picture = np.repeat(picture[..., None].astype(np.float32), 3, axis=2)
        if path.parent.parent.parent.name == "reference" and path.name == "albedo.png":
            # Where the photograph saw nothing its albedo is zero; black holes would look like defects of the skin.
            picture = np.where(picture.any(axis=2, keepdims=True), picture, UNSEEN)
        left, top, right, bottom = box or (0, 0, picture.shape[1], picture.shape[0])
        cut = picture[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
        if not cut.size:
            return absent(f"'{path.relative_to(self.folder.path)}' does not reach to the face")
        return encoded(cut.astype(np.float32), words)


def fullest_square(region: NDArray[np.bool_], side: int) -> Box:
    """The square of ``side`` pixels (left, top, right, bottom) of ``region`` ``(H, W)`` that holds most of it.

    Of several equal ones it is the one in their middle, which lies farthest from the region's edge.
    """
    height, width = region.shape
    side = min(side, height, width)
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = region.cumsum(axis=0, dtype=np.float64).cumsum(axis=1)
    held = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    rows, columns = np.nonzero(held == held.max())
    middle = int(np.argmin(np.square(rows - rows.mean()) + np.square(columns - columns.mean())))
    top, left = rows[middle], columns[middle]
    return int(left), int(top), int(left) + side, int(top) + side
