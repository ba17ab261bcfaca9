"""Seconds of every metric beside torchmetrics and piq, on the same pairs in the same process.

    python benchmarks/metrics.py                       # 200 pairs of 512²: 25 pictures, 8 methods each
    python benchmarks/metrics.py --pairs 40 --metrics psnr,ssim,ms-ssim

Pairs are what a run has: each reference is compared with several methods. The pictures are crops of NASA's public
portrait of Eileen Collins with noise of their own, and the methods blur, noise, quantise and re-encode them. The region
is the whole picture, because the peers know no mask. Networks are loaded with random weights, made here, for all sides:
time does not depend on what a network has learned.

For each metric: seconds a pair of ours alone, of torchmetrics, of piq (– where it has none), and the ratio of the
faster peer to ours. The last lines time the full set of what all have in common: decoded once and with shared features
(ours) against each peer picture by picture, the peak memory of this process, and how far ``--pairs`` and half of it
leave a straight line. Targets: every ratio at least 1, the full set at least 2, memory under 2 GB, linear in pairs.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

# This file is called like the room that it times: the checkout, not this folder, is where `import metrics` looks.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

METHODS = 8
COMMON = ("psnr", "ssim", "ms-ssim", "lpips-alex", "lpips-vgg", "lpips-squeeze", "dists")
"""What we and at least one peer have."""
LANDMARKED = "identity"
"""Left out: it needs landmarks, which these pairs have not."""


@dataclass(frozen=True)
class Peer:
    """Another library's function of ``(1, 3, H, W)`` pictures in [0, 1], by our name of the metric."""

    library: str
    functions: dict[str, Callable[[Tensor, Tensor], Any]]


def write_random_weights(folder: Path) -> None:
    """State files of torchvision's architectures with random weights, named to mesoface as its assets."""
    from torchvision import models

    torch.manual_seed(0)
    for name, build in (
        ("lpips-alex", models.alexnet),
        ("lpips-vgg", models.vgg16),
        ("lpips-squeeze", models.squeezenet1_1),
    ):
        path = folder / f"{name}.pth"
        torch.save(build(weights=None).state_dict(), path)
        os.environ["MESOFACE_ASSET_" + name.upper().replace("-", "_")] = str(path)


def spoilt(picture: np.ndarray, method: int, generator: np.random.Generator) -> np.ndarray:
    """``picture`` ``(H, W, 3)`` in [0, 1] as a method of that number would return it."""
    from scipy.ndimage import gaussian_filter

    changed = gaussian_filter(picture, (0.4 * (method + 1),) * 2 + (0,)) if method % 2 else picture
    return np.clip(changed + generator.normal(0, 0.01 * (method + 1), picture.shape), 0, 1)


