"""The scan is the recurrence, in any length and precision."""

import pytest
import torch
from scipy.signal import lfilter
from streaming_models import noise

from speechbrain_mal.models.running_mean import SCAN_BLOCK, exponential_running_mean


def recurrence(x, decay, initial):
    states = decay * initial.expand(len(x), 1, -1)
    means, _ = lfilter([1 - decay], [1, -decay], x, axis=1, zi=states)
    return torch.from_numpy(means)


RECURSING = SCAN_BLOCK**2 + SCAN_BLOCK + 1  # the recursion recurses


@pytest.mark.parametrize(
    "frames", [1, SCAN_BLOCK - 1, SCAN_BLOCK, SCAN_BLOCK + 1, 1000, RECURSING]
)
@pytest.mark.parametrize("decay", [0.99, 0.5])
def test_running_mean_is_the_recurrence(frames, decay):
    x = noise(2, frames, 3).double() + 1
    initial = torch.tensor([0.0, 5.0, -60.0], dtype=torch.float64)
    expected = recurrence(x, decay, initial)
    mean = exponential_running_mean(x, decay, initial)
    torch.testing.assert_close(mean, expected, rtol=1e-11, atol=1e-12)


def test_running_mean_in_single_precision_does_not_drift():
    x = -60 + 30 * torch.rand(1, 20000, 2, generator=torch.Generator().manual_seed(0))
    initial = torch.tensor([-60.0, -90.0])
    mean = exponential_running_mean(x, 0.99, initial)
    exact = recurrence(x.double(), 0.99, initial.double())
    # Rounding of 256 summands of about 60: some 1e-5 dB, however long the clip is.
    torch.testing.assert_close(mean.double(), exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("frames", [3, SCAN_BLOCK + 2])
def test_running_mean_is_differentiable(frames):
    x = noise(1, frames, 1).double().requires_grad_()
    initial = torch.ones(1, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, initial: exponential_running_mean(x, 0.9, initial)[:, -4:],
        (x, initial),
    )
