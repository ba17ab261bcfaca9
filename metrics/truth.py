"""How far an albedo lies from the true one, for subjects whose albedo was captured or made: colour, tone, detail.

Let ``a`` be the result's albedo and ``t`` the true one, in linear light, at the texels ``p`` of a region ``M``: skin
that the photograph shows, whose truth is known, and for which the method vouches.

- *albedo ΔE2000 (truth)* ``= 1/|M| Σ_p ΔE00(a_p, t_p)`` (CIEDE2000, Sharma, Wu and Dalal 2005; D65).
- *albedo ΔE2000 (truth, one gain)* ``= 1/|M| Σ_p ΔE00(g·a_p, t_p)``. A photograph fixes the product of exposure and
  albedo, not each alone, so one gain is given free: ``g = median_{p∈W} Y(t_p) / Y(a_p)``, ``Y`` the luminance (Rec.
  709) and ``W`` the regions of the picture together, so that a half which was made up too light stays too light. What
  ``g`` lifts above 1 is clipped as in any picture. This number is about hue, shading left in the albedo, and detail.
- *ITA error (truth)*: that of ``metrics.skin_tone``. ITA reads skin tone mainly from lightness, so no gain is given
  free here.
- *detail-energy ratio (truth, band)*: that of ``metrics.detail``, against the truth instead of the photograph.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Judged, Metric, one_by_one
from metrics.detail import BANDS
from metrics.detail import DETAIL as PHOTOGRAPHED_DETAIL
from metrics.pairs import TRUTH_AT_SIZE
from metrics.pixel import DELTA_E, delta_e
from metrics.skin_tone import tone_group_metric, tone_metric
from recon.colour import linear_to_srgb, luminance, srgb_to_linear

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

DARKEST = 0.001
"""Linear luminance below which a texel's quotient is not trusted: three steps of an 8-bit encoding above black."""


def one_gain(result: Image, truth: Image, mask: Mask) -> float:
    """The gain in linear light that brings ``result`` to the brightness of ``truth``: median quotient of luminances.

    Args:
        result, truth: ``(H, W, 3)`` sRGB-encoded in [0, 1]; read inside ``mask`` alone.
        mask: ``(H, W)`` bool.

    Returns:
        The gain; NaN where no texel of the mask is light enough in both.
    """
    ours, wanted = luminance(srgb_to_linear(result[mask])), luminance(srgb_to_linear(truth[mask]))
    light = (ours > DARKEST) & (wanted > DARKEST)
    return float(np.median(wanted[light].astype(np.float64) / ours[light])) if light.any() else float("nan")


def gained(result: Image, gain: float) -> NDArray[np.float32]:
    """``result``, sRGB-encoded of any shape, with its linear values times ``gain``, clipped to [0, 1]."""
    return linear_to_srgb(srgb_to_linear(result) * np.float32(gain))


def albedo_error(judged: Judged) -> list[float]:
    """Mean CIEDE2000 to the truth inside the region: as it is, and with one gain for the picture; see the module."""
    plain = delta_e(judged.result, judged.reference, judged.region)
    gain = one_gain(judged.result, judged.reference, judged.whole)
    if not np.isfinite(gain):
        return [plain, float("nan")]
    inside = np.where(judged.region[..., None], judged.result, 0.0)
    return [plain, delta_e(gained(inside, gain), judged.reference, judged.region)]


ALBEDO = Metric(
    components=(Component("albedo ΔE2000 (truth)"), Component("albedo ΔE2000 (truth, one gain)")),
    library=DELTA_E.library,
    version=DELTA_E.version,
    parameters={
        **DELTA_E.parameters,
        "mean": "over texels",
        "truth at size": TRUTH_AT_SIZE,
        "one gain": "median over all regions of true over own luminance (Rec. 709), linear light",
        "darkest": DARKEST,
        "recipe": 1,
    },
    spaces=frozenset({"uv"}),
    measure=one_by_one(albedo_error),
    reference="truth",
)

TONE = tone_metric(" (truth)", "truth", {"truth at size": TRUTH_AT_SIZE, "recipe": 2})
TONE_GROUP_ERRORS = tone_group_metric(", truth", "truth", {"truth at size": TRUTH_AT_SIZE, "recipe": 2})

DETAIL = Metric(
    components=tuple(Component(f"detail-energy ratio (truth, {band})", direction="one") for band in BANDS),
    library=PHOTOGRAPHED_DETAIL.library,
    version=PHOTOGRAPHED_DETAIL.version,
    parameters={**PHOTOGRAPHED_DETAIL.parameters, "truth at size": TRUTH_AT_SIZE},
    spaces=frozenset({"uv"}),
    measure=PHOTOGRAPHED_DETAIL.measure,
    reference="truth",
)
