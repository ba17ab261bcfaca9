"""Inference of skin detail for one photograph: how strong, how correlated, and an instance of it (method ``meso``)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from recon.texture.bands import split_bands
from recon.texture.cells import mirror_cell
from recon.texture.combination import Combination, Term, convex, linear, make_term, nearest
from recon.texture.correlation import cell_correlations
from recon.texture.deblur import not_restored
from recon.texture.detail_bands import TRUNCATE, band_sigmas
from recon.texture.detail_database import (
    BLURS,
    LEAST_CELL,
    SCALES,
    DetailDatabase,
    Domain,
    band_log_energy,
    context_vector,
    detail_deviation,
    scaled_features,
)
from recon.texture.detail_prior import Prediction, predict_deviation
from recon.texture.features import FeatureExtractor
from recon.texture.masked import erode, masked_gaussian
from recon.texture.pyramid import carried, reduce_by
from recon.texture.residual import Residual
from recon.texture.synthesis import CorrelationTarget, correlation_loss, minimise

# Iterations at a quarter, half and full resolution.
ITERATIONS = (40, 30, 15)
# Blur, in texels at 512², up to which a band keeps nine tenths of its amplitude once restored: luma fine, mid, coarse,
# rest; chroma red, blue.
_BLUR_LIMITS = (0.0, 0.7, 1.4, 2.8, 0.0, 0.0)
# Rounds of the band-energy correction, and the largest local gain over the usual one: texture that is not there
# cannot be amplified into being.
_ROUNDS, _BLURRED_ROUNDS = 5, 2
_MOST_GAIN = 4.0
# Predicted log deviations exceed the median of their cell by no more.
_MOST_ABOVE_CELL = 0.35
# Passes of the final balance between the bands.
_BALANCES = 6
# Structure wider than the residual's low-pass reaches into the coarse band of the whole texture, and blur has weakened
# it; the band makes up for that. The median shortfall of 28 London people, each from a database of others.
_COARSE_SHARE = 1.1
# Largest gain of a detail band in one pass, and of what lies below the detail bands.
_MOST_BALANCE, _MOST_BELOW = 10.0, 1.3
# Squared Mahalanobis distances that differ by less say nothing.
_ALIKE = 1e-3
_COMBINE: dict[str, Callable[[Sequence[Term]], Combination]] = {
    "convex": partial(convex, power=2),
    "linear": linear,
    "nearest": nearest,
}


def estimate_blur(observed: Residual, mask: NDArray[np.bool_], details: DetailDatabase) -> float:
    """Blur of the photograph in texels at 512², the most likely of ``BLURS`` given its band energies.

    For each candidate the database, blurred by it, gives a Gaussian over the log energies of the three bands; the
    spread is that of the sharp database, so that people differ from one another as much as they do.
    """
    energies = details.blurred_energy().astype(np.float64)
    seen = band_log_energy(observed.luma, mask, details.domain, 0.0).astype(np.float64)
    covariance = np.cov(energies[0].T) + 0.05 * np.eye(3)
    precision = np.linalg.inv(covariance)
    offset = seen - energies.mean(axis=1)
    distance = np.einsum("bi,ij,bj->b", offset, precision, offset)
    # On small maps the slightest blurs change nothing: of those that explain the photograph alike, the least is meant.
    return BLURS[int(np.argmax(distance <= distance.min() + _ALIKE))]


def predict_energy(
    observed: Residual,
    albedo: NDArray[np.float32],
    seen: NDArray[np.bool_],
    blur: float,
    details: DetailDatabase,
) -> Prediction:
    """Local log deviations ``(6, P)`` of the complete skin; a band is known where skin is seen and blur spares it.

    Args:
        observed: the visible detail, what blur weakened restored (:mod:`recon.texture.deblur`).
        albedo: ``(H, W, 3)`` linear albedo as it was seen.
        blur: of the photograph, texels at 512².
    """
    domain = details.domain
    grid, places = domain.grid, domain.places
    known = np.zeros((6, int(places.sum())), bool)
    local = np.zeros(known.shape)
    shown = np.array([blur <= limit for limit in _BLUR_LIMITS])
    if shown.any() and seen.any():
        maps = detail_deviation(observed.luma, observed.chroma, seen, domain)
        local = np.log(maps)[(slice(None), *grid)][:, places].astype(np.float64)
        known[shown] = erode(seen, 2.0 * domain.scale)[grid][places]
    samples = details.deviations.astype(np.float64)
    context, own = _standardise(details.context(blur), context_vector(albedo, seen, domain, 0.0))
    found = predict_deviation(samples, local, known, context, own)
    expected = found.log_deviation + details.mark_energy[:, None]
    if blur > 0.0:
        expected = _without_rims(expected, domain)
    return replace(found, log_deviation=np.where(known, found.log_deviation, expected))


def _without_rims(log_deviation: NDArray[np.float64], domain: Domain) -> NDArray[np.float64]:
    """Luma deviations ``(6, P)``, none far above what is usual in its cell.

    Towards the hairline and along a beard the people of the database have single hairs in their skin. What is typical
    of a place in the mean of many would put a rim of rough skin on everybody.
    """
    limited = log_deviation.copy()
    for cell in domain.cells[(slice(None), *domain.grid)]:
        inside = cell[domain.places]
        if inside.any():
            usual = np.median(log_deviation[:4, inside], axis=1, keepdims=True)
            limited[:4, inside] = np.minimum(log_deviation[:4, inside], usual + _MOST_ABOVE_CELL)
    return limited


def _standardise(
    context: NDArray[np.float32], own: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Zero mean and unit variance a column over the database; the three tone columns weigh as much as all others."""
    mean, spread = context.mean(axis=0), context.std(axis=0) + 1e-6
    columns = context.shape[1]
    weight = np.full(columns, np.sqrt(columns / max(columns - 3, 1) / 2.0))
    weight[:3] = np.sqrt(columns / 6.0)
    database = (context - mean) / spread * weight
    return np.asarray(database, np.float64), np.asarray(np.clip((own - mean) / spread, -4, 4) * weight, np.float64)


