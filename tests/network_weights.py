"""Weight files of the right shapes with random values, and the reference implementations on the same values.

Nobody's trained weights are needed to show that a computation is the same: two implementations on one random trunk
agree exactly as they would on the trained one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torchvision.models
from torch import nn
from torchvision.models.vgg import cfgs, make_layers

from metrics.contract import Judged, Memo

NETS = {"alex": "alexnet", "vgg": "vgg16", "squeeze": "squeezenet1_1"}
"""Nets of LPIPS → names of torchvision's models."""


def random_features(net: str) -> nn.Sequential:
    """torchvision's ``features`` of one of :data:`NETS`, with weights that keep the signal at unit size throughout."""
    whole = net != "vgg"  # whose classifier is large
    layers = getattr(torchvision.models, NETS[net])(weights=None).features if whole else make_layers(cfgs["D"])
    generator = torch.Generator().manual_seed(5)
    for module in layers.modules():
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel()
            module.weight.data = torch.randn(module.weight.shape, generator=generator) * (2.0 / fan) ** 0.5
            assert module.bias is not None
            module.bias.data = 0.1 * torch.randn(module.bias.shape, generator=generator)
    return layers.eval().requires_grad_(False)


def write_weights(layers: nn.Module, path: Path) -> Path:
    """The file that torchvision would publish, without a classifier."""
    torch.save({f"features.{name}": value for name, value in layers.state_dict().items()}, path)
    return path


@contextlib.contextmanager
def torchvision_gives(net: str, layers: nn.Sequential) -> Iterator[None]:
    """While this lasts, torchvision's model of ``net`` has the features ``layers``, whatever weights are asked for."""

    def stand_in(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(features=layers)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, NETS[net], stand_in)
        if net == "vgg":
            patch.setattr("torchmetrics.functional.image.dists.vgg16", stand_in)
        yield


def as_input(picture: np.ndarray) -> torch.Tensor:
    """``(1, 3, H, W)`` of ``(H, W, 3)``."""
    return torch.from_numpy(picture.astype(np.float32)).permute(2, 0, 1)[None]


def judged(
    result: np.ndarray,
    reference: np.ndarray,
    region: np.ndarray | None = None,
    of_result: Memo | None = None,
    of_reference: Memo | None = None,
) -> Judged:
    """A result beside its reference; the whole picture is the region if none is given."""
    inside = np.ones(result.shape[:2], bool) if region is None else region
    memos = of_result or Memo(), of_reference or Memo()
    return Judged(result, reference, inside, inside, inside, "Anna", of_result=memos[0], of_reference=memos[1])


def pictures(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture with noise of its own, and another version of it."""
    generator = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = 0.5 + 0.3 * np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin((rows + columns) / 11)], axis=-1)
    first, second = (smooth + generator.normal(0, 0.05, smooth.shape) for _ in range(2))
    return np.clip(first, 0, 1).astype(np.float32), np.clip(second, 0, 1).astype(np.float32)


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[int]:
    """Number of pictures of each call of the method ``name``, whose first argument is a batch."""
    calls: list[int] = []
    real: Callable[..., object] = getattr(owner, name)

    def call(self: object, batch: torch.Tensor, *rest: object) -> object:
        calls.append(len(batch))
        return real(self, batch, *rest)

    monkeypatch.setattr(owner, name, call)
    return calls
