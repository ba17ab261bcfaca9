"""Skin detail of everybody in a texture database, ready to be matched: residuals, energies, correlations.

Everything here depends on the database alone (and, where a photograph is blurred, on how much), so it is computed once
and kept among the database's derived files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from numpy.typing import NDArray

from recon.colour import LUMINANCE, srgb_to_linear
from recon.texture.bands import split_bands
from recon.texture.cells import skin_cells
from recon.texture.correlation import LayerCells, cell_correlations, cell_means, image_cells
from recon.texture.database import TextureDatabase
from recon.texture.detail_bands import band_sigmas
from recon.texture.features import FeatureExtractor
from recon.texture.masked import dilate, erode, masked_gaussian
from recon.texture.pyramid import reduce_by
from recon.texture.residual import local_deviation, split_detail

# Window of local standard deviations, texels at 512².
WINDOW = 10.0
# Local deviations are smooth: one number every so many texels (at 512²) is enough.
STRIDE = 4
# Bands that describe coarse structure, which survives blur: low-passes in texels at 512².
COARSE_SIGMAS = (4.0, 8.0, 16.0)
# Blurs, in texels at 512², that a photograph may be found to have.
BLURS = (0.0, 0.7, 1.0, 1.4, 2.0, 2.8, 3.4, 4.0, 4.8, 5.6, 8.0)
# Scales of the synthesis, coarse to fine.
SCALES = (4, 2, 1)
_LEAST_DEVIATION = 1e-4
# Detail this many robust standard deviations from its cell's is a mole, a hair or a speck.
_MARK = 5.0
# A cell of which less than this share is seen says nothing about its texture.
LEAST_CELL = 0.4


@dataclass(frozen=True, eq=False)
class Domain:
    """The crop of the UV square that holds the skin, and what is constant over a database.

    Attributes:
        box: row and column slices of the crop.
        skin: ``(H, W)`` bool.
        cells: ``(R, H, W)`` bool partition of ``skin``.
        scale: map size over 512.
    """

    box: tuple[slice, slice]
    skin: NDArray[np.bool_]
    cells: NDArray[np.bool_]
    scale: float

    @property
    def grid(self) -> tuple[slice, slice]:
        """Slices that take the coarse grid of local deviations out of a crop."""
        step = max(1, round(STRIDE * self.scale))
        return slice(step // 2, None, step), slice(step // 2, None, step)

    @cached_property
    def places(self) -> NDArray[np.bool_]:
        """Skin on the coarse grid."""
        return self.skin[self.grid]

    def window(self) -> float:
        """Local window in texels of this map."""
        return WINDOW * self.scale


def skin_domain(database: TextureDatabase) -> Domain:
    """The domain of a database's skin mask, with a margin for the widest filter."""
    skin = database.skin_mask
    rows, columns = np.nonzero(skin.any(axis=1))[0], np.nonzero(skin.any(axis=0))[0]
    margin, side = 8, database.size
    box = (
        slice(max(rows[0] - margin, 0), min(rows[-1] + margin + 1, side)),
        slice(max(columns[0] - margin, 0), min(columns[-1] + margin + 1, side)),
    )
    cells = skin_cells(database.model, database.layout, skin)
    return Domain(box, skin[box].copy(), cells[(slice(None), *box)], side / 512.0)


def detail_deviation(
    luma: NDArray[np.float32], chroma: NDArray[np.float32], mask: NDArray[np.bool_], domain: Domain
) -> NDArray[np.float32]:
    """``(6, H, W)`` local standard deviations: luma fine, mid, coarse, rest; chroma red, blue."""
    bands, rest = split_bands(luma, mask, band_sigmas(round(512 * domain.scale)))
    parts = [*bands, rest, chroma[..., 0], chroma[..., 2]]
    window = domain.window()
    return np.stack([np.maximum(local_deviation(part, mask, window), _LEAST_DEVIATION) for part in parts])


def coarse_deviation(
    log_luminance: NDArray[np.float32], mask: NDArray[np.bool_], domain: Domain
) -> NDArray[np.float32]:
    """``(2, H, W)`` local log standard deviations of the two bands that survive blur, from log luminance."""
    sigmas = tuple(sigma * domain.scale for sigma in COARSE_SIGMAS)
    passes = [masked_gaussian(log_luminance, mask, sigma) * mask for sigma in sigmas]
    window = 2.0 * domain.window()
    bands = (passes[0] - passes[1], passes[1] - passes[2])
    return np.stack([np.log(np.maximum(local_deviation(b, mask, window), _LEAST_DEVIATION)) for b in bands])


