"""Skin tone: the individual typology angle of a result beside that of its reference, and fairness over tone groups.

``ITA = atan2(L* − 50, b*)`` in degrees (Chardon, Cretois and Hourseau 1991), of the mean albedo of a region, averaged
in linear light; high for light skin. Six groups are told apart by it, cut at 55, 41, 28, 10 and −30°. As in the FAIR
benchmark (Feng, Bolkart, Tesch, Black and Abrevaya 2022, arXiv 2205.03962), with ``e_i = |ITA(result) −
ITA(reference)|`` of person ``i`` and ``E_g`` the mean of ``e_i`` over the people of group ``g``, which are told apart
by the reference's own angle:

    average = mean_g E_g,    bias = standard deviation of E_g over groups (n − 1),    total = average + bias

Every group counts alike, however many belong to it: a method that serves only those who are many is not excused. FAIR
has people in all six groups; over fewer groups *average* and *bias* are not comparable with its tables, so the number
of people in each group stands beside them. FAIR averages over its own skin mask, here it is the region of the row.

*ITA error* is against the photograph's own albedo, unwrapped with the same fit and light, so whatever the light
estimate gets wrong is in both and costs nothing; *ITA error (truth)* is against the captured or made albedo, as in
FAIR.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Batch, Component, Judged, Memo, Metric, Reference, SetMetric, one_by_one
from metrics.regions import region_key
from recon.colour import linear_to_srgb, srgb_to_linear
from recon.skin_tone import TONE_CUTS, TONE_GROUPS, individual_typology_angle

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

PARAMETERS: Mapping[str, object] = {
    "ita": "atan2(L* - 50, b*)",
    "illuminant": "D65",
    "observer": "2",
    "mean": "albedo, linear light",
}


def typology_angle(srgb: Image, mask: Mask) -> float:
    """Individual typology angle in degrees of the mean albedo inside ``mask``; NaN on an empty mask.

    Args:
        srgb: ``(H, W, 3)`` sRGB-encoded albedo in [0, 1]; averaged in linear light.
        mask: ``(H, W)`` bool.
    """
    from skimage.color import rgb2lab

    if not mask.any():
        return float("nan")
    mean = srgb_to_linear(srgb[mask]).astype(np.float64).mean(axis=0)
    lightness, a, b = rgb2lab(linear_to_srgb(mean)[None].astype(np.float64))[0]
    return individual_typology_angle((float(lightness), float(a), float(b)))


def angle_between(first: NDArray[np.floating] | float, second: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """``first − second`` in degrees, the short way round: in [−180, 180), of any shape."""
    apart = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.asarray((apart + 180.0) % 360.0 - 180.0)


def _groups_of(angles: NDArray[np.floating]) -> NDArray[np.int64]:
    """``(N,)`` index into :data:`TONE_GROUPS` of each angle; one that lies on a cut belongs to the darker side."""
    return np.asarray((angles[:, None] <= np.array(TONE_CUTS)).sum(axis=1), np.int64)


def fair_scores(
    errors: NDArray[np.floating], groups: NDArray[np.integer]
) -> tuple[float, float, float, NDArray[np.float64]]:
    """Average, bias, total and mean error of each group, after Feng et al. (2022); see the module.

    Args:
        errors: ``(N,)`` of each person, not negative.
        groups: ``(N,)`` index into :data:`TONE_GROUPS`.

    Returns:
        average, bias and total in the unit of ``errors``, NaN where no group, or for *bias* and *total* only one, has
        people; and ``(6,)`` float64, NaN for groups without people.
    """
    people = np.bincount(groups, minlength=len(TONE_GROUPS))
    sums = np.bincount(groups, weights=errors, minlength=len(TONE_GROUPS))
    by_group = np.where(people > 0, sums / np.maximum(people, 1), np.nan)
    known = by_group[people > 0]
    average = float(known.mean()) if known.size else float("nan")
    bias = float(known.std(ddof=1)) if known.size > 1 else float("nan")
    return average, bias, average + bias, by_group


def _angle(memo: Memo, picture: Image, region: Mask) -> float:
    """The angle of one side of a pair, worked out once for all metrics that ask."""
    return memo.get(("ITA", region_key(region)), lambda: typology_angle(picture, region))


def tone_error(judged: Judged) -> list[float]:
    """ITA error, ITA of the reference, and ITA of the result less that of the reference; degrees."""
    wanted = _angle(judged.of_reference, judged.reference, judged.region)
    apart = float(angle_between(_angle(judged.of_result, judged.result, judged.region), wanted))
    return [abs(apart), wanted, apart]


def _describe(batch: Batch, device: str) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The angle ``(1,)`` of either side."""
    return [
        (
            np.array([_angle(judged.of_result, judged.result, judged.region)], np.float32),
            np.array([_angle(judged.of_reference, judged.reference, judged.region)], np.float32),
        )
        for judged in batch
    ]