@dataclass(frozen=True, eq=False)
class Matched:
    """Weights over the database that explain the visible correlations, and the record of how they were found."""

    combination: Combination
    record: dict[str, Any] = field(default_factory=dict)


def match_database(
    white: NDArray[np.float32],
    seen: NDArray[np.bool_],
    blur: float,
    details: DetailDatabase,
    extractor: FeatureExtractor,
    kind: str = "convex",
) -> Matched:
    """Weights over the database from the regional correlations of the visible whitened detail.

    Each layer and cell is divided by the database's mean norm, so that none outweighs the others. A photograph that
    is blurred is compared with the database blurred alike.
    """
    share = details.seen_share(seen)
    cells = np.flatnonzero(share >= LEAST_CELL)
    scale = 1 if blur < 2.0 else 2
    means = details.mean_features(extractor)
    first = SCALES.index(scale) * len(extractor.layers)
    features, layers = scaled_features(extractor, white, details.domain.cells & seen, scale)
    terms = []
    for number, stored in enumerate(details.correlations(extractor, scale, blur)):
        own = cell_correlations(features[number][0], layers[number], torch.tensor(means[first + number])).numpy()
        for cell in cells:
            rows = _complete_rows(stored[:, cell].reshape(len(stored), -1))
            norm = float(np.linalg.norm(rows, axis=1).mean())
            if norm > 1e-9:
                terms.append(make_term(rows, own[cell].ravel(), 1.0 / norm))
    if not terms:
        count = len(details.database)
        return Matched(Combination(np.full(count, 1.0 / count), 0.0, 0.0, 0), {"note": "no cell is visible enough"})
    return Matched(_COMBINE[kind](terms), {"cells": [int(c) for c in cells], "scale": scale})


