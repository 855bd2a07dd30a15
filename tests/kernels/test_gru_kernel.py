"""The GPU's GRU: on a GPU where there is one, else interpreted (tests/conftest.py)."""

import pytest
import torch
from torch import nn

from speechbrain_mal.models.gru import GRU

gru_kernel = pytest.importorskip("speechbrain_mal.kernels.gru")
ON_GPU = torch.cuda.is_available()
# TF32 keeps 10 bits of the factors; interpreted, it is float32 and its rounding.
TOLERANCE = 2e-3 if ON_GPU else 2e-6


@pytest.fixture
def one_program(monkeypatch, interpreted):
    """Interpreted, programs run one after another, and none may wait for another."""
    if not ON_GPU:
        monkeypatch.setattr(gru_kernel, "PRECISION", "ieee")
        monkeypatch.setattr(gru_kernel, "UNITS", 64)


def relative(error, reference):
    return (error.norm() / reference.norm()).item()


@pytest.mark.parametrize(("batch", "frames"), [(3, 5), (17, 2), (1, 1)])
@pytest.mark.usefixtures("one_program")
def test_output_and_gradients_are_those_of_torch(batch, frames):
    torch.manual_seed(0)
    reference = nn.GRU(12, 64, batch_first=True).double()
    layer = nn.GRU(12, 64, batch_first=True)
    layer.load_state_dict(reference.state_dict())
    values = torch.randn(batch, frames, 12), torch.randn(1, batch, 64)
    weights = torch.randn(batch, frames, 64)
    results = []
    for gru, device in ((layer, "cuda" if ON_GPU else "cpu"), (reference, "cpu")):
        dtype = next(gru.parameters()).dtype
        inputs = [t.to(device, dtype) for t in values]
        inputs = [t.detach().clone().requires_grad_() for t in inputs]
        gru.to(device)
        if gru is layer:
            x, h = inputs
            y = gru_kernel.gru_layer(x, h[0], gru.all_weights[0], True)
        else:
            y = gru(*inputs)[0]
        (y * weights.to(device, dtype)).sum().backward()
        grads = [t.grad for t in (*inputs, *gru.parameters())]
        results.append([t.detach().cpu().double() for t in (y, *grads)])
    for ours, theirs in zip(*results, strict=True):
        assert relative(ours - theirs, theirs) < TOLERANCE


@pytest.mark.usefixtures("one_program")
def test_without_gradients_nothing_is_kept_for_them():
    device = "cuda" if ON_GPU else "cpu"
    gru = nn.GRU(4, 64, batch_first=True).to(device).requires_grad_(False)
    x, h = torch.randn(2, 3, 4, device=device), torch.zeros(2, 64, device=device)
    y = gru_kernel.gru_layer(x, h, gru.all_weights[0], False)
    expected = gru(x)[0]
    assert relative(y - expected, expected) < TOLERANCE


@pytest.mark.skipif(not ON_GPU, reason="needs a GPU: programs wait for one another")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_a_gpu_all_of_it(dtype):
    torch.manual_seed(0)
    gru = GRU(256, 256, num_layers=2).cuda()
    x = torch.randn(300, 50, 256, device="cuda", requires_grad=True)
    with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
        y, state = gru(x)
        first, middle = gru(x[:, :20])
        second, last = gru(x[:, 20:], middle)
    assert "_Layer" in str(y.grad_fn)
    tolerance = 2e-3 if dtype == torch.float32 else 2e-2  # as many bits of the factors
    expected = nn.GRU.forward(gru.cpu().double(), x.detach().cpu().double())
    assert relative(y.cpu().double() - expected[0], expected[0]) < tolerance
    assert relative(last.cpu().double() - expected[1], expected[1]) < tolerance
    assert relative((last - state).float(), state.float()) < tolerance
    parts = torch.cat([first, second], dim=1)
    assert relative((parts - y).float(), y.float()) < tolerance


@pytest.mark.skipif(not ON_GPU, reason="needs a GPU: programs wait for one another")
def test_nan_passes_and_nobody_waits_for_it():
    gru = GRU(256, 256).cuda()
    x = torch.randn(20, 9, 256, device="cuda")
    x[1, 4] = float("nan")
    x[2, 4] = torch.full((256,), -1, dtype=torch.int32, device="cuda").view(x.dtype)
    y = gru(x)[0]
    y.sum().backward()
    assert y.isnan().any(2).sum().item() == 2 * 5
