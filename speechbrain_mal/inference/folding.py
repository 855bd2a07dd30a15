"""DeepFilterNet2 for inference: each convolution block one convolution, a faster GRU.

In evaluation mode a block's grouped convolution, 1x1 convolution and normalisation are
linear, so one dense kernel and a bias do the same in one pass over memory.
"""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from speechbrain_mal.inference.gru import InferenceGRU
from speechbrain_mal.models.deepfilternet2 import DeepFilterNet2
from speechbrain_mal.models.gru import GRU
from speechbrain_mal.models.layers import ConvBlock, TransposedConvBlock


class FoldedConvBlock(nn.Module):
    """What a `ConvBlock` computes in evaluation mode, in one convolution.

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
        self.register_buffer("kernel", (kernel * scale[:, None, None, None]).float())
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
        return self.activation(y), x[:, :, x.shape[2] - self.memory :]


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
        return self.activation(torch.addcmul(self.bias, x, self.scale))


class _FoldedTransposedConvBlock(nn.Module):
    """A `TransposedConvBlock` in evaluation mode, in one transposed convolution."""

    def __init__(self, block: TransposedConvBlock):
        super().__init__()
        conv, pointwise, norm, self.activation = block
        depthwise = conv.weight.detach().double()  # [C, 1, 1, 3]
        mixed = pointwise.weight.detach()[:, :, 0, 0].double().t()  # in, out
        scale, bias = _scale_and_bias(norm)
        kernel = depthwise * (mixed * scale)[:, :, None, None]
        self.register_buffer("kernel", kernel.float())
        self.register_buffer("bias", bias.float())
        self.geometry = (conv.stride, conv.padding, conv.output_padding)

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv_transpose2d(x, self.kernel, self.bias, *self.geometry)
        return self.activation(y)


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
                child = _folded_block(child)
            elif isinstance(child, TransposedConvBlock):
                child = _FoldedTransposedConvBlock(child)
            elif isinstance(child, GRU):
                child = InferenceGRU(child)
            else:
                continue
            setattr(module, name, child)
    return folded


def _folded_block(block: ConvBlock) -> nn.Module:
    """Return the block's fastest form."""
    conv = block[0]
    depthwise = isinstance(conv, nn.Conv2d) and conv.groups == conv.in_channels > 1
    if depthwise and conv.groups == conv.out_channels and max(conv.kernel_size) == 1:
        return _ChannelScale(block)
    return FoldedConvBlock(block)


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
