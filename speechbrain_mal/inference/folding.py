"""DeepFilterNet2 for inference: weights folded once, a faster GRU, blocks of frames.

What each buys on one CPU thread, as `benchmarks/inference.py` measures it, stands in
benchmarks/README.md.
"""

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2
from speechbrain_mal.models.gru import GRU
from speechbrain_mal.models.layers import ConvBlock, TransposedConvBlock

BLOCK_FRAMES = 300  # measured best: few calls, and what they pass on stays in the cache


def fold(model: DeepFilterNet2) -> DeepFilterNet2:
    """Return a faster copy with the same output, up to rounding; it can't be trained.

    A block's convolutions and its normalisation, which is linear in evaluation mode
    (ValueError in training mode), become one convolution. Linear layers and GRUs share
    the model's weights.

    Example
    -------
    >>> model = DeepFilterNet2(
    ...     sample_rate=16000, channels=8, embedding_size=32, df_hidden_size=32
    ... ).eval()
    >>> noisy = torch.randn(1, 4000)
    >>> torch.allclose(fold(model)(noisy), model(noisy), atol=1e-5)
    True
    """
    if model.training:
        raise ValueError("fold() takes a model in evaluation mode: call eval() first.")
    shared = [*model.parameters(), *model.buffers()]
    folded = copy.deepcopy(model, {id(tensor): tensor for tensor in shared})
    for module in list(folded.modules()):
        if isinstance(module, ConvBlock | TransposedConvBlock):
            module.fold()
        for name, child in module.named_children():
            if isinstance(child, GRU):
                setattr(module, name, InferenceGRU(child))
    folded.block_frames = BLOCK_FRAMES
    return folded


class InferenceGRU(nn.Module):
    """The results of a `GRU`, faster on a CPU, its recurrence in NumPy.

    On one signal a GRU is a chain of products of a matrix with a vector, where the
    overhead of each call counts, and NumPy's is a fraction of torch's. On other
    devices, in other precisions, with gradients and while it is exported it is
    `torch.nn.GRU`. Weights are shared, but for a copy of the recurrence's.
    """

    def __init__(self, gru: GRU):
        super().__init__()
        self.gru = gru
        # [hidden + 1, 3 * hidden], the last row the bias. All are halved, because the
        # logistic function is taken as `s(a) = (1 + tanh(a / 2)) / 2`, and the new
        # gate's share is doubled by it.
        self._recurrences = [
            torch.cat([weight.t(), bias[None]]).detach().float().cpu().numpy() / 2
            for _, weight, _, bias in gru.all_weights
        ]

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return the states and the last one, as `GRU` does."""
        if (
            x.device.type != "cpu"
            or x.dtype != torch.float32
            or torch.is_grad_enabled()
            or torch.is_autocast_enabled("cpu")
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()
        ):
            return self.gru(x, hx)
        if hx is None:
            hx = x.new_zeros(self.gru.num_layers, x.shape[0], self.gru.hidden_size)
        x, last = x.transpose(0, 1), []
        for (w_ih, _, b_ih, _), recurrence, before in zip(
            self.gru.all_weights, self._recurrences, hx.numpy(), strict=True
        ):
            if x.shape[:2] == (1, 1):  # a live stream's: NumPy's calls cost less
                inputs = np.dot(x[0].numpy(), w_ih.numpy().T)[None] + b_ih.numpy()
            else:
                inputs = F.linear(x, w_ih, b_ih).numpy()
            x = torch.from_numpy(_run(inputs, recurrence, before))
            last.append(x[-1])
        return x.transpose(0, 1), torch.stack(last)


def _run(inputs: np.ndarray, recurrence: np.ndarray, state: np.ndarray) -> np.ndarray:
    """Return states `[T, B, H]` for the inputs' share of the gates, `[T, B, 3 H]`."""
    frames, batch, size = *inputs.shape[:2], inputs.shape[2] // 3
    # States before the first frame and after each, and a 1 for the bias.
    joint = np.empty((frames + 1, batch, size + 1), np.float32)
    joint[..., size] = 1
    joint[0, :, :size] = state
    gates = np.empty((batch, 3 * size), np.float32)
    both, reset = gates[:, : 2 * size], gates[:, :size]
    update, new = gates[:, size : 2 * size], gates[:, 2 * size :]
    half = inputs[..., : 2 * size] * np.float32(0.5)
    states = joint[..., :size]
    for before, state, x_gates, x_new, after in zip(
        joint[:-1], states[:-1], half, inputs[..., 2 * size :], states[1:], strict=True
    ):
        np.dot(before, recurrence, out=gates)
        both += x_gates
        np.tanh(both, out=both)
        both += 1  # twice the logistic function
        new *= reset
        new += x_new
        np.tanh(new, out=new)
        update *= 0.5
        np.subtract(state, new, out=after)
        after *= update
        after += new
    return states[1:]
