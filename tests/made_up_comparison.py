"""A comparison by hand, with everything that a report may have to print, and names that are awkward on purpose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import fmean, quantiles

from metrics.comparison import (
    Comparison,
    Contrast,
    Estimate,
    FairnessGap,
    Gap,
    Place,
    Sensitivity,
    SettingChange,
    Standing,
)

PEOPLE = ("anna", "bert", "carl")
AWKWARD = "co_op & 50%<b>"
METHODS = ("meso", "pca", AWKWARD)
LPIPS = Place("identity", "image", "fitted", "skin/all", "photograph", "LPIPS (alex)", "lpips", "", "lower")
DELTA_E = Place("identity", "image", "fitted", "skin/all", "photograph", "ΔE2000", "delta-e", "", "lower")
PSNR = Place("identity", "uv", "albedo", "skin/all", "photograph", "PSNR", "psnr", "dB", "higher")
DETAIL = Place("identity", "uv", "albedo", "skin/all", "photograph", "detail-energy ratio (fine)", "detail", "", "one")
WITHHELD = replace(PSNR, protocol="occlude:right", region="skin/withheld")
KID = Place("identity", "image", "fitted", "skin/all", "photograph", "KID", "kid", "", "lower")
DISTS = Place("identity", "image", "fitted", "skin/all", "photograph", "DISTS", "dists", "", "lower")
VALUES: Mapping[Place, Sequence[Sequence[float]]] = {
    # meso, pca, the third; anna, bert, carl
    LPIPS: ((0.11, 0.12, 0.16), (0.31, 0.32, 0.42), (0.2, 0.22, 0.27)),
    DELTA_E: ((1.0, 2.0, 3.0), (1.5, 2.5, 2.0), (2.0, 1.0, 3.0)),
    PSNR: ((31.0, 32.0, 33.0), (21.0, 22.0, 23.0), (31.5, 32.5, 32.0)),
    DETAIL: ((0.5, 1.0, 2.0), (0.125, 0.25, 0.25), (0.5, 0.5, 0.5)),
    WITHHELD: ((25.0, 26.0, 30.0), (21.0, 22.0, 23.0), (22.0, 22.0, 25.0)),
}
RANKS: Mapping[Place, Sequence[int]] = {
    LPIPS: (1, 3, 2),
    DELTA_E: (1, 1, 1),
    PSNR: (1, 3, 1),
    DETAIL: (1, 3, 1),
    WITHHELD: (1, 3, 2),
}


def estimate(values: Sequence[float]) -> Estimate:
    """Their mean between their extremes."""
    return Estimate(fmean(values), min(values), max(values), len(values))


def standing(place: Place, method: str, values: Mapping[str, float], rank: int, tied: bool) -> Standing:
    """A method in a place; the geometric mean of ratios."""
    numbers = list(values.values())
    mean = estimate(numbers)
    if place.direction == "one":
        mean = replace(mean, value=math.exp(fmean(map(math.log, numbers))))
    q25, median, q75 = quantiles(numbers, n=4, method="inclusive") if len(numbers) > 1 else numbers * 3
    return Standing(place, method, mean, median, q25, q75, values, rank, rank == 1, tied)


def standings() -> list[Standing]:
    """Of all places, a value of a whole set, and a metric without weights."""
    found = [
        standing(place, method, dict(zip(PEOPLE, values, strict=True)), rank, RANKS[place].count(rank) > 1)
        for place, rows in VALUES.items()
        for method, values, rank in zip(METHODS, rows, RANKS[place], strict=True)
    ]
    none = math.nan
    for index, method in enumerate(METHODS):
        whole = Estimate(0.01 + index, none, none, 0)
        found.append(Standing(KID, method, whole, whole.value, none, none, {"*": whole.value}, 0, False, False))
        nothing = Estimate(none, none, none, 0)
        why = "not computed, because its weights are absent"
        found.append(Standing(DISTS, method, nothing, none, none, none, {}, 0, False, False, why))
    return found


def contrasts() -> list[Contrast]:
    """``meso`` beside the others, and these beside each other."""
    found = []
    for place, rows in VALUES.items():
        for first, second in ((0, 1), (0, 2), (1, 2)):
            differences = [a - b for a, b in zip(rows[first], rows[second], strict=True)]
            ranks = RANKS[place]
            better = "" if ranks[first] == ranks[second] else METHODS[min((first, second), key=lambda i: ranks[i])]
            p = 0.25 if not better else 0.0004
            found.append(Contrast(place, METHODS[first], METHODS[second], estimate(differences), p, p, p, 1.0, better))
    return found


def comparison(**changed: object) -> Comparison:
    """All of it, with some of its parts ``changed``."""
    blur = replace(LPIPS, protocol="blur")
    means = (Estimate(0.2, 0.1, 0.3, 3), Estimate(0.4, 0.3, 0.5, 3))
    slope = Estimate(0.2, 0.1, 0.3, 3)
    grouped = [
        standing(
            replace(LPIPS, group=f"gender={name}"), method, {who: rows[PEOPLE.index(who)] for who in members}, 0, False
        )
        for method, rows in zip(METHODS, VALUES[LPIPS], strict=True)
        for name, members in {"female": ("anna",), "male": ("bert", "carl")}.items()
    ]
    whole = Comparison(
        runs=("first",),
        methods=METHODS,
        protocols=("identity", "occlude:right"),
        standings=(*standings(), *grouped),
        contrasts=tuple(contrasts()),
        gaps=(Gap("pca", "identity", "dora", "no face & <nobody> in 100% of photo_1"),),
        notes=("σ = 8 is ≥ 50 % of what_is used",),
        subjects={"anna": {"gender": "female"}, "bert": {"gender": "male"}, "carl": {"gender": "male"}},
        attribute="gender",
        fairness=(FairnessGap(LPIPS, "meso", "gender", Estimate(0.03, 0.01, 0.06, 3), "male", "female", 0.01, 0.02),),
        sensitivity=(Sensitivity(blur, "meso", (4.0, 8.0), means, slope, "doubling of σ", True),),
    )
    return replace(whole, **changed)  # type: ignore[arg-type]


def two_runs() -> Comparison:
    """The later run of two, where ``meso`` has become better."""
    older, newer = "first:meso", "second:meso"
    values = {newer: VALUES[PSNR][0], older: VALUES[PSNR][1]}
    rows = [
        standing(PSNR, method, dict(zip(PEOPLE, numbers, strict=True)), rank, False)
        for rank, (method, numbers) in enumerate(values.items(), start=1)
    ]
    change = Contrast(PSNR, newer, older, Estimate(10.0, 9.0, 11.0, 3), 0.25, 0.25, 0.01, 1.0, newer)
    return comparison(
        runs=("first", "second"), methods=(older, newer), protocols=("identity",), standings=tuple(rows),
        contrasts=(change,), gaps=(), notes=(), attribute="", fairness=(), sensitivity=(), changes=(change,),
        settings=(SettingChange("seed", ("0", "1")),),
    )  # fmt: skip
