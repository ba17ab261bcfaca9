"""How ``meso`` infers a texture: see :mod:`recon.methods.meso`, which tells what it is and takes part in a run.

Apart from it, since a command that only asks for a method's parameters must not load PyTorch.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.data.subject import Photograph
from recon.errors import NoVisibleSkinError
from recon.methods.contract import Context, Reconstruction
from recon.methods.result import reconstruction
from recon.texture.completion import completed, pca_texture
from recon.texture.database import TextureDatabase
from recon.texture.deblur import restored
from recon.texture.detail_database import DetailDatabase, whiten
from recon.texture.extractor_choice import resolve_extractor
from recon.texture.features import RESIDUAL_LAYERS, FeatureExtractor, load_extractor
from recon.texture.masked import erode, feather
from recon.texture.residual import Residual, join_detail, split_detail
from recon.texture.skin_detail import (
    donor_detail,
    estimate_blur,
    match_database,
    predict_energy,
    shape_energy,
    synthesise_detail,
)

# Chroma follows luma by these factors where the photograph is too soft to regress its own: medians over the London
# set (red, green, blue).
_USUAL_BETA = np.array([0.90, 1.04, 1.10], np.float32)
# Observed detail is trusted this far from the rim of the seen skin, and blends in over the second width (texels).
_KEEP_MARGIN, _KEEP_FEATHER = 3.0, 4.0
# The detail fades into the completed texture over this rim of the skin mask (texels at 512²).
_RIM = 6.0
# Below this share of the skin to be synthesised, the correlations are not worth optimising.
_WORTH_SYNTHESIS = 0.01
# Share of the skin domain that must be visible.
_LEAST_SEEN = 0.02


@lru_cache(maxsize=2)
def detail_database(database: TextureDatabase) -> DetailDatabase:
    """Statistics of a database, held in memory while a worker uses it (what is costly lies on disk)."""
    return DetailDatabase(database)


@lru_cache(maxsize=2)
def residual_extractor(name: str) -> FeatureExtractor:
    """A single-channel extractor, loaded once per worker."""
    return load_extractor(name, channels=1, taps=RESIDUAL_LAYERS)


def infer(
    photograph: Photograph, context: Context, database: TextureDatabase, chosen: dict[str, Any]
) -> Reconstruction:
    """See :class:`recon.methods.meso.Meso`; ``chosen`` are its parameters.

    Raises:
        NoVisibleSkinError: no visible skin lies in the domain of the database.
    """
    details = detail_database(database)
    domain, observation = details.domain, context.observation
    started = time.perf_counter()
    seen = observation.skin[domain.box] & domain.skin
    if seen.sum() < _LEAST_SEEN * domain.skin.sum():
        raise NoVisibleSkinError(
            f"{photograph.name}: hardly any skin is visible where the database has skin; use a clearer photograph."
        )
    albedo = observation.albedo[domain.box]
    observed = split_detail(albedo, seen, domain.scale)
    blur = estimate_blur(observed, seen, details)
    if blur > 0.0:
        # Blur carries hair, brows and background into the skin beside them.
        inner = erode(seen, blur * domain.scale)
        if inner.sum() >= _LEAST_SEEN * domain.skin.sum():
            seen = inner
            observed = split_detail(albedo, seen, domain.scale)
    fill, _ = pca_texture(observation, database)
    base = srgb_to_linear(completed(observation, context.model, fill, blur))
    low = split_detail(base[domain.box], domain.skin, domain.scale).low
    prepared = time.perf_counter()

    kept = _kept_weight(seen, blur, domain.scale)
    luma, chroma, record = _infer(observed, albedo, seen, blur, kept, details, chosen, context)
    beta = observed.beta if blur == 0.0 else _USUAL_BETA
    if blur == 0.0:
        luma = kept * observed.luma + (1.0 - kept) * luma
        chroma = kept[..., None] * observed.chroma + (1.0 - kept[..., None]) * chroma
    rim = feather(domain.skin, _RIM * domain.scale)[..., None]
    skin = join_detail(low, luma, chroma, beta)
    base[domain.box] = rim * skin + (1.0 - rim) * base[domain.box]
    record = {**record, "blur": blur, "beta": [round(float(b), 4) for b in beta]}
    timings = {"texture": prepared - started, "detail": time.perf_counter() - prepared}
    return reconstruction(context, srgb_to_linear(linear_to_srgb(base)), record, timings)


def _kept_weight(seen: NDArray[np.bool_], blur: float, scale: float) -> NDArray[np.float32]:
    """``(H, W)`` weight of the observed detail: 1 on sharply seen skin, 0 elsewhere."""
    if blur > 0.0:
        return np.zeros(seen.shape, np.float32)
    return feather(erode(seen, _KEEP_MARGIN * scale), _KEEP_FEATHER * scale)


def _infer(
    observed: Residual,
    albedo: NDArray[np.float32],
    seen: NDArray[np.bool_],
    blur: float,
    kept: NDArray[np.float32],
    details: DetailDatabase,
    chosen: dict[str, Any],
    context: Context,
) -> tuple[NDArray[np.float32], NDArray[np.float32], dict[str, Any]]:
    """Luma and chroma detail for the whole skin domain, and what is to be recorded of how it came about."""
    domain = details.domain
    name = resolve_extractor(context.features, learned_first=False)
    extractor = residual_extractor(name)
    shown = observed
    if blur > 0.0:
        sharper = restored(albedo, context.observation.visible[domain.box], blur * domain.scale)
        shown = split_detail(np.maximum(sharper, 0.0), seen, domain.scale)
    energy = predict_energy(shown, albedo, seen, blur, details)
    white = whiten(observed.luma, seen, domain)
    matched = match_database(white, seen, blur, details, extractor, chosen["combination"])
    donor, detail = donor_detail(details, matched.combination.weights)
    luma = whiten(detail[..., 0], domain.skin, domain)
    record: dict[str, Any] = {
        "extractor": {"name": name, "identity": extractor.identity},
        "combination": chosen["combination"],
        "weights": _weights(details.database.ids, matched.combination.weights),
        "kkt": matched.combination.kkt,
        "donor": details.database.ids[donor],
        "energy_ridge": energy.ridge,
        "energy_spread": [round(float(s), 4) for s in energy.spread],
    }
    unseen = float((domain.skin & (kept < 0.5)).sum()) / float(domain.skin.sum())
    record["synthesised_share"] = round(unseen, 4)
    if unseen > _WORTH_SYNTHESIS:
        own = (white, seen) if blur == 0.0 else None
        luma, run = synthesise_detail(
            luma,
            matched,
            details,
            extractor,
            own,
            iterations=tuple(chosen["iterations"]),
            content=float(chosen["content"]),
            device=context.device,
        )
        record.update(run)
    # The blurred remainder fades out at the rim of what is seen, or the rim itself would show.
    remainder = feather(seen, _RIM * domain.scale) * shown.luma if blur > 0.0 else np.zeros_like(luma)
    target = energy.log_deviation + np.log(max(float(chosen["strength"]), 1e-3))
    luma, chroma = shape_energy(luma, detail[..., 1:], target, remainder, blur, details)
    return luma, chroma, record


def _weights(ids: tuple[str, ...], weights: NDArray[np.float64]) -> dict[str, float]:
    """The weights that matter, largest first."""
    order = np.argsort(weights)[::-1]
    return {ids[i]: round(float(weights[i]), 4) for i in order if abs(weights[i]) >= 1e-3}
