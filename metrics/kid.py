"""KID: the kernel distance between the results of all people and their references (Bińkowski, Sutherland, Arbel,
Gretton 2018), on the Inception network of ``torch-fidelity``.

With the 2048 pooled features ``x_i`` of the result and ``y_i`` of the reference of person ``i`` of ``m``, and the
kernel ``k(x, y) = (x·y / 2048 + 1)³``,

    KID            = [Σ_{i≠j} k(x_i, x_j) + Σ_{i≠j} k(y_i, y_j)] / (m (m − 1)) − 2 Σ_{i,j} k(x_i, y_j) / m²
    KID (unpaired) = [Σ_{i≠j} k(x_i, x_j) + Σ_{i≠j} k(y_i, y_j) − 2 Σ_{i≠j} k(x_i, y_j)] / (m (m − 1))

The first is the published estimate over all people at once instead of random subsets. It takes the two sets as drawn
independently; here they show the same people, so its last sum holds ``m`` terms of a person with himself, and results
that equal their references come out below zero. The second leaves those terms out: it is unbiased for sets of the same
people, and zero for results that equal their references.

A picture comes to the network in 8 bits, cut to the box of the region (``metrics.networks.window``), grey 128 outside
the region, which the network's normalisation maps to 0, and widened with the same grey to a square, so that faces are
not squeezed. The network brings it to 299² itself, as TensorFlow 1 did.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from metrics.contract import Batch, Component, SetMetric, Weights
from metrics.networks.window import LONGEST_SIDE, Window, windows_of
from metrics.perceptual import BOTH_SPACES, pictures_of, window_parameters

if TYPE_CHECKING:
    from torch import nn

ASSET = "inception"
FEATURES = 2048
LEAST_SUBJECTS = 20
"""Fewer people give a number that is mostly chance; published ones rest on thousands of pictures."""

_GREY = 128
_NETWORK_SIDE = 299

Descriptor = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Inception:
    network: nn.Module
    weights: Weights


def load_inception(device: str = "cpu") -> _Inception:
    """The network with its weights; read once a process as long as the file stays the same.

    Raises:
        AssetError: the weights are absent, damaged, or those of another net.
    """
    from recon.assets import require

    path = require(ASSET)
    state = path.stat()
    return _load(path, (state.st_mtime_ns, state.st_size), device)


@lru_cache(maxsize=2)
def _load(path: Path, _: tuple[int, int], device: str) -> _Inception:
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from metrics.networks.weights import finite, mend_of, read_tensors, tensors_sha256
    from recon.errors import AssetError

    mend = mend_of(ASSET)
    stored = finite(read_tensors(path, mend), path.name, mend)
    # The package unpickles whatever lies in a file that it is named, and downloads where it is named none: it gets the
    # tensors that were read safely, from memory.
    memory = io.BytesIO()
    torch.save(stored, memory)
    memory.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception", [str(FEATURES)], feature_extractor_weights_path=memory)
    except (RuntimeError, AttributeError) as error:
        raise AssetError(f"{path.name} does not hold the layers of the Inception network: {mend}") from error
    weights = Weights("inception-v3-compat", tensors_sha256(network.state_dict()), path.name)
    return _Inception(network.to(device), weights)


def _square(picture: NDArray[np.float32], window: Window) -> NDArray[np.uint8]:
    """``(s, s, 3)``: sRGB-encoded ``(h, w, 3)`` in 8 bits, grey outside the region, the picture in the middle."""
    height, width = window.region.shape
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    square = np.full((side, side, 3), _GREY, np.uint8)
    coloured = np.where(window.region[..., None], np.rint(picture * 255.0), _GREY)
    square[top : top + height, left : left + width] = coloured.astype(np.uint8)
    return square


def _described(pictures: Sequence[NDArray[np.float32]], window: Window, device: str) -> list[Descriptor]:
    import torch

    from metrics.networks.features import chunks, exactly

    network = load_inception(device).network
    found: list[Descriptor] = []
    with exactly():
        for part in chunks(len(pictures), (_NETWORK_SIDE, _NETWORK_SIDE), device):
            squares = np.stack([_square(picture, window) for picture in pictures[part]])
            (rows,) = network(torch.from_numpy(squares).to(device).permute(0, 3, 1, 2))
            found += list(rows.cpu().numpy().astype(np.float32))
    return found


def _describe(batch: Batch, device: str, longest: int) -> Sequence[tuple[Descriptor, Descriptor]]:
    identity = load_inception(device).weights.sha256
    nothing = np.full(FEATURES, np.nan, np.float32)
    found = [(nothing, nothing)] * len(batch)
    for window, members in windows_of(batch, longest).values():
        if window is None:
            continue
        reference, results = pictures_of([batch[member] for member in members], window)
        memo = batch[members[0]].of_reference
        wanted = memo.get(
            ("inception", identity, window.key),
            lambda r=reference, w=window: _described([r], w, device)[0],  # type: ignore[misc]
        )
        for member, ours in zip(members, _described(results, window, device), strict=True):
            found[member] = (ours, wanted)
    return found


def kernel(first: NDArray[np.floating], second: NDArray[np.floating]) -> NDArray[np.float64]:
    """``(N, M)`` kernel of descriptors ``(N, D)`` and ``(M, D)``: ``(x·y / D + 1)³``."""
    ours, others = np.asarray(first, np.float64), np.asarray(second, np.float64)
    return np.asarray((ours @ others.T / ours.shape[1] + 1.0) ** 3)


def kernel_distances(results: NDArray[np.floating], references: NDArray[np.floating]) -> tuple[float, float]:
    """KID and KID (unpaired) of ``(m, D)`` descriptors, row ``i`` of both of the same person; m ≥ 2."""
    from torch_fidelity.metric_kid import mmd2

    kernels = kernel(results, results), kernel(results, references), kernel(references, references)
    return float(mmd2(*kernels, mmd_est="unbiased")), float(mmd2(*kernels, mmd_est="u-statistic"))


def _gather(subjects: Sequence[str], results: Descriptor, references: Descriptor) -> Mapping[str, float]:
    few = len(subjects) < LEAST_SUBJECTS
    values = (np.nan, np.nan) if few else kernel_distances(results, references)
    return {component.name: value for component, value in zip(_COMPONENTS, values, strict=True)}


_COMPONENTS = (Component("KID"), Component("KID (unpaired)"))


def kid_metric(longest: int = LONGEST_SIDE) -> SetMetric:
    """KID of boxes of at most ``longest`` pixels a side."""
    return SetMetric(
        components=_COMPONENTS,
        library="torch-fidelity",
        version=version("torch-fidelity"),
        parameters={
            "net": "inception-v3-compat",
            "features": FEATURES,
            "kernel": "(x·y/D + 1)^3",
            "subsets": "none: all subjects at once",
            "least_subjects": LEAST_SUBJECTS,
            **window_parameters(longest),
            "fill": "8-bit grey 128, to a square",
            "bits": 8,
        },
        spaces=BOTH_SPACES,
        describe=partial(_describe, longest=longest),
        gather=_gather,
        weights=lambda: load_inception().weights,
    )


KID = kid_metric()
