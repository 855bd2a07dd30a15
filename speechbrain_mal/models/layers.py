"""Layers of DeepFilterNet2, with the parameter names of the public package."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.models.gru import GRU


class ConvBlock(nn.Sequential):
    """Separable convolution over `[B, C, T, F]`, causal in time, norm, activation.

    A grouped convolution with `gcd(in, out)` groups is followed by a 1x1
    convolution, unless there is one group only or the kernel is 1x1.

    Arguments
    ---------
    in_channels, out_channels : int
        Channels.
    kernel_size : tuple of int
        Frames and bins the kernel spans.
    frequency_stride : int
        Stride over the bins.
    activation : callable
        Makes the activation layer.

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
        activation: Callable[[], nn.Module] = nn.ReLU,
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

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, in_channels, T, F]` to `[B, out_channels, T, F / stride]`."""
        return self._convolve(self[0](x) if self.memory else x)

    def step(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map `x` as `forward` does, and return the past of what follows it, too.

        Arguments
        ---------
        x : Tensor
            `[B, in_channels, T, F]`; the kernel spans several frames.
        past : Tensor, optional
            The `memory` frames before, `[B, in_channels, memory, F]`; zeros without it.
        """
        x = self[0](x) if past is None else torch.cat([past, x], dim=2)
        return self._convolve(x), x[:, :, -self.memory :]

    def _convolve(self, x: Tensor) -> Tensor:
        layers = list(self)[1:] if self.memory else list(self)
        first, second = layers[:2]
        if first.groups == 2 and isinstance(second, nn.Conv2d):
            # Both are linear, and one dense kernel is faster than two groups are.
            kernel = _fold(first.weight, second.weight)
            x = F.conv2d(x, kernel, stride=first.stride, padding=first.padding)
            layers = layers[2:]
        for layer in layers:
            x = layer(x)
        return x


def _fold(grouped: Tensor, pointwise: Tensor) -> Tensor:
    """Return the kernel of a convolution in two groups and the 1x1 one after it."""
    grouped = grouped.unflatten(0, (2, -1))
    pointwise = pointwise.flatten(1).unflatten(1, (2, -1))
    return torch.einsum("ogm,gmikl->ogikl", pointwise, grouped).flatten(1, 2)


class TransposedConvBlock(nn.Sequential):
    """Depthwise transposed convolution that doubles the bins, 1x1, norm, ReLU.

    Arguments
    ---------
    channels : int
        Channels in and out.

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
            nn.ReLU(),
        )


class GroupedLinear(nn.Module):
    """Linear map without bias whose input and output are cut into groups.

    Arguments
    ---------
    in_features, out_features : int
        Sizes of the last dimension.
    groups : int
        Number of groups, a divisor of both.

    Raises
    ------
    ValueError
        When `groups` does not divide a size.

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
    """GRU between grouped linear layers with ReLU.

    Arguments
    ---------
    input_size, hidden_size : int
        Features in, and units of the GRU.
    output_size : int, optional
        Features out; without it the GRU's output is returned as it is.
    layers : int
        GRU layers.
    linear_groups : int
        Groups of the linear layers.
    skip : bool
        Add the GRU's input to its output.

    Example
    -------
    >>> SqueezedGRU(32, 16, linear_groups=8)(torch.randn(2, 5, 32)).shape
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

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, T, input_size]` to `[B, T, output_size or hidden_size]`."""
        return self.step(x)[0]

    def step(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map `x` and return the GRU's new state, too, as `GRU.step` does."""
        x = self.linear_in(x)
        y, state = self.gru.step(x, state)
        return self.linear_out(y + x if self.skip else y), state
