"""Features of a region, layer by layer: only those of the region, each with its share of it.

A feature of a layer stands for one bin of that layer's grid over the box; its weight is the part of the bin that lies
in the region (``adaptive_avg_pool2d`` of the mask), and the weights of a layer sum to one. Where the region fills the
box all weights are equal, and a weighted mean is the plain spatial mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

# Pixels that one forward pass takes: a processor gains nothing from more than one picture of 512², a GPU nothing from
# more than four, for which cuDNN still picks algorithms that need little memory (1 GB with VGG-16; eight take 35 GB).
_PIXELS = {"cpu": 512 * 512, "cuda": 4 * 512 * 512}


@dataclass(frozen=True, eq=False)
class Places:
    """Where a layer's features of the region lie.

    Attributes:
        index: ``(P,)`` int64 flat places in the layer's map.
        weights: ``(P,)`` float32, above 0, of sum 1.
    """

    index: Tensor
    weights: Tensor


@contextmanager
def exactly() -> Iterator[None]:
    """No gradients, and convolutions in full float32 on GPUs too, where TF32 would cost the fourth digit."""
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


def places_of(region: Tensor, size: tuple[int, int]) -> Places:
    """Places of ``region`` ``(h, w)`` bool in a layer's map of ``size``."""
    share = functional.adaptive_avg_pool2d(region.float()[None, None], size).flatten()
    index = torch.nonzero(share).flatten()
    weights = share[index].double()
    return Places(index, (weights / weights.sum()).float())


def rows_of(features: Tensor, places: Places) -> Tensor:
    """``(B, P, C)`` features ``(B, C, h, w)`` at ``places``."""
    flat = features.permute(0, 2, 3, 1).flatten(1, 2)
    return flat.index_select(1, places.index)


def weighted_mean(rows: Tensor, places: Places) -> Tensor:
    """``(B, C)`` mean of rows ``(B, P, C)`` over the region."""
    return torch.matmul(places.weights, rows)


def unit_length(rows: Tensor) -> Tensor:
    """Rows ``(…, C)`` over their Euclidean norm, in place; zeros stay zeros (the constant is that of ``lpips``)."""
    return rows.div_(torch.linalg.vector_norm(rows, dim=-1, keepdim=True).add_(1e-10))


def as_tensor(pictures: Sequence[NDArray[np.float32]], device: str) -> Tensor:
    """``(B, 3, h, w)`` on ``device`` of pictures ``(h, w, 3)``."""
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2)


def chunks(count: int, size: tuple[int, int], device: str) -> Iterator[slice]:
    """Parts of a batch of pictures of ``size`` that go through a network together, so that memory stays bounded."""
    step = max(1, _PIXELS["cuda" if device.startswith("cuda") else "cpu"] // (size[0] * size[1]))
    for start in range(0, count, step):
        yield slice(start, min(count, start + step))
