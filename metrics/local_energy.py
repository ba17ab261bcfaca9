"""Local energy: is as much of a face rough, and as rough, as in its reference, and in the same places?

The local energy of a band of relative detail (``metrics.detail``) is the masked Gaussian mean of its square, σ = 8
texels at 512², about the width of a nostril; it is read once in every cell of 4 × 4 texels, in dB. Chroma sums the
squares of both axes. Nothing outside the region eroded by the reach of the bands is read.

*local-energy distance*: how the two distributions over the face differ, wherever on it: the first Wasserstein distance
of the two sets of levels, which for sets of equal size is the mean difference of their sorted values, in dB. A texture
that is everywhere alike fails it even if its total energy is right.

*placement*: Pearson's correlation of the two maps of levels over the cells, averaged over the three bands: is there
detail where detail belongs? It does not see the amount.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Judged, Metric, one_by_one
from metrics.detail import BANDS, CHROMA, FAINTEST, LUMA, PARTS, Detail, Part, details_of
from metrics.regions import region_key
from recon.texture.detail_bands import SIGMAS, TRUNCATE

WINDOW = 8.0
"""σ of the Gaussian mean, in texels at 512²."""
CELL = 4
"""Side of a cell in texels at 512²; half of σ loses nothing of a map that smooth."""
FLAT = 1e-6
"""Deviation of a map in dB that is rounding alone."""
LEAST_CELLS = 32
"""Fewer are no distribution: 512 texels at 512²."""


def local_levels(detail: Detail) -> NDArray[np.float64]:
    """Local energy of each band in dB.

    Returns:
        ``(3, N)`` float64, one value for each cell that lies at least half inside the measured region, row by row;
        equal regions give equal cells.
    """
    from scipy.ndimage import gaussian_filter

    cell = max(1, round(CELL * detail.scale))
    count = _cell_sums(detail.counted.astype(np.float32), cell)
    squares = np.square(detail.bands).sum(axis=0) * detail.counted
    total = np.stack([_cell_sums(band, cell) for band in squares])
    width = WINDOW * detail.scale / cell
    weight = gaussian_filter(count, width, mode="constant", truncate=TRUNCATE)
    total = gaussian_filter(total, (0.0, width, width), mode="constant", truncate=TRUNCATE)
    chosen = 2 * count >= cell * cell
    energy = total[:, chosen].astype(np.float64) / weight[chosen]
    return np.asarray(10.0 * np.log10(energy + FAINTEST))


def _cell_sums(image: NDArray[np.float32], cell: int) -> NDArray[np.float32]:
    """Sums of ``image`` ``(h, w)`` over cells of ``cell²`` texels; the last ones may be cut."""
    height, width = image.shape
    padded = np.pad(image, ((0, -height % cell), (0, -width % cell)))
    blocks = padded.reshape(padded.shape[0] // cell, cell, padded.shape[1] // cell, cell)
    return np.asarray(blocks.sum(axis=(1, 3)), np.float32)


def levels_of(judged: Judged, part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """:func:`local_levels` of the result and the reference inside the region, worked out once."""
    key = ("local energy", part, region_key(judged.region))
    result, reference = details_of(judged, part)
    return (
        judged.of_result.get(key, lambda: local_levels(result)),
        judged.of_reference.get(key, lambda: local_levels(reference)),
    )


def wasserstein(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """First Wasserstein distance between the rows of ``(…, N)`` and ``(…, N)``: sets of equal size, unordered."""
    return np.asarray(np.abs(np.sort(first, axis=-1) - np.sort(second, axis=-1)).mean(axis=-1), np.float64)


def level_distances(judged: Judged) -> list[float]:
    """Distance of the distributions of local energy in dB: luma fine to coarse, then chroma; NaN without cells."""
    found: list[float] = []
    for part in PARTS:
        result, reference = levels_of(judged, part)
        if result.shape[1] < LEAST_CELLS:
            found += [float("nan")] * len(BANDS)
        else:
            found += wasserstein(result, reference).tolist()
    return found


def placements(judged: Judged) -> list[float]:
    """Correlation of the maps of local energy in [−1, 1], of luma and of chroma.

    NaN where there are too few cells, or where either map is the same everywhere.
    """
    found = []
    for part in PARTS:
        result, reference = levels_of(judged, part)
        found.append(_mean_correlation(result, reference) if result.shape[1] >= LEAST_CELLS else float("nan"))
    return found


def _mean_correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Mean over the rows of Pearson's correlation; NaN where a row is the same everywhere."""
    one, other = (levels - levels.mean(axis=1, keepdims=True) for levels in (first, second))
    spread = np.sqrt(np.square(one).mean(axis=1)), np.sqrt(np.square(other).mean(axis=1))
    if min(spread[0].min(), spread[1].min()) < FLAT:
        return float("nan")
    return float(np.clip((one * other).mean(axis=1) / (spread[0] * spread[1]), -1.0, 1.0).mean())


_PARAMETERS = {
    "sigmas_at_512": list(SIGMAS),
    "truncate": TRUNCATE,
    "window_at_512": WINDOW,
    "cell_at_512": CELL,
    "floor": FAINTEST,
    "luma": LUMA,
    "chroma": CHROMA,
}

LOCAL_ENERGY = Metric(
    components=tuple(Component(f"local-energy distance ({part}, {band})", "dB") for part in PARTS for band in BANDS),
    library="mesoface",
    version="1",
    parameters=_PARAMETERS,
    spaces=frozenset({"uv"}),
    measure=one_by_one(level_distances),
)

PLACEMENT = Metric(
    components=tuple(Component(f"placement ({part})", direction="higher") for part in PARTS),
    library="mesoface",
    version="1",
    parameters={**_PARAMETERS, "mean": "over bands"},
    spaces=frozenset({"uv"}),
    measure=one_by_one(placements),
)
