"""Time to an equal loss: our texture synthesis beside the plain loop that public implementations of it use.

    python benchmarks/synthesis.py --database DIR --size 512 [--device cuda]

Both minimise the very same objective (equation 5, ``recon.methods.deep.objective``: same weights of the network, same
target, same starting texture). The peer is one loop at full resolution with ``torch.optim.LBFGS`` as it comes; ours is
``recon.methods.deep.synthesise`` with its two scales. The peer stops once its loss is as low as ours came, or after
``--most`` times our seconds; then the table says "more than". Turn about, the median of ``--rounds``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from recon.face_model import load_face_model
from recon.methods.deep import face_correlations, objective, synthesise
from recon.texture.database import open_database
from recon.texture.features import resolve_extractor

GOAL = 3.0


class EnoughError(Exception):
    """The peer is there, or has had its time."""


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    database = open_database(options.database, load_face_model(options.model))
    name = resolve_extractor(options.features, learned_first=True)
    faces = face_correlations(database, name)
    faces.extractor.to(options.device)
    low = database.completed(database.ids[0])[faces.box]
    rest = np.full(len(database), 1.0 / max(len(database) - 1, 1))
    rest[0] = 0.0
    # From the smooth mean of one person to the statistics of all others.
    start = torch.from_numpy(np.ascontiguousarray(low.transpose(2, 0, 1)))[None]
    start = torch.nn.functional.avg_pool2d(start, 9, stride=1, padding=4, count_include_pad=False).to(options.device)
    smooth = start[0].cpu().numpy().transpose(1, 2, 0)
    loss = objective(start, rest, faces, options.alpha, 1)
    console = Console()
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else processor()
    console.print(
        f"{device}, {options.threads} threads, torch {importlib.metadata.version('torch')}, load before "
        f"{os.getloadavg()[0]:.1f}; {name}, database of {len(database)} at {database.size}², iterations "
        f"{options.iterations}"
    )
    ours, peers, losses = [], [], []
    reached = True
    for _ in range(options.rounds):
        seconds, reached_loss = timed(lambda: run_ours(smooth, rest, faces, options), loss, options.device)
        ours.append(seconds)
        losses.append(reached_loss)
        seconds, met = run_peer(start, loss, reached_loss, options.most * seconds)
        peers.append(seconds)
        reached &= met
    report(console, statistics.median(ours), statistics.median(peers), reached, losses)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--database", type=Path, required=True, help="a texture database (mesoface database build)")
    parser.add_argument("--features", default="auto")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alpha", type=float, default=2000.0)
    parser.add_argument("--iterations", type=int, nargs=2, default=(40, 12), help="ours, at half and full resolution")
    parser.add_argument("--most", type=float, default=10.0, help="the peer gives up after this many times our seconds")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def run_ours(smooth: np.ndarray, weights: np.ndarray, faces: object, options: argparse.Namespace) -> torch.Tensor:
    chosen = {"alpha": options.alpha, "iterations": tuple(options.iterations)}
    texture, _ = synthesise(smooth, weights, faces, chosen, options.device)  # type: ignore[arg-type]
    return torch.from_numpy(np.ascontiguousarray(texture.transpose(2, 0, 1)))[None].to(options.device)


def timed(
    work: Callable[[], torch.Tensor], loss: Callable[[torch.Tensor], torch.Tensor], device: str
) -> tuple[float, float]:
    """Seconds of ``work``, and the loss of what it made."""
    started = time.perf_counter()
    image = work()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    with torch.no_grad():
        return seconds, float(loss(image))


def run_peer(
    start: torch.Tensor, loss: Callable[[torch.Tensor], torch.Tensor], wanted: float, most: float
) -> tuple[float, bool]:
    """Seconds until the plain loop's loss is at most ``wanted``; False where it gave up."""
    image = start.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([image], max_iter=10**6, tolerance_grad=0.0, tolerance_change=0.0)
    started = time.perf_counter()
    seconds, met = most, False

    def closure() -> torch.Tensor:
        nonlocal seconds, met
        optimiser.zero_grad()
        value = loss(image)
        value.backward()
        now = float(value.detach())
        seconds = time.perf_counter() - started
        met = now <= wanted
        if met or seconds > most or not np.isfinite(now):
            raise EnoughError
        return value

    with contextlib.suppress(EnoughError):
        optimiser.step(closure)
    return seconds, met


def report(console: Console, ours: float, peer: float, reached: bool, losses: list[float]) -> None:
    table = Table("", title="seconds to an equal loss", title_justify="left")
    for heading in ("seconds", "ratio", "goal"):
        table.add_column(heading, justify="right")
    table.add_row("ours", f"{ours:.2f}", "1", "")
    ratio = peer / ours
    colour = "green" if ratio >= GOAL else "bold red"
    more = "" if reached else "> "
    table.add_row("plain loop", f"{more}{peer:.2f}", f"[{colour}]{more}{ratio:.2f}[/]", f"{GOAL:g}")
    console.print(table)
    console.print(f"loss reached: {', '.join(f'{value:.5f}' for value in losses)}", style="dim")


def processor() -> str:
    facts = Path("/proc/cpuinfo")
    names = [line for line in facts.read_text().splitlines() if line.startswith("model name")] if facts.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
