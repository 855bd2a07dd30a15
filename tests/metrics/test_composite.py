"""SNRs, and the measures that CSIG, CBAK and COVL are made of."""

import numpy as np
import pytest
from scipy.signal import lfilter, resample_poly

from speechbrain_mal.metrics.composite import (
    composite,
    llr,
    loizou_frames,
    mean_of_lowest,
    segmental_snr,
    wss,
)
from speechbrain_mal.metrics.intrusive import pesq_wb, si_sdr, snr


def test_composite_is_the_published_regression(minibank_pairs):
    for pair in minibank_pairs.values():
        clips = (pair.at_snr(15), pair.clean, 16000)  # no score is limited there
        terms = [pesq_wb(*clips), llr(*clips), wss(*clips), segmental_snr(*clips), 1]
        # Hu and Loizou 2008: PESQ, LLR, WSS, segmental SNR, constant
        assert composite(*clips) == pytest.approx(
            {
                "csig": np.dot([0.603, -1.029, -0.009, 0, 3.093], terms),
                "cbak": np.dot([0.478, 0, -0.007, 0.063, 1.634], terms),
                "covl": np.dot([0.805, -0.512, -0.007, 0, 1.594], terms),
            }
        )


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
