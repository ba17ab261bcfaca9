"""Spectrum distance: how far the power of a texture's relief, frequency by frequency, lies from its reference's.

The power spectrum is Welch's (1967), in two dimensions: the mean over tiles of 32² texels (at 512²; in proportion
elsewhere) a quarter of a tile apart, each wholly inside the region, so that no edge of a mask is ever transformed. A
tile is taken relative to its own mean, which removes brightness and the constant term, and windowed by Hann's window:

    P(f) = mean over tiles |DFT(w · (Y/μ − 1))|² / Σ w²,    μ = Σ w Y / Σ w

so white noise of contrast s has ``P = s²`` at every frequency. It is averaged over rings one tile frequency wide, from
the second (below it lie shading and tone) up to half a cycle per texel. The distance is the root-mean-square
difference of the two logarithms over the rings, the log-spectral distance of Gray and Markel (1976), in dB. Chroma
sums the power of both opponent axes of ``metrics.detail``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Judged, Metric, one_by_one
from metrics.detail import CHROMA, FAINTEST, LUMA, PARTS, Part, opponents
from metrics.regions import region_key
from recon.colour import LUMINANCE
from recon.texture.detail_bands import REFERENCE_SIZE

TILE = 32
"""Side of a tile in texels at 512²: a fifteenth of a face; longer ones fit between its features hardly anywhere."""
OVERLAP = 4
"""Tiles start a quarter of their side apart."""
FIRST_RING = 2

Spectrum = tuple[NDArray[np.float64], NDArray[np.float64]]


def tile_side(size: int) -> int:
    """Side in texels of the tiles of a map of side ``size``: a multiple of :data:`OVERLAP`, at least 8."""
    return max(8, OVERLAP * round(TILE * size / REFERENCE_SIZE / OVERLAP))


def tiles_inside(region: NDArray[np.bool_]) -> NDArray[np.intp]:
    """``(N, 2)`` first row and column of every tile of the grid that lies wholly inside ``region`` ``(S, S)``."""
    side = tile_side(region.shape[0])
    starts = [np.arange(0, length - side + 1, side // OVERLAP) for length in region.shape]
    table = np.pad(np.cumsum(np.cumsum(region, axis=0, dtype=np.int64), axis=1), ((1, 0), (1, 0)))
    top, left = starts[0][:, None], starts[1][None]
    count = table[top + side, left + side] - table[top, left + side] - table[top + side, left] + table[top, left]
    rows, columns = np.nonzero(count == side * side)
    return np.stack([starts[0][rows], starts[1][columns]], axis=1)


def spectrum_of(srgb: NDArray[np.floating], region: NDArray[np.bool_], part: Part) -> Spectrum:
    """Radially averaged power spectrum inside ``region``.

    Args:
        srgb: ``(S, S, 3)`` sRGB-encoded albedo in [0, 1]; ignored outside ``region``, NaN included.
        region: ``(S, S)`` bool.

    Returns:
        ``(F,)`` float64 frequencies in cycles per texel at 512², and ``(F,)`` float64 power, dimensionless (of
        relative contrast); NaN where no tile fits into the region.
    """
    size, side = region.shape[0], tile_side(region.shape[0])
    rings = np.arange(FIRST_RING, side // 2 + 1)
    frequencies = rings / side * (size / REFERENCE_SIZE)
    corners = tiles_inside(region)
    if not len(corners):
        return frequencies, np.full(len(rings), np.nan)
    inside = np.where(region[..., None], srgb, 0.0).astype(np.float32)
    planes = (inside @ LUMINANCE)[None] if part == "luma" else np.moveaxis(inside, -1, 0)
    taper = np.hanning(side + 1)[:side]  # periodic, so that shifted squares add up to a constant
    window = np.outer(taper, taper).astype(np.float32)
    contrast = np.stack([_relative_tiles(plane, corners, window) for plane in planes])
    if part == "chroma":
        contrast = opponents(contrast)
    transform = np.fft.rfft2(contrast * window)
    power = (np.square(np.abs(transform)).mean(axis=1) / np.square(window).sum()).sum(axis=0)
    return frequencies, _ring_means(power.astype(np.float64), side)[rings]


def radial_spectrum(srgb: NDArray[np.floating], region: NDArray[np.bool_]) -> Spectrum:
    """:func:`spectrum_of` luma: frequencies ``(F,)`` in cycles per texel at 512², and power ``(F,)``."""
    return spectrum_of(srgb, region, "luma")


def _relative_tiles(
    plane: NDArray[np.float32], corners: NDArray[np.intp], window: NDArray[np.float32]
) -> NDArray[np.float32]:
    """``(N, side, side)``: each tile over its own windowed mean, less one."""
    windows = np.lib.stride_tricks.sliding_window_view(plane, window.shape)
    tiles = windows[corners[:, 0], corners[:, 1]]
    mean = np.einsum("nij,ij->n", tiles, window) / window.sum()
    # A black tile has no relative detail; the floor is one step of an 8-bit encoding.
    low = np.maximum(mean, np.float32(1.0 / 255.0))[:, None, None]
    return np.asarray((tiles - mean[:, None, None]) / low, np.float32)


def _ring_means(power: NDArray[np.float64], side: int) -> NDArray[np.float64]:
    """Mean of ``power`` ``(side, side // 2 + 1)`` over each ring of whole tile frequencies, from 0 up."""
    down, across = np.fft.fftfreq(side, 1.0 / side), np.arange(side // 2 + 1)
    ring = np.rint(np.hypot(down[:, None], across[None])).astype(np.intp).ravel()
    # Half of the plane is stored: columns between the first and the last stand for two.
    times = np.broadcast_to(np.where((across == 0) | (2 * across == side), 1.0, 2.0), power.shape).ravel()
    return np.asarray(np.bincount(ring, times * power.ravel()) / np.bincount(ring, times))


def log_spectral_distance(power: NDArray[np.float64], reference: NDArray[np.float64]) -> float:
    """Root-mean-square difference of two spectra ``(F,)`` in dB; NaN where either is."""
    apart = 10.0 * np.log10((power + FAINTEST) / (reference + FAINTEST))
    return float(np.sqrt(np.mean(np.square(apart))))


def spectrum_distances(judged: Judged) -> list[float]:
    """Log-spectral distance in dB inside the region, of luma and of chroma; NaN where no tile fits."""
    found = []
    for part in PARTS:
        found.append(log_spectral_distance(*(power for _, power in spectra_of(judged, part))))
    return found


def spectra_of(judged: Judged, part: Part) -> tuple[Spectrum, Spectrum]:
    """:func:`spectrum_of` the result and the reference inside the region, worked out once."""
    key = ("spectrum", part, region_key(judged.region))
    return (
        judged.of_result.get(key, lambda: spectrum_of(judged.result, judged.region, part)),
        judged.of_reference.get(key, lambda: spectrum_of(judged.reference, judged.region, part)),
    )


SPECTRUM = Metric(
    components=tuple(Component(f"spectrum distance ({part})", "dB") for part in PARTS),
    library="mesoface",
    version="1",
    parameters={
        "tile_at_512": TILE,
        "overlap": OVERLAP,
        "first_ring": FIRST_RING,
        "window": "Hann",
        "floor": FAINTEST,
        "luma": LUMA,
        "chroma": CHROMA,
    },
    spaces=frozenset({"uv"}),
    measure=one_by_one(spectrum_distances),
)
