"""DeepFilterNet2 for inference: normalisation folded, channels last, a faster GRU.

In evaluation mode a block's normalisation is linear and goes into the convolution
before it. Where a block's channels are filtered apart and then mixed, it stays two
steps, which take a third of one dense convolution's products; other blocks become
that. Shapes stay `[B, C, T, F]`; in memory the channels are last, as the decoders and
the linear layers read them.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.inference.gru import InferenceGRU
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2
from speechbrain_mal.models.gru import GRU
from speechbrain_mal.models.layers import ConvBlock, TransposedConvBlock

BLOCK_FRAMES = 300  # measured best: few calls, and what they pass on stays in the cache


class FoldedConvBlock(nn.Module):
    """What a `ConvBlock` computes in evaluation mode, in one dense convolution.

    Arguments
    ---------
    block : ConvBlock
        The block, whose weights are not changed.

    Example
    -------
    >>> block = ConvBlock(2, 16, (3, 3)).eval()
    >>> x = torch.randn(1, 2, 10, 96)
    >>> torch.allclose(FoldedConvBlock(block)(x), block(x), atol=1e-6)
    True
    """

    def __init__(self, block: ConvBlock):
        super().__init__()
        layers = list(block)[1:] if block.memory else list(block)  # padding is first
        conv, *pointwise, norm, self.activation = layers
        kernel = _dense(conv.weight.detach().double(), conv.groups)
        for layer in pointwise:
            mixed = layer.weight[:, :, 0, 0].double()
            kernel = torch.einsum("om,mikl->oikl", mixed, kernel)
        scale, bias = _scale_and_bias(norm)
        kernel = (kernel * scale[:, None, None, None]).float()
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        self.register_buffer("kernel", kernel)
        self.register_buffer("bias", bias.float())
        self.stride, self.padding = conv.stride, conv.padding
        self.memory = block.memory

    def forward(self, x: Tensor) -> Tensor:
        """Map `[B, in_channels, T, F]` to `[B, out_channels, T, F / stride]`."""
        return self.step(x)[0]

    def step(self, x: Tensor, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map `x` and return the past of what follows it, as `ConvBlock.step`."""
        if past is None:
            x = F.pad(x, (0, 0, self.memory, 0))
        else:
            x = torch.cat([past, x], dim=2)
        y = F.conv2d(x, self.kernel, self.bias, self.stride, self.padding)
        return _activated(y, self.activation), x[:, :, x.shape[2] - self.memory :]


class _ChannelScale(nn.Module):
    """A depthwise 1x1 `ConvBlock` in evaluation mode: a factor and a bias a channel."""

    def __init__(self, block: ConvBlock):
        super().__init__()
        conv, norm, self.activation = block
        scale, bias = _scale_and_bias(norm)
        scale = scale * conv.weight.detach().double().flatten()
        self.register_buffer("scale", scale.float()[:, None, None])
        self.register_buffer("bias", bias.float()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        y = torch.addcmul(self.bias, x, self.scale)
        return _activated(y, self.activation)


class _Separable(nn.Module):
    """Base of blocks that filter each channel over the bins, and then mix channels.

    Channels are last in memory: the filter is a few products of a vector with rows of
    it, the mix one product of matrices, and no layer copies what the one before made.
    """

    def __init__(self, depthwise: Tensor, pointwise: nn.Conv2d, norm: nn.BatchNorm2d):
        super().__init__()
        scale, bias = _scale_and_bias(norm)
        mix = pointwise.weight.detach()[:, :, 0, 0].double() * scale[:, None]
        for name, tap in zip(
            ("tap0", "tap1", "tap2"), depthwise.unbind(-1), strict=True
        ):
            self.register_buffer(name, tap.detach().flatten().clone())  # [C]
        self.register_buffer("mix", mix.t().float().contiguous())  # [C in, C out]
        self.register_buffer("bias", bias.float())

    def forward(self, x: Tensor) -> Tensor:
        y = self._filtered(x.permute(0, 2, 3, 1))
        y = torch.addmm(self.bias, y.flatten(0, 2), self.mix).view(y.shape)
        return y.relu_().permute(0, 3, 1, 2)


class _FoldedSeparableBlock(_Separable):
    """A `ConvBlock` of a depthwise convolution over three bins, in evaluation mode."""

    def __init__(self, block: ConvBlock):
        conv, pointwise, norm, _ = block
        super().__init__(conv.weight, pointwise, norm)
        self.stride = conv.stride[1]

    def _filtered(self, x: Tensor) -> Tensor:
        """Map `[B, T, F, C]` to `[B, T, F / stride, C]`."""
        y = x[:, :, :: self.stride] * self.tap1
        y[:, :, 1:].addcmul_(x[:, :, self.stride - 1 : -1 : self.stride], self.tap0)
        after = x[:, :, 1 :: self.stride]
        y[:, :, : after.shape[2]].addcmul_(after, self.tap2)
        return y


class _FoldedTransposedConvBlock(_Separable):
    """A `TransposedConvBlock` in evaluation mode."""

    def __init__(self, block: TransposedConvBlock):
        conv, pointwise, norm, _ = block
        super().__init__(conv.weight, pointwise, norm)

    def _filtered(self, x: Tensor) -> Tensor:
        """Map `[B, T, F, C]` to `[B, T, 2 F, C]`."""
        y = torch.stack([x * self.tap1, x * self.tap2], dim=3)
        y[:, :, :-1, 1].addcmul_(x[:, :, 1:], self.tap0)
        return y.flatten(2, 3)


def fold(model: DeepFilterNet2) -> DeepFilterNet2:
    """Return a faster copy for inference; linear layers and GRUs share their weights.

    Arguments
    ---------
    model : DeepFilterNet2
        In evaluation mode; it is not changed.

    Returns
    -------
    DeepFilterNet2
        With the same output, up to rounding. It can't be trained.

    Raises
    ------
    ValueError
        When the model is in training mode: its normalisation is not linear then.

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
        for name, child in module.named_children():
            if isinstance(child, ConvBlock):
                child = folded_block(child)
            elif isinstance(child, TransposedConvBlock):
                child = _FoldedTransposedConvBlock(child)
            elif isinstance(child, GRU):
                child = InferenceGRU(child)
            else:
                continue
            setattr(module, name, child)
    folded.block_frames = BLOCK_FRAMES
    return folded


def folded_block(block: ConvBlock) -> nn.Module:
    """Return what computes the block in evaluation mode, in its fastest form."""
    conv = block[0]
    if isinstance(conv, nn.Conv2d) and conv.weight.shape[:2] == (conv.groups, 1):
        if conv.kernel_size == (1, 1):
            return _ChannelScale(block)
        if conv.kernel_size == (1, 3) and conv.groups > 1:
            return _FoldedSeparableBlock(block)
    return FoldedConvBlock(block)


def _activated(x: Tensor, activation: nn.Module) -> Tensor:
    """Return the activation of `x`, in its memory where that is possible."""
    return x.relu_() if isinstance(activation, nn.ReLU) else activation(x)


def _dense(kernel: Tensor, groups: int) -> Tensor:
    """Return a grouped convolution's kernel with zeros between the groups."""
    outputs, inputs = kernel.shape[0] // groups, kernel.shape[1]
    dense = kernel.new_zeros(groups * outputs, groups * inputs, *kernel.shape[2:])
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        dense[rows, group * inputs : (group + 1) * inputs] = kernel[rows]
    return dense


def _scale_and_bias(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return what a normalisation with running statistics multiplies by and adds."""
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    bias = norm.bias.double() - scale * norm.running_mean.double()
    return scale.detach(), bias.detach()
