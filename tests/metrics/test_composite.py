"""SNRs, the measures within the composite ones, and what they do to waveforms."""

import numpy as np
import pytest
from scipy.signal import lfilter, resample_poly

from speechbrain_mal.metrics.composite import (
    llr,
    loizou_frames,
    mean_of_lowest,
    segmental_snr,
    wss,
)
from speechbrain_mal.metrics.intrusive import si_sdr, snr
from speechbrain_mal.metrics.waveforms import resample, windowed_frames


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


def test_wss_hears_nothing_above_4_khz(minibank_pairs):
    for _, clean in minibank_pairs.values():
        low = resample_poly(resample_poly(clean, 9, 16), 16, 9)[: len(clean)]
        assert wss(low, clean, 16000) < 1  # cut at 4.5 kHz
        assert llr(low, clean, 16000) > 0.5


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


def test_a_gain_is_an_error_of_its_size(minibank_pairs):
    for _, clean in minibank_pairs.values():
        # |s|^2 / |s - g s|^2 in every frame
        for gain, expected in ((0.9, 20), (1.1, 20), (-1, -20 * np.log10(2))):
            assert snr(gain * clean, clean) == pytest.approx(expected)
            score = segmental_snr(gain * clean, clean, 16000)
            assert score == pytest.approx(expected, abs=1e-3)


def test_a_common_gain_changes_nothing(minibank_pairs):
    for noisy, clean in minibank_pairs.values():
        changed = segmental_snr(-0.5 * noisy, -0.5 * clean, 16000)
        # eps beside the noise
        assert changed == pytest.approx(segmental_snr(noisy, clean, 16000), abs=1e-6)


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


def test_blocks_hold_each_whole_frame_once():
    clip = np.arange(10_003.0)
    window = np.array([1.0, 2, 3])
    blocks = list(windowed_frames(clip, window, hop_length=2))
    assert len(blocks) > 1
    starts = np.arange(0, len(clip) - 2, 2)
    expected = clip[starts[:, None] + np.arange(3)] * window
    assert (np.concatenate(blocks) == expected).all()


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_a_tone_stays_that_tone(rate):
    tone = np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)
    expected = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    result = resample(tone, rate, 16000)
    assert len(result) == 16000
    # The ripple of scipy's Kaiser filter (beta 5, 53 dB); the ends miss samples.
    np.testing.assert_allclose(result[500:-500], expected[500:-500], atol=5e-3)
    assert resample(tone, rate, rate) is tone
