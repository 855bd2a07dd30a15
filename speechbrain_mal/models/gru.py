"""A GRU that trains faster than torch's, on CPU and GPU.

`torch.nn.GRU` is a chain of small autograd operations per frame on a CPU. Here the
forward pass keeps the gates, the backward pass takes the derivatives of all frames at
once, loops over the recurrence alone, and has the weights' gradient from one matrix
product: a step takes 0.8 of the time (benchmarks/README.md). On a GPU `kernels.gru`
computes a layer. Weights, names and results are torch's.
"""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from speechbrain_mal.kernels import fused


class GRU(nn.GRU):
    """`torch.nn.GRU`, forward in time and batch first, with faster kernels.

    `r, z = s(W x + U h + b)`, `n = tanh(W x + b + r (U h + c))`, `h' = (1-z) n + z h`.
    Where neither of them applies it is `torch.nn.GRU` itself: on a CPU without
    gradients, under autocast or from a given state, and on a GPU without Triton, in
    float32 where cuDNN may not use TF32, or for sizes that `kernels.gru` has not.

    Example
    -------
    >>> gru = GRU(8, 16, num_layers=2)
    >>> y, state = gru(torch.randn(4, 10, 8))
    >>> y.shape, state.shape
    (torch.Size([4, 10, 16]), torch.Size([2, 4, 16]))
    """

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1):
        super().__init__(input_size, hidden_size, num_layers, batch_first=True)

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the last layer's states `[B, T, H]`, and all last ones `[L, B, H]`.

        Of `[B, T, input_size]`, from the states `hx`, `[L, B, H]`; zeros without.
        """
        if torch.compiler.is_compiling():
            return super().forward(x, hx)
        if kernels := fused("gru", x):
            if torch.is_autocast_enabled("cuda"):
                x = x.to(torch.get_autocast_dtype("cuda"))
            if kernels.fits(x, self.hidden_size):
                return self._on_gpu(x, hx, kernels)
        elif (
            x.device.type == "cpu"
            and hx is None
            and torch.is_grad_enabled()
            and not torch.is_autocast_enabled("cpu")
        ):
            return self._on_cpu(x)
        return super().forward(x, hx)

    def _on_cpu(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x, last = x.transpose(0, 1), []
        for w_ih, w_hh, b_ih, b_hh in self.all_weights:
            x = _Recurrence.apply(nn.functional.linear(x, w_ih, b_ih), w_hh, b_hh)
            last.append(x[-1])
        return x.transpose(0, 1), torch.stack(last)

    def _on_gpu(
        self, x: Tensor, hx: Tensor | None, kernels: ModuleType
    ) -> tuple[Tensor, Tensor]:
        if hx is None:
            hx = x.new_zeros(self.num_layers, x.shape[0], self.hidden_size)
        keep = torch.is_grad_enabled() and (
            x.requires_grad or hx.requires_grad or self.weight_hh_l0.requires_grad
        )
        last = []
        for weights, initial in zip(self.all_weights, hx, strict=True):
            x = kernels.gru_layer(x, initial, weights, keep)
            last.append(x[:, -1])
        return x, torch.stack(last)


class _Recurrence(torch.autograd.Function):
    """One layer, from the inputs' share of the gates `[T, B, 3 H]` to `[T, B, H]`."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        frames, batch, size = inputs.shape[0], inputs.shape[1], inputs.shape[2] // 3
        states = inputs.new_zeros(frames + 1, batch, size)
        gates = inputs.new_empty(frames, batch, 2 * size)  # reset, update
        candidates = inputs.new_empty(frames, batch, size)
        recurrent = inputs.new_empty(frames, batch, 3 * size)  # U h + b
        transposed = weight.t().contiguous()
        # Views of every frame are taken at once: in the loop they would cost as much
        # as the arithmetic does.
        state = states.unbind()
        for t, (x_gate, x_new, u, u_gate, u_new, gate, reset, update, new) in enumerate(
            zip(
                *(part.unbind() for part in _split(inputs, 2 * size)),
                recurrent.unbind(),
                *(part.unbind() for part in _split(recurrent, 2 * size)),
                gates.unbind(),
                *(part.unbind() for part in _split(gates, size)),
                candidates.unbind(),
                strict=True,
            )
        ):
            torch.addmm(bias, state[t], transposed, out=u)
            torch.add(x_gate, u_gate, out=gate).sigmoid_()
            torch.addcmul(x_new, reset, u_new, out=new).tanh_()
            torch.lerp(new, state[t], update, out=state[t + 1])
        ctx.save_for_backward(weight, states, gates, candidates, recurrent)
        return states[1:].clone()  # the saved states must not change with the output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        weight, states, gates, candidates, recurrent = ctx.saved_tensors
        frames, batch, size = candidates.shape
        reset, update = _split(gates, size)
        # How each pre-activation moves with its frame's state, for all frames at once.
        new = (1 - update) * (1 - candidates.square())
        local = torch.stack(
            [
                new * recurrent[..., 2 * size :] * reset * (1 - reset),
                (states[:-1] - candidates) * update * (1 - update),
                new * reset,
            ],
            dim=2,
        )
        share = torch.empty_like(local)
        total = torch.empty_like(candidates)
        past = torch.zeros_like(candidates[0])
        kept = torch.empty_like(past)
        for grad_t, local_t, update_t, total_t, column_t, share_t, flat_t in zip(
            *(
                reversed(every.unbind())
                for every in (grad, local, update, total, total[:, :, None], share)
            ),
            reversed(share.flatten(2).unbind()),
            strict=True,
        ):
            torch.add(past, grad_t, out=total_t)
            torch.mul(local_t, column_t, out=share_t)
            torch.mul(total_t, update_t, out=kept)
            torch.addmm(kept, flat_t, weight, out=past)
        share = share.flatten(2)
        inputs = torch.cat([share[..., : 2 * size], total * new], dim=-1)
        if not ctx.needs_input_grad[1]:  # a frozen encoder
            return inputs, None, None
        weights = share.flatten(0, 1).t() @ states[:-1].flatten(0, 1)
        return inputs, weights, share.sum((0, 1))


def _split(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the first `size` units, and the others."""
    return x[..., :size], x[..., size:]
