import pytest
import torch
from torch import nn

from speechbrain_mal.models.gru import GRU


@pytest.fixture(params=[1, 2])
def pair(request):
    """Return our GRU and torch's with the same weights, in float64."""
    torch.manual_seed(0)
    ours = GRU(5, 7, num_layers=request.param).double()
    theirs = nn.GRU(5, 7, request.param, batch_first=True).double()
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


@pytest.mark.parametrize("frames", [1, 2, 30])
def test_output_and_gradients_are_those_of_torch(pair, frames):
    results = []
    for gru in pair:
        torch.manual_seed(1)
        x = torch.randn(3, frames, 5, dtype=torch.float64, requires_grad=True)
        y, last = gru(x)
        (y.square() * torch.rand_like(y)).sum().add(last.sum()).backward()
        results.append([y, last, x.grad, *(p.grad for p in gru.parameters())])
    for ours, theirs in zip(*results, strict=True):  # float64 rounding
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def test_without_gradients_and_under_autocast(pair):
    ours, theirs = pair
    x = torch.randn(3, 9, 5, dtype=torch.float64)
    expected = theirs(x)[0]
    with torch.no_grad():
        torch.testing.assert_close(ours(x)[0], expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours.float()(x.float())[0].shape == expected.shape
