"""Coarse to fine: pictures reduced by powers of two, and what a coarser one learnt carried to the next finer."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def reduce_by(image: Tensor, scale: int) -> Tensor:
    """``(B, C, H, W)`` averaged over ``scale`` × ``scale`` texels (ceil)."""
    return image if scale == 1 else functional.avg_pool2d(image, scale, ceil_mode=True, count_include_pad=False)


def carried(coarse: Tensor, fine: Tensor) -> Tensor:
    """``fine`` ``(B, C, H, W)`` with the wide structure of ``coarse``, half its size: it keeps its own fine detail."""
    change = coarse - reduce_by(fine, 2)
    return fine + functional.interpolate(change, size=fine.shape[-2:], mode="bilinear", align_corners=False)