def _complete_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of people who hardly show a cell (NaN) are replaced by the mean of the others."""
    missing = np.isnan(rows[:, 0])
    if not missing.any():
        return rows
    out = rows.copy()
    out[missing] = rows[~missing].mean(axis=0) if (~missing).any() else 0.0
    return out


def donor_detail(details: DetailDatabase, weights: NDArray[np.float64]) -> tuple[int, NDArray[np.float32]]:
    """Index of the best-matching person who shows most of the skin, and their ``(H, W, 4)`` residual.

    Where the donor's skin was not seen, the next ones in rank fill in; nothing is left empty that anybody shows.
    """
    share = details.valid.sum(axis=(1, 2)) / max(int(details.domain.skin.sum()), 1)
    order = np.lexsort((np.arange(len(weights)), -(weights + 1e-6) * share**2))
    out = np.zeros((*details.domain.skin.shape, 4), np.float32)
    missing = details.domain.skin.copy()
    for index in order:
        if not missing.any():
            break
        use = missing & details.valid[index]
        out[use] = details.residuals[index][use]
        missing &= ~use
    return int(order[0]), out


def synthesise_detail(
    start: NDArray[np.float32],
    matched: Matched,
    details: DetailDatabase,
    extractor: FeatureExtractor,
    own: tuple[NDArray[np.float32], NDArray[np.bool_]] | None,
    iterations: tuple[int, ...] = ITERATIONS,
    content: float = 0.3,
    device: str = "cpu",
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """A whitened luma detail ``(H, W)`` whose regional correlations are those of the weighted database.

    Args:
        start: ``(H, W)`` whitened detail to begin from.
        own: the photograph's whitened detail and where it is seen: a cell whose mirror cell is seen takes half of its
            target from there. None where nothing is seen sharply.
        content: weight of staying near the low-pass of ``start``.
    """
    domain = details.domain
    # The database's statistics are measured on the host; the optimisation runs on a copy on the device.
    bank = extractor if device == "cpu" else copy.deepcopy(extractor).to(device)
    image: torch.Tensor | None = None
    record: dict[str, Any] = {"losses": []}
    full = torch.from_numpy(start)[None, None].to(device)
    for scale, steps in zip(SCALES, iterations, strict=True):
        begin = reduce_by(full, scale)
        if image is not None:
            begin = carried(image, begin)
        inside = (reduce_by(torch.from_numpy(domain.skin).float()[None, None], scale) >= 0.5).float().to(device)
        targets = _targets(matched, details, extractor, own, scale, device)
        anchor = _soften(begin)

        def loss(
            current: torch.Tensor,
            inside: torch.Tensor = inside,
            targets: list[CorrelationTarget] = targets,
            anchor: torch.Tensor = anchor,
        ) -> torch.Tensor:
            masked = current * inside
            value = correlation_loss(targets, bank(masked))
            return value + content * (_soften(masked) - anchor * inside).square().mean()

        image, run = minimise(begin * inside, loss, steps)
        record["losses"].append([round(run.first, 6), round(run.last, 6)])
    assert image is not None
    out = (image[0, 0].cpu().numpy() * domain.skin).astype(np.float32)
    return out, record


def _soften(image: torch.Tensor) -> torch.Tensor:
    """A cheap low-pass: two box filters of 7 texels."""
    for _ in range(2):
        image = functional.avg_pool2d(image, 7, stride=1, padding=3, count_include_pad=False)
    return image


def _targets(
    matched: Matched,
    details: DetailDatabase,
    extractor: FeatureExtractor,
    own: tuple[NDArray[np.float32], NDArray[np.bool_]] | None,
    scale: int,
    device: str,
) -> list[CorrelationTarget]:
    """Correlation targets of every layer at one scale."""
    domain = details.domain
    means = details.mean_features(extractor)
    first = SCALES.index(scale) * len(extractor.layers)
    weights = matched.combination.weights.astype(np.float32)
    area = domain.cells.sum(axis=(1, 2)).astype(np.float32)
    _, layers = scaled_features(extractor, domain.skin.astype(np.float32), domain.cells, scale)
    if own is not None:
        white, seen = own
        share = details.seen_share(seen)
        own_features, own_layers = scaled_features(extractor, white, domain.cells & seen, scale)
    targets = []
    for number, stored in enumerate(details.correlations(extractor, scale)):
        mean = torch.tensor(means[first + number])
        rows = [_complete_rows(stored[:, cell].reshape(len(stored), -1)) for cell in range(stored.shape[1])]
        wanted = np.stack([weights @ row for row in rows]).reshape(stored.shape[1:])
        if own is not None:
            measured = cell_correlations(own_features[number][0], own_layers[number], mean).numpy()
            for cell in range(len(wanted)):
                source = cell if share[cell] >= LEAST_CELL else mirror_cell(cell)
                if share[source] >= LEAST_CELL:
                    wanted[cell] = 0.5 * wanted[cell] + 0.5 * measured[source]
        cells = layers[number]
        present = torch.tensor([float(count > 0) for count in cells.counts])
        targets.append(
            CorrelationTarget(
                cells.to(device),
                torch.from_numpy(wanted.astype(np.float32)).to(device),
                (torch.from_numpy(area / area.sum()) * present).to(device),
                mean.to(device),
            )
        )
    return targets


def shape_energy(
    luma: NDArray[np.float32],
    chroma: NDArray[np.float32],
    target: NDArray[np.float64],
    kept: NDArray[np.float32],
    blur: float,
    details: DetailDatabase,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Gives synthesised detail the predicted local energy, band by band.

    Args:
        luma: ``(H, W)`` synthesised detail, any scale.
        chroma: ``(H, W, 3)`` synthesised chroma detail, any scale.
        target: ``(6, P)`` predicted local log deviations.
        kept: ``(H, W)`` luma detail that the photograph already shows (its blurred remainder), 0 elsewhere.
        blur: of the photograph, texels at 512²: what a blur of this width leaves is taken from ``kept``.

    Returns:
        luma and chroma detail; luma includes ``kept``.
    """
    domain = details.domain
    skin, window = domain.skin, domain.window()
    wanted = _spread(np.exp(target), domain.places, domain.grid, skin)
    if blur > 0:
        luma = not_restored(luma, skin, blur * domain.scale)
    sigmas = band_sigmas(round(512 * domain.scale))
    kept_bands = _all_bands(kept, skin, sigmas)
    energy = [
        np.maximum(w**2 - local_mean_square(k, skin, window), 0.0) for w, k in zip(wanted, kept_bands, strict=False)
    ]
    added = luma
    # Neighbouring bands overlap, so scaling one changes the other: a few rounds settle them together.
    for turn in range(_ROUNDS):
        rescaled = np.zeros_like(luma)
        *bands, rest = _all_bands(added, skin, sigmas)
        for part, goal in zip(bands, energy, strict=False):
            have = np.maximum(local_mean_square(part, skin, window), 1e-12)
            usual = np.sqrt(np.median(goal[skin]) / np.median(have[skin]))
            rescaled += part * np.minimum(np.sqrt(goal / have), _MOST_GAIN * usual)
        have = np.maximum(local_mean_square(rest, skin, window), 1e-12)
        # Below the detail bands a blurred photograph shows what is there: nothing may be amplified into blotches.
        rescaled += rest * np.minimum(np.sqrt(energy[len(bands)] / have), 1.0 if blur > 0 else _MOST_GAIN)
        if blur > 0 and turn < _BLURRED_ROUNDS:
            # What the photograph shows stays as it shows it: gains that vary over the face must not leak below. The
            # later rounds give back the energy that this takes from the coarse band.
            rescaled = not_restored(rescaled, skin, blur * domain.scale)
        added = rescaled
    # At the rim the bands feel the edge of the mask; what counts is the skin inside.
    inner = erode(skin, TRUNCATE * max(sigmas))
    inner = inner if inner.any() else skin
    goals = [float(np.square(w[inner], dtype=np.float64).mean()) for w in wanted[: len(sigmas) + 1]]
    if blur > 0:
        goals[len(sigmas) - 1] *= _COARSE_SHARE
    out = _balanced(added, kept, goals, skin, inner, sigmas)
    shaped = chroma.copy()
    for channel, band in ((0, 4), (2, 5)):
        have = np.sqrt(np.maximum(local_mean_square(chroma[..., channel], skin, window), 1e-10))
        shaped[..., channel] *= np.clip(wanted[band] / have, 0.0, 5.0)
    # Luminance has no part in ε: green balances red and blue.
    shaped[..., 1] = -(0.2126 * shaped[..., 0] + 0.0722 * shaped[..., 2]) / 0.7152
    return (out * skin).astype(np.float32), (shaped * skin[..., None]).astype(np.float32)


