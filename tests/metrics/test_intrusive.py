"""Within the intrusive metrics: what they are made of, and where they stop."""

import numpy as np
import pytest
from scipy.signal import freqz, lfilter

from speechbrain_mal.metrics.composite import (
    llr,
    loizou_frames,
    mean_of_lowest,
    segmental_snr,
)
from speechbrain_mal.metrics.intrusive import si_sdr, snr
from speechbrain_mal.metrics.urgent import ANALYSIS, mcd, mel_cepstrum


def test_llr_of_a_known_filter():
    # White noise w against w / (1 - 0.9 z^-1): the filter that whitens the second
    # leaves of the first 1 + 0.9^2 of its power.
    white = np.random.default_rng(0).standard_normal(160000)
    score = llr(lfilter([1], [1, -0.9], white), white, 16000)
    # 16 coefficients from 480 windowed samples are biased
    assert score == pytest.approx(np.log(1 + 0.9**2), abs=0.05)


def test_llr_of_what_has_no_filter(sample):
    noisy, clean = sample
    half = np.where(np.arange(len(clean)) < len(clean) // 2, clean, 0)
    assert llr(half, half, 16000) == 0
    assert np.isfinite(llr(noisy, half, 16000))
    # 16 coefficients predict a tone to rounding: errors of 0 and below
    tone = np.sin(2 * np.pi * 50 * np.arange(len(noisy)) / 16000)
    assert 5 < llr(noisy, tone, 16000) < 50


def test_outliers_are_left_out():
    values = np.ones(100)
    values[::20] = 1e6
    assert mean_of_lowest(values) == 1
    assert mean_of_lowest(values[:1]) == 1e6  # one frame is not left out


def test_by_construction(pair):
    noise = pair.noisy - pair.clean
    noise -= (noise @ pair.clean) / (pair.clean @ pair.clean) * pair.clean  # orthogonal
    orthogonal = type(pair)(pair.clean + noise, pair.clean)
    for snr_db in (-5, 0, 20):
        assert snr(pair.at_snr(snr_db), pair.clean) == pytest.approx(snr_db, abs=1e-9)
        scaled = 0.1 * orthogonal.at_snr(snr_db)
        assert si_sdr(scaled, pair.clean) == pytest.approx(snr_db, abs=1e-6)


def test_frames_of_digital_silence_count_lowest(sample):
    speech = sample.clean[8000:16000] + 1e-3  # no sample is 0
    half_silent = np.concatenate([speech, np.zeros(8000)])
    score = segmental_snr(half_silent, half_silent, 16000)
    assert score == pytest.approx((35 - 10) / 2, abs=1)  # frames on the edge


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_loizou_s_frames(rate):
    clip = np.ones(rate)
    enhanced, clean = next(loizou_frames(2 * clip, clip, rate))
    length = round(0.03 * rate)
    # int(samples / hop - length / hop), as his programs count
    assert clean.shape == (int((rate - length) / (length // 4)), length)
    window = np.sin(np.pi * np.arange(1, length + 1) / (length + 1)) ** 2
    np.testing.assert_allclose(clean[0], window, atol=1e-12)
    np.testing.assert_allclose(enhanced, 2 * clean, atol=1e-12)


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
