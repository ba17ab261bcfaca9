"""Convolution of one picture with a bank of filters, whose gradient for the picture is fast on processors too.

The gradient is a convolution with as many incoming channels as there are filters and one outgoing, and libraries
vectorise over the outgoing ones. Here it yields blocks of texels as channels instead, with larger, strided kernels:
more multiplications, and several times as fast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Texels to a side of a block, and the kernel size from which blocks are worth their larger kernels.
_BLOCK, _LEAST_KERNEL = 4, 5


def bank_responses(image: Tensor, bank: Tensor) -> Tensor:
    """``(B, F, H, W)`` responses of ``image`` ``(B, C, H, W)`` to filters ``bank`` ``(F, C, K, K)``, K odd.

    Beyond its edges the image counts as 0. Gradients flow to the image alone.
    """
    if image.is_cuda or bank.shape[-1] < _LEAST_KERNEL:
        return functional.conv2d(image, bank, padding=bank.shape[-1] // 2)
    return torch.as_tensor(_Responses.apply(image, bank))


class _Responses(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, image: Tensor, bank: Tensor) -> Tensor:
        context.bank = bank
        return functional.conv2d(image, bank, padding=bank.shape[-1] // 2)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        kernel = context.bank.shape[-1]
        height, width = gradient.shape[-2:]
        reach = kernel // 2
        # Whole blocks: the picture ends where its last block does.
        padded = functional.pad(gradient, (reach, reach + -width % _BLOCK, reach, reach + -height % _BLOCK))
        blocks = functional.conv2d(padded, _block_kernels(context.bank), stride=_BLOCK)
        return functional.pixel_shuffle(blocks, _BLOCK)[..., :height, :width], None


def _block_kernels(bank: Tensor) -> Tensor:
    """``(C·b², F, K + b − 1, K + b − 1)``: the mirrored filters, shifted to every texel of a block of b × b."""
    filters, channels, kernel, _ = bank.shape
    mirrored = bank.flip(2, 3).transpose(0, 1)
    size = kernel + _BLOCK - 1
    out = bank.new_zeros(channels, _BLOCK, _BLOCK, filters, size, size)
    for row in range(_BLOCK):
        for column in range(_BLOCK):
            out[:, row, column, :, row : row + kernel, column : column + kernel] = mirrored
    return out.reshape(channels * _BLOCK**2, filters, size, size)
