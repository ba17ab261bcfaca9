"""How ``visio`` infers a texture: see :mod:`recon.methods.visio`, which tells what it is and takes part in a run.

Apart from it, since a command that only asks for a method's parameters must not load PyTorch and SciPy's solvers.
"""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.methods.contract import Context, Reconstruction
from recon.methods.result import reconstruction
from recon.texture.completion import completed, pca_texture
from recon.texture.database import TextureDatabase
from recon.texture.gradient_blend import blend
from recon.texture.masked import feather
from recon.texture.patch_library import PatchLibrary, patch_library
from recon.texture.quilting import Quilt, quilt
from recon.texture.residual import split_detail
from recon.texture.skin_detail import estimate_blur

# All in texels at 512². The detail fades into the completed texture over _RIM; the colour turns from the completed
# texture's to the PCA texture's over _TONE_RIM; a seam's correction reaches _BLEND far.
_RIM, _TONE_RIM, _BLEND = 6.0, 24.0, 12.0
# Share of the skin domain below which the skin that is seen says nothing of sharpness and tone.
_LEAST_SEEN = 0.02


@lru_cache(maxsize=2)
def library_of(database: TextureDatabase, patch: int, overlap: int, modes: int) -> PatchLibrary:
    """The patches of a database, held in memory while a worker uses them."""
    return patch_library(database, patch, overlap, modes)


def infer(context: Context, database: TextureDatabase, chosen: dict[str, Any]) -> Reconstruction:
    """See :class:`recon.methods.visio.Visio`; ``chosen`` are its parameters, checked."""
    started = time.perf_counter()
    texture, coefficients = pca_texture(context.observation, database)
    library = library_of(database, chosen["patch"], chosen["overlap"], chosen["modes"])
    seen = _seen(context, library)
    blur = _blur(context, seen, library)
    base = srgb_to_linear(completed(context.observation, context.model, texture, blur))
    prepared = time.perf_counter()

    rougher = library.roughness - library.expected_roughness(coefficients)[:, None]
    distance = chosen["agreement"] * (library.distance(texture) + rougher**2)
    found = quilt(library, distance, chosen["candidates"], np.random.default_rng(context.seed))
    domain = library.domain
    detail = blend(found, library.detail, library.valid, domain.skin, _BLEND * domain.scale)
    low = _low_frequencies(srgb_to_linear(texture[domain.box]), base[domain.box], seen, library)
    rim = feather(domain.skin, _RIM * domain.scale)[..., None]
    base[domain.box] = rim * (low * np.exp(detail)) + (1.0 - rim) * base[domain.box]
    record = {
        "components": len(coefficients),
        "blur": blur,
        "places": len(library.corners),
        **_shares(found, library, database),
    }
    timings = {"texture": prepared - started, "detail": time.perf_counter() - prepared}
    return reconstruction(context, srgb_to_linear(linear_to_srgb(base)), record, timings)


def _seen(context: Context, library: PatchLibrary) -> NDArray[np.bool_]:
    """``(H, W)`` bool: visible skin of the domain; nothing, where that is too little to say anything of it."""
    skin = library.domain.skin
    seen = context.observation.skin[library.domain.box] & skin
    return seen if seen.sum() >= _LEAST_SEEN * skin.sum() else np.zeros_like(seen)


def _blur(context: Context, seen: NDArray[np.bool_], library: PatchLibrary) -> float:
    """Blur of the photograph, texels at 512²: how much of brows and lashes the completion must supply."""
    if not seen.any():
        return 0.0
    observed = split_detail(context.observation.albedo[library.domain.box], seen, library.domain.scale)
    return estimate_blur(observed, seen, library.details)


def _low_frequencies(
    pca: NDArray[np.float32], base: NDArray[np.float32], seen: NDArray[np.bool_], library: PatchLibrary
) -> NDArray[np.float32]:
    """``(H, W, 3)`` linear low-pass of the PCA texture, which becomes that of the completed one at the skin's rim.

    One factor a channel brings it to the tone of the skin that is seen: no model of few people spans every camera.
    """
    skin, scale = library.skin, library.domain.scale
    inner, outer = (np.log(np.maximum(split_detail(image, skin, scale).low, 1e-4)) for image in (pca, base))
    if seen.any():
        inner += np.median((outer - inner)[seen], axis=0)
    weight = feather(skin, _TONE_RIM * scale)[..., None]
    return np.asarray(np.exp(weight * inner + (1.0 - weight) * outer), np.float32)


def _shares(found: Quilt, library: PatchLibrary, database: TextureDatabase) -> dict[str, Any]:
    """Whose skin makes up the result, and how much of it nobody shows."""
    owners = found.owner[library.skin]
    counts = np.bincount(owners[owners >= 0], minlength=len(database)) / len(owners)
    order = np.argsort(-counts, kind="stable")
    return {
        "donors": {database.ids[i]: round(float(counts[i]), 4) for i in order if counts[i] > 0},
        "unowned": round(float((owners < 0).mean()), 4),
    }
