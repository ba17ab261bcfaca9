"""Where a view differs from the photograph, as colours: ΔE2000 or FLIP inside the judged skin, grey elsewhere.

The maps are those whose means the metrics report: the same files, the same masks (:mod:`metrics.pairs`), the same
functions. FLIP is shown where its whole window lies in the judged skin, so a rim of ten pixels has no value.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from recon.runs.folder import ResultKey, RunFolder

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]

# Anchors of matplotlib's colour map 'magma' (CC0), dark to light: monotonic in lightness for every kind of eye.
STOPS = ("#000004", "#1c1044", "#4f127b", "#812581", "#b5367a", "#e55964", "#fb8761", "#fec287", "#fcfdbf")


@dataclass(frozen=True)
class Range:
    """What the colours of a map mean: from 0 to ``top`` in ``unit``; what is larger has the last colour."""

    name: str
    top: float
    unit: str


RANGES = {
    "difference": Range("colour difference", 15.0, "ΔE2000"),
    "flip": Range("difference that is seen when the pictures alternate", 0.5, "FLIP"),
}
_FAINT = 0.45  # how much of the photograph's light is left where nothing is judged


@dataclass(frozen=True)
class Difference:
    """The map of a view under the photograph's camera.

    Attributes:
        folder, key: whose result.
        view: file of the view.
        kind: what is mapped.
    """

    folder: RunFolder
    key: ResultKey
    view: Path
    kind: Literal["difference", "flip"]

    @property
    def files(self) -> tuple[Path, ...]:
        """What it is drawn from."""
        judged = self.folder.judged(self.key.subject, self.key.protocol)
        mask = self.folder.result(self.key) / "views" / "fitted_mask.png"
        photograph = self.folder.reference(self.key.subject) / "photo.png"
        return self.view, mask, photograph, judged / "image_skin.png", judged / "reference.json"

    @property
    def recipe(self) -> str:
        """What is mapped, and how it is coloured."""
        return f"{self.kind} {RANGES[self.kind]} {STOPS}"

    def image(self) -> Image.Image:
        """The coloured map.

        Raises:
            InputError, PairingError: a picture or mask is missing, damaged, or of another size.
        """
        from metrics.pairs import FITTED, open_reference
        from recon.images import read_png

        reference = open_reference(self.folder, self.key.subject, self.key.protocol, FITTED)
        shown = _same_size(read_png(self.view), reference.picture, self.view)
        vouched = _same_size(read_png(self.files[1]), reference.picture, self.files[1]).astype(bool)
        region = np.zeros(reference.picture.shape[:2], bool)
        for mask in reference.regions.values():
            region |= mask
        values, known = _measured(self.kind, shown, reference.picture, region & vouched)
        return Image.fromarray(coloured(values / RANGES[self.kind].top, known, reference.picture))


def _same_size(found: NDArray[np.generic], photograph: Float, path: Path) -> Float:
    from recon.errors import PairingError

    if found.shape[:2] != photograph.shape[:2]:
        raise PairingError(f"'{path.name}' has not the size of the photograph's crop: delete its folder and run again.")
    return np.asarray(found, np.float32)


def _measured(kind: str, result: Float, photograph: Float, region: Mask) -> tuple[Float, Mask]:
    """``(H, W)`` values and where they mean something."""
    values = np.zeros(region.shape, np.float32)
    if not region.any():
        return values, region
    if kind == "difference":
        from skimage.color import deltaE_ciede2000, rgb2lab

        values[region] = deltaE_ciede2000(rgb2lab(photograph[region]), rgb2lab(result[region]))
        return values, region
    from metrics.flip import flip_map, reach
    from metrics.regions import box_around, eroded, filled

    radius = reach()
    box = box_around(region, margin=radius)
    inside = region[box]
    values[box] = flip_map(filled(result[box], inside), filled(photograph[box], inside))
    known = eroded(np.pad(region, radius, constant_values=True), radius)[radius:-radius, radius:-radius]
    return values, known


def coloured(share: Float, known: Mask, photograph: Float) -> NDArray[np.uint8]:
    """``(H, W, 3)`` uint8: the colour of ``share`` in [0, 1] where ``known``, else the photograph in faint grey."""
    anchors = np.array([[int(stop[at : at + 2], 16) for at in (1, 3, 5)] for stop in STOPS], np.float64)
    steps = np.linspace(0, 1, 256)
    table = np.stack([np.interp(steps, np.linspace(0, 1, len(STOPS)), anchors[:, one]) for one in range(3)], axis=1)
    index = np.clip(share * 255 + 0.5, 0, 255).astype(np.uint8)
    grey = (photograph @ np.array([0.2126, 0.7152, 0.0722], np.float32) * 255 * _FAINT)[..., None]
    return np.where(known[..., None], table[index], grey).round().astype(np.uint8)
