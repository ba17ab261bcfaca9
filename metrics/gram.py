"""Correlation distance: the statistic that textures are synthesised by, result against reference, layer by layer.

With the masked feature correlations ``G^l = (1/|M|) Σ_{p∈M} F_p F_pᵀ`` of ``recon.texture.correlation`` (Gatys, Ecker
and Bethge 2015; Saito et al. 2017, eq. 3),

    distance_l = ‖G^l(result) − G^l(reference)‖_F / ‖G^l(reference)‖_F

over the features of the relative detail below 4 texels at 512² (the sum of the bands of ``metrics.detail``), so that
tone and shading have no part in it. ``M`` is the region less the reach of the bands, eroded by that of the layer: no
feature that is counted has seen the edge of the region.

The random filter bank of ``recon.texture.features`` needs no weights and sees luma, and apart from it both axes of
chroma; it is rectified and linear, so a texture of c times the contrast lies at |c² − 1|. Trained trunks see luma as a
grey picture, in the layers whose features are no larger than pores and hairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from metrics.contract import Batch, Component, Judged, Metric, Weights
from metrics.detail import CHROMA, LUMA, PARTS, Detail, Part, details_of
from metrics.regions import eroded, region_key
from recon import assets
from recon.texture.detail_bands import SIGMAS, TRUNCATE

if TYPE_CHECKING:
    from torch import Tensor

    from recon.texture.features import FeatureExtractor

FILTERS = 16
"""Filters of each size in the bank: 48 features a layer."""
SIZES = (3, 7, 11)
DRAW = 0
BANK_LAYERS = ("fine", "coarse")
TRUNK_LAYERS = ("conv1_1", "conv2_1", "conv3_1")
"""Layers of a trunk that see single pores and hairs."""
LEAST_TEXELS = 1024
"""Texels of the map, however coarse the layer: on fewer a matrix of correlations is noise."""
UNIT_CONTRAST = 0.03
"""Relative contrast that a network is shown as unit deviation: about that of skin. Trunks have thresholds."""


@lru_cache(maxsize=4)
def _bank(part: Part, device: str) -> FeatureExtractor:
    from recon.texture.features import FilterBank

    channels = 1 if part == "luma" else 2
    return FilterBank(channels, levels=len(BANK_LAYERS), sizes=SIZES, filters=FILTERS, draw=DRAW).to(device)


@lru_cache(maxsize=4)
def _trunk(name: str, device: str) -> FeatureExtractor:
    from recon.texture.features import load_extractor

    return load_extractor(name, 1, TRUNK_LAYERS).to(device)


def masked_correlations(detail: Detail, extractor: FeatureExtractor, device: str) -> list[Tensor | None]:
    """Correlation ``(C, C)`` of every layer over what it sees of the region; None where that is too little.

    Args:
        extractor: on ``device``, for as many channels as ``detail`` has planes (a trunk: one).
    """
    import torch

    from metrics.networks.features import exactly
    from recon.texture.correlation import cell_correlations, layer_cells

    seen = [eroded(detail.counted, int(np.ceil(layer.radius))) for layer in extractor.layers]
    enough = [int(mask.sum()) >= LEAST_TEXELS for mask in seen]
    if not any(enough):
        return [None] * len(seen)
    residual = torch.from_numpy(detail.bands.sum(axis=1) / np.float32(UNIT_CONTRAST))[None]
    found: list[Tensor | None] = []
    with exactly():
        for layer, mask, wanted, features in zip(
            extractor.layers, seen, enough, extractor(residual.to(device)), strict=True
        ):
            cells = layer_cells(torch.from_numpy(mask)[None], layer, (features.shape[-2], features.shape[-1]))
            found.append(cell_correlations(features[0], cells.to(device))[0].cpu() if wanted else None)
    return found


def correlation_distance(result: Tensor | None, reference: Tensor | None) -> float:
    """Relative Frobenius distance of two ``(C, C)`` matrices; NaN where one is missing or the reference is zero."""
    if result is None or reference is None:
        return float("nan")
    norm = float(reference.double().norm())
    return float((result.double() - reference.double()).norm()) / norm if norm > 0 else float("nan")


def _distances(judged: Judged, part: Part, extractor: FeatureExtractor, device: str) -> list[float]:
    key = ("correlations", extractor.identity, part, region_key(judged.region), device)
    result, reference = details_of(judged, part)
    wanted = judged.of_reference.get(key, lambda: masked_correlations(reference, extractor, device))
    found = masked_correlations(result, extractor, device)
    return [correlation_distance(ours, theirs) for ours, theirs in zip(found, wanted, strict=True)]


def bank_distances(batch: Batch, device: str) -> Sequence[Sequence[float]]:
    """Correlation distance by the filter bank, of each member: luma fine and coarse, then chroma."""
    return [
        [value for part in PARTS for value in _distances(judged, part, _bank(part, device), device)] for judged in batch
    ]


def trunk_distances(batch: Batch, device: str, name: str) -> Sequence[Sequence[float]]:
    """Correlation distance by the trunk ``name`` of each member, layer by layer.

    Raises:
        AssetError: its weights are absent or are not the right file.
    """
    return [_distances(judged, "luma", _trunk(name, device), device) for judged in batch]


def loaded_weights(name: str) -> Weights:
    """What the trunk ``name`` really holds.

    Raises:
        AssetError: its weights are absent or are not the right file.
    """
    path = assets.require(name)  # absent weights are told at once, without the import of torch
    from metrics.networks.weights import tensors_sha256

    return Weights(name, tensors_sha256(_trunk(name, "cpu").state_dict()), path.name)


_PARAMETERS: dict[str, Any] = {
    "sigmas_at_512": list(SIGMAS),
    "truncate": TRUNCATE,
    "luma": LUMA,
    "unit_contrast": UNIT_CONTRAST,
    "least_texels": LEAST_TEXELS,
}

GRAM = Metric(
    components=tuple(Component(f"correlation distance ({part}, {layer})") for part in PARTS for layer in BANK_LAYERS),
    library="mesoface",
    version="2",
    parameters={
        **_PARAMETERS,
        "chroma": CHROMA,
        "features": "filter-bank",
        "sizes": list(SIZES),
        "filters": FILTERS,
        "draw": DRAW,
    },
    spaces=frozenset({"uv"}),
    measure=bank_distances,
)


def trunk_metric(name: str) -> Metric:
    """The correlation distance on a trunk of ``recon.texture.features``."""
    return Metric(
        components=tuple(Component(f"correlation distance ({name}, {layer})") for layer in TRUNK_LAYERS),
        library="mesoface",
        version="2",
        parameters={**_PARAMETERS, "features": name, "pooling": "average"},
        spaces=frozenset({"uv"}),
        measure=partial(trunk_distances, name=name),
        weights=partial(loaded_weights, name),
    )


GRAM_VGG16_HED = trunk_metric("vgg16-hed")
GRAM_VGG19 = trunk_metric("vgg19")
