import numpy as np
import pytest
from scipy.signal import freqz

from speechbrain_mal.metrics.mel_cepstrum import mel_cepstrum


@pytest.fixture
def frames(sample):
    windows = np.lib.stride_tricks.sliding_window_view(sample.noisy, 512)
    return windows[::2000] * np.hanning(512)


def log_spectrum(cepstrum, warping, n_bins=257):
    omega = np.linspace(0, np.pi, n_bins)
    all_pass = freqz([-warping, 1], [1, -warping], omega)[1]
    return np.real(sum(c * all_pass**m for m, c in enumerate(cepstrum)))


def objective(cepstrum, frame, warping):
    power = np.abs(np.fft.rfft(frame)) ** 2 + 1e-6
    log_power = 2 * log_spectrum(cepstrum, warping)
    values = power / np.exp(log_power) + log_power
    return values[:-1].mean() + values[1:].mean()


def test_it_is_a_minimum_of_the_definition(frames):
    rng = np.random.default_rng(0)
    cepstra = mel_cepstrum(frames, 12, 0.42, 1e-6)
    for frame, cepstrum in zip(frames, cepstra, strict=True):
        best = objective(cepstrum, frame, 0.42)
        for _ in range(20):
            # Larger than what the end condition, 1e-3 of the gain, leaves over
            other = cepstrum + 0.05 * rng.standard_normal(13)
            assert objective(other, frame, 0.42) > best


def test_a_gain_moves_the_first_coefficient_alone(frames):
    frames = frames[np.abs(frames).max(1) > 1e-2]
    quiet, loud = (mel_cepstrum(gain * frames, 12, 0.42, 1e-12) for gain in (1, 10))
    expected = quiet + np.log(10) * (np.arange(13) == 0)
    np.testing.assert_allclose(loud, expected, atol=1e-4)  # the floor beside P


def test_frames_do_not_depend_on_each_other(frames):
    together = mel_cepstrum(frames, 12, 0.42, 1e-6)
    alone = [mel_cepstrum(frame[None], 12, 0.42, 1e-6)[0] for frame in frames]
    np.testing.assert_allclose(together, alone, atol=1e-9)  # sums in another order


def test_silence_has_the_floor_s_gain():
    cepstrum = mel_cepstrum(np.zeros((1, 512)), 5, 0.42, 1e-6)[0]
    np.testing.assert_allclose(cepstrum, [np.log(1e-3), 0, 0, 0, 0, 0], atol=1e-9)
