"""Analysis, synthesis and features: what must hold for any clip."""

import pytest
import torch

from speechbrain_mal.models.frontend import FrontEnd, short_time_spectrum

RATE = 16000


def noise(*shape):
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 4000, 4037])
@pytest.mark.parametrize(
    "sizes", [(16000, 320, 160), (48000, 960, 480), (16000, 512, 128)]
)
def test_synthesis_inverts_analysis(sizes, samples):
    front_end, waveforms = FrontEnd(*sizes), noise(2, samples)
    spectrum = front_end.analysis(waveforms)
    assert spectrum.shape[1] == front_end.frames(samples)
    again = front_end.synthesis(spectrum, samples)
    # Single precision, of values up to 0.4.
    torch.testing.assert_close(again, waveforms, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ending", [0.0, 1.0])
def test_features_of_digital_silence_are_finite_and_their_gradient(ending):
    """Four minutes: the running mean of magnitudes underflows after 100 s."""
    front_end = FrontEnd(RATE, 320, 160)
    waveforms = torch.zeros(1, 4 * 60 * RATE)
    waveforms[:, -RATE:] = ending * noise(1, RATE)
    waveforms.requires_grad_()
    erb, low = front_end.features(front_end.analysis(waveforms))
    (erb.square().sum() + torch.view_as_real(low).square().sum()).backward()
    assert erb.isfinite().all() and low.abs().isfinite().all()
    assert low[:, :23000].abs().max() == 0
    assert waveforms.grad.isfinite().all()


def test_features_are_differentiable():
    """The gradient agrees with finite differences, in double precision."""
    front_end = FrontEnd(8000, 32, 16, erb_bands=4, df_bins=6).double()

    def features(waveforms):
        erb, low = front_end.features(front_end.analysis(waveforms))
        # The zeros after the clip are left out: there |0| has no derivative.
        return erb[:, :3], torch.view_as_real(low)[:, :3]

    waveforms = noise(1, 48).double().requires_grad_()
    assert torch.autograd.gradcheck(features, (waveforms,))


@pytest.mark.parametrize("n_fft", [64, 63])
def test_spectrum_and_its_gradient_are_those_of_torch(n_fft):
    torch.manual_seed(0)
    window, hop_length = torch.hann_window(n_fft, dtype=torch.float64), 20
    x = torch.randn(2, 300, dtype=torch.float64)
    weights = torch.randn(2, 12, n_fft // 2 + 1, dtype=torch.complex128)
    results = []
    for function in (
        lambda x: short_time_spectrum(x, window, hop_length),
        lambda x: torch.stft(
            x, n_fft, hop_length, window=window, center=False, return_complex=True
        ).transpose(1, 2),
    ):
        leaf = x.clone().requires_grad_()
        spectrum = function(leaf)
        (spectrum * weights).real.sum().backward()
        results.append((spectrum.detach(), leaf.grad))
    for ours, theirs in zip(*results, strict=True):  # float64 rounding
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
