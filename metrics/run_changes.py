"""What differs between runs beside their results: settings, parameters, versions, assets, and how numbers were made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from metrics.comparison import SettingChange
from metrics.value_table import ValueTable
from recon.runs.folder import RunFolder

ABSENT = "–"


def setting_changes(folders: Sequence[RunFolder]) -> list[SettingChange]:
    """Settings, parameters of shared methods, versions and assets that are not the same in all runs."""
    if len(folders) < 2:
        return []
    configs = [folder.read_config() for folder in folders]
    shared = set.intersection(*(set(config["methods"]) for config in configs))
    flat = [_flattened(config, shared) for config in configs]
    names = list(dict.fromkeys(name for one in flat for name in one))
    changes = [SettingChange(name, tuple(one.get(name, ABSENT) for one in flat)) for name in names]
    return [change for change in changes if len(set(change.values)) > 1]


def _flattened(config: Mapping[str, Any], methods: set[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    _flatten("", config.get("settings", {}), found)
    for name in sorted(methods):
        _flatten(name, config["methods"][name], found)
    # A run that was continued by another version says all of them; the last made the newest results.
    made_with = config.get("made_with") or [{}]
    _flatten("", {name: value for name, value in made_with[-1].items() if name != "system"}, found)
    _flatten("asset", config.get("assets", {}), found)
    subjects = config.get("subjects", [])
    found["subjects"] = f"{len(subjects)}"
    return found


def _flatten(prefix: str, value: Any, into: dict[str, str]) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            plain = str(name).replace("_", " ") if not prefix else str(name)
            _flatten(f"{prefix}.{plain}" if prefix else plain, item, into)
        return
    text = value if isinstance(value, str) else ABSENT if value is None else json.dumps(value, ensure_ascii=False)
    # Hashes are told apart by their beginning.
    into[prefix] = text[:12] if len(text) == 64 and all(c in "0123456789abcdef" for c in text) else text


def recipe_notes(table: ValueTable, labels: Sequence[str]) -> list[str]:
    """Says which metrics were not measured alike in all runs: their values differ for that reason as well."""
    if len(labels) < 2:
        return []
    metrics = list(dict.fromkeys(place.metric for place in table.places))
    unlike = [m for m in metrics if len({recipes[m] for recipes in table.recipes if m in recipes}) > 1]
    if not unlike:
        return []
    return [
        f"{', '.join(unlike)}: not measured alike in {' and '.join(labels)} (version, parameters or weights); "
        "'mesoface metrics' on each run mends it."
    ]
