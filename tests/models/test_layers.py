from functools import partial

import pytest
import torch
from torch import nn

from speechbrain_mal.models import layers
from speechbrain_mal.models.layers import ConvBlock, TransposedConvBlock

ROUNDING = 1e-5  # of float32 sums over some hundred products


def plain(block, x):
    """Return what the block's layers give one after another."""
    for layer in block:
        x = layer(x.clone())  # the activation may work in place
    return x


@pytest.fixture(
    params=[
        partial(ConvBlock, 1, 8, (3, 3)),
        partial(ConvBlock, 2, 8, (3, 3)),  # two groups
        partial(ConvBlock, 8, 8, (1, 3), 2),  # a group for each channel
        partial(ConvBlock, 8, 8, (1, 1)),  # a factor for each channel
        partial(ConvBlock, 8, 6, (5, 1)),  # frames of the past, channels get fewer
        partial(ConvBlock, 8, 1, (1, 3), activation=nn.Sigmoid),
        partial(TransposedConvBlock, 8),
    ],
    ids=str,
)
def block(request):
    torch.manual_seed(0)
    block = request.param()
    norm = block[-2]
    with torch.no_grad():
        for values in (norm.weight, norm.running_var):
            values.uniform_(0.5, 1.5)
        for values in (norm.bias, norm.running_mean):
            values.normal_()
    return block


def inputs(block):
    torch.manual_seed(1)
    channels = next(layer for layer in block if hasattr(layer, "in_channels"))
    return torch.randn(2, channels.in_channels, 7, 16)


@pytest.mark.parametrize("training", [True, False])
def test_block_is_its_layers(block, training):
    block.train(training)
    results = []
    for function in (block, partial(plain, block)):
        block.zero_grad()
        x = inputs(block).requires_grad_()
        y = function(x)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        results.append([y, x.grad, *(p.grad for p in block.parameters())])
    for ours, theirs in zip(*results, strict=True):
        largest = theirs.abs().max().clamp_min(1).item()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=ROUNDING * largest)


def test_folded_block_is_its_layers(block):
    expected = plain(block.eval(), inputs(block))
    block.fold()
    torch.testing.assert_close(block(inputs(block)), expected, rtol=0, atol=ROUNDING)


@pytest.mark.usefixtures("interpreted")
@pytest.mark.parametrize("training", [True, False])
def test_gpu_kernels_are_the_same_function(block, training, monkeypatch):
    """The dense kernels that a GPU gets, on whatever device there is."""
    block.train(training)
    expected = plain(block, inputs(block))
    if not torch.cuda.is_available():
        monkeypatch.setattr(layers, "_on_gpu", lambda x: True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    y = block.to(device)(inputs(block).to(device)).cpu()
    tolerance = 5e-3 if device == "cuda" else ROUNDING  # TF32 keeps 10 bits
    tolerance *= expected.abs().max().item()
    torch.testing.assert_close(y, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("sizes", [(7,), (1, 2, 4), (5, 1, 1)])
@pytest.mark.parametrize("kernel", [(3, 3), (5, 1)])
def test_steps_are_the_whole(kernel, sizes):
    torch.manual_seed(0)
    block = ConvBlock(4, 2, kernel).eval()
    x = torch.randn(1, 4, 7, 16)
    expected, past = block(x), None
    parts = []
    for part in x.split(sizes, dim=2):
        y, past = block.step(part, past)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, dim=2), expected, rtol=0, atol=ROUNDING)


@pytest.mark.usefixtures("interpreted")
def test_bias_and_relu_in_one_pass():
    triton = pytest.importorskip("speechbrain_mal.kernels.bias_relu")
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    x = torch.randn(2, 6, 5, 4).to(device, memory_format=torch.channels_last)
    x[0, 0, 0, 0] = float("nan")
    bias = torch.randn(6, device=device)
    results = []
    for function in (
        lambda x, bias: triton.bias_relu(x.clone(), bias),
        lambda x, bias: torch.relu(x + bias[:, None, None]),
    ):
        leaves = [x.clone().requires_grad_(), bias.clone().requires_grad_()]
        y = function(*leaves)
        y.nan_to_num().square().sum().backward()
        results.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True)
