"""How ``deep`` and its ablations infer a texture: see :mod:`recon.methods.deep`, which tells what they are.

Apart from it, since a command that only asks for a method's parameters must not load PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.data.subject import Photograph
from recon.errors import NoVisibleSkinError
from recon.methods.contract import Context, Reconstruction
from recon.methods.result import reconstruction
from recon.texture.combination import Combination, Term, convex, linear, make_term, nearest
from recon.texture.completion import completed, pca_texture
from recon.texture.correlation import image_cells
from recon.texture.database import TextureDatabase
from recon.texture.extractor_choice import resolve_extractor
from recon.texture.face_correlations import LEAST_SIDE, FaceCorrelations
from recon.texture.features import load_extractor
from recon.texture.masked import feather
from recon.texture.pyramid import carried, reduce_by
from recon.texture.synthesis import CorrelationTarget, minimise

_COMBINE: dict[str, Callable[[Sequence[Term]], Combination]] = {
    "deep": convex,
    "deep-linear": linear,
    "deep-nearest": nearest,
}
# The synthesised face fades into the PCA texture over this rim of the face region (texels at 512²).
_RIM = 8.0


@lru_cache(maxsize=2)
def face_correlations(database: TextureDatabase, extractor: str) -> FaceCorrelations:
    """Correlations of a database under one extractor; what is costly lies on disk."""
    return FaceCorrelations(database, load_extractor(extractor, channels=3, taps=FaceCorrelations.TAPS))


def infer(
    photograph: Photograph, context: Context, database: TextureDatabase, combination: str, chosen: dict[str, Any]
) -> Reconstruction:
    """See :class:`recon.methods.deep.Deep`; ``combination`` names it or its ablation, ``chosen`` are its parameters.

    Raises:
        NoVisibleSkinError: neither side of the face shows enough skin to correlate.
    """
    started = time.perf_counter()
    name = resolve_extractor(context.features, learned_first=True)
    faces = face_correlations(database, name)
    faces.extractor.to(context.device)
    low, _ = pca_texture(context.observation, database)
    # Outside the mask the partial texture is completed, so that no filter ever meets a hole.
    high = completed(context.observation, context.model, low)
    seen = context.observation.skin[faces.box] & faces.skin
    share = faces.side_share(seen)
    if share.max() < LEAST_SIDE:
        raise NoVisibleSkinError(f"{photograph.name}: too little skin is visible on either side of the face.")
    combined = _combine(combination, high[faces.box], seen, share, faces)
    known = time.perf_counter()
    texture, losses = synthesise(low[faces.box], combined.weights, faces, chosen, context.device)
    rim = feather(faces.face, _RIM * database.size / 512.0)[..., None]
    out = low.copy()
    out[faces.box] = rim * texture + (1.0 - rim) * out[faces.box]
    order = np.argsort(np.abs(combined.weights))[::-1]
    record = {
        "extractor": {"name": name, "identity": faces.extractor.identity},
        "combination": combination,
        "weights": {database.ids[i]: round(float(combined.weights[i]), 4) for i in order[:12]},
        "objective": combined.objective,
        "kkt": combined.kkt,
        "losses": losses,
        "alpha": chosen["alpha"],
    }
    timings = {"combination": known - started, "synthesis": time.perf_counter() - known}
    return reconstruction(context, srgb_to_linear(linear_to_srgb(srgb_to_linear(out))), record, timings)


def _combine(
    name: str,
    high: NDArray[np.float32],
    seen: NDArray[np.bool_],
    share: NDArray[np.float64],
    faces: FaceCorrelations,
) -> Combination:
    """Weights over the database from the visible sides (eq. 3)."""
    sides = np.flatnonzero(share >= LEAST_SIDE)
    measured = faces.measure(high, faces.sides & seen, scale=1)
    terms = []
    for (own, areas), stored, unit in zip(measured, faces.correlations(1), faces.unit(1), strict=True):
        area = areas[sides] / max(float(areas[sides].sum()), 1e-12)
        rows = np.einsum("s,nscd->ncd", area, stored[:, sides].astype(np.float32)).reshape(len(stored), -1)
        target = np.einsum("s,scd->cd", area, own[sides] / unit).ravel()
        terms.append(make_term(rows, target, 1.0 / max(float(np.linalg.norm(rows, axis=1).mean()), 1e-12)))
    return _COMBINE[name](terms)


def synthesise(
    low: NDArray[np.float32],
    weights: NDArray[np.float64],
    faces: FaceCorrelations,
    chosen: Mapping[str, Any],
    device: str,
) -> tuple[NDArray[np.float32], list[list[float]]]:
    """Equation 5 from ``A_low`` ``(H, W, 3)`` sRGB-encoded; returns the texture and first and last loss per scale."""
    start = torch.from_numpy(np.ascontiguousarray(low.transpose(2, 0, 1)))[None].to(device)
    image: torch.Tensor | None = None
    losses = []
    for scale, steps in zip((2, 1), chosen["iterations"], strict=True):
        content = begin = reduce_by(start, scale)
        if image is not None:
            begin = carried(image, begin)
        image, run = minimise(begin, objective(content, weights, faces, chosen["alpha"], scale), steps)
        losses.append([round(run.first, 6), round(run.last, 6)])
    assert image is not None
    return np.clip(image[0].cpu().numpy().transpose(1, 2, 0), 0.0, 1.0).astype(np.float32), losses


def objective(
    low: torch.Tensor, weights: NDArray[np.float64], faces: FaceCorrelations, alpha: float, scale: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Equation 5 as a function of the texture, on the device of ``low``.

    Args:
        low: ``(1, 3, H, W)`` the texture whose content is kept, reduced by ``scale``.
        weights: ``(N,)`` of the database's people.
        alpha: weight of the correlations.
    """
    extractor, device = faces.extractor, str(low.device)
    with torch.no_grad():
        features = extractor(low)
        sizes = [features[tap].square().mean().clamp_min(1e-9) for tap in faces.content_taps]
        contents = [features[tap] for tap in faces.content_taps]
    sides = torch.from_numpy(faces.sides).float()[None]
    correlated = [features[tap] for tap in faces.correlation_taps]
    cells = image_cells(faces.correlation_layers, reduce_by(sides, scale)[0] >= 0.5, correlated)
    targets = []
    for part, wanted in zip(cells, faces.combined(weights, scale), strict=True):
        cell = part.to(device)
        # On the smallest maps no texel of a deep layer lies inside the skin: such a layer says nothing.
        share = cell.areas / cell.areas.sum().clamp_min(1e-12)
        targets.append(CorrelationTarget(cell, torch.from_numpy(wanted).to(device), share))

    def loss(current: torch.Tensor) -> torch.Tensor:
        maps = extractor(current)
        content = sum(
            ((maps[tap] - kept).square().mean() / size)
            for tap, kept, size in zip(faces.content_taps, contents, sizes, strict=True)
        )
        style = sum(target.loss(maps[tap][0]) for tap, target in zip(faces.correlation_taps, targets, strict=True))
        return content / alpha + style

    return loss