def _names(suffix: str) -> tuple[str, str, str, list[str], list[str]]:
    """Names of average, bias, total, error of each group and people of each group."""
    average, bias, total = (f"ITA error ({noun}{suffix})" for noun in ("average of groups", "bias", "total"))
    errors = [f"ITA error ({group}{suffix})" for group in TONE_GROUPS]
    return average, bias, total, errors, [f"people ({group}{suffix})" for group in TONE_GROUPS]


def _gatherer(
    suffix: str,
) -> Callable[[Sequence[str], NDArray[np.float32], NDArray[np.float32]], dict[str, float | NDArray[np.floating]]]:
    """``gather`` of a set metric whose components end in ``suffix``."""

    def gather(
        subjects: Sequence[str], of_results: NDArray[np.float32], of_references: NDArray[np.float32]
    ) -> dict[str, float | NDArray[np.floating]]:
        groups = _groups_of(of_references[:, 0])
        errors = np.abs(angle_between(of_results[:, 0], of_references[:, 0]))
        scores = fair_scores(errors, groups)
        average, bias, total, error_names, people_names = _names(suffix)
        people = np.bincount(groups, minlength=len(TONE_GROUPS))
        return {
            **dict(zip((average, bias, total), scores[:3], strict=True)),
            **{name: float(value) for name, value in zip(error_names, scores[3], strict=True)},
            **{name: float(value) for name, value in zip(people_names, people, strict=True)},
        }

    return gather


def tone_metric(suffix: str, reference: Reference, parameters: Mapping[str, object]) -> Metric:
    """The metric of single results whose components end in ``suffix``, empty or ``" (truth)"``."""
    return Metric(
        components=(
            Component(f"ITA error{suffix}", "°"),
            Component(f"ITA of the reference{suffix}", "°", "none"),
            Component(f"ITA difference{suffix}", "°", "none"),
        ),
        library="scikit-image",
        version=version("scikit-image"),
        parameters={**PARAMETERS, **parameters},
        spaces=frozenset({"uv"}),
        measure=one_by_one(tone_error),
        reference=reference,
    )


def tone_group_metric(suffix: str, reference: Reference, parameters: Mapping[str, object]) -> SetMetric:
    """FAIR's scores over a set; ``suffix`` goes inside the brackets of the components' names."""
    average, bias, total, error_names, people_names = _names(suffix)
    return SetMetric(
        components=(
            *(Component(name, "°") for name in (average, bias, total, *error_names)),
            *(Component(name, direction="none") for name in people_names),
        ),
        library="scikit-image",
        version=version("scikit-image"),
        parameters={**PARAMETERS, **parameters, "cuts": list(TONE_CUTS), "bias": "standard deviation, n - 1"},
        spaces=frozenset({"uv"}),
        describe=_describe,
        gather=_gatherer(suffix),
        reference=reference,
    )


TONE = tone_metric("", "photograph", {"recipe": 1})
TONE_GROUP_ERRORS = tone_group_metric("", "photograph", {"recipe": 1})
