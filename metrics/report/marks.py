"""Marks and words that the text tables share: who is best, and short headings."""

from __future__ import annotations

from metrics.comparison import Place, Standing
from metrics.report.layout import ARROWS, Table
from metrics.statistics import SIGNIFICANT

BEST, TIED = "★", "☆"

LEGEND = (
    f"{BEST} best; {TIED} tied for best; no mark: nothing tells the methods apart. Sign-flip permutation test, paired "
    f"by subject, Holm's correction over all pairs of methods, {100 * SIGNIFICANT:g} %.",
    "Means over n subjects, with 95 % BCa bootstrap intervals; of ratios (→1) geometric means, which are compared by "
    "|log₂|, so that half and double are equally wrong.",
)

# Short headings, so that many metrics stand side by side.
_SHORT = {
    f"detail-energy ratio ({against}{band})": f"detail ({against}{band})" if against else f"detail {band}"
    for against in ("", "truth, ")
    for band in ("fine", "mid", "coarse")
}


def marks_of(table: Table, place: Place) -> dict[str, str]:
    """The mark of each method in one column of a table; none where nothing tells any two methods apart."""
    ranked = [cell for method in table.methods if (cell := table.cells.get((method, place))) and cell.rank]
    if all(cell.best for cell in ranked):
        return {}
    return {cell.method: _mark(cell) for cell in ranked if cell.best}


def _mark(standing: Standing) -> str:
    return TIED if standing.tied else BEST


def heading(place: Place) -> str:
    """Short name, unit and direction."""
    unit = f", {place.unit}" if place.unit else ""
    return f"{_SHORT.get(place.metric, place.metric)}{unit} {ARROWS[place.direction]}".strip()
