"""Layers of DeepFilterNet2, with the parameter names of the public package."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.kernels import fused
from speechbrain_mal.models.gru import GRU

INPLACE_RELU = partial(nn.ReLU, inplace=True)


class ConvBlock(nn.Sequential):
    """Separable convolution over `[B, C, T, F]`, causal in time, norm, activation.

    A grouped convolution with `gcd(in, out)` groups, of a kernel of so many frames and
    bins, is followed by a 1x1 convolution, unless there is one group only or the kernel
    is 1x1. `activation` makes the last layer.

    Example
    -------
    >>> block = ConvBlock(2, 16, (3, 3), frequency_stride=2)
    >>> block(torch.randn(1, 2, 10, 96)).shape
    torch.Size([1, 16, 10, 48])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        frequency_stride: int = 1,
        activation: Callable[[], nn.Module] = INPLACE_RELU,
    ):
        frames, bins = kernel_size
        groups = math.gcd(in_channels, out_channels)
        # The package's causal padding is a layer of its own, and counts in the names.
        layers = [nn.ConstantPad2d((0, 0, frames - 1, 0), 0.0)] if frames > 1 else []
        layers.append(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride=(1, frequency_stride),
                padding=(0, bins // 2),
                groups=groups,
                bias=False,
            )
        )
        if groups > 1 and max(kernel_size) > 1:
            layers.append(nn.Conv2d(out_channels, out_channels, 1, bias=False))
        super().__init__(*layers, nn.BatchNorm2d(out_channels), activation())
        self.memory = frames - 1  # frames of the past that a frame depends on
        self.folded = None  # `weights`, once it is for inference alone

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, in_channels, T, F]` to `[B, out_channels, T, F / stride]`."""
        if not self.memory:
            return self._convolve(x)
        if x.shape[1] > self[-2].num_features:  # less to copy behind than before it
            return self._convolve(x, self.memory, x.shape[2])
        return self._convolve(self[0](x))

    def step(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map `x` as `forward` does, and return the past of what follows it, too.

        The past is the `memory` frames before, `[B, in_channels, memory, F]`; zeros
        without.
        """
        if past is None:
            tail = x[:, :, -self.memory :]
            return self(x), F.pad(tail, (0, 0, self.memory - tail.shape[2], 0))
        x = torch.cat([past, x], dim=2)
        return self._convolve(x), x[:, :, -self.memory :]

    def _convolve(
        self, x: Tensor, padding: int = 0, frames: int | None = None
    ) -> Tensor:
        """Return the first `frames` of the block, with `padding` frames before `x`."""
        norm, activation = self[-2], self[-1]
        kernel, groups, mix, bias = self.folded or self.weights(_on_gpu(x))
        conv = self[1 if self.memory else 0]
        fused = None  # bias, where it comes with the activation
        if _on_gpu(x) and bias is not None and isinstance(activation, nn.ReLU):
            fused, bias = bias, None
        if groups > 1 and kernel.shape[1:].numel() == 1:  # a factor for each channel
            x = x * kernel.flatten(1)[:, None].to(x.dtype)
            if bias is not None:
                x = x + bias[:, None, None]
        else:
            first_bias = bias if mix is None else None
            sizes = (conv.stride, (padding, conv.padding[1]))
            if _on_gpu(x) and groups == 1:
                x = _convolve_on_gpu(x, kernel, first_bias, *sizes)
            else:
                x = F.conv2d(x, kernel, first_bias, *sizes, groups=groups)
        if mix is not None:
            x = F.conv2d(x, mix, bias)
        if frames is not None:
            x = x[:, :, :frames]
        if norm.training:
            # The kernel for half precision has one block a channel: 5 ms for this one.
            x = norm(x.float() if norm.num_features == 1 else x)
        return activation(x) if fused is None else _biased_relu(x, fused)

    @torch.no_grad()
    def fold(self) -> None:
        """Compute the weights of evaluation mode once; the block can't be trained."""
        self.folded = self.weights(dense=True)

    def weights(self, dense: bool) -> tuple[Tensor, int, Tensor | None, Tensor | None]:
        """Return the convolution's kernel and groups, the 1x1 kernel, and the bias.

        In evaluation mode the norm is in them: it is linear, and costs no pass over the
        features. With `dense` the two kernels are one.
        """
        conv, *pointwise, norm, _ = list(self)[1 if self.memory else 0 :]
        kernel, groups, bias = conv.weight, conv.groups, None
        mix = pointwise[0].weight if pointwise else None
        if mix is not None and (groups == 2 or dense):
            kernel, groups, mix = _dense(kernel, mix, groups), 1, None
        if not norm.training:
            scale, bias = _scale_and_bias(norm)
            if mix is None:
                kernel = kernel * scale
            else:
                mix = mix * scale
        return kernel, groups, mix, bias


class TransposedConvBlock(nn.Sequential):
    """Depthwise transposed convolution that doubles the bins, 1x1, norm, ReLU.

    Example
    -------
    >>> TransposedConvBlock(16)(torch.randn(1, 16, 10, 8)).shape
    torch.Size([1, 16, 10, 16])
    """

    def __init__(self, channels: int):
        super().__init__(
            nn.ConvTranspose2d(
                channels,
                channels,
                (1, 3),
                stride=(1, 2),
                padding=(0, 1),
                output_padding=(0, 1),
                groups=channels,
                bias=False,
            ),
            nn.Conv2d(channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            INPLACE_RELU(),
        )

        self.folded = None  # as of `ConvBlock`

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, channels, T, F]` to `[B, channels, T, 2 F]`."""
        conv, _, norm, activation = self
        mix, bias = self.folded or self.weights()
        if _on_gpu(x):
            kernel = _channels_last(mix.transpose(0, 1) * conv.weight)
            # The bias stays out: it comes with the activation.
            sizes = (conv.stride, conv.padding, conv.output_padding)
            x = F.conv_transpose2d(x, kernel, None, *sizes)
            if bias is not None:
                return _biased_relu(x, bias)
        else:
            x = F.conv2d(conv(x), mix, bias)
        return activation(norm(x) if norm.training else x)

    @torch.no_grad()
    def fold(self) -> None:
        """Compute the weights of evaluation mode once, as `ConvBlock.fold` does."""
        self.folded = self.weights()

    def weights(self) -> tuple[Tensor, Tensor | None]:
        """Return the 1x1 kernel and the bias, the norm in them, see `ConvBlock`."""
        _, pointwise, norm, _ = self
        if norm.training:
            return pointwise.weight, None
        scale, bias = _scale_and_bias(norm)
        return pointwise.weight * scale, bias


def _on_gpu(x: Tensor) -> bool:
    return x.is_cuda


def _dense(grouped: Tensor, pointwise: Tensor, groups: int) -> Tensor:
    """Return the kernel of a convolution in groups and the 1x1 one after it.

    It has more products, and is faster: with two groups everywhere, and on a GPU, whose
    kernels for groups don't use its tensor cores, with any number. One H100, 96 clips
    of 3 s, the 64 channels of 96 bins, float32, there and back: 20.3 ms became 4.2.
    """
    if groups == len(grouped) and grouped.shape[1] == 1:  # each channel apart
        return pointwise * grouped.transpose(0, 1)
    grouped = grouped.unflatten(0, (groups, -1))
    pointwise = pointwise.flatten(1).unflatten(1, (groups, -1))
    return torch.einsum("ogm,gmikl->ogikl", pointwise, grouped).flatten(1, 2)


def _convolve_on_gpu(
    x: Tensor,
    kernel: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    padding: tuple[int, int],
) -> Tensor:
    """Convolve with channels last, and never with a single one.

    For one channel, in or out, cuDNN took no tensor-core kernel: on one H100, 96 clips
    of 3 s, 64 channels to 1 and 1 to 64 took 1.3 ms together, and 6.0 in bfloat16.
    """
    outputs, inputs = kernel.shape[:2]
    extra_inputs = 7 if inputs == 1 else 0
    extra_outputs = 7 if outputs == 1 else 0
    if extra_inputs or extra_outputs:
        x = F.pad(x, (0, 0, 0, 0, 0, extra_inputs))
        kernel = F.pad(kernel, (0, 0, 0, 0, 0, extra_inputs, 0, extra_outputs))
    y = F.conv2d(x, _channels_last(kernel), None, stride, padding)
    y = y[:, :outputs] if extra_outputs else y
    return y if bias is None else y + bias[:, None, None]


def _channels_last(kernel: Tensor) -> Tensor:
    """Return the kernel so that features get channels last, as GPUs like them.

    The decoders and the linear layers read them in that order.
    """
    return kernel.clone(memory_format=torch.channels_last)


def _biased_relu(x: Tensor, bias: Tensor) -> Tensor:
    """Return `relu(x + bias)`, in the memory of `x` and in one pass where possible."""
    kernels = fused("bias_relu", x)
    if kernels and x.is_contiguous(memory_format=torch.channels_last):
        return kernels.bias_relu(x, bias)
    return torch.relu_(x + bias[:, None, None])


def _scale_and_bias(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what a norm in evaluation mode multiplies by, `[C, 1, 1, 1]`, and adds."""
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    bias = torch.addcmul(norm.bias, norm.running_mean, scale, value=-1)
    return scale[:, None, None, None], bias


