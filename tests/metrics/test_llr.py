import numpy as np
import pytest
from scipy.signal import lfilter

from speechbrain_mal.metrics.llr import llr


def test_agreement_with_pysepm(pairs, references):
    for clip, (noisy, clean) in pairs.items():
        # More of the samples is digital silence than the 5 % of frames left out, and
        # LPC of a constant 2e-16 is rounding: 4e-3 between two orders of summing.
        limit = 0.01 if clip.startswith("p232") else 1e-9
        expected = references[f"{clip}@16000"]["llr"]
        assert llr(noisy, clean, 16000) == pytest.approx(expected, abs=limit)


def test_grows_as_the_snr_falls(pairs, at_snr):
    for noisy, clean in pairs.values():
        mixed = (at_snr(noisy, clean, snr_db) for snr_db in (20, 10, 0))
        scores = [llr(x, clean, 16000) for x in (clean, *mixed)]
        assert scores[0] == 0
        assert scores == sorted(scores) and scores[1] > 0


def test_of_a_known_filter():
    # White noise w against w / (1 - 0.9 z^-1): the filter that whitens the second
    # leaves of the first 1 + 0.9^2 of its power.
    white = np.random.default_rng(0).standard_normal(160000)
    score = llr(lfilter([1], [1, -0.9], white), white, 16000)
    # 16 coefficients from 480 windowed samples are biased
    assert score == pytest.approx(np.log(1 + 0.9**2), abs=0.05)


def test_level_and_polarity_change_nothing(minibank_pairs):
    for noisy, clean in minibank_pairs.values():
        score = llr(noisy, clean, 16000)
        for gain in (0.5, -1, 2):
            # 2e-16 is added to the samples
            assert llr(gain * noisy, clean, 16000) == pytest.approx(score, rel=1e-6)


def test_a_delay_costs_little(minibank_pairs):
    for noisy, clean in minibank_pairs.values():
        delayed = np.roll(clean, 16)  # 1 ms of a frame of 30
        assert 0 < llr(delayed, clean, 16000) < llr(noisy, clean, 16000)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_other_rates(rate, sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    assert llr(clean, clean, rate) == 0 < llr(noisy, clean, rate) < 10


def test_short_and_silent_clips(sample_pairs):
    noisy, clean = (clip[16000:] for clip in sample_pairs["p232_001"])
    with pytest.raises(ValueError, match="LLR: the clip is shorter than 37.5 ms"):
        llr(noisy[:160], clean[:160], 16000)
    assert 0 < llr(noisy[:600], clean[:600], 16000) < 10
    with pytest.raises(ValueError, match="LLR: the clean clip is silent"):
        llr(noisy, 0 * clean, 16000)
    assert 0 < llr(0 * noisy, clean, 16000) < 50


def test_digital_silence_in_the_clean_clip_has_a_value(sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    half = np.where(np.arange(len(clean)) < len(clean) // 2, clean, 0)
    assert llr(half, half, 16000) == 0
    assert np.isfinite(llr(noisy, half, 16000))


def test_a_tone_has_a_value(sample_pairs):
    # 16 coefficients predict it to rounding: errors of 0 and below
    tone = np.sin(2 * np.pi * 50 * np.arange(32000) / 16000)
    noisy = np.resize(sample_pairs["p232_001"][0], 32000)
    assert 5 < llr(noisy, tone, 16000) < 50


def test_ten_minutes(sample_pairs):
    noisy, clean = (np.resize(x, 16000 * 600) for x in sample_pairs["p232_001"])
    assert 0 < llr(noisy, clean, 16000) < 10
