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
FIELDS = ("method", "protocol", "metric", "reference", "space", "region", "group", "value", "q25", "q75", "n", "unit",
          "direction", "best")  # fmt: skip
# Albedos before pictures before heads.
_SPACES = ("uv", "image", "shape")

# Characters between two columns of a table.
_GAP = 2
# Short headings, so that many metrics stand side by side.
_SHORT = {
    f"detail-energy ratio ({against}{band})": f"detail ({against}{band})" if against else f"detail {band}"
    for against in ("", "truth, ")
    for band in ("fine", "mid", "coarse")
}
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
        spaces: ``uv``, ``image``, ``shape``; all if empty.
        by: an attribute of the subjects (``gender``) that splits them into groups.

    Returns:
        Rows with ``method, protocol, metric, reference, space, region, group, value, q25, q75, n, unit, direction,
        best``, in the order of the run's protocols and methods; ``reference`` says whether the result was compared
        with the ``photograph`` or with the ``truth``. ``value`` is None where nobody has one, with ``reason``.

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
            _SPACES.index(r["space"]),
            r["reference"],
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

    return [component.name for name in METRICS.names() for component in METRICS.get(name).components]


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
        "reference": json.loads(found[0]["parameters"]).get("reference", "photograph"),
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
            not row["region"].startswith("skin/")
            or (
                row["region"] in split
                if row["protocol"] in withholding and regions & split
                else row["region"] == "skin/all"
            )
        )
    ]


Block = tuple[str, str, str, str, str]


def _blocks(table: Sequence[Row]) -> dict[Block, list[Row]]:
    """Rows by protocol, space, reference, region and group: one table each.

    What is compared with the truth stands apart, because fewer subjects may have one: each table has its own n.
    """
    blocks: dict[Block, list[Row]] = {}
    for row in headline(table):
        block = (row["protocol"], row["space"], row["reference"], row["region"], row["group"])
        blocks.setdefault(block, []).append(row)
    return blocks


def _title(block: Block) -> str:
    protocol, space, reference, region, group = block
    where = {"uv": "albedo", "image": "fitted view", "shape": "head"}[space]
    if reference == "truth":
        where += " against the truth"
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
    """Rich tables, one a protocol, space and region: methods down, metrics across, the best marked.

    Metrics that do not fit the console side by side go on in a second table below: nothing is cut.
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    for block, rows in _blocks(table).items():
        methods, headings, cells = _grid(rows)
        columns = {
            heading: [_cell(cells.get((method, heading)), "[bold green]", "[/]") for method in methods]
            for heading in headings
        }
        counts = [str(max(cell["n"] for (name, _), cell in cells.items() if name == method)) for method in methods]
        widths = {
            heading: max(cell_len(word) for word in [*heading.split(), *(_plain(text) for text in texts)])
            for heading, texts in columns.items()
        }
        outer = max(map(cell_len, ["method", *methods])) + _GAP + max(map(len, ["n", *counts]))
        for part, side_by_side in enumerate(_rows_of_columns(widths, console.width - outer)):
            # Headings are broken only where the table would not fit otherwise.
            whole = {heading: max(cell_len(heading), widths[heading]) for heading in side_by_side}
            broken = outer + sum(whole.values()) + _GAP * len(whole) > console.width
            drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, _GAP - 1, 0, 0), pad_edge=False)
            drawn.add_column("method", no_wrap=True)
            for heading in side_by_side:
                drawn.add_column(heading, justify="right", width=(widths if broken else whole)[heading])
            drawn.add_column("n", justify="right", no_wrap=True)
            for index, method in enumerate(methods):
                drawn.add_row(method, *(columns[heading][index] for heading in side_by_side), counts[index])
            console.print(_title(block) + (" (continued)" if part else ""), style="bold", highlight=False)
            console.print(drawn)
            console.print()


def _rows_of_columns(widths: Mapping[str, int], room: int) -> list[list[str]]:
    """The columns in their order, as many beside each other as ``room`` characters hold, at least one."""
    lines: list[list[str]] = []
    left = 0
    for heading, width in widths.items():
        if not lines or left < width + _GAP:
            lines.append([])
            left = room
        lines[-1].append(heading)
        left -= width + _GAP
    return lines


def _cell(row: Mapping[str, Any] | None, before: str, after: str) -> str:
    if row is None:
        return "–"
    text = shown(row["value"])
    return f"{before}{text} ★{after}" if row["best"] else text


def _plain(marked: str) -> str:
    return marked.replace("[bold green]", "").replace("[/]", "")


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