class GroupedLinear(nn.Module):
    """Linear map without bias whose input and output are cut into groups.

    A number of groups that does not divide both sizes is a ValueError.

    Example
    -------
    >>> GroupedLinear(16, 8, groups=4)(torch.randn(2, 5, 16)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, in_features: int, out_features: int, groups: int):
        super().__init__()
        if in_features % groups or out_features % groups:
            raise ValueError(
                f"A grouped linear layer of {groups} groups can't map {in_features} "
                f"to {out_features} features: both must be multiples of {groups}."
            )
        self.weight = nn.Parameter(
            torch.empty(groups, in_features // groups, out_features // groups)
        )
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, in_features]` to `[B, T, out_features]`."""
        groups, inputs, _ = self.weight.shape
        parts = x.reshape(-1, groups, inputs).transpose(0, 1)
        y = torch.bmm(parts, self.weight).transpose(0, 1)
        return y.reshape(*x.shape[:2], -1)


class SqueezedGRU(nn.Module):
    """GRU between grouped linear layers with ReLU; `skip` adds its input to its output.

    Without an `output_size` the GRU's output is returned as it is.

    Example
    -------
    >>> SqueezedGRU(32, 16, linear_groups=8)(torch.randn(2, 5, 32))[0].shape
    torch.Size([2, 5, 16])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        layers: int = 1,
        linear_groups: int = 8,
        skip: bool = False,
    ):
        super().__init__()
        self.skip = skip
        self.linear_in = nn.Sequential(
            GroupedLinear(input_size, hidden_size, linear_groups), nn.ReLU()
        )
        self.gru = GRU(hidden_size, hidden_size, layers)
        self.linear_out = nn.Identity()
        if output_size is not None:
            self.linear_out = nn.Sequential(
                GroupedLinear(hidden_size, output_size, linear_groups), nn.ReLU()
            )

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map `[B, T, input_size]` from a state; return the GRU's new one, too."""
        x = self.linear_in(x)
        y, state = self.gru(x, state)
        return self.linear_out(y + x if self.skip else y), state
