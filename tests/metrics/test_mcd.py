import numpy as np
import pytest
from scipy.signal import resample_poly

from speechbrain_mal.metrics.mcd import ANALYSIS, mcd

RATES = (8000, 16000, 24000, 48000)


def test_agreement_with_the_urgent_challenge_s_script(pairs, references):
    for clip, (noisy, clean) in pairs.items():
        expected = references[f"{clip}@16000"]["mcd"]
        assert mcd(noisy, clean, 16000) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("rate", RATES)
def test_agreement_at_other_rates(rate, pairs, references):
    clip, pair = next(iter(pairs.items()))
    noisy, clean = (resample_poly(x, rate, 16000) for x in pair)
    expected = references[f"{clip}@{rate}"]["mcd"]
    assert mcd(noisy, clean, rate) == pytest.approx(expected, rel=1e-6)


def test_grows_as_the_snr_falls(pairs, at_snr):
    for noisy, clean in pairs.values():
        mixed = (at_snr(noisy, clean, snr_db) for snr_db in (20, 10, 0))
        scores = [mcd(x, clean, 16000) for x in mixed]
        assert 0 < scores[0] < scores[1] < scores[2]


def test_identical_clips_at_any_level_and_polarity(pairs):
    for _, clean in pairs.values():
        for gain in (1, 0.1, -1):
            # the gain is undone up to 1e-8 beside the energy
            assert mcd(gain * clean, clean, 16000) == pytest.approx(0, abs=1e-5)


def test_level_and_polarity_change_nothing(minibank_pairs):
    for noisy, clean in minibank_pairs.values():
        score = mcd(noisy, clean, 16000)
        for gain in (0.1, -1):
            assert mcd(gain * noisy, clean, 16000) == pytest.approx(score, rel=1e-5)


def test_a_delay_costs_although_the_frames_are_aligned(minibank_pairs):
    for _, clean in minibank_pairs.values():
        # The correlation at lag 0 decides the gain, and that is in the cepstra.
        assert mcd(np.roll(clean, 1024), clean, 16000) > 1


def test_short_and_silent_clips_and_unknown_rates(sample_pairs):
    noisy, clean = (clip[16000:] for clip in sample_pairs["p232_001"])
    with pytest.raises(ValueError, match="MCD: the clip is shorter than 1024 samples"):
        mcd(noisy[:160], clean[:160], 16000)
    assert 0 < mcd(noisy[:1024], clean[:1024], 16000) < 100  # one frame
    with pytest.raises(ValueError, match="MCD: the clean clip is silent"):
        mcd(noisy, 0 * clean, 16000)
    assert mcd(0 * noisy, clean, 16000) > mcd(noisy, clean, 16000)
    with pytest.raises(ValueError, match="not defined at 11025 Hz: resample to one of"):
        mcd(noisy, clean, 11025)


@pytest.mark.parametrize("rate", ANALYSIS)
def test_every_rate_of_the_table(rate, sample_pairs):
    noisy, clean = (clip[8000:16000] for clip in sample_pairs["p232_001"])
    assert 0 < mcd(noisy, clean, rate) < 50
