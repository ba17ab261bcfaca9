"""Texture synthesis: an image is changed until its feature correlations are those that were asked for.

Minimises a sum of losses over the image by L-BFGS (Gatys, Ecker, Bethge 2015; Saito et al. 2017, eq. 5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from recon.texture.correlation import LayerCells, cell_correlations


@dataclass(frozen=True, eq=False)
class CorrelationTarget:
    """What the correlations of one layer should be.

    Attributes:
        cells: texels of the cells at this layer.
        correlations: ``(R, C, C)`` wanted.
        weights: ``(R,)`` importance of each cell: 0 for a cell that is not synthesised.
        mean: ``(C,)`` shift of the features, or None.
    """

    cells: LayerCells
    correlations: Tensor
    weights: Tensor
    mean: Tensor | None = None

    def loss(self, features: Tensor) -> Tensor:
        """Weighted sum over cells of ``‖G − Ĝ‖² / ‖Ĝ‖²``."""
        difference = cell_correlations(features, self.cells, self.mean) - self.correlations
        norm = self.correlations.square().sum(dim=(1, 2)).clamp_min(1e-12)
        return (self.weights * difference.square().sum(dim=(1, 2)) / norm).sum()


@dataclass
class SynthesisRecord:
    """How a synthesis went: the loss at each evaluation, the first and the last."""

    losses: list[float] = field(default_factory=list)

    @property
    def first(self) -> float:
        """Loss of the starting image."""
        return self.losses[0]

    @property
    def last(self) -> float:
        """Smallest loss that was reached."""
        return min(self.losses)


def minimise(
    start: Tensor, loss: Callable[[Tensor], Tensor], iterations: int, history: int = 20
) -> tuple[Tensor, SynthesisRecord]:
    """L-BFGS with a strong Wolfe line search from ``start``; returns the best image and the losses.

    Stops early once neither the gradient nor the loss moves. Deterministic on one machine and number of threads.
    """
    image = start.detach().clone().requires_grad_(True)
    evaluate = _captured(loss, image) if image.is_cuda else _evaluation(loss, image)
    record = SynthesisRecord()
    best, best_loss = image.detach().clone(), float("inf")
    optimiser = torch.optim.LBFGS(
        [image],
        max_iter=iterations,
        max_eval=int(iterations * 1.5) + 1,
        history_size=history,
        line_search_fn="strong_wolfe",
        tolerance_grad=1e-9,
        tolerance_change=1e-10,
    )

    def closure() -> Tensor:
        nonlocal best, best_loss
        value = evaluate()
        now = float(value)
        record.losses.append(now)
        if now < best_loss:
            best, best_loss = image.detach().clone(), now
        return value

    optimiser.step(closure)
    return best, record


def load_optimiser() -> None:
    """Has PyTorch load what it loads with the first optimiser of a process: its compiler, for one to three seconds."""
    torch.optim.LBFGS([torch.zeros(1, requires_grad=True)])


def _evaluation(loss: Callable[[Tensor], Tensor], image: Tensor) -> Callable[[], Tensor]:
    """What yields the loss of ``image`` as it is at the call, and leaves its gradient in ``image.grad``."""

    def evaluate() -> Tensor:
        image.grad = None
        value = loss(image)
        value.backward()
        return value.detach()

    return evaluate


def _captured(loss: Callable[[Tensor], Tensor], image: Tensor) -> Callable[[], Tensor]:
    """The same on a GPU, as one CUDA graph: some two hundred kernels are launched as one, without waiting for Python.

    ``loss`` must do the same operations at every call, and none on the host.
    """
    stream = torch.cuda.Stream(image.device)
    stream.wait_stream(torch.cuda.current_stream(image.device))
    with torch.cuda.stream(stream):
        for _ in range(2):  # libraries choose their kernels and workspaces outside of the capture
            torch.autograd.grad(loss(image), image)
    torch.cuda.current_stream(image.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(image.device), torch.cuda.graph(graph):  # it captures on the current device
        value = loss(image)
        gradient = torch.autograd.grad(value, image)[0].contiguous()
        value = value.detach()

    def evaluate() -> Tensor:
        graph.replay()
        image.grad = gradient
        return value

    return evaluate


def correlation_loss(targets: Sequence[CorrelationTarget], features: Sequence[Tensor]) -> Tensor:
    """Sum of the targets' losses, one a layer, for features of one image ``[(1, C, H, W)]``."""
    total = features[0].new_zeros(())
    for target, feature in zip(targets, features, strict=True):
        total = total + target.loss(feature[0])
    return total
