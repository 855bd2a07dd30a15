"""Bias and ReLU on a GPU in one pass; after a convolution they would be two there."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 1024  # numbers of a program


@triton.jit
def _add_and_clamp(values, bias, count, CHANNELS: tl.constexpr, BLOCK: tl.constexpr):
    place = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = place < count
    x = tl.load(values + place, inside, other=0.0).to(tl.float32)
    x += tl.load(bias + place % CHANNELS).to(tl.float32)
    x = tl.where(x < 0, 0.0, x)  # not a maximum, which would hide a NaN
    tl.store(values + place, x.to(values.dtype.element_ty), inside)


def bias_relu(x: Tensor, bias: Tensor) -> Tensor:
    """Return `relu(x + bias)` in the memory of `x`, `[B, C, T, F]`, of a bias `[C]`.

    In memory the channels have to be last, or it is a ValueError.
    """
    if not x.is_contiguous(memory_format=torch.channels_last):
        raise ValueError("bias_relu() takes features with channels last in memory.")
    return _BiasReLU.apply(x, bias)


class _BiasReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bias: Tensor) -> Tensor:
        grid = (triton.cdiv(x.numel(), BLOCK),)
        _add_and_clamp[grid](x, bias, x.numel(), x.shape[1], BLOCK)
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        (y,) = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad, y, 0)
        return grad, grad.sum((0, 2, 3)) if ctx.needs_input_grad[1] else None
