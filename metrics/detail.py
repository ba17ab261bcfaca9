"""Detail energy: how much fine relief of tone a texture carries, band by band, against its reference.

Let ``Y`` be the luma of the sRGB-encoded albedo in UV, and ``G(σ)`` its masked Gaussian mean (normalised convolution:
nothing outside the mask is read) with σ in texels at 512², scaled with the size of the map. The Laplacian bands
(Burt and Adelson 1983) of relative detail are

    band_k = (G(σ_{k−1}) − G(σ_k)) / G(σ_3),    σ = 0, 1, 2, 4    (fine: 0–1, mid: 1–2, coarse: 2–4)

and the energy of a band is its mean square over the region eroded by ``3 σ_3`` texels, the reach of the widest kernel,
so that no texel that is counted has seen the edge of the mask. ``detail-energy ratio = energy(result) /
energy(reference)``; 1 is ideal, below 1 too soft, above 1 too rough. It separates soft textures from detailed ones; it
does not rank detailed ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Metric, one_by_one
from recon.colour import LUMINANCE
from recon.texture.bands import SIGMAS, TRUNCATE, band_sigmas, split_bands
from recon.texture.masked import erode

BANDS = ("fine", "mid", "coarse")


def laplacian_bands(
    luma: NDArray[np.floating], mask: NDArray[np.bool_], sigmas: tuple[float, ...] | None = None
) -> NDArray[np.float32]:
    """Relative Laplacian bands of ``luma``, fine to coarse.

    Args:
        luma: ``(S, S)`` in [0, 1]; values outside ``mask`` are ignored, NaN included.
        mask: ``(S, S)`` bool.
        sigmas: rising low-passes in texels; those of :func:`band_sigmas` if None.

    Returns:
        ``(len(sigmas), S, S)`` float32, dimensionless, 0 outside ``mask``.
    """
    widths = band_sigmas(luma.shape[0]) if sigmas is None else sigmas
    bands, low = split_bands(luma, mask, widths)
    # A black texel has no relative detail; the floor is one step of an 8-bit encoding.
    return np.asarray(bands / np.maximum(low, 1.0 / 255.0), np.float32)


def measured_region(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(S, S)`` bool: ``mask`` without its rim of three times the widest σ, where bands would feel the edge."""
    return erode(mask, TRUNCATE * max(band_sigmas(mask.shape[0])))


def detail_energy(albedo_srgb: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean square of the relative detail in each band inside ``mask``.

    Args:
        albedo_srgb: ``(S, S, 3)`` sRGB-encoded albedo in [0, 1]; ignored outside ``mask``.
        mask: ``(S, S)`` bool region.

    Returns:
        ``(3,)`` float64, fine to coarse; NaN where the eroded region is empty.
    """
    region = measured_region(mask)
    if not region.any():
        return np.full(len(BANDS), np.nan)
    inside = np.where(mask[..., None], albedo_srgb, 0.0).astype(np.float32)
    bands = laplacian_bands(inside @ LUMINANCE, mask)
    return np.asarray(np.square(bands[:, region], dtype=np.float64).mean(axis=1))


def detail_energy_ratio(
    result_srgb: NDArray[np.floating], reference_srgb: NDArray[np.floating], mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """``(3,)`` float64 energy of ``result_srgb`` over that of ``reference_srgb`` in each band; both ``(S, S, 3)``.

    NaN where the region is too small or where the reference has no detail at all.
    """
    wanted = detail_energy(reference_srgb, mask)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(wanted > 0, detail_energy(result_srgb, mask) / wanted, np.nan)


DETAIL = Metric(
    components=tuple(Component(f"detail-energy ratio ({band})", direction="one") for band in BANDS),
    library="mesoface",
    version="1",
    parameters={"sigmas_at_512": list(SIGMAS), "truncate": TRUNCATE, "luma": "Rec. 709 of sRGB-encoded albedo"},
    spaces=frozenset({"uv"}),
    measure=one_by_one(lambda judged: detail_energy_ratio(judged.result, judged.reference, judged.region).tolist()),
)
