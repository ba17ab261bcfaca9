"""The LPIPS distance without learned heads: ``Σ_l Σ_c d_lc`` with the differences ``d`` of ``metrics.perceptual``.

This is the baseline of Zhang et al. 2018 (``lpips.LPIPS(lpips=False)``): features of unit length, squared difference,
equal weights. It needs a VGG-16 trunk alone. There is one metric a trunk, since numbers of two trunks must never stand
in one column: ``vgg16-unlearned`` on ImageNet weights, ``vgg16-hed-unlearned`` on the trunk of holistically-nested edge
detection (Xie and Tu 2015), which a package index supplies. How well the latter agrees with people nobody has
published.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from metrics.contract import Batch, Component, Metric, Weights
from metrics.networks.window import LONGEST_SIDE
from metrics.perceptual import BOTH_SPACES, feature_differences, window_parameters

ASSETS = {"vgg16": "lpips-vgg", "vgg16-hed": "vgg16-hed"}
"""Trunk → the asset that holds its weights."""


def _measure(batch: Batch, device: str, trunk: str, longest: int) -> Sequence[Sequence[float]]:
    return [
        [float("nan") if found is None else float(sum(float(layer.sum()) for layer in found))]
        for found in feature_differences(batch, trunk, device, longest)
    ]


def _weights(trunk: str) -> Weights:
    from recon.assets import require

    require(ASSETS[trunk])  # absent weights are told at once, without the import of torch
    from metrics.networks.trunks import load_trunk

    return load_trunk(trunk).weights


def unlearned_metric(trunk: str, name: str, longest: int = LONGEST_SIDE) -> Metric:
    """The distance ``name`` on ``trunk`` (a key of :data:`ASSETS`)."""
    return Metric(
        components=(Component(name),),
        library="mesoface",
        version="1",
        parameters={"net": trunk, "heads": "equal", **window_parameters(longest)},
        spaces=BOTH_SPACES,
        measure=partial(_measure, trunk=trunk, longest=longest),
        weights=partial(_weights, trunk),
    )


VGG16 = unlearned_metric("vgg16", "VGG-16 distance (unlearned)")
VGG16_HED = unlearned_metric("vgg16-hed", "VGG-16 HED distance (unlearned)")
