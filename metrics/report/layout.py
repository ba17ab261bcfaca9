"""How the LaTeX and HTML reports lay a comparison out: which numbers stand in one table, and under which words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from metrics.comparison import Comparison, Contrast, Estimate, Place, Standing

ARROWS = {"higher": "↑", "lower": "↓", "one": "→1", "none": ""}
_LOOKS = {"uv": "albedo", "image": "view", "shape": "head"}


@dataclass(frozen=True)
class Block:
    """What one table shows: all metrics of one way of looking, in one region, under one protocol, of one group."""

    protocol: str
    space: str
    view: str
    region: str
    reference: str
    group: str

    @staticmethod
    def of(place: Place) -> Block:
        return Block(place.protocol, place.space, place.view, place.region, place.reference, place.group)

    @property
    def title(self) -> str:
        """For example ``blur:8 · albedo · skin/all``."""
        return " · ".join(part for part in (self.protocol, self.looked_at, self.region, self.group) if part)

    @property
    def looked_at(self) -> str:
        """What is looked at, and against what if not against the photograph."""
        what = _LOOKS.get(self.space, self.space)
        if self.view not in {"albedo", "head", ""}:
            what = f"{self.view} {what}"
        return f"{what} against the truth" if self.reference == "truth" else what


@dataclass(frozen=True)
class Table:
    """The numbers of one block: places in order, and the standing of each method in each place."""

    block: Block
    places: tuple[Place, ...]
    methods: tuple[str, ...]
    cells: dict[tuple[str, Place], Standing]

    @property
    def people(self) -> int:
        """The most subjects behind any number."""
        return max((cell.mean.n for cell in self.cells.values()), default=0)


def tables_of(comparison: Comparison, standings: Sequence[Standing] | None = None) -> list[Table]:
    """The tables of ``comparison``, or of some of its ``standings``, in their order."""
    gathered: dict[Block, list[Standing]] = {}
    for standing in comparison.standings if standings is None else standings:
        gathered.setdefault(Block.of(standing.place), []).append(standing)
    order = {method: index for index, method in enumerate(comparison.methods)}
    found = []
    for block, rows in gathered.items():
        methods = sorted(dict.fromkeys(row.method for row in rows), key=lambda name: order.get(name, len(order)))
        places = tuple(dict.fromkeys(row.place for row in rows))
        found.append(Table(block, places, tuple(methods), {(row.method, row.place): row for row in rows}))
    return found


def headline_and_further(comparison: Comparison) -> tuple[list[Table], list[Table]]:
    """The tables to show first, and those that say little more.

    Where skin was withheld, the visible and the withheld part stand apart; elsewhere the whole of the skin stands for
    its parts. A table that has no other beside it is always of the first.
    """
    tables = tables_of(comparison)
    withholding = {table.block.protocol for table in tables if table.block.region == "skin/withheld"}

    def first(block: Block) -> bool:
        if not block.region.startswith("skin/"):
            return True
        return (block.region == "skin/all") != (block.protocol in withholding)

    served = {replace(table.block, region="") for table in tables if first(table.block)}
    headline = [t for t in tables if first(t.block) or replace(t.block, region="") not in served]
    named = {table.block for table in headline}
    return headline, [table for table in tables if table.block not in named]


def chosen_pairs(comparison: Comparison, pairs: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    """``pairs`` of methods, or if none are named the first method beside each other one."""
    if pairs:
        return list(pairs)
    return [(comparison.methods[0], other) for other in comparison.methods[1:]] if comparison.methods else []


def as_pair(contrast: Contrast, first: str) -> Contrast:
    """The same contrast, turned so that ``first`` is its first method."""
    if contrast.first == first:
        return contrast
    was = contrast.difference
    turned = Estimate(-was.value, -was.high, -was.low, was.n)
    return replace(
        contrast,
        first=contrast.second,
        second=contrast.first,
        difference=turned,
        effect=-contrast.effect,
        cohens_d=-contrast.cohens_d,
    )


def by_pair(contrasts: Sequence[Contrast]) -> dict[tuple[Place, frozenset[str]], Contrast]:
    """Contrasts by their place and their two methods."""
    return {(c.place, frozenset((c.first, c.second))): c for c in contrasts}


def decimals(values: Sequence[float]) -> int:
    """Digits after the point with which numbers stand side by side: three significant ones of the largest, 2 to 4."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=1.0)
    return 2 if largest >= 10 else 3 if largest >= 0.1 else 4


def shown(value: float, digits: int) -> str:
    """A value with ``digits`` after the point and a true minus sign; a dash where there is none."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text.replace("-", "−")


def shown_interval(estimate: Estimate, digits: int) -> str:
    """``[low, high]``, or nothing where there is none."""
    if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)):
        return ""
    return f"[{shown(estimate.low, digits)}, {shown(estimate.high, digits)}]"


def shown_p(value: float) -> str:
    """A p-value as papers print it."""
    if not math.isfinite(value):
        return "–"
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def heading(place: Place) -> str:
    """The metric's name with its unit and direction."""
    unit = f", {place.unit}" if place.unit else ""
    return f"{place.metric}{unit} {ARROWS[place.direction]}".strip()
