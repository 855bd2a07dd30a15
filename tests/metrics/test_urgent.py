"""LSD and MCD, with the mel-cepstra within it."""

import numpy as np
import pytest
from scipy.signal import freqz

from speechbrain_mal.metrics.urgent import ANALYSIS, lsd, mcd, mel_cepstrum


def test_lsd_s_frames_of_digital_silence_count_18(sample):
    speech = sample.noisy[:16000]  # no sample is 0
    half = np.concatenate([speech, np.zeros(16000)])
    # Half the frames have ln(1e-8); one on the edge and one more at the end.
    expected = -np.log(1e-8) / 2
    assert lsd(half, half, 16000) == pytest.approx(expected, abs=0.3)
    assert lsd(half + 1e-5, half, 16000) > expected - 0.3


def test_no_other_gain_is_nearer(sample):
    """The gain that is undone is the one of least squares, whatever the sign."""
    noisy, clean = sample
    best = (noisy @ clean) / (noisy @ noisy) * noisy
    for gain in (-3, 0.1, 1):
        assert lsd(gain * noisy, clean, 16000) == pytest.approx(
            lsd(best, clean, 16000), rel=1e-4
        )


@pytest.mark.parametrize("rate", ANALYSIS)
def test_mcd_at_every_rate_of_the_table(rate, sample):
    noisy, clean = (clip[8000:16000] for clip in sample)
    assert 0 < mcd(noisy, clean, rate) < 50


def test_mcd_of_one_frame_and_of_another_rate(sample):
    noisy, clean = (clip[16000:17024] for clip in sample)
    assert 0 < mcd(noisy, clean, 16000) < 100
    with pytest.raises(ValueError, match="not defined at 11025 Hz: resample to one of"):
        mcd(noisy, clean, 11025)
    with pytest.raises(ValueError, match="1023 samples, and 1024 or more"):
        mcd(noisy[1:], clean[1:], 16000)


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
