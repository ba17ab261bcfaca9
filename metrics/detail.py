"""Detail energy: how much fine relief of tone a texture carries, band by band, against its reference.

Let ``Y`` be the luma of the sRGB-encoded albedo in UV, and ``G(σ)`` its masked Gaussian mean (normalised convolution:
nothing outside the mask is read) with σ in texels at 512², scaled with the size of the map. The Laplacian bands
(Burt and Adelson 1983) of relative detail are

    band_k = (G(σ_{k−1}) − G(σ_k)) / G(σ_3),    σ = 0, 1, 2, 4    (fine: 0–1, mid: 1–2, coarse: 2–4)

and the energy of a band is its mean square over the region eroded by ``3 σ_3`` texels, the reach of the widest kernel,
so that no texel that is counted has seen the edge of the mask. ``detail-energy ratio = energy(result) /
energy(reference)``; 1 is ideal, below 1 too soft, above 1 too rough. It separates soft textures from detailed ones; it
does not rank detailed ones.

The metrics of texture beside this one read the same bands, of luma and of chroma apart. Relative detail is to first
order that of a logarithm, so the axes of chroma are opponent chromaticities of the sRGB-encoded values,

    red–green = log R − log G,    yellow–blue = (log R + log G)/2 − log B

(the axes that Ruderman, Cronin and Chiao 1998 find in natural pictures, here of the display's primaries): where pores
or a remainder of shading scale all channels alike, neither changes. Differences such as a*, b* or Cb, Cr would change,
for skin is never grey, and would count every pore a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Component, Judged, Metric, one_by_one
from metrics.regions import box_around, region_key
from recon.colour import LUMINANCE
from recon.texture.detail_bands import REFERENCE_SIZE, SIGMAS, TRUNCATE, band_sigmas

BANDS = ("fine", "mid", "coarse")

Part = Literal["luma", "chroma"]
PARTS: tuple[Part, ...] = ("luma", "chroma")
LUMA = "Rec. 709 of sRGB-encoded albedo"
CHROMA = "log R/G and log √(RG)/B of sRGB-encoded albedo, to first order"

FAINTEST = 1e-8
"""Energy of a relative contrast of 0.01 %, added before a logarithm is taken: what is perfectly smooth keeps a finite
one. Rounding to 8 bits alone has 0.2 % at mid grey, and a hundredth of its energy in the coarse band."""


@dataclass(frozen=True, eq=False)
class Detail:
    """Relative detail of one picture inside a region, cut to the smallest box around what is counted.

    Attributes:
        bands: ``(P, 3, h, w)`` float32, dimensionless, fine to coarse, 0 outside the region; P is 1 for luma, 2 for
            chroma. Of height and width 0 where nothing is counted.
        counted: ``(h, w)`` bool: the region without the rim where bands feel its edge, :func:`measured_region`. What
            reads its neighbours as well counts where all that it reads lies in here: the normalised convolution is
            lopsided in the rim, and its few large values would outweigh the rest.
        scale: side of the whole map over 512, that is texels per texel at 512².
    """

    bands: NDArray[np.float32]
    counted: NDArray[np.bool_]
    scale: float


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
    from recon.texture.bands import split_bands

    widths = band_sigmas(luma.shape[0]) if sigmas is None else sigmas
    bands, low = split_bands(luma, mask, widths)
    # A black texel has no relative detail; the floor is one step of an 8-bit encoding.
    return np.asarray(bands / np.maximum(low, 1.0 / 255.0), np.float32)


def measured_region(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """``(S, S)`` bool: ``mask`` without its rim of three times the widest σ, where bands would feel the edge."""
    from recon.texture.masked import erode

    return erode(mask, _reach(mask.shape[0]))


def _reach(size: int) -> float:
    """Radius of the widest kernel in texels of a map of side ``size``."""
    return TRUNCATE * max(band_sigmas(size))


def relative_detail(albedo_srgb: NDArray[np.floating], region: NDArray[np.bool_], part: Part = "luma") -> Detail:
    """Bands of luma or of chroma inside ``region``.

    Args:
        albedo_srgb: ``(S, S, 3)`` sRGB-encoded in [0, 1]; ignored outside ``region``, NaN included.
        region: ``(S, S)`` bool.
    """
    from recon.texture.masked import erode

    size = region.shape[0]
    sigmas, scale = band_sigmas(size), size / REFERENCE_SIZE
    rows, columns = box_around(region) if region.any() else (slice(0, 0), slice(0, 0))
    inside = region[rows, columns]
    counted = erode(inside, _reach(size))
    if not counted.any():
        return Detail(np.zeros((1 if part == "luma" else 2, len(sigmas), 0, 0), np.float32), counted[:0, :0], scale)
    colours = np.where(inside[..., None], albedo_srgb[rows, columns], 0.0).astype(np.float32)
    if part == "luma":
        bands = laplacian_bands(colours @ LUMINANCE, inside, sigmas)[None]
    else:
        bands = opponents(np.stack([laplacian_bands(colours[..., c], inside, sigmas) for c in range(3)]))
    down, across = box_around(counted)
    return Detail(np.ascontiguousarray(bands[..., down, across]), counted[down, across].copy(), scale)


def opponents(channels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Red–green and yellow–blue ``(2, …)`` of the relative detail of red, green and blue ``(3, …)``; see the module."""
    red, green, blue = channels
    return np.stack([red - green, 0.5 * (red + green) - blue])


def details_of(judged: Judged, part: Part) -> tuple[Detail, Detail]:
    """The detail of the result and of the reference inside the region, worked out once for all metrics that ask."""
    key = ("detail", part, region_key(judged.region))
    return (
        judged.of_result.get(key, lambda: relative_detail(judged.result, judged.region, part)),
        judged.of_reference.get(key, lambda: relative_detail(judged.reference, judged.region, part)),
    )


def _energy(detail: Detail) -> NDArray[np.float64]:
    if not detail.counted.any():
        return np.full(len(BANDS), np.nan)
    return np.asarray(np.square(detail.bands[0][:, detail.counted], dtype=np.float64).mean(axis=1))


def _ratio(found: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(wanted > 0, found / wanted, np.nan)


def detail_energy(albedo_srgb: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean square of the relative detail of luma in each band inside ``mask``.

    Args:
        albedo_srgb: ``(S, S, 3)`` sRGB-encoded albedo in [0, 1]; ignored outside ``mask``.
        mask: ``(S, S)`` bool region.

    Returns:
        ``(3,)`` float64, fine to coarse; NaN where the eroded region is empty.
    """
    return _energy(relative_detail(albedo_srgb, mask))


def detail_energy_ratio(
    result_srgb: NDArray[np.floating], reference_srgb: NDArray[np.floating], mask: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """``(3,)`` float64 energy of ``result_srgb`` over that of ``reference_srgb`` in each band; both ``(S, S, 3)``.

    NaN where the region is too small or where the reference has no detail at all.
    """
    return _ratio(detail_energy(result_srgb, mask), detail_energy(reference_srgb, mask))


def detail_energy_ratios(judged: Judged) -> list[float]:
    """:func:`detail_energy_ratio` inside the region, with the bands that other metrics of texture share."""
    result, reference = details_of(judged, "luma")
    return _ratio(_energy(result), _energy(reference)).tolist()


DETAIL = Metric(
    components=tuple(Component(f"detail-energy ratio ({band})", direction="one") for band in BANDS),
    library="mesoface",
    version="1",
    parameters={"sigmas_at_512": list(SIGMAS), "truncate": TRUNCATE, "luma": LUMA},
    spaces=frozenset({"uv"}),
    measure=one_by_one(detail_energy_ratios),
)
