"""Masked feature correlations: the statistic that a texture is recognised and synthesised by.

``G^l = (1/|M|) Σ_{p∈M} (F_p − μ)(F_p − μ)ᵀ`` over the texels p of a mask M (Saito et al. 2017, eq. 3, with M the
visible texels). The face is divided into cells (a region on one side of the face); the correlation of any union of
cells is the mean of the cells' correlations weighted by their areas, so a database is measured once per cell and
never per subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from recon.texture.features import Layer

# Texels: keeps an empty cell's zero from being divided by zero.
_LEAST_AREA = 1e-12


@dataclass(frozen=True, eq=False)
class LayerCells:
    """The texels of every cell in one layer's feature map.

    Attributes:
        texels: ``(P,)`` int64 flat indices into the feature map, cell by cell.
        weights: ``(P,)`` float32 share of each feature texel that lies in its cell.
        counts: number of texels of each cell (may be 0).
        areas: ``(R,)`` float32 sum of the weights of each cell.
    """

    texels: Tensor
    weights: Tensor
    counts: tuple[int, ...]
    areas: Tensor

    def to(self, device: str) -> LayerCells:
        """The same cells on a torch device."""
        return LayerCells(self.texels.to(device), self.weights.to(device), self.counts, self.areas.to(device))


def layer_cells(cells: Tensor, layer: Layer, size: tuple[int, int]) -> LayerCells:
    """Cells ``(R, H, W)`` bool at the resolution of a layer whose feature map is ``size`` texels.

    The cells are resized by area; feature texels that lie less than half inside a cell are left out.
    """
    area = cells.float()
    stride = layer.stride
    while stride > 1:
        area = functional.avg_pool2d(area[None], 2, ceil_mode=True, count_include_pad=False)[0]
        stride //= 2
    if tuple(area.shape[-2:]) != size:
        raise ValueError(f"layer {layer.name}: feature map {size} and resized mask {tuple(area.shape[-2:])} differ")
    texels, weights, counts = [], [], []
    for cell in area.flatten(1):
        inside = torch.nonzero(cell >= 0.5).flatten()
        texels.append(inside)
        weights.append(cell[inside])
        counts.append(len(inside))
    weight = torch.cat(weights)
    areas = torch.stack([part.sum() for part in weight.split(counts)])
    return LayerCells(torch.cat(texels), weight, tuple(counts), areas)


def cell_correlations(features: Tensor, cells: LayerCells, mean: Tensor | None = None) -> Tensor:
    """``(R, C, C)`` correlation of each cell; zero for an empty cell.

    Args:
        features: ``(C, H, W)`` of one image.
        mean: ``(C,)`` shift of the features (the database's mean feature), or None.
    """
    roots = cells.weights.sqrt()
    shift = None if mean is None else mean[:, None]
    return torch.as_tensor(_Correlations.apply(features.flatten(1), cells.texels, roots, shift, cells))


class _Correlations(torch.autograd.Function):
    """The same as PyTorch's own operations in sequence, in a third of the memory traffic: products and gradients are
    written where they belong, and the weights are applied in place."""

    @staticmethod
    def forward(
        context: Any, features: Tensor, texels: Tensor, roots: Tensor, shift: Tensor | None, cells: LayerCells
    ) -> Tensor:
        chosen = features.index_select(1, texels)
        if shift is not None:
            chosen -= shift
        chosen *= roots
        out = features.new_zeros(len(cells.counts), len(features), len(features))
        for row, part in zip(out, chosen.split(cells.counts, dim=1), strict=True):
            torch.mm(part, part.T, out=row)  # of an empty cell: zero
        out /= cells.areas.clamp_min(_LEAST_AREA)[:, None, None]
        context.save_for_backward(texels, roots, chosen)
        context.cells, context.texels = cells, features.shape[1]
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        texels, roots, chosen = context.saved_tensors
        cells = context.cells
        symmetric = gradient + gradient.transpose(1, 2)
        symmetric /= cells.areas.clamp_min(_LEAST_AREA)[:, None, None]
        out = torch.empty_like(chosen)
        for matrix, part, place in zip(
            symmetric, chosen.split(cells.counts, dim=1), out.split(cells.counts, dim=1), strict=True
        ):
            torch.mm(matrix, part, out=place)
        out *= roots
        return chosen.new_zeros(len(chosen), context.texels).index_add_(1, texels, out), None, None, None, None


def cell_means(features: Tensor, cells: LayerCells) -> Tensor:
    """``(C,)`` mean feature over all cells."""
    chosen = features.flatten(1).index_select(1, cells.texels)
    return (chosen * cells.weights).sum(dim=1) / cells.weights.sum().clamp_min(1e-12)


def image_cells(layers: Sequence[Layer], cells: Tensor, features: Sequence[Tensor]) -> list[LayerCells]:
    """:func:`layer_cells` for every one of ``features`` ``[(1, C, H, W)]``."""
    return [
        layer_cells(cells, layer, (feature.shape[-2], feature.shape[-1]))
        for layer, feature in zip(layers, features, strict=True)
    ]


def erode_for(mask: Tensor, radius: float) -> Tensor:
    """``(H, W)`` bool eroded by a square of ``radius`` texels, so that no counted feature reads outside the mask."""
    if radius < 1:
        return mask
    reach = int(radius)
    outside = functional.pad((~mask).float()[None, None], (reach,) * 4, value=1.0)
    down = functional.max_pool2d(outside, (2 * reach + 1, 1), stride=1)  # a square's maximum is one of columns of rows
    return functional.max_pool2d(down, (1, 2 * reach + 1), stride=1)[0, 0] < 0.5
