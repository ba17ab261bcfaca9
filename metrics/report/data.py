"""A comparison as rows, for programs: JSON and CSV. Numbers are not rounded; what there is not is null or empty."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from metrics.comparison import Comparison, Contrast, Estimate, FairnessGap, Place, Sensitivity, Standing

Row = dict[str, Any]


def standing_rows(standings: Sequence[Standing]) -> list[Row]:
    """One row a method and place: ``value`` is the mean over subjects (of a ratio geometric), with its interval."""
    return [_finite(_of_standing(standing)) for standing in standings]


def _of_standing(standing: Standing) -> Row:
    row = {
        "method": standing.method,
        **_of_place(standing.place),
        **_of_estimate("value", standing.mean),
        "median": standing.median,
        "q25": standing.q25,
        "q75": standing.q75,
        "rank": standing.rank or None,
        "best": standing.best,
        "tied": standing.tied,
    }
    return {**row, "reason": standing.reason} if standing.reason else row


def contrast_rows(contrasts: Sequence[Contrast]) -> list[Row]:
    """One row a pair of methods and place."""
    return [
        _finite(
            {
                "first": contrast.first,
                "second": contrast.second,
                **_of_place(contrast.place),
                **_of_estimate("difference", contrast.difference),
                "compared_as": "|log2|" if contrast.place.direction == "one" else "value",
                "wilcoxon_p": contrast.wilcoxon,
                "permutation_p": contrast.permutation,
                "holm_p": contrast.adjusted,
                "rank_biserial": contrast.effect,
                "cohens_d": contrast.cohens_d,
                "better": contrast.better,
            }
        )
        for contrast in contrasts
    ]


def fairness_rows(gaps: Sequence[FairnessGap]) -> list[Row]:
    """One row a method and place."""
    return [
        _finite(
            {
                "method": gap.method,
                **_of_place(gap.place),
                "attribute": gap.attribute,
                **_of_estimate("gap", gap.gap),
                "compared_as": "|log2|" if gap.place.direction == "one" else "value",
                "worst": gap.worst,
                "best": gap.best,
                "chance_p": gap.chance,
                "holm_p": gap.adjusted,
            }
        )
        for gap in gaps
    ]


def sensitivity_rows(found: Sequence[Sensitivity]) -> list[Row]:
    """One row a method, place and kind of protocol."""
    return [
        _finite(
            {
                "method": one.method,
                **_of_place(one.place),
                "strengths": list(one.strengths),
                "values": [mean.value for mean in one.means],
                **_of_estimate("slope", one.slope),
                "per": one.per,
                "compared_as": "|log2|" if one.place.direction == "one" else "value",
                "lasting": one.lasting,
            }
        )
        for one in found
    ]


def _of_place(place: Place) -> Row:
    return {
        "protocol": place.protocol,
        "metric": place.metric,
        "family": place.family,
        "reference": place.reference,
        "space": place.space,
        "view": place.view,
        "region": place.region,
        "group": place.group,
        "unit": place.unit,
        "direction": place.direction,
    }


def _of_estimate(name: str, estimate: Estimate) -> Row:
    return {name: estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


def _finite(row: Mapping[str, Any]) -> Row:
    """The row with None in place of NaN, which JSON has no sign for."""
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in row.items()}


def as_object(comparison: Comparison, *, pairs: bool = False, sensitivity: bool = False) -> dict[str, Any]:
    """All of a comparison as JSON can write it; contrasts and sensitivity where asked for."""
    whole: dict[str, Any] = {
        "runs": list(comparison.runs),
        "methods": list(comparison.methods),
        "protocols": list(comparison.protocols),
        "standings": standing_rows(comparison.standings),
    }
    if pairs:
        whole["contrasts"] = contrast_rows(comparison.contrasts)
    if comparison.attribute:
        whole["attribute"] = comparison.attribute
        whole["fairness"] = fairness_rows(comparison.fairness)
    if sensitivity:
        whole["sensitivity"] = sensitivity_rows(comparison.sensitivity)
    if len(comparison.runs) > 1:
        whole["changes"] = contrast_rows(comparison.changes)
        whole["settings"] = [{"name": one.name, "values": list(one.values)} for one in comparison.settings]
    gaps = [{"method": g.method, "protocol": g.protocol, "subject": g.subject, "reason": g.reason}
            for g in comparison.gaps]  # fmt: skip
    return {**whole, "gaps": gaps, "notes": list(comparison.notes)}


def as_json(comparison: Comparison, *, pairs: bool = False, sensitivity: bool = False) -> str:
    """:func:`as_object` as text."""
    said = as_object(comparison, pairs=pairs, sensitivity=sensitivity)
    return json.dumps(said, indent=1, ensure_ascii=False, allow_nan=False)


def as_csv(comparison: Comparison, *, pairs: bool = False, sensitivity: bool = False) -> str:
    """Comma-separated values with a header: standings, or contrasts (``pairs``), or slopes (``sensitivity``)."""
    if pairs:
        rows = contrast_rows(comparison.contrasts)
    elif sensitivity:
        rows = sensitivity_rows(comparison.sensitivity)
        for row in rows:
            row["strengths"], row["values"] = (" ".join(map(str, row[name])) for name in ("strengths", "values"))
    else:
        rows = [{"reason": "", **row} for row in standing_rows(comparison.standings)]
    stream = io.StringIO()
    if rows:
        fields = [*(name for name in rows[0] if name != "reason"), *(["reason"] if "reason" in rows[0] else [])]
        writer = csv.DictWriter(stream, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return stream.getvalue()
