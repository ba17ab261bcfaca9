"""What stands behind the numbers of a report: the runs, the identity of each number, and the terms of the pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metrics.comparison import Comparison
from metrics.report.sources import Sources
from metrics.rows import read_frame
from recon.errors import InputError

_IDENTITY = ("metric", "space", "view", "reference", "library", "version", "parameters", "net", "weights", "unit",
             "direction", "colour_space", "width", "height")  # fmt: skip


@dataclass(frozen=True)
class Terms:
    """Pictures under one licence: whose they are, and whether they may be passed on."""

    licence: str
    citation: str
    redistributable: bool
    subjects: tuple[str, ...]


def runs_in_words(sources: Sources) -> list[dict[str, Any]]:
    """Each run as ``name``, ``facts`` (name and words) and ``notes``. No path of the machine is among them."""
    return [
        {"name": name, "facts": _facts(config), "notes": [str(note) for note in config.get("notes", ())]}
        for name, config in sources.configs.items()
    ]


def _facts(config: Mapping[str, Any]) -> list[tuple[str, str]]:
    facts = [(name.replace("_", " "), _said(value)) for name, value in config.get("settings", {}).items()]
    facts.append(("people", str(len(config["subjects"]))))
    facts.append(("protocols", ", ".join(config["protocols"])))
    facts += [(f"method {name}", _said(parameters) or "as it is") for name, parameters in config["methods"].items()]
    for made in config.get("made_with", ()):
        packages = ", ".join(f"{name} {version}" for name, version in made.get("packages", {}).items())
        commit = f", commit {made['commit']}" if made.get("commit") else ""
        words = f"mesoface {made.get('mesoface', '?')}{commit}, Python {made.get('python', '?')}"
        facts.append(("made with", f"{words}, {made.get('system', '?')}, {made.get('device', '?')}; {packages}"))
    facts += [(f"asset {name}", f"sha256 {digest}") for name, digest in config.get("assets", {}).items()]
    return facts


def _said(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_said(item)}" for name, item in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_said(item) for item in value)
    return "unknown" if value is None else str(value)


def identities(comparison: Comparison, sources: Sources) -> tuple[list[dict[str, str]], list[str]]:
    """The identity of every number that the comparison shows, and sentences about tables that cannot be read."""
    wanted = {standing.place.metric for standing in comparison.standings}
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    problems = []
    for name, folder in sources.runs.items():
        try:
            frame = read_frame(folder, _IDENTITY)
        except InputError:
            problems.append(f"The table of values of run '{name}' cannot be read: its numbers have no identity here.")
            continue
        frame = frame[frame["metric"].isin(wanted) & (frame["space"] != "")]
        for row in frame.drop_duplicates().to_dict("records"):
            key = tuple(str(row[column]) for column in _IDENTITY[:-2])
            known = {str(column): value for column, value in row.items()}
            sizes = found.setdefault(key, {**known, "sizes": set()})["sizes"]
            sizes.add((int(row["width"]), int(row["height"])))
    order = {metric: i for i, metric in enumerate(dict.fromkeys(s.place.metric for s in comparison.standings))}
    ordered = sorted(found.values(), key=lambda row: (order[row["metric"]], str(row["space"]), str(row["view"])))
    return [_identity(row) for row in ordered], problems


def _identity(row: Mapping[str, Any]) -> dict[str, str]:
    sizes = sorted(row["sizes"])
    spans = [f"{low}–{high}" if low != high else str(low) for low, high in ((min(s), max(s)) for s in zip(*sizes))]  # noqa: B905
    try:
        parameters = _said(json.loads(row["parameters"])).strip()
    except ValueError:
        parameters = str(row["parameters"])
    return {
        "metric": str(row["metric"]) + (f", {row['unit']}" if row["unit"] else ""),
        "direction": {"higher": "higher is better", "lower": "lower is better", "one": "1 is ideal"}.get(
            str(row["direction"]), "describes only"
        ),
        "compared": f"{row['view']} ({row['space']}) with the {row['reference']}",
        "library": f"{row['library']} {row['version']}",
        "parameters": parameters or "none",
        "network": f"{row['net']}, sha256 {row['weights']}" if row["net"] else "none",
        "pixels": f"{'×'.join(spans)}{', ' + str(row['colour_space']) if row['colour_space'] else ''}",
    }


def terms_of_pictures(sources: Sources, subjects: Sequence[str]) -> list[Terms]:
    """The licences of ``subjects``, the most common first; a subject without a record has an unknown one."""
    gathered: dict[tuple[str, str, bool], list[str]] = {}
    for subject in subjects:
        licence = sources.record(subject).get("licence")
        known = licence if isinstance(licence, dict) else {}
        key = (
            str(known.get("name") or "unknown"),
            str(known.get("citation") or ""),
            bool(known.get("redistributable")),
        )
        gathered.setdefault(key, []).append(subject)
    return sorted(
        (Terms(*key, tuple(names)) for key, names in gathered.items()), key=lambda terms: -len(terms.subjects)
    )
