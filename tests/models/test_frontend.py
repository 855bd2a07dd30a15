"""Analysis, synthesis and features: what must hold for any clip."""

import math

import pytest
import torch

from speechbrain_mal.models.frontend import FrontEnd, short_time_spectrum

RATE, N_FFT, HOP = 16000, 320, 160


@pytest.fixture(scope="module")
def front_end():
    return FrontEnd(RATE, N_FFT, HOP)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Analysis and synthesis


@pytest.mark.parametrize("samples", [1, 159, 160, 161, 4000, 4037])
@pytest.mark.parametrize(
    "sizes", [(16000, 320, 160), (48000, 960, 480), (16000, 512, 128)]
)
def test_synthesis_inverts_analysis(sizes, samples):
    front_end = FrontEnd(*sizes)
    waveforms = noise(2, samples)
    again = front_end.synthesis(front_end.analysis(waveforms), samples)
    # Single precision, of values up to 0.4.
    torch.testing.assert_close(again, waveforms, rtol=0, atol=1e-6)


def test_analysis_has_the_announced_number_of_frames(front_end):
    for samples in (1, 159, 160, 161, 4000):
        assert front_end.analysis(noise(1, samples)).shape[1] == front_end.frames(
            samples
        )


def test_frame_sees_no_sample_after_its_end(front_end):
    frame = 7
    end = (frame + 1) * HOP
    clip = noise(1, 4000)
    changed = clip.clone()
    changed[:, end:] = 0.7
    before = slice(0, frame + 1)
    spectrum, other = front_end.analysis(clip), front_end.analysis(changed)
    assert torch.equal(spectrum[:, before], other[:, before])
    assert not torch.equal(spectrum[:, frame + 1], other[:, frame + 1])


def test_analysis_has_the_package_s_scale(front_end):
    # A sine's peak is its amplitude times half the window's sum, scaled as at analysis.
    bin_ = 40
    sine = torch.sin(2 * math.pi * bin_ / N_FFT * torch.arange(3200.0))[None]
    peak = front_end.analysis(sine)[0, 5].abs().max().item()
    window = front_end.window.sum().item() / 2
    assert peak == pytest.approx(window * 2 * HOP / N_FFT**2, rel=1e-4)


def test_hop_that_does_not_divide_the_frame_is_an_error():
    with pytest.raises(ValueError, match=r"hop_length \(150\) must divide n_fft"):
        FrontEnd(RATE, 320, 150)
    with pytest.raises(ValueError, match="at most half"):
        FrontEnd(RATE, 320, 320)


def test_too_many_df_bins_are_an_error():
    with pytest.raises(ValueError, match="df_bins is 200.* FFT of 320 has 161"):
        FrontEnd(RATE, 320, 160, df_bins=200)


# Features


def test_erb_feature_does_not_depend_on_level_in_the_long_run(front_end):
    quiet = noise(1, 10 * RATE)
    late = slice(800, 1000)
    erb, low = front_end.features(front_end.analysis(quiet))
    louder_erb, louder_low = front_end.features(front_end.analysis(10 * quiet))
    # 8 s are eight time constants: 20 dB / 40 * exp(-8) of the difference is left.
    torch.testing.assert_close(erb[:, late], louder_erb[:, late], rtol=0, atol=5e-4)
    # The complex feature keeps the root of the gain.
    expected = 10**0.5 * low[:, late]
    torch.testing.assert_close(louder_low[:, late], expected, rtol=0.02, atol=1e-3)


@pytest.mark.parametrize("samples", [4000, 4037])
def test_features_of_a_padded_clip_are_those_of_the_clip(front_end, samples):
    clip, size = noise(1, samples), 9000
    padded = torch.nn.functional.pad(clip, (0, size - samples))
    padded = torch.cat([padded, noise(1, size, seed=1)])
    frames = front_end.frames(torch.tensor([samples, size]))
    alone = front_end.features(front_end.analysis(clip))
    together = front_end.features(front_end.analysis(padded), frames)
    for feature, expected in zip(together, alone, strict=True):
        inside = feature[:1, : expected.shape[1]]
        # The scan's blocks have another size, so sums have another order: 2e-6.
        torch.testing.assert_close(inside, expected, rtol=0, atol=1e-5)
        assert feature[0, expected.shape[1] :].abs().max() == 0
        assert feature[1, -1].abs().max() > 0


def minutes_of_digital_silence():
    # Four minutes: the running mean of the magnitude, 0.99 a frame, is below the
    # smallest single-precision number after 100 s.
    return torch.zeros(1, 4 * 60 * RATE)


def test_features_of_digital_silence_are_finite(front_end):
    erb, low = front_end.features(front_end.analysis(minutes_of_digital_silence()))
    assert torch.isfinite(erb).all()
    assert low.abs().max() == 0


def test_gradient_through_features_of_digital_silence_is_finite(front_end):
    waveforms = minutes_of_digital_silence().requires_grad_()
    erb, low = front_end.features(front_end.analysis(waveforms))
    (erb.sum() + torch.view_as_real(low).sum()).backward()
    assert torch.isfinite(waveforms.grad).all()


def test_speech_after_digital_silence_has_finite_features(front_end):
    waveforms = minutes_of_digital_silence()
    waveforms[:, -RATE:] = noise(1, RATE)
    waveforms.requires_grad_()
    erb, low = front_end.features(front_end.analysis(waveforms))
    (erb.square().sum() + low.abs().square().sum()).backward()
    assert torch.isfinite(erb).all() and torch.isfinite(low.abs()).all()
    assert torch.isfinite(waveforms.grad).all()


def test_features_are_differentiable():
    # The gradient agrees with finite differences, in double precision.
    front_end = FrontEnd(8000, 32, 16, erb_bands=4, df_bins=6).double()
    waveforms = noise(1, 48).double().requires_grad_()

    def features(waveforms):
        erb, low = front_end.features(front_end.analysis(waveforms))
        return erb, torch.view_as_real(low)

    # The zeros after the clip are left out: there |0| has no derivative.
    assert torch.autograd.gradcheck(
        lambda x: [feature[:, :3] for feature in features(x)], (waveforms,)
    )


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
