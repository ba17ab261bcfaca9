"""DISTS (Ding, Ma, Wang, Simoncelli 2020) inside a region.

Let ``x_lc`` and ``y_lc`` be the features of both pictures in channel ``c`` of layer ``l``; layer 0 is the picture
itself, layers 1–5 are those of VGG-16 with L2 pooling in place of max pooling. With means ``μ``, variances ``σ²`` and
covariance ``σ_xy`` over the region, each place weighted by its share of it,

    DISTS = 1 − Σ_l Σ_c [ α_lc (2 μ_x μ_y + c₁)/(μ_x² + μ_y² + c₁) + β_lc (2 σ_xy + c₂)/(σ_x² + σ_y² + c₂) ]

with ``c₁ = c₂ = 10⁻⁶`` and ``Σ (α + β) = 1``. The pooling and the learned ``α``, ``β`` are those of the package
``torchmetrics``, which carries them; the trunk is the asset ``lpips-vgg``. Where the region is the whole picture this
is what ``torchmetrics`` computes. Pictures are sRGB-encoded in [0, 1] (checked); what of them is seen is ruled in
``metrics.networks.window``. They are not brought to 256 pixels as the authors' script does, because fine detail is what
is judged here; the limit is among the parameters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from metrics.contract import Batch, Component, Metric, Weights
from metrics.networks.window import LONGEST_SIDE, Window, windows_of
from metrics.perceptual import BOTH_SPACES, pictures_of, window_parameters

if TYPE_CHECKING:
    from torch import Tensor

    from metrics.networks.features import Places
    from metrics.networks.trunks import Trunk

CHANNELS = (3, 64, 128, 256, 512, 512)
_STABILISER = 1e-6


@dataclass(frozen=True, eq=False)
class _Network:
    """The trunk with L2 pooling; ``alpha`` and ``beta``, ``(C_l,)`` a layer, sum to one together."""

    trunk: Trunk
    alpha: tuple[Tensor, ...]
    beta: tuple[Tensor, ...]
    weights: Weights


def load_network(device: str = "cpu") -> _Network:
    """The network with its weights; read once a process as long as the trunk's file stays the same.

    Raises:
        AssetError: weights are absent, damaged, or those of another net.
    """
    from recon.assets import require

    require("lpips-vgg")  # absent weights are told at once, without the import of torch
    from metrics.networks.trunks import load_trunk

    return _network(load_trunk("vgg16", device))


@lru_cache(maxsize=2)
def _network(trunk: Trunk) -> _Network:
    from torch import nn
    from torchmetrics.functional.image.dists import L2pooling

    from metrics.networks.weights import checked, packaged_file, read_tensors, tensors_sha256

    path = packaged_file("torchmetrics", "functional", "image", "dists_models", "weights.pt")
    mend = "install the package 'torchmetrics' again."
    shape = (1, sum(CHANNELS), 1, 1)
    learned = checked(
        read_tensors(path, mend), {"alpha": shape, "beta": shape}, "torchmetrics' file of DISTS weights", mend
    )
    layers: list[nn.Module] = []
    channels = 0
    for layer in trunk.layers:
        channels = layer.out_channels if isinstance(layer, nn.Conv2d) else channels
        layers.append(L2pooling(channels=channels).to(trunk.device) if isinstance(layer, nn.MaxPool2d) else layer)
    pooled = replace(trunk, layers=nn.Sequential(*layers))
    total = learned["alpha"].sum() + learned["beta"].sum()
    alpha, beta = (
        tuple((learned[name] / total).flatten().to(trunk.device).split(CHANNELS)) for name in ("alpha", "beta")
    )
    tensors = {**{f"trunk.{name}": value for name, value in trunk.layers.state_dict().items()}, **learned}
    source = f"{trunk.weights.source}, torchmetrics {version('torchmetrics')}"
    return _Network(pooled, alpha, beta, Weights("vgg16", tensors_sha256(tensors), source))


def _layers(network: _Network, pictures: Tensor, inside: Tensor) -> Iterator[Tensor]:
    """The pictures themselves, then the features of each layer."""
    yield pictures
    yield from network.trunk.features(pictures, inside)


@dataclass(frozen=True, eq=False)
class _Known:
    """One layer of the reference: rows less their mean ``(1, P, C)``, mean and variance ``(1, C)``."""

    places: Places
    apart: Tensor
    mean: Tensor
    variance: Tensor


def _known(features: Tensor, inside: Tensor) -> _Known:
    from metrics.networks.features import places_of

    places = places_of(inside, (features.shape[-2], features.shape[-1]))
    return _Known(places, *_moments(features, places))


def _moments(features: Tensor, places: Places) -> tuple[Tensor, Tensor, Tensor]:
    """Rows less their mean, mean, and population variance over the region."""
    from metrics.networks.features import rows_of, weighted_mean

    rows = rows_of(features, places)
    mean = weighted_mean(rows, places)
    apart = rows - mean[:, None]
    return apart, mean, weighted_mean(apart.square(), places)


def _similarity(features: Tensor, known: _Known, alpha: Tensor, beta: Tensor) -> Tensor:
    """``(B,)`` part of the sum that one layer contributes."""
    from metrics.networks.features import weighted_mean

    apart, mean, variance = _moments(features, known.places)
    together = weighted_mean(apart * known.apart, known.places)
    texture = (2 * mean * known.mean + _STABILISER) / (mean.square() + known.mean.square() + _STABILISER)
    structure = (2 * together + _STABILISER) / (variance + known.variance + _STABILISER)
    return (texture * alpha + structure * beta).sum(dim=1)


def _measured(batch: Batch, window: Window, network: _Network) -> list[float]:
    import torch

    from metrics.networks.features import as_tensor, chunks, exactly

    device = network.trunk.device
    reference, results = pictures_of(batch, window)
    values: list[float] = []
    with exactly():
        inside = torch.from_numpy(window.region).to(device)
        known = [_known(features, inside) for features in _layers(network, as_tensor([reference], device), inside)]
        for part in chunks(len(results), window.region.shape, device):
            ours = _layers(network, as_tensor(results[part], device), inside)
            similar = [
                _similarity(features, layer, alpha, beta)
                for features, layer, alpha, beta in zip(ours, known, network.alpha, network.beta, strict=True)
            ]
            values += (1.0 - torch.stack(similar).double().sum(dim=0)).tolist()
    return values


def _measure(batch: Batch, device: str, longest: int) -> Sequence[Sequence[float]]:
    network = load_network(device)
    values = np.full(len(batch), np.nan)
    for window, members in windows_of(batch, longest).values():
        if window is not None:
            values[members] = _measured([batch[member] for member in members], window, network)
    return [[float(value)] for value in values]


def dists_metric(longest: int = LONGEST_SIDE) -> Metric:
    """DISTS of boxes of at most ``longest`` pixels a side."""
    return Metric(
        components=(Component("DISTS"),),
        library="torchmetrics",
        version=version("torchmetrics"),
        parameters={"net": "vgg16", "pooling": "L2", "stabiliser": _STABILISER, **window_parameters(longest)},
        spaces=BOTH_SPACES,
        measure=partial(_measure, longest=longest),
        weights=lambda: load_network().weights,
    )


DISTS = dists_metric()
