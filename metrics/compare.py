"""How methods compare: medians over subjects for each protocol, metric and region."""

from __future__ import annotations

import csv
import io
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from recon.errors import UsageError
from recon.runs.folder import ResultKey, RunFolder
from recon.storage import read_json

if TYPE_CHECKING:
    from rich.console import Console

ARROWS = {"higher": "↑", "lower": "↓", "one": "→1"}
FIELDS = ("method", "protocol", "metric", "space", "region", "group", "value", "q25", "q75", "n", "unit", "direction",
          "best")  # fmt: skip

# Headings that fit a terminal of 80 columns.
_SHORT = {f"detail-energy ratio ({band})": f"detail {band}" for band in ("fine", "mid", "coarse")}
# The tables leave coverage out while every method vouches for nearly all of the region.
_NEARLY_ALL = 0.95

Row = dict[str, Any]


def compare(
    folder: RunFolder,
    metrics: Sequence[str] = (),
    regions: Sequence[str] = (),
    spaces: Sequence[str] = (),
    by: str | None = None,
) -> list[Row]:
    """One row for each method, protocol, metric, space and region: the median over subjects.

    Args:
        metrics: names or parts of names to keep (``psnr``, ``detail``); all if empty.
        regions: names or parts of names (``withheld``); all if empty.
        spaces: ``uv``, ``image``; both if empty.
        by: an attribute of the subjects (``gender``) that splits them into groups.

    Returns:
        Rows with ``method, protocol, metric, space, region, group, value, q25, q75, n, unit, direction, best``, in the
        order of the run's protocols and methods. ``value`` is None where nobody has one, with ``reason``.

    Raises:
        UsageError: a filter that matches nothing, or an attribute that no subject has.
    """
    from metrics.evaluate import read_rows

    config = folder.read_config()
    rows = [row for row in read_rows(folder) if row["space"]]
    rows = _kept(rows, metrics, lambda row: (row["metric"], row["family"]), "metric")
    rows = _kept(rows, regions, lambda row: (row["region"],), "region")
    rows = _kept(rows, spaces, lambda row: (row["space"],), "space")
    groups = _groups(folder, config["subjects"], by)
    gathered: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        place = (row["protocol"], row["space"], row["region"], row["metric"], groups[row["subject"]], row["method"])
        gathered.setdefault(place, []).append(row)
    order = {name: i for i, name in enumerate([*config["protocols"], *config["methods"], *_components()])}
    last = len(order)
    table = [_summarised(place, found) for place, found in gathered.items()]
    table.sort(
        key=lambda r: (
            order[r["protocol"]],
            r["space"] != "uv",
            r["region"],
            r["group"],
            order[r["method"]],
            order.get(r["metric"], last),
        )
    )
    _mark_best(table)
    return table


def _components() -> list[str]:
    """Names of the numbers of all known metrics, in the order of the registry."""
    from metrics import METRICS

    return [component for name in METRICS.names() for component in METRICS.get(name).components]


def _kept(rows: list[Row], wanted: Sequence[str], names: Callable[[Row], tuple[str, ...]], noun: str) -> list[Row]:
    if not wanted or not rows:
        return rows
    for word in wanted:
        if not any(word.lower() in name.lower() for row in rows for name in names(row)):
            known = sorted({names(row)[0] for row in rows})
            raise UsageError(f"no {noun} of this run is called '{word}'; it has {', '.join(known)}.")
    return [row for row in rows if any(word.lower() in name.lower() for word in wanted for name in names(row))]


def _groups(folder: RunFolder, subjects: Iterable[str], by: str | None) -> dict[str, str]:
    """The group of each subject: the value of the attribute ``by``, an empty string for all where it is None."""
    if by is None:
        return dict.fromkeys(subjects, "")
    found: dict[str, str] = {}
    known: set[str] = set()
    for subject in subjects:
        path = folder.reference(subject) / "subject.json"
        attributes = read_json(path)["attributes"] if path.is_file() else {}
        known |= set(attributes)
        found[subject] = f"{by}={attributes.get(by) or 'unknown'}"
    if by not in known:
        raise UsageError(
            f"--by {by}: the subjects have no such attribute; known: {', '.join(sorted(known)) or 'none'}."
        )
    return found


def _summarised(place: tuple[str, ...], found: list[Row]) -> Row:
    protocol, space, region, metric, group, method = place
    values = sorted(row["value"] for row in found if math.isfinite(row["value"]))
    low, middle, high = _quartiles(values)
    summary = {
        "method": method,
        "protocol": protocol,
        "metric": metric,
        "space": space,
        "region": region,
        "group": group,
        "value": middle,
        "q25": low,
        "q75": high,
        "n": len(values),
        "unit": found[0]["unit"],
        "direction": found[0]["direction"],
        "best": False,
    }
    if not values:
        summary["reason"] = "; ".join(sorted({row["reason"] for row in found}))
    return summary


def _quartiles(values: list[float]) -> tuple[float | None, float | None, float | None]:
    if not values:
        return None, None, None
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, statistics.median(values), high


