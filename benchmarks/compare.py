"""Seconds of ``mesoface compare`` on a large run, start of Python included, beside the target.

    python benchmarks/compare.py --subjects 100 --methods 8

The run is made up: numbers with effects of method and subject for about 150 components and regions under three
protocols, and a ``result.json`` for every result, so that freshness and gaps are looked up as in a real run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from recon.runs.folder import FORMAT, ResultKey, RunFolder
from recon.storage import write_json

TARGET_SECONDS = 2.0
PROTOCOLS = ("identity", "blur:8", "occlude:right")
REGIONS = ("skin/all", "skin/visible", "skin/withheld")
# Names, so that the default selection finds what it looks for; the rest is numbered.
NAMED = (
    ("uv", "PSNR", "higher"),
    ("uv", "SSIM", "higher"),
    ("uv", "ΔE2000", "lower"),
    ("uv", "detail-energy ratio (fine)", "one"),
    ("uv", "detail-energy ratio (mid)", "one"),
    ("uv", "detail-energy ratio (coarse)", "one"),
    ("uv", "spectrum distance (luma)", "lower"),
    ("uv", "patch distance (luma)", "lower"),
    ("uv", "ITA error", "lower"),
    ("image", "PSNR", "higher"),
    ("image", "SSIM", "higher"),
    ("image", "LPIPS (alex)", "lower"),
    ("image", "DISTS", "lower"),
    ("image", "FLIP", "lower"),
    ("image", "identity similarity", "higher"),
)
COMPONENTS = 60
VIEWS = {"uv": "albedo", "image": "fitted"}


def make_run(path: Path, subjects: int, methods: int, missing: float) -> int:
    """A made-up run; the number of its rows."""
    folder = RunFolder(path)
    people = [f"{number:03d}" for number in range(subjects)]
    names = [f"method{number}" for number in range(methods)]
    write_json(folder.config, {
        "format": FORMAT, "settings": {}, "methods": {name: {} for name in names}, "protocols": list(PROTOCOLS),
        "subjects": people, "made_with": [], "assets": {},
    })  # fmt: skip
    for number, person in enumerate(people):
        attributes = {"gender": ("female", "male")[number % 2], "age": str(18 + number % 50)}
        write_json(folder.reference(person) / "subject.json", {"attributes": attributes})
    for name in names:
        for protocol in PROTOCOLS:
            place = folder.result(ResultKey(name, protocol, "x")).parent
            for person in people:
                (place / person).mkdir(parents=True)
                (place / person / "result.json").write_text("{}")
    return write_table(folder, people, names, missing)


def write_table(folder: RunFolder, people: list[str], names: list[str], missing: float) -> int:
    """``metrics.parquet``; whole columns at once, or making it would take longer than reading it a thousand times."""
    from metrics.rows import COLUMNS, NUMBERS

    rng = np.random.default_rng(0)
    extra = [("uv", f"distance {number}", "lower") for number in range(COMPONENTS - len(NAMED))]
    places = [
        (protocol, space, region, metric, direction)
        for protocol in PROTOCOLS
        for space, metric, direction in (*NAMED, *extra)
        for region in (REGIONS if protocol.startswith("occlude") else REGIONS[:2])
    ]
    shape = (len(places), len(names), len(people))
    of_method, of_person = rng.normal(size=(*shape[:2], 1)), rng.normal(size=(shape[0], 1, shape[2]))
    values = np.exp(1.0 + 0.02 * of_method + 0.1 * of_person + 0.05 * rng.normal(size=shape))
    values[rng.random(shape) < missing] = np.nan

    def column(words: list[str], axis: int) -> pd.Categorical:
        grid = [1, 1, 1]
        grid[axis] = -1
        codes = np.broadcast_to(np.arange(len(words)).reshape(grid), shape).reshape(-1)
        kinds = sorted(set(words))
        return pd.Categorical.from_codes(np.array([kinds.index(word) for word in words])[codes], categories=kinds)

    constant = dict.fromkeys(COLUMNS, "")
    columns = {name: column([text] * len(places), 0) for name, text in constant.items() if name not in NUMBERS}
    for number, name in enumerate(("protocol", "space", "region", "metric", "direction")):
        columns[name] = column([str(place[number]) for place in places], 0)
    columns["view"] = column([VIEWS[place[1]] for place in places], 0)
    columns["family"] = column(["psnr"] * len(places), 0)
    columns["reference"] = column(["photograph"] * len(places), 0)
    columns["method"], columns["subject"] = column(names, 1), column(people, 2)
    columns["result"] = column(["44136fa355b3678a"] * len(places), 0)  # of "{}"
    frame = pd.DataFrame(columns)
    frame["value"], frame["width"], frame["height"] = values.reshape(-1), np.int32(512), np.int32(512)
    pq.write_table(pa.Table.from_pandas(frame[list(COLUMNS)], preserve_index=False), folder.metrics)
    return len(frame)


def seconds(path: Path, arguments: list[str], repeats: int) -> tuple[float, float]:
    """Wall and CPU seconds of a call, the best of some."""
    found = []
    for _ in range(repeats):
        before, started = os.times(), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "mesoface", "compare", str(path), *arguments],
            check=True, stdout=subprocess.DEVNULL, cwd=Path(__file__).parent.parent,
        )  # fmt: skip
        wall, after = time.perf_counter() - started, os.times()
        found.append((wall, sum(after[2:4]) - sum(before[2:4])))  # user and system, of children
    return min(found)


def main() -> None:
    """Make a run, call the command in several ways, print the seconds."""
    # Beside this file lies ``metrics.py``, another benchmark, which is not the package of that name.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=100)
    parser.add_argument("--methods", type=int, default=8)
    parser.add_argument("--missing", type=float, default=0.0, help="Part of the values that are missing.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="Make the run here and keep it.")
    options = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        path = options.keep or Path(scratch) / "run"
        rows = make_run(path, options.subjects, options.methods, options.missing)
        config = json.loads((path / "run.json").read_text())
        console.print(f"{rows} rows: {len(config['subjects'])} subjects × {len(config['methods'])} methods × "
                      f"{len(config['protocols'])} protocols; Python {platform.python_version()}, "
                      f"{os.cpu_count()} cores")  # fmt: skip
        drawn = Table(title=f"mesoface compare (target {TARGET_SECONDS:.0f} s)", title_justify="left")
        for heading in ("arguments", "wall s", "CPU s"):
            drawn.add_column(heading, justify="left" if heading == "arguments" else "right")
        for arguments in ([], ["--metric", "all"], ["--by", "gender"], ["--format", "csv"],
                          ["--format", "json", "--pairs"]):  # fmt: skip
            wall, cpu = seconds(path, arguments, options.repeats)
            drawn.add_row(" ".join(arguments) or "(none)", f"{wall:.2f}", f"{cpu:.2f}")
        console.print(drawn)


if __name__ == "__main__":
    main()
