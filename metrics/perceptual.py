"""LPIPS (Zhang, Isola, Efros, Shechtman, Wang 2018, version 0.1) inside a region, on three trunks.

Let ``x̂_l`` and ``ŷ_l`` be the features of both pictures at layer ``l``, of unit length at each place, and ``a_l`` the
share of the region in each place of that layer, of sum 1 (``metrics.networks.features``). Then

    d_lc = Σ_p a_lp (x̂_lpc − ŷ_lpc)²,        LPIPS = Σ_l Σ_c w_lc d_lc

with the learned heads ``w`` that the package ``lpips`` carries. Where the region is the whole picture this is what
``lpips`` computes. Pictures are sRGB-encoded in [0, 1] (checked), which the trunk's own normalisation maps to what
``lpips`` makes of [−1, 1]; what of them is seen is ruled in ``metrics.networks.window``.

``d`` does not depend on the heads, so it is worked out once for all metrics that share a trunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Batch, Component, Judged, Metric, Space, Weights
from metrics.networks.window import LEAST_SIDE, LONGEST_SIDE, Window, seen, windows_of

if TYPE_CHECKING:
    from torch import Tensor

    from metrics.networks.trunks import Trunk

Differences = tuple[NDArray[np.float64], ...]
"""``d`` of one result: ``(C_l,)`` a layer."""

TRUNK_OF = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet"}
"""Names of the nets of LPIPS → trunks."""

BOTH_SPACES: frozenset[Space] = frozenset({"uv", "image"})


def window_parameters(longest: int) -> dict[str, Any]:
    """How pictures come to a network, for the identity of a metric."""
    return {
        "input": "sRGB in [0, 1]",
        "longest_side": longest,
        "smaller_by": "mean over area of the region, linear light",
        "crop": "box around the demanded region, then around the region",
        "least_side": LEAST_SIDE,
        "fill": "0 after normalisation",
        "recipe": 1,
    }


def feature_differences(batch: Batch, net: str, device: str, longest: int = LONGEST_SIDE) -> list[Differences | None]:
    """``d`` of each member of the batch on the trunk ``net``; None where its region is too small.

    Kept with each result, so that metrics on one trunk share it; the reference goes through the trunk once for all
    members whose region is the same, and its features are dropped at the end.

    Raises:
        AssetError: the trunk's weights are absent or no good.
        ImageError: values inside a region that are not in [0, 1].
    """
    from metrics.networks.trunks import load_trunk

    trunk = load_trunk(net, device)
    found: list[Differences | None] = [None] * len(batch)
    for window, members in windows_of(batch, longest).values():
        if window is None:
            continue
        kept = [_kept(batch[member], trunk, window) for member in members]
        lacking = [(member, place) for member, place in zip(members, kept, strict=True) if not place]
        if lacking:
            measured = _measured([batch[member] for member, _ in lacking], window, trunk)
            for (_, place), value in zip(lacking, measured, strict=True):
                place.append(value)
        for member, place in zip(members, kept, strict=True):
            found[member] = place[0]
    return found


def _kept(judged: Judged, trunk: Trunk, window: Window) -> list[Differences]:
    """Where the differences of a result to this very reference are kept; empty until they are known."""
    reference = judged.of_reference.get("identity", object)
    return judged.of_result.get(("differences", trunk.weights.sha256, window.key, reference), list)


def pictures_of(batch: Batch, window: Window) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """What a network sees of the reference that the members share, and of each member's result, ``(h, w, 3)``.

    Raises:
        ImageError: see :func:`metrics.networks.window.seen`.
    """
    first = batch[0]
    reference = seen(first.reference, first.region, window, first.of_reference, f"the reference of '{first.subject}'")
    results = [
        seen(judged.result, judged.region, window, judged.of_result, f"a result of '{judged.subject}'")
        for judged in batch
    ]
    return reference, results


def _measured(batch: Batch, window: Window, trunk: Trunk) -> list[Differences]:
    import torch

    from metrics.networks.features import as_tensor, chunks, exactly, places_of, rows_of, unit_length, weighted_mean

    reference, results = pictures_of(batch, window)
    measured: list[Differences] = []
    with exactly():
        inside = torch.from_numpy(window.region).to(trunk.device)
        known = []
        for features in trunk.features(as_tensor([reference], trunk.device), inside):
            places = places_of(inside, (features.shape[-2], features.shape[-1]))
            known.append((places, unit_length(rows_of(features, places))))
        for part in chunks(len(results), window.region.shape, trunk.device):
            layers = []
            ours = trunk.features(as_tensor(results[part], trunk.device), inside)
            for features, (places, wanted) in zip(ours, known, strict=True):
                apart = unit_length(rows_of(features, places)).sub_(wanted).square_()
                layers.append(weighted_mean(apart, places).cpu().numpy().astype(np.float64))
            measured += [tuple(layer[i] for layer in layers) for i in range(len(layers[0]))]
    return measured


@lru_cache(maxsize=3)
def _heads(net: str) -> tuple[tuple[NDArray[np.float64], ...], str]:
    """The learned weights ``(C_l,)`` of each layer from the package ``lpips``, and their hash."""
    from metrics.networks.weights import checked, packaged_file, read_tensors, tensors_sha256

    path: Path = packaged_file("lpips", "weights", "v0.1", f"{net}.pth")
    mend = "install the package 'lpips' again."
    stored: dict[str, Tensor] = read_tensors(path, mend)
    wanted = {name: tuple(stored[name].shape) for name in stored}
    layers = [f"lin{number}.model.1.weight" for number in range(len(stored))]
    tensors = checked(stored, {name: wanted.get(name, (1, 0, 1, 1)) for name in layers}, f"lpips/{path.name}", mend)
    return tuple(tensors[name].flatten().double().numpy() for name in layers), tensors_sha256(tensors)


def _lpips_weights(net: str) -> Weights:
    """The trunk and the heads that are really used; sha256 over both hashes."""
    import hashlib

    from recon.assets import require

    require(f"lpips-{net}")  # absent weights are told at once, without the import of torch
    from metrics.networks.trunks import load_trunk

    trunk = load_trunk(TRUNK_OF[net]).weights
    both = hashlib.sha256((trunk.sha256 + _heads(net)[1]).encode()).hexdigest()
    return Weights(trunk.net, both, f"{trunk.source}, lpips {version('lpips')}")


def _measure_lpips(batch: Batch, device: str, net: str, longest: int) -> Sequence[Sequence[float]]:
    heads, _ = _heads(net)
    return [
        [float("nan")]
        if found is None
        else [float(sum(float(weights @ layer) for weights, layer in zip(heads, found, strict=True)))]
        for found in feature_differences(batch, TRUNK_OF[net], device, longest)
    ]


def lpips_metric(net: str, longest: int = LONGEST_SIDE) -> Metric:
    """LPIPS on ``alex``, ``vgg`` or ``squeeze``; pictures are brought to boxes of at most ``longest`` pixels a side."""
    return Metric(
        components=(Component(f"LPIPS ({net})"),),
        library="lpips",
        version=version("lpips"),
        parameters={"net": net, "heads": "v0.1", **window_parameters(longest)},
        spaces=BOTH_SPACES,
        measure=partial(_measure_lpips, net=net, longest=longest),
        weights=partial(_lpips_weights, net),
    )


ALEX = lpips_metric("alex")
VGG = lpips_metric("vgg")
SQUEEZE = lpips_metric("squeeze")