class DetailDatabase:
    """Derived statistics of the skin detail of a :class:`TextureDatabase`.

    Attributes:
        database: whose detail it is.
        domain: the crop.
    """

    def __init__(self, database: TextureDatabase) -> None:
        self.database = database
        self.domain = skin_domain(database)

    @cached_property
    def valid(self) -> NDArray[np.bool_]:
        """``(N, H, W)`` bool: skin that was really seen, without moles, stray hairs and specks.

        What belongs to one person alone must not be lent to another.
        """

        def make() -> NDArray[np.bool_]:
            sure = self.database.sure_skin()[(slice(None), *self.domain.box)]
            return np.stack([self._without_marks(index, mask) for index, mask in enumerate(sure & self.domain.skin)])

        return np.asarray(self.database.derived("detail-valid", make))

    def _without_marks(self, index: int, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """``mask`` less the texels whose smoothed detail strays far from their own cell's."""
        scale = self.domain.scale
        split = split_detail(self._albedo(index), mask, scale)
        smooth = np.abs(masked_gaussian(split.luma, mask, 1.0 * scale))
        marks = np.zeros_like(mask)
        for cell in self.domain.cells:
            inside = cell & mask
            if inside.any():
                marks |= inside & (smooth > _MARK * np.median(smooth[inside]) / 0.6745)
        return mask & ~dilate(marks, 2.0 * scale)

    def _albedo(self, index: int) -> NDArray[np.float32]:
        # Not the completed textures: those blend into their fill at the rim of what was seen, and lose detail there.
        return srgb_to_linear(self.database.seen_texture(self.database.ids[index])[self.domain.box])

    @cached_property
    def residuals(self) -> NDArray[np.float16]:
        """``(N, H, W, 4)`` float16: luma detail h and chroma detail ε of every person, 0 where not seen."""

        def make() -> NDArray[np.float16]:
            out = np.zeros((len(self.database), *self.domain.skin.shape, 4), np.float16)
            for index in range(len(self.database)):
                split = split_detail(self._albedo(index), self.valid[index], self.domain.scale)
                out[index, ..., 0] = split.luma
                out[index, ..., 1:] = split.chroma
            return out

        return self.database.derived("detail-residuals", make)

    @cached_property
    def deviations(self) -> NDArray[np.float32]:
        """``(N, 6, P)`` log local deviations on the coarse grid; unseen places carry the mean and a personal offset."""

        def make() -> NDArray[np.float32]:
            rows = []
            for index in range(len(self.database)):
                detail = self.residuals[index].astype(np.float32)
                local = detail_deviation(detail[..., 0], detail[..., 1:], self.valid[index], self.domain)
                rows.append(np.log(local)[(slice(None), *self.domain.grid)][:, self.domain.places])
            seen = self.valid[(slice(None), *self.domain.grid)][:, self.domain.places]
            return fill_unseen(np.stack(rows), seen)

        return self.database.derived("detail-deviations", make)

    @cached_property
    def mark_energy(self) -> NDArray[np.float32]:
        """``(6,)`` half the log ratio of detail energy with marks to that without, median over the people.

        Moles, hairs and specks are kept out of the deviations, so that they are not spread over everybody; they are
        part of what a skin's energy is all the same.
        """

        def make() -> NDArray[np.float32]:
            sure = self.database.sure_skin()[(slice(None), *self.domain.box)] & self.domain.skin
            sigmas = band_sigmas(round(512 * self.domain.scale))
            rows = []
            for index, mask in enumerate(sure):
                split = split_detail(self._albedo(index), mask, self.domain.scale)
                bands, rest = split_bands(split.luma, mask, sigmas)
                parts = np.stack([*bands, rest, split.chroma[..., 0], split.chroma[..., 2]]) ** 2
                clean = parts[:, self.valid[index]].mean(axis=1)
                rows.append(0.5 * np.log(np.maximum(parts[:, mask].mean(axis=1), 1e-12) / np.maximum(clean, 1e-12)))
            return np.median(np.stack(rows), axis=0).astype(np.float32)

        return np.asarray(self.database.derived("detail-marks", make))

    def context(self, blur: float) -> NDArray[np.float32]:
        """``(N, C)`` what any photograph of that ``blur`` (texels at 512²) shows: colour and coarse structure.

        A blurred photograph is read only where no hair or brow has leaked into the skin; the database likewise, or
        its coarse structure, strongest at the rim, would always seem rougher than the photograph's.
        """

        def make() -> NDArray[np.float32]:
            inner = [erode(mask, blur * self.domain.scale) if blur > 0.0 else mask for mask in self.valid]
            return np.stack(
                [
                    context_vector(self._albedo(index), mask if mask.any() else self.valid[index], self.domain, blur)
                    for index, mask in enumerate(inner)
                ]
            )

        return self.database.derived(f"detail-context-inner-{blur:g}", make)

    def blurred_energy(self) -> NDArray[np.float32]:
        """``(len(BLURS), N, 3)`` log energy of the three luma bands of every person, blurred by each of BLURS."""

        def make() -> NDArray[np.float32]:
            out = np.zeros((len(BLURS), len(self.database), 3), np.float32)
            for index in range(len(self.database)):
                luma = self.residuals[index, ..., 0].astype(np.float32)
                for row, blur in enumerate(BLURS):
                    out[row, index] = band_log_energy(luma, self.valid[index], self.domain, blur)
            return out

        return self.database.derived("detail-blurred-energy", make)

    def whitened(self, index: int) -> NDArray[np.float32]:
        """``(H, W)`` luma detail of a person divided by its local standard deviation; 0 where not seen."""
        luma = self.residuals[index, ..., 0].astype(np.float32)
        return whiten(luma, self.valid[index], self.domain)

    def mean_features(self, extractor: FeatureExtractor) -> list[NDArray[np.float32]]:
        """Per scale and layer ``(C,)`` mean feature over the database, concatenated scale by scale."""
        flat = self.database.derived(f"detail-means-{extractor.identity}", lambda: self._means(extractor))
        widths = [f.shape[1] for f in extractor(torch.zeros(1, 1, 16, 16))] * len(SCALES)
        return [np.asarray(part) for part in np.split(flat, np.cumsum(widths)[:-1])]

    def _means(self, extractor: FeatureExtractor) -> NDArray[np.float32]:
        rows = []
        for index in range(len(self.database)):
            row = []
            for scale in SCALES:
                features, cells = self._features(extractor, index, scale, 0.0)
                row += [cell_means(f[0], c) for f, c in zip(features, cells, strict=True)]
            rows.append(torch.cat(row))
        return torch.stack(rows).mean(dim=0).numpy()

    def correlations(self, extractor: FeatureExtractor, scale: int, blur: float = 0.0) -> list[NDArray[np.float32]]:
        """For each layer ``(N, R, C, C)`` correlations of the whitened luma detail; NaN for cells hardly seen.

        Args:
            scale: 1, 2 or 4: the residual is reduced by it first.
            blur: in texels at 512², applied to everybody before whitening.
        """
        stem = f"detail-correlations-{extractor.identity}-{scale}-{blur:g}"
        pending: list[list[NDArray[np.float32]]] = []

        def make(number: int) -> NDArray[np.float32]:
            if not pending:
                pending.append(self._correlate(extractor, scale, blur))
            return pending[0][number]

        return [
            self.database.derived(f"{stem}-{layer.name}", partial(make, number))
            for number, layer in enumerate(extractor.layers)
        ]

    def _correlate(self, extractor: FeatureExtractor, scale: int, blur: float) -> list[NDArray[np.float32]]:
        means = self.mean_features(extractor)
        first = SCALES.index(scale) * len(extractor.layers)
        columns: list[list[NDArray[np.float32]]] = [[] for _ in extractor.layers]
        for index in range(len(self.database)):
            features, cells = self._features(extractor, index, scale, blur)
            share = self.seen_share(self.valid[index])
            for number, (feature, cell) in enumerate(zip(features, cells, strict=True)):
                found = cell_correlations(feature[0], cell, torch.tensor(means[first + number])).numpy()
                found[share < LEAST_CELL] = np.nan
                columns[number].append(found)
        return [np.stack(column) for column in columns]

    def seen_share(self, valid: NDArray[np.bool_]) -> NDArray[np.float64]:
        """``(R,)`` share of each cell that ``valid`` covers."""
        total = self.domain.cells.sum(axis=(1, 2))
        return np.asarray((self.domain.cells & valid).sum(axis=(1, 2)) / np.maximum(total, 1))

    def _features(
        self, extractor: FeatureExtractor, index: int, scale: int, blur: float
    ) -> tuple[list[torch.Tensor], list[LayerCells]]:
        luma = self.residuals[index, ..., 0].astype(np.float32)
        valid = self.valid[index]
        if blur > 0:
            luma = masked_gaussian(luma, valid, blur * self.domain.scale) * valid
        white = whiten(luma, valid, self.domain)
        return scaled_features(extractor, white, self.domain.cells & valid, scale)


def scaled_features(
    extractor: FeatureExtractor, white: NDArray[np.float32], cells: NDArray[np.bool_], scale: int
) -> tuple[list[torch.Tensor], list[LayerCells]]:
    """Features of a whitened residual reduced by ``scale`` and the cells at each layer's resolution."""
    with torch.no_grad():
        image = reduce_by(torch.from_numpy(white)[None, None], scale)
        reduced = reduce_by(torch.from_numpy(cells).float()[None], scale)[0] >= 0.5
        features = extractor(image)
    return features, image_cells(extractor.layers, reduced, features)


def whiten(luma: NDArray[np.float32], mask: NDArray[np.bool_], domain: Domain) -> NDArray[np.float32]:
    """Detail divided by its local standard deviation inside ``mask``, clipped to ±6; 0 outside."""
    local = np.maximum(local_deviation(luma, mask, domain.window()), _LEAST_DEVIATION)
    return np.where(mask, np.clip(luma / local, -6.0, 6.0), 0.0).astype(np.float32)


def fill_unseen(values: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """``(N, B, P)`` values with unseen places ``(N, P)`` replaced by the mean over people plus a personal offset."""
    weight = seen[:, None].astype(np.float32)
    mean = (values * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1.0)
    nobody = ~seen.any(axis=0)
    if nobody.any() and not nobody.all():
        mean[:, nobody] = mean[:, ~nobody].mean(axis=1, keepdims=True)
    offset = ((values - mean) * weight).sum(axis=2) / np.maximum(weight.sum(axis=2), 1.0)
    return np.where(seen[:, None], values, mean + offset[..., None]).astype(np.float32)


def band_log_energy(
    luma: NDArray[np.float32], mask: NDArray[np.bool_], domain: Domain, blur: float
) -> NDArray[np.float32]:
    """``(3,)`` log energy of the three luma bands inside ``mask`` after a ``blur`` in texels at 512².

    The energy is the squared median absolute value: a few hard edges at the rim of a mask would drown a mean.
    """
    if blur > 0:
        luma = masked_gaussian(luma, mask, blur * domain.scale) * mask
    bands, _ = split_bands(luma, mask, band_sigmas(round(512 * domain.scale)))
    return 2.0 * np.log(np.maximum(np.median(np.abs(bands[:, mask]), axis=1), 1e-6)).astype(np.float32)


def context_vector(
    albedo: NDArray[np.float32], mask: NDArray[np.bool_], domain: Domain, blur: float
) -> NDArray[np.float32]:
    """``(C,)``: lightness and two opponent colours of the skin, then coarse log deviations on the coarse grid.

    The colour counts as much as the whole map of coarse structure: both are scaled by the root of their length.
    """
    logs = np.log(np.maximum(albedo, 1e-3))
    colour = logs[mask].mean(axis=0)
    tone = np.array([colour.mean(), colour[0] - colour[1], colour[1] - colour[2]], np.float32)
    luma = logs @ LUMINANCE
    if blur > 0:
        luma = masked_gaussian(luma, mask, blur * domain.scale)
    local = coarse_deviation(luma, mask, domain)[(slice(None), *domain.grid)][:, domain.places]
    seen = mask[domain.grid][domain.places]
    mean = local[:, seen].mean(axis=1, keepdims=True) if seen.any() else np.zeros((2, 1))
    return np.concatenate([tone, np.where(seen, local, mean).ravel()]).astype(np.float32)
