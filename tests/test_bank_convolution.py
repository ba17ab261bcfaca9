"""The filter bank's convolution: values and gradients are PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from recon.texture.bank_convolution import bank_responses


@pytest.mark.parametrize("kernel", [3, 7, 11])
@pytest.mark.parametrize("size", [(1, 1), (8, 12), (21, 18), (5, 31)])
@pytest.mark.parametrize("channels", [1, 3])
def test_responses_and_gradient_are_those_of_a_convolution(kernel: int, size: tuple[int, int], channels: int) -> None:
    draw = torch.Generator().manual_seed(1)
    bank = torch.randn(6, channels, kernel, kernel, generator=draw, dtype=torch.float64)
    image = torch.randn(2, channels, *size, generator=draw, dtype=torch.float64, requires_grad=True)
    out = torch.randn(2, 6, *size, generator=draw, dtype=torch.float64)

    responses = bank_responses(image, bank)
    wanted = functional.conv2d(image, bank, padding=kernel // 2)

    torch.testing.assert_close(responses, wanted)
    (found,) = torch.autograd.grad(responses, image, out)
    (expected,) = torch.autograd.grad(wanted, image, out)
    torch.testing.assert_close(found, expected)