def write_pairs(folder: Path, count: int, size: int) -> list[tuple[Path, list[Path]]]:
    """References and the results compared with each, ``count`` results in all."""
    from skimage.data import astronaut

    face = Image.fromarray(astronaut()[:300, 80:380])
    written = []
    for index in range((count + METHODS - 1) // METHODS):
        generator = np.random.default_rng(index)
        left, top = generator.integers(0, 60, 2)
        crop = face.crop((left, top, left + 240, top + 240)).resize((size, size), Image.Resampling.LANCZOS)
        clean = np.clip(np.asarray(crop) / 255 + generator.normal(0, 0.02, (size, size, 3)), 0, 1)
        results = []
        for method in range(min(METHODS, count - index * METHODS)):
            results.append(folder / f"{index}-{method}.png")
            save(results[-1], spoilt(clean, method, generator))
        save(folder / f"{index}.png", clean)
        written.append((folder / f"{index}.png", results))
    return written


def save(path: Path, picture: np.ndarray) -> None:
    """8-bit PNG, quickly."""
    Image.fromarray((picture * 255 + 0.5).astype(np.uint8)).save(path, compress_level=1)


def batches(pairs: list[tuple[Path, list[Path]]]) -> Iterator[list[Any]]:
    """Our side: each picture is decoded once."""
    from metrics.contract import Judged, Memo
    from recon.images import read_png

    for reference, results in pairs:
        aim, memo = read_png(reference).astype(np.float32), Memo()
        everywhere = np.ones(aim.shape[:2], bool)
        yield [
            Judged(read_png(path).astype(np.float32), aim, everywhere, everywhere, everywhere, of_reference=memo)
            for path in results
        ]


def ours(pairs: list[tuple[Path, list[Path]]], names: tuple[str, ...], device: str) -> dict[str, float]:
    """Seconds of each metric over all pairs, memos shared among ``names``; ``decode`` besides."""
    from metrics import METRICS

    seconds = dict.fromkeys(("decode", *names), 0.0)
    started = time.perf_counter()
    for batch in batches(pairs):
        seconds["decode"] += time.perf_counter() - started
        for name in names:
            started = time.perf_counter()
            METRICS.get(name).measure(batch, device)
            seconds[name] += time.perf_counter() - started
        started = time.perf_counter()
    return seconds


def theirs(pairs: list[tuple[Path, list[Path]]], peer: Peer, names: tuple[str, ...], device: str) -> dict[str, float]:
    """Seconds of each of the peer's functions over all pairs, pair by pair."""

    def tensor(path: Path) -> Tensor:
        picture = np.asarray(Image.open(path).convert("RGB"))
        return (torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255).to(device)

    seconds = dict.fromkeys(("decode", *names), 0.0)
    with torch.inference_mode():
        for reference, results in pairs:
            for path in results:
                started = time.perf_counter()
                aim, own = tensor(reference), tensor(path)
                seconds["decode"] += time.perf_counter() - started
                for name in names:
                    if name in peer.functions:
                        started = time.perf_counter()
                        float(peer.functions[name](own, aim))
                        seconds[name] += time.perf_counter() - started
    return seconds


def torchmetrics_peer(device: str) -> Peer:
    """torchmetrics' functions; its networks are made once, as a careful user would."""
    from torchmetrics.functional import image as functional
    from torchmetrics.functional.image.lpips import _LPIPS

    @cache
    def network(kind: str) -> Any:
        return _LPIPS(pretrained=True, net=kind, pnet_rand=True).to(device).eval()

    def lpips(kind: str) -> Callable[[Tensor, Tensor], Any]:
        return lambda own, aim: network(kind)(own, aim, normalize=True).mean()

    @cache
    def dists() -> Any:
        from torchmetrics.functional.image import dists
        from torchvision import models

        dists.vgg16 = lambda weights: models.vgg16(weights=None)
        return dists.DISTSNetwork().to(device).eval()

    return Peer(
        "torchmetrics",
        {
            "psnr": lambda own, aim: functional.peak_signal_noise_ratio(own, aim, data_range=1.0),
            "ssim": lambda own, aim: functional.structural_similarity_index_measure(own, aim, data_range=1.0),
            "ms-ssim": lambda own, aim: functional.multiscale_structural_similarity_index_measure(
                own, aim, data_range=1.0
            ),
            "lpips-alex": lpips("alex"),
            "lpips-vgg": lpips("vgg"),
            "lpips-squeeze": lpips("squeeze"),
            "dists": lambda own, aim: dists()(own, aim).mean(),
        },
    )


def piq_peer(device: str) -> Peer:
    """piq's functions."""
    import piq

    return Peer(
        "piq",
        {
            "psnr": lambda own, aim: piq.psnr(own, aim, data_range=1.0),
            "ssim": lambda own, aim: piq.ssim(own, aim, data_range=1.0, downsample=False),
            "ms-ssim": lambda own, aim: piq.multi_scale_ssim(own, aim, data_range=1.0),
        },
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--metrics", default="", help="only these; default: all that need no more than random weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    with tempfile.TemporaryDirectory() as scratch:
        write_random_weights(Path(scratch))
        report(Path(scratch), chosen)


def report(scratch: Path, chosen: argparse.Namespace) -> None:
    """Times everything and prints the table."""
    from metrics import METRICS

    pairs = write_pairs(scratch, chosen.pairs, chosen.size)
    wanted = (
        tuple(chosen.metrics.split(","))
        if chosen.metrics
        else tuple(
            name
            for name in METRICS.names()
            if METRICS.get(name).reference == "photograph" and name != LANDMARKED and available(name)
        )
    )
    peers = [torchmetrics_peer(chosen.device), piq_peer(chosen.device)]
    warm = pairs[:1]
    for peer in peers:
        theirs([(warm[0][0], warm[0][1][:1])], peer, wanted, chosen.device)
    print(f"{chosen.pairs} pairs of {chosen.size}², {chosen.threads} threads, {chosen.device}; seconds a pair\n")
    print(f"{'metric':<22}{'ours':>9}{'torchmetrics':>14}{'piq':>9}{'ratio':>8}")
    others = {peer.library: theirs(pairs, peer, wanted, chosen.device) for peer in peers}
    for name in wanted:
        ours(warm, (name,), chosen.device)
        own = ours(pairs, (name,), chosen.device)[name] / chosen.pairs
        rivals = [others[peer.library][name] / chosen.pairs if name in peer.functions else None for peer in peers]
        known = [value for value in rivals if value is not None]
        ratio = f"{min(known) / own:8.2f}" if known else f"{'–':>8}"
        cells = "".join(f"{value:{width}.4f}" if value is not None else f"{'–':>{width}}"
                        for value, width in zip(rivals, (14, 9), strict=True))  # fmt: skip
        print(f"{name:<22}{own:9.4f}{cells}{ratio}", flush=True)
    full_set(pairs, peers, others, tuple(name for name in COMMON if name in wanted), chosen)


def full_set(
    pairs: list[tuple[Path, list[Path]]],
    peers: list[Peer],
    others: dict[str, dict[str, float]],
    common: tuple[str, ...],
    chosen: argparse.Namespace,
) -> None:
    """The last lines: the common set together, memory, linearity."""
    print()
    for peer in peers:
        shared = tuple(name for name in common if name in peer.functions)
        own = sum(ours(pairs, shared, chosen.device).values())
        their = others[peer.library]["decode"] + sum(others[peer.library][name] for name in shared)
        print(f"full set in common with {peer.library} ({', '.join(shared)}), decoding included: "
              f"ours {own:.1f} s, theirs {their:.1f} s, ratio {their / own:.2f} (target 2)")  # fmt: skip
    half = pairs[: len(pairs) // 2]
    count = sum(len(results) for _, results in half)
    if count:
        everything, part = (sum(ours(some, common, chosen.device).values()) for some in (pairs, half))
        print(
            f"linearity: {everything / chosen.pairs:.4f} s a pair over {chosen.pairs}, {part / count:.4f} over {count}"
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process, peers included: {peak:.2f} GB (target 2)")


def available(name: str) -> bool:
    """Whether the metric's weights are on this machine."""
    from metrics import METRICS
    from recon.errors import AssetError

    load = METRICS.get(name).weights
    if load is None:
        return True
    try:
        load()
    except AssetError as error:
        print(f"{name} left out: {error}")
        return False
    return True


if __name__ == "__main__":
    main()
