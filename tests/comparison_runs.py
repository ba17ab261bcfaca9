"""Run folders with values that a test chooses, and nothing else: what comparisons read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metrics.rows import COLUMNS, NUMBERS, write_rows
from recon.runs.folder import FORMAT, ResultKey, RunFolder
from recon.storage import write_json

RECORD = '{"files": {}}'
RESULT = hashlib.sha256(RECORD.encode()).hexdigest()[:16]
NAN = float("nan")

Values = Mapping[str, float]


def row(method: str, subject: str, value: float, **other: Any) -> dict[str, Any]:
    """A row of the table: PSNR of an albedo's skin, unless ``other`` says something else."""
    plain: dict[str, Any] = {name: 512 if name in NUMBERS else "" for name in COLUMNS}
    usual = {"protocol": "identity", "space": "uv", "view": "albedo", "region": "skin/all", "metric": "PSNR",
             "family": "psnr", "unit": "dB", "direction": "higher", "reference": "photograph", "library": "theirs",
             "version": "1", "parameters": "{}", "result": RESULT}  # fmt: skip
    return {**plain, **usual, "method": method, "subject": subject, "value": value, **other}


def rows(values: Mapping[str, Values], **other: Any) -> list[dict[str, Any]]:
    """Rows of ``values[method][subject]``."""
    return [row(method, name, value, **other) for method, of in values.items() for name, value in of.items()]


def ratio(band: str = "fine") -> dict[str, str]:
    """What rows of a detail-energy ratio say."""
    return {"metric": f"detail-energy ratio ({band})", "family": "detail", "unit": "", "direction": "one"}


def make_run(
    path: Path,
    table: Sequence[Mapping[str, Any]],
    attributes: Mapping[str, Mapping[str, str]] | None = None,
    without: Sequence[ResultKey] = (),
    **config: Any,
) -> RunFolder:
    """A run whose table is ``table``, with a result for every method, protocol and subject but those ``without``."""
    folder = RunFolder(path)

    def of(name: str) -> list[str]:
        return list(dict.fromkeys(str(one[name]) for one in table if one[name] != "*"))

    methods, protocols, subjects = of("method"), of("protocol"), sorted(of("subject"))
    write_json(folder.config, {"format": FORMAT, "methods": {name: {} for name in methods}, "protocols": protocols,
                               "subjects": subjects, **config})  # fmt: skip
    for subject in subjects:
        own = (attributes or {}).get(subject, {})
        write_json(folder.reference(subject) / "subject.json", {"attributes": dict(own)})
    for method in methods:
        for protocol in protocols:
            for subject in subjects:
                key = ResultKey(method, protocol, subject)
                if key not in without:
                    folder.result(key).mkdir(parents=True)
                    (folder.result(key) / "result.json").write_text(RECORD)
    write_rows(folder, table)
    return folder


def people(count: int) -> list[str]:
    """That many ids, sorted."""
    return [f"p{number:02d}" for number in range(count)]


def spread(centre: float, count: int, step: float = 0.1) -> dict[str, float]:
    """A value for each of ``count`` people, rising by ``step``, around ``centre``."""
    return {name: centre + step * (number - (count - 1) / 2) for number, name in enumerate(people(count))}
