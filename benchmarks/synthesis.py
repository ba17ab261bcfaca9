"""Time to an equal loss: our texture synthesis beside the plain loop that public implementations of it use.

    python benchmarks/synthesis.py --database DIR [--device cuda]

Both minimise equation 5 with the same weights of the network, the same targets and the same starting texture. The peer
is one loop at full resolution over the whole texture, masks multiplied in, with ``torch.optim.LBFGS`` as it comes; ours
is ``recon.methods.deep_inference.synthesise``: the face cut out, first at half resolution. A second peer is the same
loop over the face as ours cuts it out, which shows what is left of the difference without it. Every image
is judged by the same function, the objective over the cut-out face, outside of the clock. A peer stops once its loss is
as low as ours came, or after ``--most`` times our seconds; then the table says "more than". Turn about, the median of
``--rounds``.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from recon.face_model import load_face_model
from recon.methods.deep import Deep
from recon.methods.deep_inference import face_correlations, objective, synthesise
from recon.texture.database import open_database
from recon.texture.extractor_choice import resolve_extractor
from recon.texture.face_correlations import FaceCorrelations
from recon.worker_pool import limit_torch

GOAL = 3.0
# Texels a texel of the deepest layer.
_DEEPEST = 16


class EnoughError(Exception):
    """The peer is there, or has had its time."""


def main() -> None:
    options = parse()
    limit_torch(options.threads)
    database = open_database(options.database, load_face_model(options.model))
    name = resolve_extractor(options.features, learned_first=True)
    faces = face_correlations(database, name)
    faces.extractor.to(options.device)
    rest = np.full(len(database), 1.0 / max(len(database) - 1, 1))
    rest[0] = 0.0
    # From the smooth picture of one person to the statistics of all others.
    low = torch.from_numpy(np.ascontiguousarray(database.completed(database.ids[0]).transpose(2, 0, 1)))[None]
    smoothed = functional.avg_pool2d(low, 9, stride=1, padding=4, count_include_pad=False).to(options.device)
    cut = smoothed[..., faces.box[0], faces.box[1]].contiguous()
    whole, box = aligned(smoothed, faces)
    judge = objective(cut, rest, faces, options.alpha, 1)
    peers = {
        "plain loop": (whole, plain_objective(whole, box, rest, faces, options.alpha), box),
        "plain loop over the face cut out": (cut, judge, (slice(None), slice(None))),
    }
    console = Console()
    device = torch.cuda.get_device_name() if options.device.startswith("cuda") else processor()
    console.print(
        f"{device}, {options.threads} threads, torch {importlib.metadata.version('torch')}, load before "
        f"{os.getloadavg()[0]:.1f}; {name}, database of {len(database)} at {database.size}², iterations "
        f"{options.iterations}"
    )
    smooth = cut[0].cpu().numpy().transpose(1, 2, 0)
    ours, losses, reached = [], [], dict.fromkeys(peers, True)
    seconds: dict[str, list[float]] = {peer: [] for peer in peers}
    for _ in range(options.rounds):
        spent, loss = timed(lambda: run_ours(smooth, rest, faces, options), judge, options.device)
        ours.append(spent)
        losses.append(loss)
        for peer, (start, plain, box) in peers.items():
            needed, met = run_peer(start, plain, lambda image, box=box: judge(image[(..., *box)]), loss, options, spent)
            seconds[peer].append(needed)
            reached[peer] &= met
    report(console, statistics.median(ours), {p: statistics.median(s) for p, s in seconds.items()}, reached, losses)


def aligned(texture: torch.Tensor, faces: FaceCorrelations) -> tuple[torch.Tensor, tuple[slice, slice]]:
    """The whole texture, moved down and right until the face begins where deep layers begin a texel; and its box there.

    Otherwise a texel of a deep layer would not see the same in both, and their losses could not be compared.
    """
    top, left = (-part.start % _DEEPEST for part in faces.box)
    size = texture.shape[-1]
    moved = functional.pad(texture, (left, 0, top, 0), mode="replicate")[..., :size, :size]
    rows, columns = faces.box
    box = (slice(rows.start + top, rows.stop + top), slice(columns.start + left, columns.stop + left))
    assert box[0].stop <= size and box[1].stop <= size
    return moved.contiguous(), box


def plain_objective(
    low: torch.Tensor, box: tuple[slice, slice], weights: np.ndarray, faces: FaceCorrelations, alpha: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Equation 5 over the whole texture ``(1, 3, S, S)``, as it is usually written: features times mask, squared."""
    extractor = faces.extractor
    with torch.no_grad():
        features = extractor(low)
    contents = [features[tap] for tap in faces.content_taps]
    sizes = [content.square().mean() for content in contents]
    sides = torch.zeros(1, 2, *low.shape[-2:], device=low.device)
    sides[(..., *box)] = torch.from_numpy(faces.sides).float().to(low.device)
    terms = []
    for tap, wanted in zip(faces.correlation_taps, faces.combined(weights, 1), strict=True):
        mask = functional.adaptive_avg_pool2d(sides, features[tap].shape[-2:])[0].flatten(1)
        mask = torch.where(mask >= 0.5, mask, 0.0)
        area = mask.sum(dim=1).clamp_min(1e-12)
        terms.append((tap, mask.sqrt(), area, torch.from_numpy(wanted).to(low.device)))

    def loss(image: torch.Tensor) -> torch.Tensor:
        maps = extractor(image)
        total = image.new_zeros(())
        for tap, kept, size in zip(faces.content_taps, contents, sizes, strict=True):
            total = total + functional.mse_loss(maps[tap], kept) / size / alpha
        for tap, roots, area, wanted in terms:
            flat = maps[tap][0].flatten(1)
            for side in range(len(wanted)):
                masked = flat * roots[side]
                gram = masked @ masked.T / area[side]
                share = area[side] / area.sum()
                total = total + share * (gram - wanted[side]).square().sum() / wanted[side].square().sum()
        return total

    return loss


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--database", type=Path, required=True, help="a texture database (mesoface database build)")
    parser.add_argument("--features", default="auto")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--alpha", type=float, default=2000.0)
    parser.add_argument(
        "--iterations",
        type=int,
        nargs=2,
        default=Deep.defaults["iterations"],
        help="ours: half, full resolution",
    )
    parser.add_argument("--most", type=float, default=10.0, help="the peer gives up after this many times our seconds")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def run_ours(
    smooth: np.ndarray, weights: np.ndarray, faces: FaceCorrelations, options: argparse.Namespace
) -> torch.Tensor:
    chosen = {"alpha": options.alpha, "iterations": tuple(options.iterations)}
    texture, _ = synthesise(smooth, weights, faces, chosen, options.device)
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
    start: torch.Tensor,
    loss: Callable[[torch.Tensor], torch.Tensor],
    judge: Callable[[torch.Tensor], torch.Tensor],
    wanted: float,
    options: argparse.Namespace,
    ours: float,
) -> tuple[float, bool]:
    """Seconds until the plain loop's image is judged at most ``wanted``; False where it gave up."""
    image = start.clone().requires_grad_(True)
    optimiser = torch.optim.LBFGS([image], max_iter=10**6, tolerance_grad=0.0, tolerance_change=0.0)
    cuda = options.device.startswith("cuda")
    begun = time.perf_counter()
    judging, seconds, met = 0.0, options.most * ours, False

    def closure() -> torch.Tensor:
        nonlocal judging, seconds, met
        optimiser.zero_grad()
        value = loss(image)
        value.backward()
        if cuda:
            torch.cuda.synchronize()
        now = time.perf_counter()
        seconds = now - begun - judging
        with torch.no_grad():
            found = float(judge(image))
        judging += time.perf_counter() - now
        met = found <= wanted
        if met or seconds > options.most * ours or not np.isfinite(found):
            raise EnoughError
        return value

    with contextlib.suppress(EnoughError):
        optimiser.step(closure)
    return seconds, met


def report(
    console: Console, ours: float, peers: Mapping[str, float], reached: Mapping[str, bool], losses: list[float]
) -> None:
    table = Table("", title="seconds to an equal loss", title_justify="left")
    for heading in ("seconds", "ratio", "goal"):
        table.add_column(heading, justify="right")
    table.add_row("ours", f"{ours:.2f}", "1", "")
    for number, (peer, seconds) in enumerate(peers.items()):
        ratio = seconds / ours
        more = "" if reached[peer] else "> "
        said = f"{more}{ratio:.2f}"
        if number == 0:
            said = f"[{'green' if ratio >= GOAL else 'bold red'}]{said}[/]"
        table.add_row(peer, f"{more}{seconds:.2f}", said, f"{GOAL:g}" if number == 0 else "")
    console.print(table)
    console.print(f"loss reached: {', '.join(f'{value:.5f}' for value in losses)}", style="dim")


def processor() -> str:
    facts = Path("/proc/cpuinfo")
    names = [line for line in facts.read_text().splitlines() if line.startswith("model name")] if facts.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