def _balanced(
    added: NDArray[np.float32],
    kept: NDArray[np.float32],
    goals: list[float],
    skin: NDArray[np.bool_],
    inner: NDArray[np.bool_],
    sigmas: tuple[float, ...],
) -> NDArray[np.float32]:
    """``kept`` plus the bands of ``added``, scaled so that all bands of the sum have the mean energies ``goals``.

    Energies are those of the ``inner`` part of the skin. The last band is what lies below the detail bands: blur takes
    part of it too, but it is raised with restraint, or donors' patches would show as blotches.

    Every band of the sum is linear in the gains g of its parts, so its energy is a quadratic form ``gᵀ C_b g``; the
    gains are found by damped multiplicative steps on those four small matrices. ``kept`` has gain 1: what it shares
    with its neighbours counts.
    """
    count = max(int(inner.sum()), 1)
    fixed = [band[inner] for band in _all_bands(kept, skin, sigmas)]
    most = np.array([_MOST_BALANCE] * len(sigmas) + [_MOST_BELOW, 1.0])
    for _ in range(_BALANCES):
        # A gain alone cannot take out of a band what its neighbours put there; the bands of the scaled sum can.
        parts = _all_bands(added, skin, sigmas)
        inside = np.stack([*([band[inner] for band in _all_bands(part, skin, sigmas)] for part in parts), fixed])
        forms = np.einsum("kbn,lbn->bkl", inside, inside, optimize=True) / count
        gains = np.ones(len(inside))
        for _ in range(60):
            energies = np.einsum("k,bkl,l->b", gains, forms, gains)
            gains[: len(energies)] *= np.sqrt(np.asarray(goals) / np.maximum(energies, 1e-12)) ** 0.5
            gains = np.clip(gains, 1.0 / _MOST_BALANCE, most)
        added = np.asarray(sum(g * part for g, part in zip(gains, parts, strict=False)), np.float32)
        most[len(sigmas)] = 1.0  # once: repeated, a modest gain is a large one
    return kept + added


def _all_bands(
    luma: NDArray[np.float32], skin: NDArray[np.bool_], sigmas: tuple[float, ...]
) -> list[NDArray[np.float32]]:
    """The three detail bands and the rest below them."""
    bands, rest = split_bands(luma, skin, sigmas)
    return [*bands, rest]


def local_mean_square(detail: NDArray[np.float32], mask: NDArray[np.bool_], window: float) -> NDArray[np.float32]:
    """Local mean square (see :func:`recon.texture.residual.local_deviation`)."""
    return np.maximum(masked_gaussian(detail * detail, mask, window), 0.0)


def _spread(
    values: NDArray[np.float64], places: NDArray[np.bool_], grid: tuple[slice, slice], skin: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """``(B, H, W)`` smooth maps from values ``(B, P)`` on the coarse grid."""
    height, width = skin.shape
    out = np.zeros((len(values), height, width), np.float32)
    sparse = np.zeros((height, width), bool)
    sparse[grid] = places
    for band, row in enumerate(values):
        points = np.zeros((height, width), np.float32)
        coarse = np.zeros(places.shape, np.float32)
        coarse[places] = row
        points[grid] = coarse
        out[band] = masked_gaussian(points, sparse, 1.5 * grid[0].step)
    return out
