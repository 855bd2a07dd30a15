import numpy as np
import pytest
from scipy.signal import resample_poly

from speechbrain_mal.metrics.llr import llr
from speechbrain_mal.metrics.wss import wss


def test_agreement_with_pysepm(pairs, references):
    for clip, (noisy, clean) in pairs.items():
        expected = references[f"{clip}@16000"]["wss"]
        assert wss(noisy, clean, 16000) == pytest.approx(expected, rel=1e-9)


def test_grows_as_the_snr_falls(pairs, at_snr):
    for noisy, clean in pairs.values():
        mixed = (at_snr(noisy, clean, snr_db) for snr_db in (20, 10, 0))
        scores = [wss(x, clean, 16000) for x in (clean, *mixed)]
        assert scores[0] == 0
        assert scores == sorted(scores) and scores[1] > 0


def test_hears_nothing_above_4_khz(minibank_pairs):
    for _, clean in minibank_pairs.values():
        low = resample_poly(resample_poly(clean, 9, 16), 16, 9)[: len(clean)]
        assert wss(low, clean, 16000) < 1  # cut at 4.5 kHz
        assert llr(low, clean, 16000) > 0.5


def test_level_and_polarity_change_nothing(minibank_pairs):
    for noisy, clean in minibank_pairs.values():
        score = wss(noisy, clean, 16000)
        for gain in (0.5, -1, 2):
            # differences of decibels; 2e-16 is added to the samples
            assert wss(gain * noisy, clean, 16000) == pytest.approx(score, rel=1e-6)


def test_a_delay_costs_little(minibank_pairs):
    for noisy, clean in minibank_pairs.values():
        delayed = np.roll(clean, 16)  # 1 ms of a frame of 30
        assert 0 < wss(delayed, clean, 16000) < wss(noisy, clean, 16000)


@pytest.mark.parametrize("rate", [8000, 22050, 48000])
def test_other_rates(rate, sample_pairs):
    noisy, clean = sample_pairs["p232_001"]
    assert wss(clean, clean, rate) == 0 < wss(noisy, clean, rate) < 200


def test_short_and_silent_clips(sample_pairs):
    noisy, clean = (clip[16000:] for clip in sample_pairs["p232_001"])
    with pytest.raises(ValueError, match="WSS: the clip is shorter than 37.5 ms"):
        wss(noisy[:160], clean[:160], 16000)
    assert 0 < wss(noisy[:600], clean[:600], 16000) < 200
    with pytest.raises(ValueError, match="WSS: the clean clip is silent"):
        wss(noisy, 0 * clean, 16000)
    assert 0 < wss(0 * noisy, clean, 16000) < 1000


def test_ten_minutes(sample_pairs):
    noisy, clean = (np.resize(x, 16000 * 600) for x in sample_pairs["p232_001"])
    assert 0 < wss(noisy, clean, 16000) < 200
