"""Putting a rendered face over a photograph or a background, with a soft edge."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from recon.colour import linear_to_srgb, srgb_to_linear
from recon.errors import InputError
from recon.rendering.hdr import tone_map
from recon.rendering.sampling import layout, sample_bilinear
from recon.rendering.view import View

Float = NDArray[np.float32]

# sRGB-encoded 0.5: the neutral grey behind heads that are shown alone.
NEUTRAL_BACKGROUND = (0.2140, 0.2140, 0.2140)


def face_region(view: View, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(H, W)`` bool: pixels whose centre shows skin that ``mask`` ``(S, S)`` (UV, row 0 at v = 1) holds for."""
    size = mask.shape[0]
    if mask.shape != (size, size):
        raise InputError(f"a UV mask must be square, this one is {mask.shape}.")
    region = np.zeros(view.alpha.shape, bool)
    # Half of the bilinear weight inside is inside; what lies off the UV island neither counts for nor against.
    known = layout(view.scene.model, size).covered
    weights = np.stack([mask & known, known], axis=-1).astype(np.float32)
    inside, total = sample_bilinear(weights, view.uv[view.skin]).T
    region[view.skin] = inside > 0.5 * np.maximum(total, 1e-6)
    return region


def face_alpha(view: View, mask: NDArray[np.bool_], feather_px: float = 0.0) -> Float:
    """``(H, W)`` float32 in [0, 1]: how much of each pixel the rendered face replaces.

    Args:
        mask: ``(S, S)`` bool over the UV square, row 0 at v = 1: texels that the method vouches for.
        feather_px: the edge rises smoothly from 0 to 1 over this many pixels *inside* the region, so that nothing
            outside the mask is ever replaced.
    """
    region = face_region(view, mask)
    if feather_px <= 0 or not region.any():
        return region.astype(np.float32)
    # The picture's own border is not an edge of the face: pad by the nearest pixel.
    padded = np.pad(region, 1, mode="edge")
    depth = distance_transform_edt(padded)[1:-1, 1:-1]
    t = np.clip((depth - 0.5) / feather_px, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def composite(
    photograph_srgb: Float, view: View, feather_px: float = 8.0, mask: NDArray[np.bool_] | None = None
) -> Float:
    """The rendered face over the photograph, ``(H, W, 3)`` float32 sRGB-encoded; blended in linear light.

    Args:
        photograph_srgb: ``(H, W, 3)`` float32 in [0, 1]; untouched, to the bit, where the face does not cover it.
        feather_px: see :func:`face_alpha`.
        mask: UV mask of the region to replace; None takes all textured skin.

    Raises:
        InputError: photograph and view differ in size.
    """
    if photograph_srgb.shape[:2] != view.alpha.shape:
        raise InputError(
            f"the photograph is {photograph_srgb.shape[1]}×{photograph_srgb.shape[0]} but the view is "
            f"{view.alpha.shape[1]}×{view.alpha.shape[0]}: render with the photograph's own camera."
        )
    if mask is None:
        mask = layout(view.scene.model, view.scene.albedo.shape[0]).covered
    alpha = face_alpha(view, mask, feather_px)
    touched = alpha > 0
    share = alpha[touched][:, None]
    blended = share * view.radiance[touched] + (1 - share) * srgb_to_linear(photograph_srgb[touched])
    result = np.array(photograph_srgb, np.float32)
    result[touched] = linear_to_srgb(blended)
    return result


def over_background(view: View, background: tuple[float, float, float] = NEUTRAL_BACKGROUND) -> Float:
    """The view over an even background (linear RGB), ``(H, W, 3)`` float32 sRGB-encoded."""
    alpha = view.alpha[..., None]
    return linear_to_srgb(view.radiance * alpha + np.asarray(background, np.float32) * (1 - alpha))


def tone_mapped(view: View, background: tuple[float, float, float] = NEUTRAL_BACKGROUND) -> Float:
    """As :func:`over_background`, its highlights rolled off by :func:`recon.rendering.hdr.tone_map`."""
    alpha = view.alpha[..., None]
    return tone_map(view.radiance * alpha + np.asarray(background, np.float32) * (1 - alpha))
