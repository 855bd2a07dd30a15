"""The GPU's distance: on a GPU where there is one, else interpreted."""

import pytest
import torch

from speechbrain_mal.losses import DeepFilterNetLoss
from speechbrain_mal.losses.deepfilternet import SILENCE
from speechbrain_mal.models import FrontEnd

distance = pytest.importorskip("speechbrain_mal.kernels.distance")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def loss():
    return DeepFilterNetLoss(FrontEnd(16000, 320, 160), n_ffts=())


@pytest.fixture
def spectra():
    """Return two spectra of 33 bins, `[2, 3, 33, 2]`, from below silence to loud."""
    torch.manual_seed(0)
    level = torch.logspace(-13, 1, 33)[:, None]
    return [level * torch.randn(2, 3, 33, 2) for _ in range(2)]


@pytest.mark.usefixtures("interpreted")
def test_distance_and_gradient_are_those_of_the_loss(loss, spectra):
    estimate, target = spectra
    factors = (3.0, 2.0)
    by_loss = estimate.clone().requires_grad_()
    expected = loss._distance(
        *map(torch.view_as_complex, (by_loss, target)), torch.tensor([3, 3]), factors
    )
    by_kernel = estimate.to(DEVICE).requires_grad_()
    actual = distance.compressed_distance(
        by_kernel, target.to(DEVICE), loss.gamma, factors, SILENCE
    ).mean()
    expected.backward()
    actual.backward()
    # Sums of float32.
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-5, atol=0)
    # A GPU's logarithm and exponential are a few units of the last place apart.
    grad = by_kernel.grad.cpu()
    torch.testing.assert_close(grad, by_loss.grad, rtol=1e-3, atol=1e-9)


@pytest.mark.usefixtures("interpreted")
def test_a_perfect_estimate_has_no_distance(spectra):
    x = spectra[0].to(DEVICE)
    distances = distance.compressed_distance(x, x, 0.3, (3.0, 2.0), SILENCE)
    assert distances.count_nonzero() == 0