def shown(value: float | None) -> str:
    """A value in the tables' digits."""
    if value is None:
        return "–"
    return f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _mark_best(table: list[Row]) -> None:
    """Marks the best method of each comparison; equals to the digits that are shown share the mark."""
    comparisons: dict[tuple[str, ...], list[Row]] = {}
    for row in table:
        if row["value"] is not None and row["metric"] != "coverage":
            place = (row["protocol"], row["space"], row["region"], row["metric"], row["group"])
            comparisons.setdefault(place, []).append(row)
    for rows in comparisons.values():
        if len({row["method"] for row in rows}) < 2:
            continue
        best = shown(min(rows, key=_loss)["value"])
        if all(shown(row["value"]) == best for row in rows):
            continue
        for row in rows:
            row["best"] = shown(row["value"]) == best


def _loss(row: Row) -> float:
    value = float(row["value"])
    if row["direction"] == "one":
        return abs(math.log(value)) if value > 0 else math.inf
    return -value if row["direction"] == "higher" else value


def missing_partners(folder: RunFolder) -> list[str]:
    """Results that some methods of the run have and others lack, with the reason where one was recorded."""
    config = folder.read_config()
    lines = []
    for protocol in config["protocols"]:
        for subject in config["subjects"]:
            keys = [ResultKey(method, protocol, subject) for method in config["methods"]]
            for key in keys:
                if folder.finished(key) is None:
                    failure = folder.failure(key)
                    why = failure["message"] if failure else folder.not_applicable(key) or "not made yet"
                    lines.append(f"{key}: {why}")
    return lines


def as_json(table: Sequence[Row]) -> str:
    """The rows as a JSON list."""
    return json.dumps(list(table), indent=2, ensure_ascii=False, allow_nan=False)


def as_csv(table: Sequence[Row]) -> str:
    """The rows as comma-separated values with a header."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return stream.getvalue()


def headline(table: Sequence[Row]) -> list[Row]:
    """The rows that tables show: of a protocol that withholds nothing, ``skin/all`` says the same as the others."""
    withholding = {row["protocol"] for row in table if row["region"] == "skin/withheld"}
    regions = {row["region"] for row in table}
    if "skin/all" not in regions:
        return list(table)
    split = {"skin/visible", "skin/withheld"}
    partial = any(row["metric"] == "coverage" and (row["value"] or 0) < _NEARLY_ALL for row in table)
    return [
        row
        for row in table
        if (partial or row["metric"] != "coverage")
        and (
            row["region"] in split
            if row["protocol"] in withholding and regions & split
            else row["region"] == "skin/all"
        )
    ]


def _blocks(table: Sequence[Row]) -> dict[tuple[str, str, str, str], list[Row]]:
    """Rows by protocol, space, region and group: one table each."""
    blocks: dict[tuple[str, str, str, str], list[Row]] = {}
    for row in headline(table):
        blocks.setdefault((row["protocol"], row["space"], row["region"], row["group"]), []).append(row)
    return blocks


def _title(block: tuple[str, str, str, str]) -> str:
    protocol, space, region, group = block
    where = {"uv": "albedo", "image": "fitted view"}[space]
    return " · ".join(part for part in (protocol, where, region, group) if part)


def _heading(row: Row) -> str:
    name = _SHORT.get(row["metric"], row["metric"])
    unit = f", {row['unit']}" if row["unit"] else ""
    return f"{name}{unit} {ARROWS[row['direction']]}"


def _grid(rows: Sequence[Row]) -> tuple[list[str], list[str], dict[tuple[str, str], Row]]:
    """Methods, headings of metrics, and the row in each cell."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    headings = list(dict.fromkeys(_heading(row) for row in rows))
    return methods, headings, {(row["method"], _heading(row)): row for row in rows}


def print_tables(table: Sequence[Row], console: Console) -> None:
    """One rich table a protocol, space and region: methods down, metrics across, the best marked."""
    from rich.table import Table

    for block, rows in _blocks(table).items():
        methods, headings, cells = _grid(rows)
        drawn = Table(title=_title(block), title_justify="left", title_style="bold")
        drawn.add_column("method")
        for heading in headings:
            drawn.add_column(heading, justify="right")
        drawn.add_column("n", justify="right")
        for method in methods:
            found = [cells.get((method, heading)) for heading in headings]
            texts = [_cell(cell, "[bold green]", "[/]") for cell in found]
            drawn.add_row(method, *texts, str(max((cell["n"] for cell in found if cell), default=0)))
        console.print(drawn)


def _cell(row: Mapping[str, Any] | None, before: str, after: str) -> str:
    if row is None:
        return "–"
    text = shown(row["value"])
    return f"{before}{text} ★{after}" if row["best"] else text


def as_markdown(table: Sequence[Row]) -> str:
    """The tables in Markdown, the best in bold."""
    parts = []
    for block, rows in _blocks(table).items():
        methods, headings, cells = _grid(rows)
        lines = [f"**{_title(block)}**", "", f"| method | {' | '.join(headings)} | n |"]
        lines.append("|---" + "|---:" * (len(headings) + 1) + "|")
        for method in methods:
            found = [cells.get((method, heading)) for heading in headings]
            n = max((cell["n"] for cell in found if cell), default=0)
            texts = [f"**{shown(c['value'])}**" if c and c["best"] else shown(c["value"] if c else None) for c in found]
            lines.append(f"| {method} | {' | '.join(texts)} | {n} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)
