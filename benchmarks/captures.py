"""Seconds of every step from a finished scan to ground truth, and how well the face model lies on it.

    python benchmarks/captures.py FOLDER --face-model anny --size 1024

``FOLDER`` holds scans as the data set ``light-stage`` takes them. Every step is done anew, on one core. The target of
registration is ten seconds for a scan of 50,000 vertices.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from pathlib import Path

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from recon.capture.captured_truth import OpenScan, ScanTruth  # noqa: E402
from recon.capture.registration import register  # noqa: E402
from recon.capture.transfer import find_partners, transfer_map  # noqa: E402
from recon.data.light_stage import read_captures  # noqa: E402
from recon.face_model import load_face_model  # noqa: E402


def main() -> None:
    """Prints a row a scan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--face-model", default="auto")
    parser.add_argument("--size", type=int, default=1024)
    arguments = parser.parse_args()
    model = load_face_model(arguments.face_model)
    table = Table(title=f"scans onto {model.name}, maps of {arguments.size}²; seconds on one core")
    columns = ("scan", "vertices", "read", "landmarks", "register", "transfer", "median mm", "95 % mm", "covered")
    for column in columns:
        table.add_column(column, justify="left" if column == "scan" else "right")
    for subject in read_captures(arguments.folder).subjects:
        if not isinstance(subject.capture, ScanTruth):
            continue
        opened = OpenScan(subject.capture.source, model)
        stamps = [time.perf_counter()]
        _ = opened.scan, opened.maps
        stamps.append(time.perf_counter())
        landmarks, unit = opened.landmarks, opened.millimetres_per_unit
        stamps.append(time.perf_counter())
        found = register(opened.scan, landmarks, model, unit)
        stamps.append(time.perf_counter())
        transfer_map(opened.albedo, find_partners(opened.scan, found, model, arguments.size))
        stamps.append(time.perf_counter())
        seconds = [f"{after - before:.1f}" for before, after in itertools.pairwise(stamps)]
        residual = found.residual
        figures = (f"{residual.median_mm:.3f}", f"{residual.p95_mm:.3f}", f"{residual.covered:.0%}")
        table.add_row(subject.id, f"{len(opened.scan.vertices):,}", *seconds, *figures)
    Console().print(table)


if __name__ == "__main__":
    main()
