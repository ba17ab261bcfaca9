"""Which visible texels are skin: the model's regions, a colour model of this very person, hair and clipping."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon.colour import linear_to_srgb, luminance
from recon.face_model.model import MorphableModel
from recon.texture.masked import dilate, erode, masked_gaussian
from recon.texture.unwrap import Surface
from recon.texture.uv_map import UVMap

# Regions whose texels are never called skin, dilated by this share of the UV square's side.
_FEATURES = {"eyes": 0.012, "brows": 0.008, "lips": 0.006, "nostrils": 0.006, "mouth_interior": 0.0}
# Clipped if any channel of the photograph reaches this encoded value.
_CLIPPED = 0.985
# Texels that face the camera less than this are stretched too far to judge texture.
_LEAST_FACING = 0.35
# Robust deviations from the person's own skin colour beyond which a texel is not skin. Shading left over by the fit
# moves lightness more than chroma, so lightness is given more room.
_LIGHTNESS_ROOM = 5.0
_CHROMA_ROOM = 5.0
# Hair and beard: local contrast this many times the person's median.
_CONTRAST_ROOM = 4.0
# Stubble belongs to the skin, a beard does not: where beards grow, all three rooms are wider by this factor.
_BEARD_ROOM = 1.7


def feature_mask(model: MorphableModel, layout: UVMap) -> NDArray[np.bool_]:
    """``(S, S)`` bool: eyes, brows, lips, nostrils and mouth interior with a margin."""
    taken = np.zeros(layout.triangle.shape, bool)
    for name, margin in _FEATURES.items():
        if name in model.regions:
            region = layout.interpolate(model.regions[name][:, None].astype(np.float32))[..., 0] > 0.5
            taken |= dilate(region, margin * layout.size)
    return taken


def face_mask(model: MorphableModel, layout: UVMap) -> NDArray[np.bool_]:
    """``(S, S)`` bool: the face region of the model (no neck, no scalp, no ears)."""
    return layout.interpolate(model.regions["face"][:, None].astype(np.float32))[..., 0] > 0.5


def beard_region(model: MorphableModel, layout: UVMap) -> NDArray[np.bool_]:
    """``(S, S)`` bool: jaw, chin and upper lip, and the cheeks below the nose."""
    wanted = np.zeros(len(model.mean), bool)
    for name in ("jaw", "chin", "upper_lip"):
        wanted |= model.regions[name]
    lowest = model.mean[model.regions["nose"], 1].min()
    wanted |= model.regions["cheeks"] & (model.mean[:, 1] < lowest)
    return layout.interpolate(wanted[:, None].astype(np.float32))[..., 0] > 0.5


def find_skin(
    radiance: NDArray[np.float32],
    albedo: NDArray[np.float32],
    seen: Surface,
    model: MorphableModel,
    layout: UVMap,
) -> tuple[NDArray[np.bool_], dict[str, Any]]:
    """Skin among the visible texels.

    The person's own colour is learnt robustly (median and median absolute deviation) in log albedo over cheeks and
    nose, split into lightness and two opponent ratios; a texel whose neighbourhood strays from it, or whose local
    contrast is that of hair, is not skin. The forehead teaches nothing: a fringe on it would make hair skin.

    Returns:
        ``(S, S)`` bool mask and a record: the share removed by each rule.
    """
    candidate = seen.visible & face_mask(model, layout) & ~feature_mask(model, layout) & (seen.facing > _LEAST_FACING)
    scale = layout.size / 512.0
    clipped = linear_to_srgb(radiance).max(axis=-1) > _CLIPPED
    logs = np.log(np.maximum(albedo, 1e-4))
    opponent = np.stack(
        [logs @ np.full(3, 1 / 3, np.float32), logs[..., 0] - logs[..., 1], logs[..., 1] - logs[..., 2]], -1
    )
    smooth = masked_gaussian(opponent, seen.visible, 2.0 * scale)

    core = np.zeros(candidate.shape, bool)
    for name in ("cheeks", "nose"):
        core |= layout.interpolate(model.regions[name][:, None].astype(np.float32))[..., 0] > 0.5
    core &= candidate & ~clipped & (seen.facing > 0.6)
    if core.sum() < 50:
        core = candidate & ~clipped
    if core.sum() < 50:
        return np.zeros_like(candidate), {"skin_removed": {"unseen": 1.0}}
    centre = np.median(smooth[core], axis=0)
    spread = 1.4826 * np.median(np.abs(smooth[core] - centre), axis=0)
    spread = np.maximum(spread, [0.06, 0.03, 0.04])
    distance = np.abs(smooth - centre) / spread
    room = np.where(beard_region(model, layout), _BEARD_ROOM, 1.0)
    off_colour = (distance[..., 0] > _LIGHTNESS_ROOM * room) | (distance[..., 1:] > _CHROMA_ROOM * room[..., None]).any(
        -1
    )

    luma = np.log(np.maximum(luminance(albedo), 1e-4))
    residual = luma - masked_gaussian(luma, seen.visible, 4.0 * scale)
    contrast = np.sqrt(np.maximum(masked_gaussian(residual**2, seen.visible, 3.0 * scale), 0))
    hairy = contrast > room * _CONTRAST_ROOM * np.median(contrast[core])

    skin = candidate & ~clipped & ~dilate(off_colour & seen.visible, 1.5 * scale) & ~(hairy & seen.visible)
    # Single texels and thin whiskers of skin between hairs are of no use to a texture statistic.
    skin = dilate(erode(skin, 2.0 * scale), 2.0 * scale) & skin
    total = max(int(candidate.sum()), 1)
    removed = {
        "clipped": float((candidate & clipped).sum() / total),
        "colour": float((candidate & off_colour).sum() / total),
        "hair": float((candidate & hairy).sum() / total),
    }
    return skin, {"skin_removed": removed}
