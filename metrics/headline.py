"""What a table shows unless it is told otherwise: a few metrics that say different things, where they say them.

A run has dozens of numbers a result, and most repeat each other in another layer, band or net. A metric of an outside
package is always shown: who installs one wants to see it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from metrics.comparison import Place

_BANDS = ("fine", "mid", "coarse")
SHOWN = {
    "uv": (
        "PSNR",
        "SSIM",
        "ΔE2000",
        *(f"detail-energy ratio ({band})" for band in _BANDS),
        "spectrum distance (luma)",
        "patch distance (luma)",
        "ITA error",
        "albedo ΔE2000 (truth)",
        "albedo ΔE2000 (truth, one gain)",
        "ITA error (truth)",
        *(f"detail-energy ratio (truth, {band})" for band in _BANDS),
    ),
    "image": ("PSNR", "SSIM", "LPIPS (alex)", "DISTS", "FLIP", "identity similarity", "KID"),
    "shape": (
        "vertex distance (truth, similarity)",
        "vertex distance (truth, rigid)",
        "scan-to-mesh distance (truth, median)",
    ),
}
VIEWS = frozenset({"albedo", "fitted", "head"})

COVERAGE = "coverage"
# Coverage is left out while every method vouches for nearly all of the region.
NEARLY_ALL = 0.95


def chosen_metrics(
    places: Iterable[Place], built_in: Collection[str], *, any_view: bool = False
) -> Callable[[Place], bool]:
    """Whether a place's metric and view belong into a table; all do where none is known here.

    Args:
        built_in: registry names of the metrics that come with mesoface.
        any_view: whether views were chosen already.
    """

    def known(place: Place) -> bool:
        named = place.metric in SHOWN.get(place.space, ()) or place.metric == COVERAGE
        return (named or place.family not in built_in) and (any_view or place.view in VIEWS)

    return known if any(known(place) for place in places) else lambda place: True


def chosen_regions(places: Iterable[Place]) -> Callable[[Place], bool]:
    """Whether a place's region says what others do not: visible and withheld where skin was withheld, else all."""
    split = {"skin/visible", "skin/withheld"}
    # By way of looking, so that a filter by region leaves what it was asked for.
    regions: dict[tuple[str, str, str, str], set[str]] = {}
    for place in places:
        regions.setdefault(_look(place), set()).add(place.region)

    def chosen(place: Place) -> bool:
        there = regions[_look(place)]
        if not place.region.startswith("skin/") or "skin/all" not in there:
            return True
        if "skin/withheld" in there:
            return place.region in split
        return place.region == "skin/all"

    return chosen


def _look(place: Place) -> tuple[str, str, str, str]:
    return place.protocol, place.space, place.view, place.reference
